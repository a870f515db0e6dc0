"""What several commands share: the data directory, products, accounts and tokens of this deployment."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from infra.local.errors import LocalError
from infra.local.layout import Layout, StackFile, read_stack_file
from schemas.identifiers import PRODUCTS

DAY_S = 86_400
TTL_MAX_S = 400 * DAY_S  # as infra.http.tokens has it, which is too slow to load for --help
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_F = TypeVar("_F", bound=Callable[..., Any])


def data_option(command: _F) -> _F:
    """``--data DIR``, given as a `Layout`."""
    return click.option(
        "--data",
        "layout",
        default="var",
        show_default=True,
        type=click.Path(path_type=Path, file_okay=False),
        callback=lambda _ctx, _param, path: Layout(path.resolve()),
        help="Data directory of the stack.",
    )(command)


def account_option(command: _F) -> _F:
    """``--account PRODUCT:SUBJECT``, checked."""
    return click.option(
        "--account",
        required=True,
        metavar="PRODUCT:SUBJECT",
        callback=lambda _ctx, _param, name: _account(name),
        help="Whose account it is.",
    )(command)


def _account(name: str) -> str:
    product, colon, subject = name.partition(":")
    if product not in PRODUCTS or not colon or not subject:
        raise click.BadParameter(f"is PRODUCT:SUBJECT with a product of {', '.join(PRODUCTS)}", param_hint="--account")
    return f"{product}:{plain_subject(product, subject)}"


def plain_subject(product: str, subject: str) -> str:
    """The subject as accounts know it: users and workspaces of `workspace-images` are UUIDs, in lower case."""
    if product == "workspace-images" and _UUID.fullmatch(subject):
        return subject.lower()
    return subject


def known_stack(layout: Layout) -> StackFile:
    """What the last start wrote. Raises `LocalError` where there was none."""
    stack = read_stack_file(layout)
    if stack is None:
        raise LocalError(f"There is no stack in {layout.root}: start one with `darkroom up --data {layout.root}`.")
    return stack


def make_token(
    layout: Layout,
    stack: StackFile,
    product: str,
    subject: str,
    *,
    ttl_s: int,
    plan: str | None = None,
    role: str | None = None,
    workspace: str | None = None,
    idle_s: int | None = None,
) -> str:
    """A token of this deployment, with `idle_s` a session token; the stack need not run."""
    from infra.http.signing_keys import KeyFolder
    from infra.http.tokens import sign_token

    return sign_token(
        KeyFolder(layout.secrets / "jwt"),
        stack.deployment,
        product,
        subject,
        now_s=int(time.time()),
        ttl_s=ttl_s,
        plan=plan or "default",
        role=role or "user",
        workspace=workspace,
        idle_s=idle_s,
    )


def admin_token(layout: Layout, stack: StackFile) -> str:
    """A short-lived token for the operator's own calls."""
    return make_token(layout, stack, "darkroom", "operator", ttl_s=300, role="admin")

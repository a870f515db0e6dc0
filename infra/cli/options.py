"""What several commands share: the data directory, products, accounts and tokens of this deployment."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from infra.local.errors import LocalError
from infra.local.layout import Layout, StackFile, read_stack_file

PRODUCTS = ("ai-image", "pix-loom", "spike-land", "workspace-images", "studio", "darkroom")
DAY_S = 86_400
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


def known_stack(layout: Layout) -> StackFile:
    """What the last start wrote. Raises `LocalError` where there was none."""
    stack = read_stack_file(layout)
    if stack is None:
        raise LocalError(f"There is no stack in {layout.root}: start one with `darkroom up --data {layout.root}`.")
    return stack


def make_token(layout: Layout, stack: StackFile, claims: dict[str, object], ttl_s: int) -> str:
    """A signed bearer token (EdDSA) of this deployment with ``claims`` beside the usual ones."""
    import secrets

    import jwt

    keys = sorted((layout.secrets / "jwt").glob("*.pem"), key=lambda path: path.stat().st_mtime_ns)
    if not keys:
        raise LocalError(f"There is no signing key in {layout.secrets / 'jwt'}: start the stack once to make one.")
    now_s = int(time.time())
    usual = {"iss": "darkroom", "aud": stack.deployment, "iat": now_s, "exp": now_s + ttl_s}
    return jwt.encode(
        {**usual, "jti": secrets.token_hex(16), **claims},
        keys[-1].read_text(encoding="ascii"),
        algorithm="EdDSA",
        headers={"kid": keys[-1].stem},
    )


def admin_token(layout: Layout, stack: StackFile) -> str:
    """A short-lived token for the operator's own calls."""
    return make_token(layout, stack, {"sub": "operator", "product": "darkroom", "role": "admin"}, 300)

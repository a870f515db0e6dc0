"""Which deployment a command speaks to: the local stack of a data directory, or the one that DARKROOM_* names."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from infra import failpoints
from schemas.identifiers import PRODUCTS

if TYPE_CHECKING:
    from infra.kafka.reader import KafkaLogReader
    from infra.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])
_DEPLOYMENT = tuple(f"DARKROOM_{name}" for name in ("SETTINGS", "KAFKA__", "POSTGRES_DSN", "S3__", "SECRETS_DIR"))

_DATA = Path("var")


def _named() -> bool:
    """Whether DARKROOM_* variables name a deployment."""
    return any(name.startswith(_DEPLOYMENT) for name in os.environ)


def data_option(function: F) -> F:
    """The option `--data`: a local stack's directory; see `settings_for` for what holds without it."""
    return click.option(
        "--data",
        default=None,
        type=click.Path(path_type=Path, file_okay=False),
        help="Data directory of a local stack.  [default: the deployment that DARKROOM_* variables name, else var]",
    )(function)


def settings_for(data: Path | None) -> Settings:
    """The settings of the stack in `data`; without it of what DARKROOM_* variables name, else of the stack in `var`."""
    settings = _settings_for(data)
    failpoints.arm(settings.deployment, settings.data_dir)
    return settings


def _settings_for(data: Path | None) -> Settings:
    if data is None and _named():
        from infra.settings import load_settings

        return load_settings()
    from infra.local.layout import Layout
    from infra.local.stack import settings_of

    return settings_of(Layout((data or _DATA).resolve()))


def running(data: Path | None) -> Settings:
    """As `settings_for`. Raises `LocalError` where a local stack is meant and does not run."""
    settings = settings_for(data)
    if data is not None or not _named():
        from infra.local.errors import LocalError
        from infra.local.layout import Layout, is_running

        root = (data or _DATA).resolve()
        if not is_running(Layout(root)):
            raise LocalError(f"No stack runs on {root}: start it with `darkroom up --data {root}`.")
    return settings


def account_named(settings: Settings, name: str) -> str:
    """An account id as it is, or the id of `P:S` (split at the first colon)."""
    if name.startswith("acct_"):
        return name
    product, colon, subject = name.partition(":")
    if product not in PRODUCTS or not colon or not subject:
        raise click.BadParameter(
            f"is an account id (acct_…) or PRODUCT:SUBJECT with a product of {', '.join(PRODUCTS)}",
            param_hint="--account",
        )
    from infra.errors import OperatorError
    from schemas.identifiers import account_id

    path = settings.secrets_dir / "identifier.key"
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise OperatorError(
            f"The key of account ids cannot be read from {path}: name its folder, or --data."
        ) from error
    return account_id(key, product, subject)


@asynccontextmanager
async def open_reader(settings: Settings) -> AsyncIterator[KafkaLogReader]:
    """A reader of the deployment's log, closed at the end."""
    from infra.kafka.client import start_client
    from infra.kafka.reader import KafkaLogReader

    client = await start_client(settings.kafka, client_id="darkroom-cli", deadline_s=10.0)
    try:
        yield KafkaLogReader(client)
    finally:
        await client.close()

"""Which deployment a command speaks to: the local stack of a data directory, or the one that DARKROOM_* names."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from infra.kafka.reader import KafkaLogReader
    from infra.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])


def data_option(function: F) -> F:
    """The option `--data`: a local stack's directory; without it the settings come from DARKROOM_* variables."""
    return click.option(
        "--data",
        default=None,
        type=click.Path(path_type=Path, file_okay=False),
        help="Data directory of a local stack; without it DARKROOM_* variables name the deployment.",
    )(function)


def settings_for(data: Path | None) -> Settings:
    """The settings of the deployment that was named."""
    if data is None:
        from infra.settings import load_settings

        return load_settings()
    from infra.local.layout import Layout
    from infra.local.stack import settings_of

    return settings_of(Layout(data.resolve()))


def account_named(settings: Settings, name: str) -> str:
    """An account id as it is, or the id of `P:S` (split at the first colon)."""
    if name.startswith("acct_"):
        return name
    product, colon, subject = name.partition(":")
    if not (product and colon and subject):
        raise click.BadParameter("name an account id (acct_…) or PRODUCT:SUBJECT", param_hint="--account")
    from schemas.identifiers import account_id

    key = bytes.fromhex((settings.secrets_dir / "identifier.key").read_text(encoding="ascii").strip())
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

"""``darkroom sweep``: remove objects that no event names."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.cli.target import data_option, running

if TYPE_CHECKING:
    from infra.s3.store import ListedObject
    from infra.settings import Settings
    from projections.sweep import Swept

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def _seconds(_ctx: click.Context, _parameter: click.Parameter, text: str) -> int:
    number, unit = text[:-1], text[-1:]
    if not number.isdecimal() or unit not in _UNITS:
        raise click.BadParameter("is a number and a unit, such as 24h, 90m or 7d")
    seconds = int(number) * _UNITS[unit]
    if seconds < _UNITS["h"]:
        raise click.BadParameter("is 1h at least, because an object may be an hour ahead of the event that names it")
    return seconds


@click.command()
@data_option
@click.option(
    "--older-than",
    "older_than_s",
    default="24h",
    show_default=True,
    callback=_seconds,
    metavar="TIME",
    help="Look at objects of this age only, such as 90m, 24h or 7d; an hour at least.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--unknown-accounts", is_flag=True, help="Also remove objects of accounts that this log does not know.")
def sweep(data: Path | None, older_than_s: int, dry_run: bool, unknown_accounts: bool) -> None:
    """Remove objects that no event names: uploads cut off or never completed, outputs that did not count.

    Projectors do the same every hour. Prints each object with its size.
    """
    swept = asyncio.run(_sweep(running(data), older_than_s, dry_run, unknown_accounts))
    word = "would be removed" if dry_run else "removed"
    click.echo(f"{swept.orphans} of {swept.looked_at} objects {word} ({swept.orphan_bytes} bytes)")
    if swept.uploads:
        click.echo(f"{swept.uploads} uploads that were cut off forgotten")
    if swept.of_unknown_accounts and not unknown_accounts:
        click.echo(f"{swept.of_unknown_accounts} objects of accounts that this log does not know left alone")
    if swept.strange:
        click.echo(f"{swept.strange} objects that are no account's left alone")


async def _sweep(settings: Settings, older_than_s: int, dry_run: bool, unknown_accounts: bool) -> Swept:
    from infra.cli.upkeep import SWEEP_LOCK, NotCaughtUp, exclusive, swept_store
    from infra.errors import OperatorError

    try:
        async with exclusive(settings, SWEEP_LOCK) as ours:
            if not ours:
                raise OperatorError("Another sweep is running: wait until it is done, then begin yours.")
            return await swept_store(
                settings, older_than_s, dry_run=dry_run, unknown_accounts=unknown_accounts, tell=_tell
            )
    except NotCaughtUp as error:
        raise OperatorError(str(error)) from error
    except OSError as error:
        raise OperatorError(f"A server did not answer ({error}): see `darkroom status`.") from error


def _tell(found: ListedObject) -> None:
    click.echo(f"{found.key}  {found.size} bytes")

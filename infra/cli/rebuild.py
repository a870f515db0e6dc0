"""``darkroom rebuild``: the read models made anew from the log, beside the live ones."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.cli.target import data_option, running

if TYPE_CHECKING:
    from infra.settings import Settings
    from projections.rebuild import Outcome, Rebuild


@click.command()
@data_option
@click.option("--model", "models", multiple=True, metavar="NAME", help="Only this read model; may be given repeatedly.")
@click.option("--accept-differences", is_flag=True, help="Switch although the new rows differ from the live ones.")
@click.option("--back", is_flag=True, help="Take the last switch back (with --model: that model's).")
def rebuild(data: Path | None, models: tuple[str, ...], accept_differences: bool, back: bool) -> None:
    """Build the read models beside the live ones from the log, compare both, and switch; reads go on all the while.

    Differences are printed, a line each, and stop the switch with exit code 1, unless they are accepted: after a
    mistake in a read model they are what the rebuild is for. The replaced tables stay until the next rebuild, and
    `--back` makes them live again.
    """
    from projections.rebuild import MODELS

    unknown = sorted(set(models) - set(MODELS))
    if unknown:
        raise click.BadParameter(f"is none of {', '.join(MODELS)}", param_hint="--model")
    outcome = asyncio.run(_run(running(data), models, accept_differences, back))
    for line in outcome.differences:
        click.echo(line)
    names = ", ".join(sorted(outcome.generations))
    if not outcome.switched:
        click.echo(
            f"{len(outcome.differences)} differences: the live read models stand; look at them, then"
            " --accept-differences switches."
        )
        sys.exit(1)
    click.echo(
        f"{'switched back' if back else 'switched'}: {names}; {outcome.events} events in {outcome.fill_s:.1f} s,"
        f" compared in {outcome.compare_s:.1f} s, the projector held for {1000 * outcome.held_s:.0f} ms"
    )


async def _run(settings: Settings, models: tuple[str, ...], accept_differences: bool, back: bool) -> Outcome:
    import psycopg

    from infra.cli.rebuild_progress import RebuildProgress
    from infra.errors import OperatorError
    from infra.kafka.client import BrokersUnreachable
    from projections.ports import Overtaken, StoreFault
    from projections.rebuild import rebuilding
    from projections.source import KafkaSource, SourceFault

    try:
        with RebuildProgress() as progress:
            async with rebuilding(
                settings.postgres_dsn, settings.partitions, lambda: KafkaSource(settings.kafka), progress
            ) as work:
                return await _work(work, models, accept_differences, back)
    except (psycopg.OperationalError, StoreFault, SourceFault, Overtaken, BrokersUnreachable) as error:
        raise OperatorError(f"A server went away ({error}): the live read models stand; begin again.") from error


async def _work(work: Rebuild, models: tuple[str, ...], accept_differences: bool, back: bool) -> Outcome:
    from infra.errors import OperatorError
    from projections.rebuild import MODELS

    if not back:
        return await work.anew(models or MODELS, accept_differences=accept_differences)
    known = await work.can_be_taken_back()
    chosen = list(models) or await work.last_switched()
    missing = [model for model in chosen if model not in known]
    if missing or not chosen:
        raise OperatorError(
            f"There is nothing to switch back{' of ' + missing[0] if missing else ''}: only what a rebuild has replaced"
            " can be made live again."
        )
    return await work.back(chosen)

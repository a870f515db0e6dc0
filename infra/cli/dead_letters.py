"""``darkroom dead-letters`` and ``darkroom redrive``: what could not be read or decided, and trying it again."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra import failpoints
from infra.cli.target import data_option, open_reader, running

if TYPE_CHECKING:
    from infra.kafka.appender import CommandAppender
    from infra.kafka.dead_letters import DeadLetter
    from infra.kafka.records import KafkaRecords
    from infra.settings import Settings


@click.command("dead-letters")
@data_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of text.")
def dead_letters(data: Path | None, as_json: bool) -> None:
    """List what could not be read or decided, oldest first, and what can be done about each.

    Letters are kept for 30 days.
    """
    settings = running(data)
    letters = asyncio.run(_letters(settings))
    for letter in letters:
        row = _row(letter)
        if as_json:
            click.echo(json.dumps(row))
        else:
            click.echo(
                f"{row['source']}  {row['time']}  {row['reason']}  {row['account'] or '-'}  {row['bytes']} bytes"
            )
            click.echo(f"    {row['cure']}")
    if not letters and not as_json:
        click.echo("There are no dead letters.")


@click.command()
@data_option
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
@click.option("--all", "everything", is_flag=True, help="Everything that can be redriven and was not.")
def redrive(data: Path | None, sources: tuple[str, ...], everything: bool) -> None:
    """Put dead letters on the log again, to be decided as they would be now.

    SOURCE is where the item stood, as `darkroom dead-letters` prints it. A command keeps its id and its
    idempotency key, so what was carried out meanwhile is not done twice. Exit code 1: not all could be redriven.
    """
    if everything == bool(sources):
        raise click.UsageError("Name the letters to redrive, or say --all, and not both")
    failed, told = 0, asyncio.run(_redrive(running(data), sources))
    if not told:
        click.echo("There is nothing to redrive.")
    for source, position, reason in told:
        if position is not None:
            click.echo(f"{source} redriven as {position}")
        else:
            click.echo(f"{source} not redriven: {reason}", err=True)
            failed += 0 if everything else 1
    sys.exit(1 if failed else 0)


async def _letters(settings: Settings) -> list[DeadLetter]:
    from infra.kafka.dead_letters import read_dead_letters

    async with open_reader(settings) as reader:
        return await read_dead_letters(reader, settings.partitions)


async def _redrive(settings: Settings, sources: tuple[str, ...]) -> list[tuple[str, str | None, str]]:
    """(source, position, why not) of each letter that was named, or of all that were not redriven before."""
    from infra.kafka.appender import CommandAppender
    from infra.kafka.client import start_client
    from infra.kafka.records import KafkaRecords
    from schemas.topics import COMMANDS

    letters = {letter.source: letter for letter in await _letters(settings)}
    chosen = sources or tuple(source for source, letter in letters.items() if letter.redriven is None)
    client = await start_client(settings.kafka, client_id="darkroom-redrive", deadline_s=10.0)
    appender = CommandAppender(client, COMMANDS)
    told: list[tuple[str, str | None, str]] = []
    try:
        for source in dict.fromkeys(chosen):
            letter = letters.get(source)
            if letter is None:
                told.append((source, None, "There is no such dead letter: `darkroom dead-letters` lists them."))
            else:
                told.append(await _redrive_one(settings, appender, KafkaRecords(client), letter))
    finally:
        await appender.close()
        await client.close()
    return told


async def _redrive_one(
    settings: Settings, appender: CommandAppender, records: KafkaRecords, letter: DeadLetter
) -> tuple[str, str | None, str]:
    """Append the item as it stands, then mark it; a crash in between makes a repeat, which is decided as one."""
    from infra.kafka.dead_letters import partition_for, redrivable, redriven_mark
    from infra.kafka.ports import NotAppended, OutcomeUnknown
    from schemas.positions import Position

    found = redrivable(letter)
    if isinstance(found, str):
        return letter.source, None, found
    partition = partition_for(letter, found, settings.partitions)
    try:
        failpoints.passed("redrive.append.before")
        appended = await appender.append(partition, letter.item)
        failpoints.passed("redrive.append.after")
        position = str(Position(partition, appended.offset, appended.item_index))
        await records.append([redriven_mark(letter, position)])
        failpoints.passed("redrive.mark.after")
    except (NotAppended, OutcomeUnknown) as error:
        return letter.source, None, f"The log did not take it in time ({error}): redrive it again, that is harmless."
    return letter.source, position, ""


def _row(letter: DeadLetter) -> dict[str, object]:
    from infra.kafka.dead_letters import redrivable
    from schemas.cloudevents import rfc3339

    found = redrivable(letter)
    return {
        "source": letter.source,
        "topic": letter.topic,
        "reason": letter.reason,
        "account": letter.account,
        "time": rfc3339(letter.time_ms),
        "bytes": len(letter.item),
        "redriven": letter.redriven,
        "cure": found if isinstance(found, str) else f"darkroom redrive {letter.source}",
    }

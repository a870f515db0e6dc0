"""``darkroom audit``: every law, on the real topics, the read models, the object store and a client's own log."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

import click

from infra.cli.target import data_option, open_reader, running

if TYPE_CHECKING:
    from infra.cli.audit_objects import ObjectsAudit, StoredObjects
    from infra.cli.audit_report import Report
    from infra.kafka.ports import LogReader
    from infra.settings import Settings
    from processors.partition_audit import Listener


class Options(NamedTuple):
    """What to look at beside the topics and the read models; `objects` is how many are hashed (None: all)."""

    quiet_log: bool
    check_objects: bool
    objects: int | None
    told: Path | None
    hash_seeds: tuple[int, ...]


def _sample(_ctx: click.Context, _parameter: click.Parameter, text: str) -> str | int:
    if text not in ("all", "none") and not text.isdecimal():
        raise click.BadParameter("is `all`, `none` or a number")
    return int(text) if text.isdecimal() else text


@click.command()
@data_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
@click.option("--quiet-log", is_flag=True, help="The log is at rest: every job must have ended.")
@click.option(
    "--objects",
    default="100",
    show_default=True,
    callback=_sample,
    metavar="all|none|N",
    help="Look at the object store: existence and size of every object, sha256 of all or of a sample of N.",
)
@click.option(
    "--told",
    default=None,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A client's own log of what it was told, an answer a line (NDJSON); see `infra/cli/audit_told.py`.",
)
@click.option(
    "--hash-seed",
    "hash_seeds",
    multiple=True,
    type=click.IntRange(1, 4_294_967_295),
    help="Decide everything again in another process under this hash seed, too. May be repeated.",
)
@click.option("--explain", is_flag=True, help="Print what is checked of each invariant, and where; look at nothing.")
@click.option("--follow", is_flag=True, help="Go on as the log grows, until Ctrl-C; print what is found.")
@click.option("--decide-only", hidden=True, type=click.File("r"))
def audit(
    data: Path | None,
    as_json: bool,
    quiet_log: bool,
    objects: str | int,
    told: Path | None,
    hash_seeds: tuple[int, ...],
    explain: bool,
    follow: bool,
    decide_only: IO[str] | None,
) -> None:
    """Check every law of the ledger on the real topics, that state and read models are folds of the log, and that the
    object store holds what the log says.

    Exit code 0 when all hold, 1 with a line for each violation and the events that show it. Runs beside a live stack:
    all is compared at one position for each partition. Memory does not grow with the log.
    """
    if explain:
        _explain()
        return
    settings = running(data)
    if decide_only is not None:
        _decide_only(settings, decide_only)
        return
    if follow:
        from infra.cli.auditor import follow_in_terminal

        follow_in_terminal(settings)
        return
    sample = objects if isinstance(objects, int) else None
    options = Options(quiet_log, objects != "none", sample, told, hash_seeds)
    report = asyncio.run(_audit(settings, options, () if data is None else ("--data", str(data))))
    if as_json:
        click.echo(json.dumps(report.summary()))
    else:
        for line in report.text():
            click.echo(line)
    sys.exit(1 if report.lines() else 0)


def _explain() -> None:
    from infra.cli.audit_laws import explained

    for line in explained():
        click.echo(line)


def _decide_only(settings: Settings, asked: IO[str]) -> None:
    """The half of `--hash-seed` that runs in the other process."""
    from infra.cli.audit_again import decided

    counts = {int(partition): int(count) for partition, count in json.load(asked).items()}
    click.echo(json.dumps(asyncio.run(decided(settings, counts))))


async def _audit(settings: Settings, options: Options, target: tuple[str, ...]) -> Report:
    from infra.cli.audit_again import differing
    from infra.cli.audit_objects import StoredObjects
    from infra.cli.audit_report import Report
    from infra.cli.audit_shown import events_about
    from infra.cli.audit_told import LogFacts, confront
    from infra.cli.read_model_audit import audit_read_models
    from processors.audit_spill import Spill

    report = Report()
    async with open_reader(settings) as reader:
        with Spill() as beside:
            stored, facts = StoredObjects(beside), LogFacts(beside)
            listeners: list[Listener] = [stored.add] if options.check_objects else []
            listeners += [facts.add] if options.told is not None else []
            ends = await _audit_partitions(settings, reader, options, listeners, report)
            if options.told is not None:
                report.told = confront(options.told, facts, beside)
            if options.check_objects:
                report.objects = await _audit_objects(settings, reader, stored, ends, options.objects)
        with Spill() as rows:
            report.read_models = await audit_read_models(settings.postgres_dsn, reader, settings.partitions, rows)
        seen = {number: (found.events, found.fingerprint) for number, found in enumerate(report.partitions)}
        for seed in options.hash_seeds:
            report.elsewhere += await differing(seed, target, seen)
        keys = list(report.keys_to_show().values())
        report.take_shown(await events_about(reader, settings.partitions, keys) if keys else {})
    return report


async def _audit_partitions(
    settings: Settings, reader: LogReader, options: Options, listeners: list[Listener], report: Report
) -> dict[int, int]:
    """Audit one partition after the other; the offset of the next event of each."""
    from infra.cli.audit_report import PartitionReport
    from processors.audit_spill import Spill
    from processors.effects import Addressing
    from processors.partition_audit import PartitionAuditor

    addressing = Addressing(settings.deployment, settings.partitions)
    ends = {}
    for partition in range(settings.partitions):
        with Spill() as shelf:
            auditor = PartitionAuditor(reader, partition, addressing, shelf, listeners=listeners)
            found = await auditor.audit(quiet=options.quiet_log)
            report.partitions.append(PartitionReport.of(found))
            ends[partition] = auditor.next_event_offset
    return ends


async def _audit_objects(
    settings: Settings, reader: LogReader, stored: StoredObjects, ends: dict[int, int], sample: int | None
) -> ObjectsAudit:
    from infra.cli.audit_objects import audit_objects
    from infra.errors import OperatorError
    from infra.s3.bucket import open_store
    from infra.s3.store import StoreUnavailable
    from schemas.events import decode_event
    from schemas.topics import EVENTS

    async def read_on() -> None:
        for partition, begin in ends.items():
            async for records in reader.read(EVENTS, partition, begin):
                for record in records:
                    stored.add(decode_event(record.value or b""))

    try:
        async with open_store(settings.s3) as store:
            return await audit_objects(store, stored, sample, read_on)
    except StoreUnavailable as error:
        raise OperatorError("The object store did not answer: start it, or take --objects none.") from error

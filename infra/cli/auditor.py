"""The auditor beside a live stack: `darkroom serve auditor`, and `darkroom audit --follow` in a terminal.

Theory of operation. It checks the whole log once and then goes on as the log grows, a step each two seconds:

1. every partition's state topic and events, up to one position (`processors.partition_audit`); commands are named, but
   not decided again, which would cost as much as deciding them: the one-shot audit does that;
2. when that is done, and the last comparison is long enough ago, the read models against their folds. A comparison
   looks at every row, so the next one waits ten times as long as it took.

Nothing of it is kept from one life of the process to the next: a new one trusts nobody, and begins at the first event.
What it remembers stands in mappings with a bound (`processors.audit_spill`); it runs at the lowest priority, once it
is up. What it finds is logged once, and stands in the metrics as long as it holds: what events did wrong for ever,
what state and rows have wrong until it is mended.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import asyncpg
import click
import structlog

from infra.cli import audit_metrics as metrics
from infra.cli.audit_laws import INVARIANTS
from infra.cli.audit_report import STATE_LAW
from infra.cli.read_model_audit import LAW_BACK, ReadModelAudit, ReadModelAuditor
from infra.cli.read_model_fold import ShelfOf
from infra.cli.target import open_reader
from infra.errors import ServerUnreachable
from infra.health import serve_health
from infra.kafka.ports import LogReader, ReadFault
from infra.priority import LAST, give_way
from infra.settings import Settings
from processors.audit_spill import Spill
from processors.partition_audit import PartitionAuditor
from schemas.topics import COMMANDS

STEP_EVERY_S = 2.0
COMPARE_EVERY_S = 5.0
_COMPARE_PAUSE_TIMES = 10
_HOT_MAX = 1_500
_TOLD_MAX = 10_000
_LAWS = frozenset(law for invariant in INVARIANTS for law in invariant.laws)
_AWAY = (ReadFault, ServerUnreachable, OSError, asyncpg.PostgresError, asyncpg.InterfaceError)
_log = structlog.get_logger(__name__)

Tell = Callable[[str, Sequence[str]], None]


class Auditor:
    """Checks as the log grows; `tell` hears of each violation once, with the events that show it."""

    def __init__(self, settings: Settings, reader: LogReader, spill: Spill, tell: Tell) -> None:
        self._settings, self._reader, self._tell = settings, reader, tell
        self._partitions = [
            PartitionAuditor(reader, number, None, ShelfOf(spill, f"partition {number}"))
            for number in range(settings.partitions)
        ]
        self._rows: ReadModelAudit = ReadModelAudit()
        self._rows_spill, self._rows_auditor = self._new_rows()
        self._compare_at_s = 0.0
        self._backward: Counter[str] = Counter()
        self._listed: Counter[int] = Counter()
        self._told: set[str] = set()
        for law in _LAWS:
            metrics.VIOLATIONS.labels(law).set(0)

    async def run(self) -> None:
        """Go on until cancelled; a server that is away costs time only."""
        while True:
            await self.step()
            await asyncio.sleep(STEP_EVERY_S)

    async def step(self) -> None:
        """Take what has come, compare where it is time, and show what stands."""
        for auditor in self._partitions:
            await self._guarded("log", self._advance(auditor))
        if time.monotonic() >= self._compare_at_s:
            began_s = time.monotonic()
            await self._guarded("read-models", self._compare())
            pause_s = max(COMPARE_EVERY_S, _COMPARE_PAUSE_TIMES * (time.monotonic() - began_s))
            self._compare_at_s = time.monotonic() + pause_s
        self._show()

    def close(self) -> None:
        """Forget what was folded."""
        self._rows_spill.close()

    async def _guarded(self, of: str, work: Any) -> None:
        try:
            await work
        except _AWAY as error:
            metrics.FAULTS.labels(of).inc()
            _log.warning("not audited now", of=of, error=repr(error))

    async def _advance(self, auditor: PartitionAuditor) -> None:
        metrics.EVENTS.inc(await auditor.advance())
        await auditor.check_waiting()
        found, number = auditor.found, auditor.partition
        end = await self._reader.end_offset(COMMANDS, number, committed=False)
        decided, seen = found.progress.next()[0], found.audit.last_source[0] + 1
        metrics.BEHIND.labels("processors", str(number)).set(max(0, end - decided))
        metrics.BEHIND.labels("auditor", str(number)).set(max(0, decided - seen))
        for violation in found.violations[self._listed[number] :]:
            self._say(str(violation), violation.shown)
        self._listed[number] = len(found.violations)

    async def _compare(self) -> None:
        self._rows = await self._rows_auditor.scan()
        for difference in self._rows.differences:
            self._say(str(difference), ())
            self._backward[LAW_BACK] += difference.law == LAW_BACK
        if self._rows_auditor.has_to_begin_anew:
            self._rows_spill.close()
            self._rows_spill, self._rows_auditor = self._new_rows()
        metrics.ROWS.set(self._rows.rows_compared)
        for (model, partition), offset in self._rows.tracked.items():
            behind = self._partitions[partition].next_event_offset - 1 - offset
            metrics.BEHIND.labels(model, str(partition)).set(max(0, behind))

    def _new_rows(self) -> tuple[Spill, ReadModelAuditor]:
        settings, spill = self._settings, Spill(_HOT_MAX)
        return spill, ReadModelAuditor(settings.postgres_dsn, self._reader, settings.partitions, spill)

    def _show(self) -> None:
        """Bring the gauges up to what stands now."""
        standing: Counter[str] = Counter(self._backward)
        for auditor in self._partitions:
            standing.update(auditor.found.audit.found.counts)
        standing[STATE_LAW] = sum(len(auditor.found.wrong_state) for auditor in self._partitions)
        standing.update({law: count for law, count in self._rows.counts.items() if law != LAW_BACK})
        for law in _LAWS | standing.keys():
            metrics.VIOLATIONS.labels(law).set(standing[law])
        metrics.DRIFT.labels("events").set(sum(auditor.found.audit.drift_units for auditor in self._partitions))
        metrics.DRIFT.labels("read-models").set(self._rows.drift_units)

    def _say(self, line: str, shown: Sequence[str]) -> None:
        if line not in self._told and len(self._told) < _TOLD_MAX:
            self._told.add(line)
            self._tell(line, shown)


def run_auditor(settings: Settings, index: int) -> None:
    """Audit until SIGTERM or SIGINT, and answer on the metrics port."""
    asyncio.run(_serve(settings, lambda line, shown: _log.error("violation", line=line, events=list(shown))))


def follow_in_terminal(settings: Settings) -> None:
    """The same in the foreground: a line for each violation, the events that show it below."""

    def tell(line: str, shown: Sequence[str]) -> None:
        click.echo(line)
        for event in shown:
            click.echo(f"    {event}")

    asyncio.run(_serve(settings, tell))


async def _serve(settings: Settings, tell: Tell) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    beside = []
    if settings.metrics_port is not None:
        beside.append(asyncio.create_task(serve_health(settings.metrics_port, lambda: True), name="health"))
    await asyncio.sleep(0)  # the health server listens before everything becomes slow
    give_way(LAST)
    auditing = asyncio.create_task(_keep_auditing(settings, tell), name="audit")
    tasks = [*beside, auditing, asyncio.create_task(stop.wait())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            raise result


async def _keep_auditing(settings: Settings, tell: Tell) -> None:
    """Audit until cancelled; as long as no broker answers, ask again."""
    while True:
        try:
            async with open_reader(settings) as reader:
                with Spill(_HOT_MAX) as spill:
                    auditor = Auditor(settings, reader, spill, tell)
                    try:
                        await auditor.run()
                    finally:
                        auditor.close()
        except _AWAY as error:
            metrics.FAULTS.labels("log").inc()
            _log.warning("not audited now", of="log", error=repr(error))
            await asyncio.sleep(STEP_EVERY_S)

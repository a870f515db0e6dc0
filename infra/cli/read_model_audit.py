"""The read models against the log: rows in PostgreSQL as of the position that stands in the same snapshot.

Theory of operation. One REPEATABLE READ transaction gives rows and tracked offsets of one moment. The events up to
those offsets are folded by the audit's own books, which share no code with the projections; then rows and folds are
listed side by side, both in the order of their keys, so that neither has to stand in memory.

The folds go on from where the last `scan` left them, so a log can be followed. Before the snapshot is taken they come
near it, so that it is held for no longer than the listing takes. A model whose position went back (a database that
was deleted) is folded again from the first event, and that is told.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import msgspec

from infra.cli import read_model_counts as counting
from infra.cli.read_model_fold import AssetSaid, JobSaid, Totals, add_to_all, folds
from infra.errors import ServerUnreachable
from infra.kafka.ports import LogReader
from infra.postgres.generations import PIN
from processors.audit import LISTED_MAX
from processors.audit_spill import Shelf, sorted_items
from schemas.events import decode_event
from schemas.topics import EVENTS

LAW = "read-model-is-the-fold-of-the-log"
LAW_BACK = "read-models-never-go-back"
_PAGE_ROWS = 2_000

_TRACKED = """
SELECT g.model, split_part(t.application_name, '.', 3)::int AS partition, t.notification_id
FROM public.tracking AS t JOIN public.generations AS g
    ON g.state = 'live' AND starts_with(t.application_name, g.model || '.' || g.generation || '.')
"""
_ROWS: dict[str, tuple[str, str, Callable[..., object]]] = {
    "balances": (
        "balances",
        "SELECT account, version, granted, regenerated, refunded, captured, reserved, expired FROM accounts"
        ' ORDER BY account COLLATE "C"',
        Totals,
    ),
    "jobs": (
        "jobs",
        "SELECT account || ' ' || job, status, charged, refunded, hidden_ms IS NOT NULL FROM jobs"
        ' ORDER BY account COLLATE "C", job COLLATE "C"',
        JobSaid,
    ),
    "assets": (
        "assets",
        "SELECT account || ' ' || asset, number, gone, public, views FROM assets"
        ' ORDER BY account COLLATE "C", asset COLLATE "C"',
        AssetSaid,
    ),
    "albums": (
        "assets",
        "SELECT account, count(*) FROM albums WHERE created_ms IS NOT NULL AND gone_ms IS NULL GROUP BY account"
        ' ORDER BY account COLLATE "C"',
        int,
    ),
}
"""By table: its model, its rows in the order of their keys, and what a row says."""


class Difference(msgspec.Struct, frozen=True):
    """A row that is not what the log says."""

    model: str
    key: str
    row: str
    log: str
    law: str = LAW

    def __str__(self) -> str:
        return f"{self.law} in {self.model} ({self.key}): {self.row} stands, log says {self.log}"


class ReadModelAudit:
    """What one comparison found: `differences` holds the first, `counts` says how many there were by law.

    `tracked` is the offset that each model has reached in each partition; `drift_units` is by how many units the
    balances that are shown differ from what the log says.
    """

    def __init__(self) -> None:
        self.differences: list[Difference] = []
        self.counts: Counter[str] = Counter()
        self.rows_compared = 0
        self.drift_units = 0
        self.tracked: dict[tuple[str, int], int] = {}

    @property
    def violations(self) -> list[str]:
        """One line for each difference."""
        return [str(difference) for difference in self.differences]

    def compare(self, model: str, key: str, row: object, log: object) -> None:
        """Count the row; note it when it differs from what the log says."""
        self.rows_compared += 1
        if row == log:
            return
        self.note(Difference(model, key, str(row), str(log)))
        if model == "balances" and (isinstance(row, Totals) or isinstance(log, Totals)):
            shown, said = (one.available if isinstance(one, Totals) else 0 for one in (row, log))
            self.drift_units += abs(shown - said)

    def note(self, difference: Difference) -> None:
        """Take one more difference."""
        self.counts[difference.law] += 1
        if len(self.differences) < LISTED_MAX:
            self.differences.append(difference)


async def audit_read_models(dsn: str, reader: LogReader, partitions: int, shelf: Shelf | None = None) -> ReadModelAudit:
    """Compare every table with the log once, row by row or by what it counts and sums up.

    Raises ServerUnreachable when PostgreSQL is away.
    """
    return await ReadModelAuditor(dsn, reader, partitions, shelf).scan()


class ReadModelAuditor:
    """Compares as often as it is asked; what the log says is folded on from scan to scan."""

    def __init__(self, dsn: str, reader: LogReader, partitions: int, shelf: Shelf | None = None) -> None:
        self._dsn, self._reader, self._partitions = dsn, reader, partitions
        self._folds = folds(shelf)
        self._next: dict[tuple[str, int], int] = {}
        self._reached: dict[tuple[str, int], int] = {}

    @property
    def has_to_begin_anew(self) -> bool:
        """True once a position went back: what was folded past it cannot be taken out again."""
        return any(following > self._reached.get(place, -1) + 1 for place, following in self._next.items())

    async def scan(self) -> ReadModelAudit:
        """One comparison. Raises ServerUnreachable when PostgreSQL is away."""
        async with _connected(self._dsn) as connection:
            await self._fold_up_to(await _tracked(connection))
            try:
                return await self._compared(connection)
            except asyncpg.UndefinedTableError:  # a switch of generations came between
                await connection.execute(PIN)
                return await self._compared(connection)

    async def _compared(self, connection: asyncpg.Connection) -> ReadModelAudit:
        found = ReadModelAudit()
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            found.tracked = await _tracked(connection)
            for place, offset in self._reached.items():
                reached = found.tracked.get(place, -1)
                if reached < offset:
                    where = f"partition {place[1]}"
                    found.note(Difference(place[0], where, str(reached), str(offset), LAW_BACK))
            self._reached = {place: found.tracked.get(place, -1) for place in self._reached | found.tracked}
            if self.has_to_begin_anew:
                return found
            await self._fold_up_to(found.tracked)
            for table, (model, query, kind) in _ROWS.items():
                said = sorted_items(self._folds[model].tables[table])
                await _compare(found, table, _rows(connection, query, kind), said)
            said = heapq.merge(*(sorted_items(fold.counts.found.sums) for fold in self._folds.values()))
            await _compare(found, None, _rows(connection, counting.SELECT, int), said)
        return found

    async def _fold_up_to(self, tracked: dict[tuple[str, int], int]) -> None:
        """Let each model's fold come to its offset; each event is read once for those that miss it."""
        for partition in range(self._partitions):
            begin = await self._reader.begin_offset(EVENTS, partition)
            at = {model: self._next.get((model, partition), begin) for model in self._folds}
            end = {model: tracked.get((model, partition), -1) + 1 for model in self._folds}
            missing = [model for model in self._folds if at[model] < end[model]]
            if not missing:
                continue
            first, last = min(at[model] for model in missing), max(end.values())
            async for records in self._reader.read(EVENTS, partition, first, last):
                for record in records:
                    takers = [model for model in missing if at[model] <= record.offset < end[model]]
                    with suppress(msgspec.DecodeError):  # told by the audit of the partition
                        add_to_all([self._folds[model] for model in takers], decode_event(record.value or b""))
                    for model in takers:
                        self._next[model, partition] = record.offset + 1


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    try:
        connection = await asyncpg.connect(dsn, timeout=10)
    except (OSError, TimeoutError) as error:
        raise ServerUnreachable("PostgreSQL did not answer: start it or correct DARKROOM_POSTGRES_DSN.") from error
    try:
        yield connection
    finally:
        await connection.close(timeout=10)


async def _tracked(connection: asyncpg.Connection) -> dict[tuple[str, int], int]:
    """(model, partition) -> the offset of the live generation."""
    rows = await connection.fetch(_TRACKED)
    return {(str(model), int(partition)): int(offset) for model, partition, offset in rows}


async def _rows(
    connection: asyncpg.Connection, query: str, kind: Callable[..., object]
) -> AsyncIterator[tuple[str, object]]:
    """Key and what the row says, one after the other; of counts the key is the account and what is counted."""
    async for row in connection.cursor(query, prefetch=_PAGE_ROWS):
        if query is counting.SELECT:
            yield f"{row[0]} {row[1]}", int(row[2])
        else:
            yield row[0], kind(*tuple(row)[1:])


async def _compare(
    found: ReadModelAudit,
    table: str | None,
    held: AsyncIterator[tuple[str, object]],
    said: Iterator[tuple[str, Any]],
) -> None:
    """Two listings in the order of keys, of a table or (None) of counts; what the log says is nothing is left out."""

    def compare(key: str, row: object, log: object) -> None:
        found.compare(table or counting.OF_MODEL[key.partition(" ")[2]], key, row, log)

    there = _next(said)
    async for key, row in held:
        while there is not None and there[0] < key:
            compare(there[0], None, there[1])
            there = _next(said)
        if there is not None and there[0] == key:
            compare(key, row, there[1])
            there = _next(said)
        else:
            compare(key, row, None)
    while there is not None:
        compare(there[0], None, there[1])
        there = _next(said)


def _next(said: Iterator[tuple[str, Any]]) -> tuple[str, Any] | None:
    for item in said:
        if item[1] != 0:
            return item
    return None

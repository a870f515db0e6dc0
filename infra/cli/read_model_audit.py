"""The read models against the log: rows in PostgreSQL as of the position that stands in the same snapshot.

One REPEATABLE READ transaction gives rows and tracked offsets of one moment. The events up to those offsets are read
again and folded by the audit's own books, which share no code with the projections.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import asyncpg

from infra.errors import ServerUnreachable
from infra.kafka.ports import LogReader
from infra.postgres.generations import PIN
from processors.audit import Books, PartitionAudit
from schemas import events as ev
from schemas.events import decode_event
from schemas.identifiers import partition_of
from schemas.topics import EVENTS

_TERMINAL = {
    ev.JobSucceeded: "succeeded",
    ev.JobFailed: "failed",
    ev.JobCanceled: "canceled",
    ev.JobExpired: "expired",
}
_MODELS = ("jobs", "balances", "assets")


@dataclass
class ReadModelAudit:
    """What was found: one line for each row that is not what the log says."""

    violations: list[str] = field(default_factory=list)
    rows_compared: int = 0

    def compare(self, model: str, key: str, row: object, log: object) -> None:
        """Count the row; add a line when it differs from what the log says."""
        self.rows_compared += 1
        if row != log:
            self.violations.append(
                f"read-model-is-the-fold-of-the-log in {model} ({key}): {row} stands, log says {log}"
            )


async def audit_read_models(dsn: str, reader: LogReader, partitions: int) -> ReadModelAudit:
    """Compare jobs, balances and assets with the log. Raises ServerUnreachable when PostgreSQL is away."""
    found = ReadModelAudit()
    try:
        connection = await asyncpg.connect(dsn, timeout=10)
    except (OSError, TimeoutError) as error:
        raise ServerUnreachable("PostgreSQL did not answer: start it or correct DARKROOM_POSTGRES_DSN.") from error
    try:
        try:
            tracked, accounts, jobs, assets = await _of_one_moment(connection)
        except asyncpg.UndefinedTableError:  # a switch of generations came between
            await connection.execute(PIN)
            tracked, accounts, jobs, assets = await _of_one_moment(connection)
    finally:
        await connection.close()
    for partition in range(partitions):
        folds = {model: await _fold(reader, partition, tracked.get((model, partition), -1)) for model in _MODELS}
        _compare_accounts(found, partition, partitions, accounts, folds["balances"])
        _compare_jobs(found, partition, partitions, jobs, folds["jobs"])
        _compare_assets(found, partition, partitions, assets, folds["assets"])
    return found


_Rows = list[asyncpg.Record]


async def _of_one_moment(
    connection: asyncpg.Connection,
) -> tuple[dict[tuple[str, int], int], _Rows, _Rows, _Rows]:
    """Positions and rows of accounts, jobs and assets."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return (
            await _tracked(connection),
            await connection.fetch("SELECT account, version, granted, regenerated, captured, reserved FROM accounts"),
            await connection.fetch("SELECT account, job, status, charged FROM jobs"),
            await connection.fetch("SELECT account, count(*) AS held FROM assets GROUP BY account"),
        )


async def _tracked(connection: asyncpg.Connection) -> dict[tuple[str, int], int]:
    """(model, partition) -> the offset of the live generation, as of the transaction's moment."""
    rows = await connection.fetch(
        "SELECT g.model, split_part(t.application_name, '.', 3)::int AS partition, t.notification_id"
        " FROM public.tracking AS t JOIN public.generations AS g"
        " ON g.state = 'live' AND starts_with(t.application_name, g.model || '.' || g.generation || '.')"
    )
    return {(str(model), int(partition)): int(offset) for model, partition, offset in rows}


class _Fold:
    """What the log says of a partition up to an offset."""

    def __init__(self, partition: int) -> None:
        self.audit = PartitionAudit(partition)
        self.jobs: dict[tuple[str, str], tuple[str, int]] = {}
        self.assets: dict[str, int] = {}

    def add(self, event: ev.Event) -> None:
        """Take the next event into the books."""
        self.audit.add(event)
        data = event.data
        match data:
            case ev.JobAccepted(job=job) | ev.JobRequeued(job=job):
                self._status(event.account, job, "accepted")
            case ev.AttemptReleased(job=job):
                self._status(event.account, job, "queued")
            case ev.JobStarted(job=job):
                self._status(event.account, job, "running")
            case ev.AttemptEnded(job=job, retry_at_ms=retry_at_ms) if retry_at_ms is not None:
                self._status(event.account, job, "accepted")
            case ev.JobSucceeded(job=job) | ev.JobFailed(job=job) | ev.JobCanceled(job=job) | ev.JobExpired(job=job):
                self._status(event.account, job, _TERMINAL[type(data)])
            case ev.CreditsCaptured(job=job, units=units):
                self.jobs[event.account, job] = (self.jobs[event.account, job][0], units)
            case _:
                pass
        if isinstance(data, ev.AssetRegistered | ev.JobSucceeded):
            self.assets[event.account] = self.assets.get(event.account, 0) + 1

    def _status(self, account: str, job: str, status: str) -> None:
        charged = self.jobs.get((account, job), ("", 0))[1]
        self.jobs[account, job] = (status, charged)


async def _fold(reader: LogReader, partition: int, tracked: int) -> _Fold:
    fold = _Fold(partition)
    begin = await reader.begin_offset(EVENTS, partition)
    if tracked >= begin:
        async for records in reader.read(EVENTS, partition, begin, tracked + 1):
            for record in records:
                fold.add(decode_event(record.value or b""))
    return fold


def _compare_accounts(
    found: ReadModelAudit, partition: int, partitions: int, rows: list[asyncpg.Record], fold: _Fold
) -> None:
    held = {str(r["account"]): tuple(r)[1:] for r in rows if partition_of(str(r["account"]), partitions) == partition}
    books = {name: _totals(b) for name, b in fold.audit.books.items() if name.startswith("acct_")}
    for account in sorted(held.keys() | books.keys()):
        found.compare("balances", account, held.get(account), books.get(account))


def _totals(books: Books) -> tuple[int, int, int, int, int]:
    return (books.version, books.granted, books.regenerated, books.captured, books.reserved)


def _compare_jobs(
    found: ReadModelAudit, partition: int, partitions: int, rows: list[asyncpg.Record], fold: _Fold
) -> None:
    held = {
        (str(r["account"]), str(r["job"])): (str(r["status"]), int(r["charged"]))
        for r in rows
        if partition_of(str(r["account"]), partitions) == partition
    }
    for key in sorted(held.keys() | fold.jobs.keys()):
        found.compare("jobs", " ".join(key), held.get(key), fold.jobs.get(key))


def _compare_assets(
    found: ReadModelAudit, partition: int, partitions: int, rows: list[asyncpg.Record], fold: _Fold
) -> None:
    held = {str(r["account"]): int(r["held"]) for r in rows if partition_of(str(r["account"]), partitions) == partition}
    for account in sorted(held.keys() | fold.assets.keys()):
        found.compare("assets", account, held.get(account), fold.assets.get(account))

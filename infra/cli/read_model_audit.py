"""The read models against the log: rows in PostgreSQL as of the position that stands in the same snapshot.

One REPEATABLE READ transaction gives rows and tracked offsets of one moment. The events up to those offsets are read
again and folded by the audit's own books, which share no code with the projections.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import asyncpg

from infra.cli.read_model_counts import BY_MODEL, counted
from infra.cli.read_model_fold import AssetSaid, JobSaid, fold_of_log
from infra.errors import ServerUnreachable
from infra.kafka.ports import LogReader
from infra.postgres.generations import PIN
from schemas.identifiers import partition_of

_MODELS = ("jobs", "balances", "assets", "archive")


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
    """Compare every table with the log, row by row or by what it counts and sums up.

    Raises ServerUnreachable when PostgreSQL is away.
    """
    found = ReadModelAudit()
    try:
        connection = await asyncpg.connect(dsn, timeout=10)
    except (OSError, TimeoutError) as error:
        raise ServerUnreachable("PostgreSQL did not answer: start it or correct DARKROOM_POSTGRES_DSN.") from error
    try:
        try:
            rows = await _of_one_moment(connection)
        except asyncpg.UndefinedTableError:  # a switch of generations came between
            await connection.execute(PIN)
            rows = await _of_one_moment(connection)
    finally:
        await connection.close()
    for partition in range(partitions):
        reached = {model: rows.tracked.get((model, partition), -1) for model in _MODELS}
        by_offset = {offset: await fold_of_log(reader, partition, offset) for offset in set(reached.values())}
        folds = {model: by_offset[offset] for model, offset in reached.items()}
        of = partial(_of_partition, partition, partitions)
        _compare(found, "balances", of(rows.accounts), folds["balances"].totals())
        _compare(found, "jobs", of(rows.jobs), folds["jobs"].jobs)
        _compare(found, "assets", of(rows.assets), folds["assets"].assets)
        _compare(found, "albums", of(rows.albums), {name: n for name, n in folds["assets"].albums.items() if n})
        for model, kinds in BY_MODEL.items():
            held = {(account, what): n for (what, account), n in rows.counts.items() if what in kinds}
            said = {(account, what): n for (what, account), n in folds[model].counts.found(model).items()}
            _compare(found, model, of(held), said)
    return found


@dataclass(frozen=True)
class _Rows:
    """Rows of one moment by account, or account and id, and how far each model had come."""

    tracked: dict[tuple[str, int], int]
    accounts: dict[str, tuple[int, ...]]
    jobs: dict[tuple[str, str], JobSaid]
    assets: dict[tuple[str, str], AssetSaid]
    albums: dict[str, int]
    counts: dict[tuple[str, str], int]


async def _of_one_moment(connection: asyncpg.Connection) -> _Rows:
    """Positions and rows, one snapshot."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        tracked = await _tracked(connection)
        accounts = await connection.fetch(
            "SELECT account, version, granted, regenerated, refunded, captured, reserved, expired FROM accounts"
        )
        jobs = await connection.fetch("SELECT account, job, status, charged, refunded, hidden_ms IS NOT NULL FROM jobs")
        assets = await connection.fetch("SELECT account, asset, number, gone, public, views FROM assets")
        albums = await connection.fetch(
            "SELECT account, count(*) FROM albums WHERE created_ms IS NOT NULL AND gone_ms IS NULL GROUP BY account"
        )
        counts = await counted(connection)
    return _Rows(
        tracked,
        {account: tuple(sums) for account, *sums in accounts},
        {(account, job): JobSaid(*said) for account, job, *said in jobs},
        {(account, asset): AssetSaid(*said) for account, asset, *said in assets},
        dict(map(tuple, albums)),
        counts,
    )


def _of_partition(partition: int, partitions: int, rows: Mapping[Any, object]) -> dict[Any, object]:
    """Those of the partition's accounts."""
    accounts = {key if isinstance(key, str) else key[0] for key in rows}
    ours = {account for account in accounts if partition_of(account, partitions) == partition}
    return {key: said for key, said in rows.items() if (key if isinstance(key, str) else key[0]) in ours}


async def _tracked(connection: asyncpg.Connection) -> dict[tuple[str, int], int]:
    """(model, partition) -> the offset of the live generation, as of the transaction's moment."""
    rows = await connection.fetch(
        "SELECT g.model, split_part(t.application_name, '.', 3)::int AS partition, t.notification_id"
        " FROM public.tracking AS t JOIN public.generations AS g"
        " ON g.state = 'live' AND starts_with(t.application_name, g.model || '.' || g.generation || '.')"
    )
    return {(str(model), int(partition)): int(offset) for model, partition, offset in rows}


def _compare(found: ReadModelAudit, model: str, held: Mapping[Any, object], said: Mapping[Any, object]) -> None:
    for key in sorted(held.keys() | said.keys()):
        found.compare(model, key if isinstance(key, str) else " ".join(key), held.get(key), said.get(key))

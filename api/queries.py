"""All SQL of the query side. Rows as they stand; what they mean to a client is made elsewhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import asyncpg
import msgspec

from infra.http.problems import Problem
from infra.postgres.pool import UNAVAILABLE
from infra.postgres.readers import Readers, Reads
from schemas.commands import StoredObject
from schemas.plans import Plan

T = TypeVar("T")

_JOB_COLUMNS = (
    "job, status, cost, balance, position, model, asset, result, reason, detail, engine, engine_version, params, "
    "input, sealed, charged, attempts, plan, plan_version, accepted_ms, queued_ms, running_ms, ended_ms, version"
)
_JOB = f"SELECT {_JOB_COLUMNS} FROM jobs WHERE account = $1 AND job = $2"
_JOBS = (
    f"SELECT {_JOB_COLUMNS}, (SELECT a.version FROM accounts a WHERE a.account = $1) AS pin FROM jobs "
    "WHERE account = $1 AND version <= $2 AND version {after} $3 "
    "AND ($4::text IS NULL OR status = $4) AND ($5::text IS NULL OR model = $5) "
    "AND ($6::bigint IS NULL OR accepted_ms > $6) AND ($7::bigint IS NULL OR accepted_ms < $7) "
    "ORDER BY version {order} LIMIT $8"
)
_EVENTS = "SELECT version, events FROM job_events WHERE account = $1 AND job = $2 ORDER BY version"
_ACCOUNT = """
SELECT a.product, a.plan, a.granted, a.regenerated, a.refunded, a.captured, a.reserved, a.expired, a.since_ms,
    a.position, p.plan_version,
    (SELECT json_agg(json_build_array(w.kind, w.start_ms, w.used)) FROM account_windows w
        WHERE w.account = $1) AS windows
FROM partitions p LEFT JOIN accounts a ON a.account = $1 WHERE p.partition = $2 AND p.plan_version IS NOT NULL
"""
_PLAN = "SELECT plan FROM partitions WHERE partition = $1 AND plan IS NOT NULL"
_LEDGER = (
    "SELECT version, kind, amount, balance, job, plan_version, reason, time_ms, position, "
    "(SELECT a.version FROM accounts a WHERE a.account = $1) AS pin FROM ledger "
    "WHERE account = $1 AND version <= $2 AND version {after} $3 "
    "AND ($4::text IS NULL OR kind = $4) AND ($5::text IS NULL OR job = $5) ORDER BY version {order} LIMIT $6"
)
_ASSET = """
SELECT asset, number, key, bytes, sha256, format, width, height, duration_ms, sealed, job, created_ms, position,
    gone, public
FROM assets WHERE account = $1 AND asset = $2
"""
_PUBLIC = """
SELECT a.account, (SELECT c.product FROM accounts c WHERE c.account = a.account) AS product
FROM assets a WHERE a.asset = $1 AND a.public AND a.gone IS NULL
"""

_NEWEST = {"after": "<", "order": "DESC"}
_OLDEST = {"after": ">", "order": "ASC"}


class AssetRow(msgspec.Struct, frozen=True, kw_only=True):
    """An asset as it stands; `sealed` holds the file name, `gone` the word of why access has ended."""

    asset: str
    number: int
    stored: StoredObject
    sealed: str | None
    job: str | None
    created_ms: int
    position: str
    gone: str | None
    public: bool


class Queries:
    """Reads by key and by page. Every method raises Problem 503 while PostgreSQL is away."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._plans: dict[int, tuple[int, Plan]] = {}
        jobs = {True: _JOBS.format(**_NEWEST), False: _JOBS.format(**_OLDEST)}
        ledger = {True: _LEDGER.format(**_NEWEST), False: _LEDGER.format(**_OLDEST)}
        self._jobs, self._ledger = jobs, ledger

    async def job(self, account: str, job: str) -> asyncpg.Record | None:
        """The job's row."""
        try:
            return await self._readers.row(_JOB, account, job)
        except UNAVAILABLE:
            return await self._again(lambda: self._readers.row(_JOB, account, job))

    async def jobs(
        self, account: str, newest_first: bool, pin: int, after: int, filters: Sequence[Any], limit: int
    ) -> list[asyncpg.Record]:
        """Rows up to `pin` beyond `after`; filters are status, model, created after, created before (ms)."""
        return await self._again(
            lambda: self._readers.rows(self._jobs[newest_first], account, pin, after, *filters, limit)
        )

    async def job_events(self, account: str, job: str) -> list[bytes] | None:
        """The job's events in order, as on the topic; None where there are none."""
        rows = await self._again(lambda: self._readers.rows(_EVENTS, account, job))
        return [line.encode() for row in rows for line in row[1].split("\n")] or None

    async def account(self, account: str, partition: int) -> asyncpg.Record | None:
        """The account's row beside its partition's plan version (columns are null for an account without events).

        None while no plan is in force.
        """
        return await self._again(lambda: self._readers.row(_ACCOUNT, account, partition))

    async def account_under_plan(self, account: str, partition: int) -> tuple[asyncpg.Record, Plan] | None:
        """`account`, and the plan in force with it, kept until its version changes; both as of one moment."""
        row = await self.account(account, partition)
        known = self._plans.get(partition)
        if row is None or (known is not None and known[0] == row["plan_version"]):
            return None if row is None or known is None else (row, known[1])

        async def both(reads: Reads) -> tuple[asyncpg.Record | None, asyncpg.Record | None]:
            return await reads.row(_ACCOUNT, account, partition), await reads.row(_PLAN, partition)

        row, text = await self._again(lambda: self._readers.snapshot(both))
        if row is None or text is None:
            return None
        plan = msgspec.json.decode(text[0], type=Plan)
        self._plans[partition] = (row["plan_version"], plan)
        return row, plan

    async def ledger(
        self, account: str, newest_first: bool, pin: int, after: int, filters: Sequence[Any], limit: int
    ) -> list[asyncpg.Record]:
        """Lines up to `pin` beyond `after`; filters are kind and job."""
        return await self._again(
            lambda: self._readers.rows(self._ledger[newest_first], account, pin, after, *filters, limit)
        )

    async def asset(self, account: str, asset: str) -> AssetRow | None:
        """The asset's row."""
        row = await self._again(lambda: self._readers.row(_ASSET, account, asset))
        if row is None:
            return None
        name, number, *stored, sealed, job, created_ms, position, gone, public = row
        return AssetRow(
            asset=name,
            number=number,
            stored=StoredObject(*stored),
            sealed=sealed,
            job=job,
            created_ms=created_ms,
            position=position,
            gone=gone,
            public=public,
        )

    async def public_owner(self, asset: str) -> tuple[str, str] | None:
        """(account, product) of whose public asset this is; None for one that is private, gone or not there."""
        row = await self._again(lambda: self._readers.row(_PUBLIC, asset))
        return None if row is None else (row["account"], row["product"])

    async def _again(self, read: Callable[[], Awaitable[T]]) -> T:
        """The result; asked twice, because a connection that died while idle is found out by using it."""
        try:
            return await read()
        except asyncpg.QueryCanceledError as error:
            raise _away() from error
        except UNAVAILABLE:
            try:
                return await read()
            except UNAVAILABLE as error:
                raise _away() from error


def _away() -> Problem:
    return Problem(503, "unavailable", "The read models do not answer now; try again.", headers={"Retry-After": "1"})

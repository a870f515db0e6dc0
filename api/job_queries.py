"""SQL about jobs and groups. Every page of a list goes on by key, and no filter makes PostgreSQL read a whole table.

An account's jobs stand in the order of their versions. Bounds in time become bounds on versions before the page is read
(`reading.last_within`). A filter by status takes a branch for each ended status and one for all live ones, because
each has its index in that order; the branches are put together again at the page's length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec

from api.reading import NEWEST, OLDEST, PIN, QueryBase, last_within
from infra.postgres.pool import UNAVAILABLE

ENDED = ("succeeded", "failed", "canceled", "expired")

_COLUMNS = (
    "job, status, cost, balance, position, model, asset, result, reason, detail, engine, engine_version, params, "
    "input, sealed, charged, attempts, plan, plan_version, accepted_ms, queued_ms, running_ms, ended_ms, version, "
    "product, lane, mask, sealed_at, group_id, reused_of, run, model_ms, thumbnail, refunded, refunded_ms, "
    "result_gone, accepted_at"
)
_JOB = f"SELECT {_COLUMNS} FROM jobs WHERE account = $1 AND job = $2"
_EVENTS = "SELECT version, events FROM job_events WHERE account = $1 AND job = $2 ORDER BY version"
_NOT_MADE = """
SELECT refusal, made, position FROM not_made WHERE account = $1 AND subject = $2 ORDER BY version DESC LIMIT 1
"""
_GROUP = "SELECT group_id, jobs, cost, accepted_ms, position FROM job_groups WHERE account = $1 AND group_id = $2"
_JOBS_OF_GROUP = f"SELECT {_COLUMNS} FROM jobs WHERE account = $1 AND group_id = $2 ORDER BY version"
_AT = last_within("jobs", "r.accepted_ms")
_COUNT_LIVE = """
SELECT model, status, count(*) AS jobs FROM jobs WHERE account = $1 AND outcome IS NULL GROUP BY 1, 2
"""


class JobFilters(msgspec.Struct, frozen=True, kw_only=True):
    """What a list of jobs is narrowed to; None and empty narrow nothing. Times in ms, bounds not included."""

    statuses: tuple[str, ...] = ()
    model: str | None = None
    lane: str | None = None
    group: str | None = None
    input: str | None = None
    result: str | None = None
    has_result: bool | None = None
    created_after_ms: int | None = None
    created_before_ms: int | None = None
    ended_after_ms: int | None = None
    ended_before_ms: int | None = None


def jobs_statement(filters: JobFilters, newest_first: bool) -> tuple[str, list[Any]]:
    """The SQL of a page and its arguments after account, pin, after, low, high and limit."""
    words = NEWEST if newest_first else OLDEST
    arguments: list[Any] = []

    def given(value: Any) -> str:
        arguments.append(value)
        return f"${6 + len(arguments)}"

    where = [
        f"account = $1 AND version <= least($2::bigint, $5::bigint) AND version > $4 AND version {words['after']} $3"
    ]
    for column in ("model", "lane", "input"):
        value = getattr(filters, column)
        if value is not None:
            where.append(f"{column} = {given(value)}")
    if filters.group is not None:
        where.append(f"group_id = {given(filters.group)}")
    if filters.result is not None:
        where.append(f"asset = {given(filters.result)}")
    if filters.has_result is not None:
        here = "outcome = 'succeeded' AND result_gone IS NULL"
        where.append(here if filters.has_result else f"({here}) IS NOT TRUE")
    if filters.ended_after_ms is not None:
        where.append(f"ended_ms > {given(filters.ended_after_ms)}")
    if filters.ended_before_ms is not None:
        where.append(f"ended_ms < {given(filters.ended_before_ms)}")
    branches = [" AND ".join([*where, branch]) for branch in _branches(filters, given)] or [" AND ".join(where)]
    page = f"ORDER BY version {words['order']} LIMIT $6"
    parts = " UNION ALL ".join(f"(SELECT {_COLUMNS} FROM jobs WHERE {branch} {page})" for branch in branches)
    return f"SELECT *, {PIN} FROM ({parts}) AS page {page}", arguments


def _branches(filters: JobFilters, given: Any) -> list[str]:
    """One condition for each index that holds the wanted statuses in order; none where no status is wanted."""
    has_ended = filters.ended_after_ms is not None or filters.ended_before_ms is not None or filters.has_result is True
    wanted: Sequence[str] = filters.statuses or (ENDED if has_ended else ())
    branches = [f"outcome = '{status}'" for status in ENDED if status in wanted]
    live = [status for status in wanted if status not in ENDED]
    if live:
        branches.append(f"outcome IS NULL AND status = ANY({given(live)}::text[])")
    return branches


class JobQueries(QueryBase):
    """Reads of jobs."""

    async def job(self, account: str, job: str) -> asyncpg.Record | None:
        """The job's row; the most frequent read of all takes the shortest way."""
        try:
            return await self._readers.row(_JOB, account, job)
        except UNAVAILABLE:
            return await self._row(_JOB, account, job)

    async def jobs(
        self, account: str, filters: JobFilters, *, newest_first: bool, pin: int, after: int, limit: int
    ) -> list[asyncpg.Record]:
        """Rows up to version `pin` beyond version `after`, in order."""
        low = await self._version_at(account, filters.created_after_ms, 0)
        before_ms = filters.created_before_ms
        high = await self._version_at(account, None if before_ms is None else before_ms - 1, pin)
        statement, arguments = jobs_statement(filters, newest_first)
        return await self._rows(statement, account, pin, after, low, high, limit, *arguments)

    async def _version_at(self, account: str, time_ms: int | None, otherwise: int) -> int:
        """The version of the last job that was accepted by then."""
        return otherwise if time_ms is None else await self._number(_AT, account, time_ms)

    async def job_events(self, account: str, job: str) -> list[bytes] | None:
        """The job's events in order, as on the topic; None where there are none."""
        rows = await self._rows(_EVENTS, account, job)
        return [line.encode() for row in rows for line in row[1].split("\n")] or None

    async def not_made(self, account: str, subject: str) -> asyncpg.Record | None:
        """Why nothing was made under the id: `refusal` (JSON), or the id `made` that it repeats."""
        return await self._row(_NOT_MADE, account, subject)

    async def group(self, account: str, group: str) -> tuple[asyncpg.Record, list[asyncpg.Record]] | None:
        """The group's row and its jobs' in order, as of one moment."""

        async def read(reads: Any) -> tuple[asyncpg.Record | None, list[asyncpg.Record]]:
            return await reads.row(_GROUP, account, group), await reads.rows(_JOBS_OF_GROUP, account, group)

        row, jobs = await self._again(lambda: self._readers.snapshot(read))
        return None if row is None else (row, jobs)

    async def live_counts(self, account: str) -> list[asyncpg.Record]:
        """How many jobs have not ended, by model and status."""
        return await self._rows(_COUNT_LIVE, account)

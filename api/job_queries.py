"""SQL about jobs and groups. Every page of a list goes on by key, and no filter makes PostgreSQL read a whole table.

An account's jobs stand in the order of their versions. Bounds in time become bounds on versions before the page is read
(`reading.last_within`). A filter by status takes a branch for each ended status and one for all live ones, because
each has its index in that order; the branches are put together again at the page's length.

A page by offset passes over index entries of the account alone and reads the rows of the page only (those that are
passed over too where an index does not hold what a filter asks: status and model together, or whether a result is
still there); a million entries take some 0.2 s. Totals by status, model and hiding are the counts of days that the read
model keeps anyway, with the live jobs and without the hidden ones: a third of the time that counting a million index
entries takes, and as exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec

from api.reading import NEWEST, OLDEST, PIN, QueryBase, last_within
from infra.postgres.pool import UNAVAILABLE

ENDED = ("succeeded", "failed", "canceled", "expired")
_VERSION_MAX = (1 << 63) - 1

_COLUMNS = (
    "job, status, cost, balance, position, model, asset, result, reason, detail, engine, engine_version, params, "
    "input, sealed, charged, attempts, plan, plan_version, accepted_ms, queued_ms, running_ms, ended_ms, version, "
    "product, lane, mask, sealed_at, group_id, reused_of, run, model_ms, thumbnail, refunded, refunded_ms, "
    "result_gone, accepted_at, hidden_ms, asset_number"
)
_JOB = f"SELECT {_COLUMNS} FROM jobs WHERE account = $1 AND job = $2"
_EVENTS = "SELECT version, events FROM job_events WHERE account = $1 AND job = $2 ORDER BY version"
_NOT_MADE = """
SELECT refusal, made, position FROM not_made WHERE account = $1 AND subject = $2 ORDER BY version DESC LIMIT 1
"""
_GROUP = "SELECT group_id, jobs, cost, accepted_ms, position FROM job_groups WHERE account = $1 AND group_id = $2"
_JOBS_OF_GROUP = f"SELECT {_COLUMNS} FROM jobs WHERE account = $1 AND group_id = $2 ORDER BY version"
_OF_INPUT = f"SELECT {_COLUMNS} FROM jobs WHERE account = $1 AND input = $2 ORDER BY version DESC LIMIT $3"
_AT = last_within("jobs", "r.accepted_ms")
_COUNT_LIVE = """
SELECT model, status, count(*) AS jobs FROM jobs WHERE account = $1 AND outcome IS NULL GROUP BY 1, 2
"""


class JobFilters(msgspec.Struct, frozen=True, kw_only=True):
    """What a list of jobs is narrowed to; None and empty narrow nothing. Times in ms, bounds not included.

    Of `statuses` and of `models` any counts; `hidden` True: those alone that were hidden, False: all others.
    """

    statuses: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    hidden: bool | None = None
    lane: str | None = None
    group: str | None = None
    input: str | None = None
    result: str | None = None
    has_result: bool | None = None
    created_after_ms: int | None = None
    created_before_ms: int | None = None
    ended_after_ms: int | None = None
    ended_before_ms: int | None = None


class _Arguments(list[Any]):
    """Arguments of a statement that come after `before` others."""

    def __init__(self, before: int) -> None:
        super().__init__()
        self._before = before

    def given(self, value: Any) -> str:
        """Take the value; how the statement names it."""
        self.append(value)
        return f"${self._before + len(self)}"


def jobs_statement(filters: JobFilters, newest_first: bool) -> tuple[str, list[Any]]:
    """The SQL of a page and its arguments after account, pin, after, low, high and limit."""
    words, arguments = NEWEST if newest_first else OLDEST, _Arguments(6)
    bounds = f"version <= least($2::bigint, $5::bigint) AND version > $4 AND version {words['after']} $3"
    page = f"ORDER BY version {words['order']} LIMIT $6"
    parts = " UNION ALL ".join(
        f"(SELECT {_COLUMNS} FROM jobs WHERE {branch} {page})" for branch in _branches(filters, bounds, arguments)
    )
    return f"SELECT *, {PIN} FROM ({parts}) AS page {page}", arguments


def page_statement(filters: JobFilters) -> tuple[str, list[Any]]:
    """The SQL of a page by offset, the newest first, and its arguments after account, low, high, offset and limit."""
    arguments = _Arguments(5)
    parts = " UNION ALL ".join(
        f"(SELECT version FROM jobs WHERE {branch} ORDER BY version DESC LIMIT $4::bigint + $5)"
        for branch in _branches(filters, "version > $2 AND version <= $3", arguments)
    )
    page = f"SELECT version FROM ({parts}) AS passed ORDER BY version DESC OFFSET $4 LIMIT $5"
    return f"SELECT {_COLUMNS} FROM jobs WHERE account = $1 AND version IN ({page}) ORDER BY version DESC", arguments


def counted_statement(filters: JobFilters) -> tuple[str, list[Any]] | None:
    """The SQL of a total out of the counts of days, and its arguments after account; None where these do not know."""
    if filters != JobFilters(statuses=filters.statuses, models=filters.models, hidden=filters.hidden):
        return None
    wanted, arguments = filters.statuses, _Arguments(1)
    ended = f"ANY({arguments.given([status for status in ENDED if not wanted or status in wanted])}::text[])"
    models = f" AND model = ANY({arguments.given(list(filters.models))}::text[])" if filters.models else ""
    hidden = f"SELECT count(*) FROM jobs WHERE account = $1 AND hidden_ms IS NOT NULL AND outcome = {ended}{models}"
    if filters.hidden:
        return hidden, arguments
    live = "outcome IS NULL"
    if wanted:
        live += f" AND status = ANY({arguments.given([status for status in wanted if status not in ENDED])}::text[])"
    days = f"SELECT sum(jobs) FROM job_counts WHERE account = $1 AND status = {ended}{models}"
    alive = f"SELECT count(*) FROM jobs WHERE account = $1 AND {live}{models}"
    total = f"coalesce(({days}), 0) + ({alive})"
    return f"SELECT ({total if filters.hidden is None else f'{total} - ({hidden})'})::bigint", arguments


def total_statement(filters: JobFilters) -> tuple[str, list[Any]]:
    """The SQL of a total under any filters, and its arguments after account, low and high."""
    arguments = _Arguments(3)
    parts = " UNION ALL ".join(
        f"SELECT count(*) AS jobs FROM jobs WHERE {branch}"
        for branch in _branches(filters, "version > $2 AND version <= $3", arguments)
    )
    return f"SELECT sum(jobs)::bigint FROM ({parts}) AS counted", arguments


def _branches(filters: JobFilters, bounds: str, arguments: _Arguments) -> list[str]:
    """One condition for each index that holds the wanted statuses in order; one for all where none is wanted."""
    where = ["account = $1", bounds, *_conditions(filters, arguments)]
    has_ended = filters.ended_after_ms is not None or filters.ended_before_ms is not None or filters.has_result is True
    wanted: Sequence[str] = filters.statuses or (ENDED if has_ended else ())
    branches = [f"outcome = '{status}'" for status in ENDED if status in wanted]
    live = [status for status in wanted if status not in ENDED]
    if live:
        branches.append(f"outcome IS NULL AND status = ANY({arguments.given(live)}::text[])")
    return [" AND ".join([*where, branch]) for branch in branches] or [" AND ".join(where)]


def _conditions(filters: JobFilters, arguments: _Arguments) -> list[str]:
    """What all branches have in common."""
    where, given = [], arguments.given
    if filters.models:
        where.append(f"model = ANY({given(list(filters.models))}::text[])")
    for column, value in (
        ("lane", filters.lane),
        ("input", filters.input),
        ("group_id", filters.group),
        ("asset", filters.result),
    ):
        if value is not None:
            where.append(f"{column} = {given(value)}")
    if filters.hidden is not None:
        where.append(f"hidden_ms IS {'NOT ' if filters.hidden else ''}NULL")
    if filters.has_result is not None:
        here = "outcome = 'succeeded' AND result_gone IS NULL"
        where.append(here if filters.has_result else f"({here}) IS NOT TRUE")
    if filters.ended_after_ms is not None:
        where.append(f"ended_ms > {given(filters.ended_after_ms)}")
    if filters.ended_before_ms is not None:
        where.append(f"ended_ms < {given(filters.ended_before_ms)}")
    return where


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
        low, high = await self._bounds(account, filters, pin)
        statement, arguments = jobs_statement(filters, newest_first)
        return await self._rows(statement, account, pin, after, low, high, limit, *arguments)

    async def jobs_page(self, account: str, filters: JobFilters, *, offset: int, limit: int) -> list[asyncpg.Record]:
        """At most `limit` rows after `offset` others, the newest first."""
        statement, arguments = page_statement(filters)
        return await self._rows(statement, account, *await self._bounds(account, filters), offset, limit, *arguments)

    async def jobs_total(self, account: str, filters: JobFilters) -> int:
        """How many rows all pages of `jobs_page` have together, exactly."""
        counted = counted_statement(filters)
        if counted is not None:
            return await self._number(counted[0], account, *counted[1])
        statement, arguments = total_statement(filters)
        return await self._number(statement, account, *await self._bounds(account, filters), *arguments)

    async def jobs_of_input(self, account: str, asset: str, limit: int) -> list[asyncpg.Record]:
        """At most `limit` jobs that work on the asset, hidden ones too, the newest first."""
        return await self._rows(_OF_INPUT, account, asset, limit)

    async def _bounds(self, account: str, filters: JobFilters, highest: int = _VERSION_MAX) -> tuple[int, int]:
        """The version after which, and up to which, the jobs were created that the filters want."""
        low = await self._version_at(account, filters.created_after_ms, 0)
        before_ms = filters.created_before_ms
        return low, await self._version_at(account, None if before_ms is None else before_ms - 1, highest)

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

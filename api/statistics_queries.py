"""SQL about statistics: sums of days, and counts by how long jobs waited and ran."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from api.reading import QueryBase

_COLUMNS = (
    *("jobs_submitted", "jobs_succeeded", "jobs_failed", "jobs_canceled", "jobs_expired"),
    *("captured", "refunded"),
)
_SUMS = ", ".join(f"sum({name})::bigint AS {name}" for name in _COLUMNS)
_DAYS = f"SELECT day_ms, {_SUMS} FROM account_days WHERE {{whose}} day_ms >= $2 GROUP BY 1 ORDER BY 1"
_ALL_TIME = f"SELECT {_SUMS} FROM account_days WHERE account = $1"
_COUNTS = """
SELECT model, status, wait, run, sum(jobs)::bigint AS jobs, sum(credits)::bigint AS credits
FROM job_counts WHERE {whose} day_ms >= $2 GROUP BY 1, 2, 3, 4
"""
_OF_ONE, _OF_ALL = "account = $1 AND", "$1::text IS NULL AND"
_ENDED = "SELECT model, status, sum(jobs)::bigint AS jobs FROM job_counts WHERE account = $1 GROUP BY 1, 2"

_SPENT = """
SELECT (coalesce((
    SELECT sum(CASE status WHEN 'succeeded' THEN credits WHEN 'refunded' THEN -credits ELSE 0 END)
    FROM job_counts WHERE account = $1 AND model = ANY($2)
), 0) + coalesce((
    SELECT sum(cost) FROM jobs WHERE account = $1 AND outcome IS NULL AND model = ANY($2)
), 0))::bigint
"""


class StatisticsQueries(QueryBase):
    """Reads of sums; an account of None is all of them."""

    async def days(self, account: str | None, since_ms: int) -> list[asyncpg.Record]:
        """The sums of each day with any, in order."""
        return await self._rows(_DAYS.format(whose=_OF_ALL if account is None else _OF_ONE), account, since_ms)

    async def duration_counts(self, account: str | None, since_ms: int) -> list[asyncpg.Record]:
        """Jobs and credits by model, status, and buckets of waiting and running."""
        return await self._rows(_COUNTS.format(whose=_OF_ALL if account is None else _OF_ONE), account, since_ms)

    async def all_time(self, account: str) -> asyncpg.Record | None:
        """The sums of all days; its columns are null for an account without any."""
        return await self._row(_ALL_TIME, account)

    async def spent(self, account: str, models: Sequence[str]) -> int:
        """Units that jobs of these models have taken out of the balance and not given back, live ones included."""
        return await self._number(_SPENT, account, list(models))

    async def ended_counts(self, account: str) -> list[asyncpg.Record]:
        """How many jobs ever ended, by model and status."""
        return await self._rows(_ENDED, account)

"""What all queries share: reads that are tried again once, and marks in time found without an index of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg

from infra.http.problems import Problem
from infra.postgres.pool import UNAVAILABLE
from infra.postgres.readers import Readers

T = TypeVar("T")

NEWEST = {"after": "<", "order": "DESC"}
OLDEST = {"after": ">", "order": "ASC"}
PIN = "(SELECT a.version FROM accounts a WHERE a.account = $1) AS pin"
"""The account's version: what a list's first page pins the others to."""


def last_within(table: str, mark: str, key: str = "version") -> str:
    """SQL for a key that parts an account's ($1) rows: up to it no `mark` is beyond $2, after it all are.

    It may lie between two rows; 0 where all are beyond. Keys and marks (times, positions) grow together, so halving
    finds it by the index on (account, key) alone. `mark` names columns of the row `r`.
    """
    return f"""
        WITH RECURSIVE halves(low, high) AS (
            SELECT 0::bigint, coalesce((
                SELECT r.{key} FROM {table} r WHERE r.account = $1 ORDER BY r.{key} DESC LIMIT 1
            ), 0)
            UNION ALL
            SELECT CASE WHEN p.within IS NOT FALSE THEN h.middle ELSE h.low END,
                CASE WHEN p.within IS NOT FALSE THEN h.high ELSE p.at - 1 END
            FROM (SELECT low, high, (low + high + 1) / 2 AS middle FROM halves WHERE low < high) AS h
            LEFT JOIN LATERAL (
                SELECT r.{key} AS at, {mark} <= $2 AS within FROM {table} r
                WHERE r.account = $1 AND r.{key} > h.low AND r.{key} <= h.middle ORDER BY r.{key} DESC LIMIT 1
            ) AS p ON true
        )
        SELECT low FROM halves WHERE low >= high"""


class QueryBase:
    """Reads through connections kept in hand. Every method raises Problem 503 while PostgreSQL is away."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    async def _row(self, query: str, *arguments: Any) -> asyncpg.Record | None:
        return await self._again(lambda: self._readers.row(query, *arguments))

    async def _rows(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        return await self._again(lambda: self._readers.rows(query, *arguments))

    async def _number(self, query: str, *arguments: Any) -> int:
        row = await self._row(query, *arguments)
        return 0 if row is None or row[0] is None else int(row[0])

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

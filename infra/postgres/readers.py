"""Connections kept in hand for reads by key: no check-out, no clean-up, each statement prepared once a connection.

A pool's acquire and release cost as much as a small query. Reads outside of transactions leave nothing to clean up, so
connections stay checked out here and are handed from read to read; one that has failed goes back to the pool, which
knows whether to keep it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import asyncpg


class _Reader:
    """A connection with its prepared statements."""

    __slots__ = ("connection", "statements")

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.statements: dict[str, Any] = {}

    async def prepared(self, query: str) -> Any:
        statement = self.statements[query] = await self.connection.prepare(query)
        return statement


class Readers:
    """At most `connections_max` connections of a pool; further reads wait in order. Raises what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool, connections_max: int) -> None:
        self._pool = pool
        self._idle: list[_Reader] = []
        self._free = connections_max
        self._waiting: deque[asyncio.Future[_Reader | None]] = deque()
        self._closed = False

    async def row(self, query: str, *arguments: Any) -> asyncpg.Record | None:
        """The first row, or None."""
        reader = self._idle.pop() if self._idle else await self._next()
        try:
            statement = reader.statements.get(query) or await reader.prepared(query)
            row = await statement.fetchrow(*arguments)
        except BaseException:
            await self._give_up(reader)
            raise
        if not self._handed_on(reader):
            await self._give_up(reader)
        return row

    async def rows(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """All rows."""
        reader = self._idle.pop() if self._idle else await self._next()
        try:
            statement = reader.statements.get(query) or await reader.prepared(query)
            rows: list[asyncpg.Record] = await statement.fetch(*arguments)
        except BaseException:
            await self._give_up(reader)
            raise
        if not self._handed_on(reader):
            await self._give_up(reader)
        return rows

    async def close(self) -> None:
        """Give all connections back; those in use follow when their read ends."""
        self._closed = True
        idle, self._idle = self._idle, []
        for reader in idle:
            await self._pool.release(reader.connection)

    async def _next(self) -> _Reader:
        while True:
            if self._free > 0:
                self._free -= 1
                return await self._opened()
            future: asyncio.Future[_Reader | None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            try:
                reader = await future
            except BaseException:
                handed = future.result() if future.done() and not future.cancelled() else None
                if handed is not None and not self._handed_on(handed):
                    await self._give_up(handed)
                raise
            if reader is not None:
                return reader

    async def _opened(self) -> _Reader:
        try:
            return _Reader(await self._pool.acquire())
        except BaseException:
            self._count_free()
            raise

    def _handed_on(self, reader: _Reader) -> bool:
        """Give the reader to the next read, or keep it; False: nobody needs it any more."""
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(reader)
                return True
        if not self._closed:
            self._idle.append(reader)
        return not self._closed

    async def _give_up(self, reader: _Reader) -> None:
        """Give the connection back, and with it those that the same fault has closed."""
        closed = [idle for idle in self._idle if _is_gone(idle.connection)]
        self._idle = [idle for idle in self._idle if idle not in closed]
        for given in (reader, *closed):
            self._count_free()
            await self._pool.release(given.connection)

    def _count_free(self) -> None:
        self._free += 1
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                return


def _is_gone(connection: Any) -> bool:
    """Whether the connection is closed; the pool takes one that the server ended back by itself."""
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        return True

"""Connections kept in hand for reads: no check-out, no clean-up, each statement prepared once a connection.

A pool's acquire and release cost as much as a small query. Reads leave nothing to clean up, so connections stay checked
out here and are handed from read to read; one that has failed goes back to the pool, which knows whether to keep it.

A read that no longer finds its tables has met a switch of generations (`infra.postgres.generations`): it learns the new
path and is done again, once. No answer ever comes from two generations: a statement cannot see two, and what takes
several statements takes them from one snapshot, which is begun again as a whole.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import asyncpg

from infra.postgres.generations import PIN

_SWITCHED = (asyncpg.UndefinedTableError, asyncpg.InvalidCachedStatementError)
T = TypeVar("T")


class Reads(Protocol):
    """Statements whose tables stand without a schema: the live generations."""

    async def row(self, query: str, *arguments: Any) -> asyncpg.Record | None:
        """The first row, or None."""
        ...

    async def rows(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """All rows."""
        ...


class _Reader:
    """A connection with its prepared statements. Implements `Reads`."""

    __slots__ = ("connection", "statements")

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.statements: dict[str, Any] = {}

    async def row(self, query: str, *arguments: Any) -> asyncpg.Record | None:
        statement = self.statements.get(query) or await self._prepared(query)
        row: asyncpg.Record | None = await statement.fetchrow(*arguments)
        return row

    async def rows(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        statement = self.statements.get(query) or await self._prepared(query)
        rows: list[asyncpg.Record] = await statement.fetch(*arguments)
        return rows

    async def pin(self) -> None:
        """Read what is live from now on."""
        self.statements.clear()
        await self.connection.fetchrow(PIN)

    async def _prepared(self, query: str) -> Any:
        statement = self.statements[query] = await self.connection.prepare(query)
        return statement


class Readers:
    """At most `connections_max` connections of a pool; further reads wait in order. Raises what asyncpg raises.

    Implements `Reads`.
    """

    def __init__(self, pool: asyncpg.Pool, connections_max: int) -> None:
        self._pool = pool
        self._idle: list[_Reader] = []
        self._free = connections_max
        self._waiting: deque[asyncio.Future[_Reader | None]] = deque()
        self._closed = False

    async def row(self, query: str, *arguments: Any) -> asyncpg.Record | None:
        """See `Reads`."""
        return await self._read(lambda reader: reader.row(query, *arguments))

    async def rows(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """See `Reads`."""
        return await self._read(lambda reader: reader.rows(query, *arguments))

    async def snapshot(self, read: Callable[[Reads], Awaitable[T]]) -> T:
        """What `read` makes of several statements, all of one moment and one generation of each read model.

        `read` is called again where a switch has come between; it must have no other effects.
        """

        async def in_transaction(reader: _Reader) -> T:
            async with reader.connection.transaction(isolation="repeatable_read", readonly=True):
                return await read(reader)

        return await self._read(in_transaction)

    async def _read(self, read: Callable[[_Reader], Awaitable[T]]) -> T:
        reader = self._idle.pop() if self._idle else await self._next()
        try:
            try:
                result = await read(reader)
            except _SWITCHED:
                await reader.pin()
                result = await read(reader)
        except BaseException:
            await self._give_up(reader)
            raise
        if not self._handed_on(reader):
            await self._give_up(reader)
        return result

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

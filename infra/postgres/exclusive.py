"""Claims that one process at a time holds, as PostgreSQL's session locks: they end with the connection.

A connection is opened for each claim and closed after it: claims are rare and last for seconds.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg

from infra.postgres.pool import UNAVAILABLE
from infra.triton.quarantine import ClaimNotHad

_TRY_EVERY_S = 0.1


class PostgresExclusive:
    """Implements `infra.triton.quarantine.Exclusive`."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    @asynccontextmanager
    async def held(self, name: str, wait_s: float) -> AsyncGenerator[None]:
        key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
        try:
            async with asyncio.timeout(wait_s):
                connection = await self._claim(key)
        except (*UNAVAILABLE, TimeoutError) as error:
            raise ClaimNotHad(f"{name} was not free within {wait_s:g} s") from error
        try:
            yield
        finally:
            connection.terminate()

    async def _claim(self, key: int) -> asyncpg.Connection:
        connection = await asyncpg.connect(self._dsn, server_settings={"application_name": "darkroom-claim"})
        try:
            while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", key):
                await asyncio.sleep(_TRY_EVERY_S)
        except BaseException:
            connection.terminate()
            raise
        return connection

"""The table of data keys for processes that must run without PostgreSQL too: connected at the first question."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import asyncpg

from infra.errors import OperatorError
from infra.postgres.data_keys import PostgresKeyTable
from infra.postgres.pool import UNAVAILABLE, create_pool
from infra.postgres.readers import Readers
from infra.sealing.keys import KeyStoreUnavailable

_CONNECTIONS_MAX = 2
_ANSWER_LIMIT_S = 1.0


class LateKeyTable:
    """Implements `infra.sealing.opener.Keys`."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._pool: asyncpg.Pool | None = None
        self._readers: Readers | None = None
        self._connecting = asyncio.Lock()

    async def find(self, account: str) -> Mapping[str, bytes]:
        try:
            async with asyncio.timeout(_ANSWER_LIMIT_S):
                return await PostgresKeyTable(await self._connected()).find(account)
        except (*UNAVAILABLE, OperatorError, asyncpg.PostgresError) as error:
            raise KeyStoreUnavailable(f"the table of keys did not answer: {error}") from error

    async def close(self) -> None:
        """Close what was opened."""
        if self._pool is not None:
            self._pool.terminate()

    async def _connected(self) -> Readers:
        async with self._connecting:
            if self._readers is None:
                self._pool = await create_pool(self._dsn, connections_max=_CONNECTIONS_MAX, deadline_s=0)
                self._readers = Readers(self._pool, _CONNECTIONS_MAX)
            return self._readers

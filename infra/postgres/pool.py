"""The pool of asyncpg connections that the gateway reads through. Statements are prepared once a connection."""

from __future__ import annotations

import asyncio

import asyncpg

from infra.errors import OperatorError

CONNECTIONS_MAX = 16
READERS_OF_BOTH_PARTS = 3
READERS_OF_THE_API = 12
STATEMENT_TIMEOUT_S = 5.0

UNAVAILABLE = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.QueryCanceledError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.UndefinedTableError,  # the schema is not there yet
    OSError,
    TimeoutError,
)
"""What a call raises while the server is away or overloaded; the same call may work later."""


async def create_pool(
    dsn: str,
    *,
    connections_max: int = CONNECTIONS_MAX,
    statement_timeout_s: float = STATEMENT_TIMEOUT_S,
    deadline_s: float = 30.0,
) -> asyncpg.Pool:
    """A pool whose connections only read; waits for the server up to `deadline_s`, then raises OperatorError."""
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline_s
    while True:
        try:
            return await asyncpg.create_pool(
                dsn,
                min_size=1,
                max_size=connections_max,
                command_timeout=statement_timeout_s,
                timeout=10,
                reset=_keep,
                server_settings={"application_name": "darkroom-api", "default_transaction_read_only": "on"},
            )
        except UNAVAILABLE as error:
            if loop.time() >= end:
                raise OperatorError(
                    f"PostgreSQL did not answer within {deadline_s:g} s: start it or correct DARKROOM_POSTGRES_DSN."
                ) from error
        await asyncio.sleep(0.2)


async def _keep(_: asyncpg.Connection) -> None:
    """Nothing to reset: connections of this pool only read, outside transactions. Saves a round trip a query."""

"""Connections kept in hand: shared fairly, given back after faults, replaced after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import psycopg
import pytest

from infra.errors import OperatorError
from infra.postgres.generations import FIRST, MODELS, schema_of
from infra.postgres.migrate import migrate
from infra.postgres.outcomes import asset_sizes, job_outcome, job_outcomes
from infra.postgres.pool import UNAVAILABLE, create_pool
from infra.postgres.readers import Readers
from infra.settings import Settings
from tests.databases import make_database

END_ALL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'darkroom-api'"


@pytest.fixture
async def pool(postgres: Settings) -> AsyncIterator[asyncpg.Pool]:
    opened = await create_pool(postgres.postgres_dsn, connections_max=4)
    yield opened
    await asyncio.wait_for(opened.close(), 5)


async def test_more_reads_than_connections_wait_and_all_are_answered(pool: asyncpg.Pool) -> None:
    readers = Readers(pool, 3)
    answers = await asyncio.gather(*(readers.row("SELECT $1::int, pg_backend_pid()", n) for n in range(60)))
    found = [tuple(answer) for answer in answers if answer is not None]
    assert [number for number, _ in found] == list(range(60))
    assert len({pid for _, pid in found}) <= 3
    assert [row[0] for row in await readers.rows("SELECT generate_series(1, 3)")] == [1, 2, 3]
    assert await readers.row("SELECT 1 WHERE false") is None
    await readers.close()


async def test_a_read_that_fails_or_is_given_up_costs_no_connection(pool: asyncpg.Pool) -> None:
    readers = Readers(pool, 1)
    for _ in range(3):
        with pytest.raises(asyncpg.DivisionByZeroError):
            await readers.row("SELECT 1 / $1::int", 0)
    running = asyncio.create_task(readers.row("SELECT pg_sleep(30)"))
    await asyncio.sleep(0.1)
    waiting = asyncio.create_task(readers.row("SELECT 1"))
    await asyncio.sleep(0.05)
    waiting.cancel()
    running.cancel()
    await asyncio.gather(running, waiting, return_exceptions=True)
    assert await asyncio.wait_for(readers.row("SELECT 7"), 5) is not None
    await readers.close()


async def test_connections_that_died_together_are_replaced_together(pool: asyncpg.Pool, postgres: Settings) -> None:
    readers = Readers(pool, 3)
    await asyncio.gather(*(readers.row("SELECT pg_sleep(0.05)") for _ in range(3)))
    with psycopg.connect(postgres.postgres_dsn, autocommit=True) as session:
        session.execute(END_ALL)
    await asyncio.sleep(0.05)
    with pytest.raises(UNAVAILABLE):
        await readers.row("SELECT 1")
    assert await readers.row("SELECT 1") is not None
    await readers.close()


async def test_after_the_end_connections_in_use_come_back_too(pool: asyncpg.Pool) -> None:
    readers = Readers(pool, 2)
    running = asyncio.create_task(readers.row("SELECT pg_sleep(0.2)"))
    await asyncio.sleep(0.05)
    await readers.close()
    assert await running is not None


async def test_the_pool_only_reads(pool: asyncpg.Pool) -> None:
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await pool.execute("CREATE TABLE strange (x int)")


async def test_a_server_that_never_comes_is_one_sentence() -> None:
    with pytest.raises(OperatorError, match=r"PostgreSQL did not answer within 0\.3 s"):
        await create_pool("postgresql://x@127.0.0.1:9/none", deadline_s=0.3)


async def test_what_both_sides_read_is_none_where_there_is_nothing(postgres: Settings) -> None:
    opened = await create_pool(make_database(postgres), connections_max=2)
    readers = Readers(opened, 1)
    assert await job_outcome(readers, "acct_a", "job_1") is None
    assert await job_outcomes(readers, "acct_a", ["job_1", "job_2"]) == {}
    assert await asset_sizes(readers, "acct_a", ["asset_1"]) == {}
    await readers.close()
    await opened.close()


def test_many_starts_at_once_migrate_once_and_a_killed_ones_lock_stops_nobody(postgres: Settings) -> None:
    dsn = make_database(postgres)
    with psycopg.connect(dsn, autocommit=True) as session:
        for schema in ("public", *(schema_of(model, FIRST) for model in MODELS)):
            session.execute(f"DROP SCHEMA {schema} CASCADE".encode())
        session.execute("CREATE SCHEMA public")
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(migrate, [dsn] * 6))
    with psycopg.connect(dsn, autocommit=True) as session:
        session.execute("INSERT INTO jobs_1.yoyo_lock (locked, ctime, pid) VALUES (1, now(), 1)")
        session.execute("DELETE FROM jobs_1._yoyo_migration WHERE migration_id = '0003.sealed-elsewhere'")
        session.execute("DROP INDEX jobs_1.jobs_sealed_elsewhere")
    migrate(dsn)


@pytest.mark.parametrize("schema", ["public", "balances_1"])
def test_a_database_of_a_newer_release_is_refused(postgres: Settings, schema: str) -> None:
    dsn = make_database(postgres)
    with psycopg.connect(dsn, autocommit=True) as session:
        columns = "migration_hash, migration_id, applied_at_utc"
        session.execute(f"INSERT INTO {schema}._yoyo_migration ({columns}) VALUES ('f', '0099.later', now())".encode())
    with pytest.raises(OperatorError, match="newer release"):
        migrate(dsn)

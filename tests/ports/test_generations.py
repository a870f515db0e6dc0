"""Generations of the read models in PostgreSQL: who reads, who writes, and what a switch means to both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from pathlib import Path

import asyncpg
import psycopg
import pytest
from yoyo import get_backend, read_migrations

from infra.postgres import generations
from infra.postgres.generations import MIGRATIONS, MODELS, SWITCH_LOCK
from infra.postgres.migrate import apply_folder, migrate
from infra.postgres.pool import create_pool
from infra.postgres.readers import Readers, Reads
from infra.settings import Settings
from projections.ports import Overtaken
from projections.postgres import PostgresReadModels
from projections.rows import DataKey, rows_of
from tests.databases import make_database
from tests.ports.test_read_models import line, moved

LINES = "SELECT count(*) FROM ledger"


@pytest.fixture
def dsn(postgres: Settings) -> str:
    return make_database(postgres)


@pytest.fixture
async def readers(dsn: str) -> AsyncIterator[Readers]:
    pool = await create_pool(dsn, connections_max=3)
    opened = Readers(pool, 3)
    yield opened
    await opened.close()
    await pool.close()


def built(dsn: str, *models: str) -> dict[str, int]:
    """New generations of the models, empty."""
    with psycopg.connect(dsn, autocommit=True) as session:
        made = generations.begin_building(session, models)
        for model, number in made.items():
            apply_folder(session, dsn, generations.schema_of(model, number), MIGRATIONS / model)
    return made


def switch(dsn: str, models: Collection[str], *, back: bool = False) -> None:
    with psycopg.connect(dsn) as session:
        session.execute("SELECT pg_advisory_xact_lock(%s)", (SWITCH_LOCK,))
        (generations.take_back if back else generations.make_live)(session, models)


def write_lines(dsn: str, count: int, aside: dict[str, int] | None = None) -> None:
    """Ledger lines in the live generation or aside."""
    store = PostgresReadModels(dsn, aside)
    name = f"balances.{store.generations()['balances']}.0"
    store.positions([name])
    store.apply([moved(name, -1, 6)], [rows_of([line(version) for version in range(count)])])
    store.close()


async def counted(reads: Reads) -> int:
    row = await reads.row(LINES)
    assert row is not None
    return int(row[0])


async def test_readers_follow_a_switch_and_its_taking_back_without_a_failed_read(dsn: str, readers: Readers) -> None:
    write_lines(dsn, 2)
    assert await asyncio.gather(*(counted(readers) for _ in range(3))) == [2, 2, 2]
    write_lines(dsn, 5, built(dsn, "balances"))
    assert await counted(readers) == 2
    switch(dsn, ["balances"])
    assert await asyncio.gather(*(counted(readers) for _ in range(9))) == [5] * 9
    switch(dsn, ["balances"], back=True)
    assert await asyncio.gather(*(counted(readers) for _ in range(9))) == [2] * 9


async def test_a_request_of_several_statements_is_begun_again_when_a_switch_comes_between(
    dsn: str, readers: Readers
) -> None:
    write_lines(dsn, 2)
    write_lines(dsn, 5, built(dsn, "balances"))
    calls = 0

    async def twice(reads: Reads) -> tuple[int, int]:
        nonlocal calls
        calls += 1
        first = await counted(reads)
        if calls == 1:
            await asyncio.to_thread(switch, dsn, ["balances"])
        row = await reads.row("SELECT (SELECT count(*) FROM accounts) + (SELECT count(*) FROM ledger)")
        assert row is not None
        return first, row[0]

    assert (await readers.snapshot(twice), calls) == ((5, 5), 2)


async def test_a_new_session_reads_what_is_live(dsn: str) -> None:
    write_lines(dsn, 2)
    write_lines(dsn, 5, built(dsn, "balances"))
    for back, lines in ((False, 5), (True, 2)):
        switch(dsn, ["balances"], back=back)
        connection = await asyncpg.connect(dsn)
        assert await connection.fetchval(LINES) == lines
        await connection.close()


async def test_the_writer_of_a_replaced_generation_is_overtaken_and_goes_on_with_the_new_one(dsn: str) -> None:
    store = PostgresReadModels(dsn)
    assert store.generations() == dict.fromkeys(MODELS, 1)
    store.positions(["balances.1.0"])
    numbers = built(dsn, "balances")
    switch(dsn, ["balances"])
    with pytest.raises(Overtaken):
        store.apply([moved("balances.1.0", -1, 6)], [rows_of([line(1)])])
    assert store.generations() == {**dict.fromkeys(MODELS, 1), **numbers}
    name = f"balances.{numbers['balances']}.0"
    store.positions([name])
    store.apply([moved(name, -1, 6)], [rows_of([line(1)])])
    store.close()


async def test_a_switch_waits_for_the_writer_that_has_begun_and_holds_up_the_next_one(dsn: str) -> None:
    store = PostgresReadModels(dsn)
    store.positions(["balances.1.0"])
    built(dsn, "balances")
    with psycopg.connect(dsn) as session:
        session.execute("SELECT pg_advisory_xact_lock(%s)", (SWITCH_LOCK,))
        write = asyncio.create_task(asyncio.to_thread(store.apply, [moved("balances.1.0", -1, 6)], []))
        done, _ = await asyncio.wait((write,), timeout=0.3)
        assert not done
        generations.make_live(session, ["balances"])
    with pytest.raises(Overtaken):
        await write
    store.close()


def test_what_was_being_built_is_dropped_whole(dsn: str) -> None:
    numbers = built(dsn, *MODELS)
    store = PostgresReadModels(dsn, numbers)
    name = f"keys.{numbers['keys']}.0"
    store.positions([name])
    store.apply([moved(name, -1, 6)], [rows_of([DataKey(account="a", key_id="k", wrapped="d3JhcA==")])])
    store.close()
    with psycopg.connect(dsn, autocommit=True) as session:
        generations.drop(session, "building")
        generations.drop(session, "building")
        left = session.execute(
            "SELECT count(*) FROM pg_namespace WHERE starts_with(nspname, 'keys_')"
            " UNION ALL SELECT count(*) FROM tracking WHERE application_name = %s",
            (name,),
        ).fetchall()
    assert left == [(1,), (0,)]
    assert built(dsn, "keys")["keys"] > numbers["keys"], "a number is never used again"


def test_tables_that_stood_outside_of_generations_become_the_first_one(postgres: Settings, tmp_path: Path) -> None:
    dsn = make_database(postgres)
    with psycopg.connect(dsn, autocommit=True) as session:
        session.execute("DROP SCHEMA public CASCADE")
        session.execute("CREATE SCHEMA public")
        for model in MODELS:
            session.execute(f"DROP SCHEMA {model}_1 CASCADE".encode())
        session.execute(
            "ALTER ROLE CURRENT_USER IN DATABASE {} RESET search_path".format(dsn.rpartition("/")[2]).encode()
        )
    _as_the_release_before(dsn, tmp_path)
    migrate(dsn)
    with psycopg.connect(dsn) as session:
        assert session.execute("SELECT account, key_id FROM keys_1.data_keys").fetchall() == [("acct_a", "key_1")]
        assert session.execute("SELECT to_regclass('public.data_keys')").fetchone() == (None,)
    store = PostgresReadModels(dsn)
    assert store.positions(["jobs.1.0"])["jobs.1.0"].offset == 41
    store.close()


def _as_the_release_before(dsn: str, folder: Path) -> None:
    """The schema of the first release: all tables in `public`."""
    tables = "\n".join(file.read_text() for file in sorted(MIGRATIONS.glob("*/0001.*.sql")))
    base = (MIGRATIONS / "0001.read-models.sql").read_text()
    (folder / "0001.read-models.sql").write_text(base + tables.replace(" IF NOT EXISTS", ""))
    backend = get_backend(dsn.replace("postgresql://", "postgresql+psycopg://"))
    backend.apply_migrations(backend.to_apply(read_migrations(str(folder))))
    backend.connection.close()
    with psycopg.connect(dsn) as session:
        session.execute("INSERT INTO data_keys VALUES ('acct_a', 'key_1', 'wrapped')")
        session.execute("INSERT INTO tracking (application_name, notification_id) VALUES ('jobs.1.0', 41)")

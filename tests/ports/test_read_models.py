"""One suite for the projector's store: PostgreSQL and memory. Rows and positions move together or not at all."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import asyncpg
import psycopg
import pytest
from eventsourcing.persistence import PersistenceError, Tracking
from psycopg.rows import dict_row

from infra.postgres.positions import CHANNEL, notices, parse_notice, reached_positions
from infra.settings import Settings
from projections.intake import Intake
from projections.keys import fold_keys
from projections.memory import MemoryReadModels
from projections.ports import Move, Overtaken, ReadModels, StoreFault, Tracked
from projections.postgres import PostgresReadModels
from projections.rows import LedgerLine, WindowChange, rows_of
from projections.tracking import PositionRecorder, open_datastore
from schemas.positions import Position
from tests.bench.events import Partition
from tests.databases import make_database
from tests.properties.scripts import KINDS, PAUSES, Player, Step
from tests.unit.projections.logs import GENERATIONS, folded, records_of

Rows = Callable[[str], list[dict[str, Any]]]


@pytest.fixture
def dsn(postgres: Settings) -> str:
    return make_database(postgres)


@pytest.fixture(params=["memory", "postgres"])
def opened(request: pytest.FixtureRequest) -> Iterator[tuple[ReadModels, Rows]]:
    """A store and a way to look at its tables."""
    if request.param == "memory":
        memory = MemoryReadModels()
        yield memory, lambda table: list(memory.tables[table].values())
        return
    dsn = request.getfixturevalue("dsn")
    store = PostgresReadModels(dsn)

    def rows(table: str) -> list[dict[str, Any]]:
        with psycopg.connect(dsn, row_factory=dict_row) as session:
            return session.execute(f"SELECT * FROM {table}".encode()).fetchall()

    yield store, rows
    store.close()


def moved(name: str, before: int, after: int) -> Move:
    return Move(name, before, Tracked(after, after * 10, 1, 2))


def line(version: int, text: str | None = None) -> LedgerLine:
    return LedgerLine(
        account="acct_a",
        version=version,
        kind="granted",
        amount=1,
        balance=version,
        time_ms=5,
        position="0.1.0.0",
        reason=text,
    )


def test_positions_begin_before_the_log_and_stand_where_they_were_moved(opened: tuple[ReadModels, Rows]) -> None:
    store, _ = opened
    assert store.positions(["jobs.1.0", "jobs.1.1"]) == {"jobs.1.0": Tracked(), "jobs.1.1": Tracked()}
    store.apply([moved("jobs.1.0", -1, 6)], [])
    assert store.positions(["jobs.1.0", "jobs.1.1"]) == {"jobs.1.0": Tracked(6, 60, 1, 2), "jobs.1.1": Tracked()}


@pytest.mark.parametrize(("before", "after"), [(-1, 9), (5, 9), (6, 6), (6, 5)])
def test_a_position_moves_forward_and_only_from_where_it_stands(
    opened: tuple[ReadModels, Rows], before: int, after: int
) -> None:
    store, rows = opened
    store.positions(["balances.1.0", "jobs.1.0"])
    store.apply([moved("balances.1.0", -1, 6)], [rows_of([line(1)])])
    with pytest.raises(Overtaken):
        store.apply([moved("jobs.1.0", -1, 3), moved("balances.1.0", before, after)], [rows_of([line(2)])])
    assert store.positions(["balances.1.0", "jobs.1.0"]) == {
        "balances.1.0": Tracked(6, 60, 1, 2),
        "jobs.1.0": Tracked(),
    }
    assert [row["version"] for row in rows("ledger")] == [1]


def test_a_whole_log_in_pieces_gives_the_same_rows_as_the_fold_in_memory(opened: tuple[ReadModels, Rows]) -> None:
    store, rows = opened
    log = {n: records_of(Partition(n, partitions=2, accounts=5).events(400)) for n in range(2)}
    intake = Intake(GENERATIONS, [0, 1], store.positions(Intake.names(GENERATIONS, [0, 1])))
    for at in range(0, 410, 37):
        work = intake.take_events({p: records[at : at + 37] for p, records in log.items()})
        assert work is None or store.apply(work.moves, work.rows, work.reached) == []
    expected = folded(log)
    for table in sorted(expected.tables.keys() - {"job_events", "data_keys"}):
        assert _comparable(rows(table)) == _comparable(list(expected.tables[table].values())), table
    assert _history(rows("job_events")) == _history(list(expected.tables["job_events"].values()))


def test_what_deciders_write_in_pieces_gives_the_same_rows_as_the_fold_in_memory(
    opened: tuple[ReadModels, Rows],
) -> None:
    store, rows = opened
    player, chance = Player(), random.Random(2)
    player.check_each = False
    player.play(
        [
            Step(chance.choice(KINDS), chance.randrange(4), chance.randrange(12), chance.choice(PAUSES[:-2]))
            for _ in range(700)
        ]
    )
    log = {0: records_of(player.events)}
    generations = store.generations()
    intake = Intake(generations, [0], store.positions(Intake.names(generations, [0])))
    for at in range(0, len(log[0]), 53):
        work = intake.take_events({0: log[0][at : at + 53]})
        assert work is None or store.apply(work.moves, work.rows, work.reached) == []
    expected = folded(log)
    for table in sorted(expected.tables.keys() - {"job_events", "data_keys"}):
        assert _comparable(rows(table)) == _comparable(list(expected.tables[table].values())), table
        assert expected.tables[table], f"nothing has come to {table}"


def test_of_each_kind_of_window_the_newest_counts(opened: tuple[ReadModels, Rows]) -> None:
    store, rows = opened
    store.positions(["balances.1.0"])
    steps = [(10, 2, 2), (10, 3, 5), (20, 1, 1), (10, -4, 1), (20, 1, 2)]
    for number, (start_ms, units, used) in enumerate(steps):
        change = WindowChange(account="acct_a", kind="day", start_ms=start_ms, used=units)
        store.apply([moved("balances.1.0", number - 1, number)], [rows_of([change])])
        assert [row["used"] for row in rows("account_windows")] == [used]


def test_keys_come_change_and_go(opened: tuple[ReadModels, Rows]) -> None:
    from infra.kafka.ports import Record

    store, rows = opened
    store.positions(["keys.1.0"])
    store.apply([moved("keys.1.0", -1, 1)], [fold_keys([Record(0, 0, b"a.k1", b"one"), Record(1, 0, b"a.k2", b"two")])])
    store.apply([moved("keys.1.0", 1, 3)], [fold_keys([Record(2, 0, b"a.k1", None), Record(3, 0, b"a.k2", b"new")])])
    assert [(row["account"], row["key_id"]) for row in rows("data_keys")] == [("a", "k2")]


def test_a_text_that_the_store_cannot_hold_does_not_stop_it(opened: tuple[ReadModels, Rows]) -> None:
    store, rows = opened
    store.positions(["balances.1.0"])
    store.apply([moved("balances.1.0", -1, 1)], [rows_of([line(1, "a\0b")])])
    assert [row["version"] for row in rows("ledger")] == [1]


def test_a_row_that_fails_takes_the_positions_and_all_other_rows_with_it(dsn: str) -> None:
    store = PostgresReadModels(dsn)
    store.positions(["balances.1.0"])
    store.apply([moved("balances.1.0", -1, 1)], [rows_of([line(1)])])
    with pytest.raises(PersistenceError):
        store.apply([moved("balances.1.0", 1, 2)], [rows_of([line(2), line(1)])])
    assert store.positions(["balances.1.0"]) == {"balances.1.0": Tracked(1, 10, 1, 2)}
    store.apply([moved("balances.1.0", 1, 2)], [rows_of([line(2)])])
    store.close()


def test_a_crash_before_the_commit_leaves_nothing(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = PostgresReadModels(dsn)
    store.positions(["balances.1.0"])
    copy = __import__("projections.postgres", fromlist=["_copy"])._copy

    def killed(connection: psycopg.Connection[Any], *arguments: Any) -> None:
        copy(connection, *arguments)
        with psycopg.connect(dsn, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))

    monkeypatch.setattr("projections.postgres._copy", killed)
    with pytest.raises(StoreFault):
        store.apply([moved("balances.1.0", -1, 1)], [rows_of([line(1)])])
    store.close()
    with psycopg.connect(dsn) as session:
        assert session.execute("SELECT count(*) FROM ledger").fetchone() == (0,)
        row = session.execute("SELECT notification_id FROM tracking WHERE application_name = 'balances.1.0'").fetchone()
        assert row == (-1,)


def test_the_slower_of_two_writers_finds_itself_overtaken(dsn: str) -> None:
    first, second = PostgresReadModels(dsn), PostgresReadModels(dsn)
    names = Intake.names(GENERATIONS, [0])
    log = {0: records_of(Partition(0, partitions=1, accounts=3).events(100))}
    ahead = Intake(GENERATIONS, [0], first.positions(names))
    behind = Intake(GENERATIONS, [0], second.positions(names))
    short, long = ahead.take_events({0: log[0][:40]}), behind.take_events(log)
    assert short is not None
    assert long is not None
    first.apply(short.moves, short.rows)
    with pytest.raises(Overtaken):
        second.apply(long.moves, long.rows)
    rest = Intake(GENERATIONS, [0], second.positions(names)).take_events(log)
    assert rest is not None
    assert second.apply(rest.moves, rest.rows) == []
    with psycopg.connect(dsn) as session:
        lines = session.execute("SELECT count(*) FROM ledger").fetchone()
    assert lines == (len(folded(log).tables["ledger"]),)
    first.close()
    second.close()


def test_the_librarys_own_way_in_still_moves_forward_only(dsn: str) -> None:
    recorder = PositionRecorder(open_datastore(dsn))
    recorder.create_table()
    recorder.insert_tracking(Tracking("other.1.0", 5))
    with pytest.raises(PersistenceError):
        recorder.insert_tracking(Tracking("other.1.0", 4))
    assert recorder.max_tracking_id("other.1.0") == 5
    assert recorder.positions(["other.1.0"]) == {"other.1.0": Tracked(5)}
    recorder.datastore.close()


async def test_readers_hear_of_positions_when_the_rows_are_there(dsn: str) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    listener = await asyncpg.connect(dsn)
    await listener.add_listener(CHANNEL, lambda *notice: heard.put_nowait(str(notice[3])))
    store = PostgresReadModels(dsn)
    names = [f"{model}.1.4" for model in ("jobs", "balances", "assets", "partitions")]
    await asyncio.to_thread(store.positions, names)
    assert await reached_positions(listener.fetch) == {}
    moves = [moved(name, -1, 6) for name in names]
    await asyncio.to_thread(store.apply, moves, [rows_of([line(1)])], [Position(4, 60, 1, 2)])
    assert parse_notice(await asyncio.wait_for(heard.get(), 5)) == [Position(4, 60, 1, 2)]
    assert await reached_positions(listener.fetch) == {4: Position(4, 60, 1, 2)}
    await asyncio.to_thread(store.apply, [moved("jobs.1.4", 6, 9)], [])
    assert await reached_positions(listener.fetch) == {4: Position(4, 60, 1, 2)}
    await listener.close()
    store.close()


def test_a_store_that_is_away_is_a_fault() -> None:
    store = PostgresReadModels("postgresql://nobody:x@127.0.0.1:9/none?connect_timeout=1")
    store._recorder.datastore.pool_open_timeout = 0.3
    with pytest.raises(StoreFault):
        store.positions(["jobs.1.0"])
    store.close()


def test_notices_stay_below_the_size_that_postgresql_takes() -> None:
    positions = [Position(p, 10**18, 10**9, 10**9) for p in range(1_000)]
    texts = notices(positions)
    assert max(map(len, texts)) < 8_000
    assert [position for text in texts for position in parse_notice(text)] == positions
    assert parse_notice("0.1.2.3 nonsense 1.2.3.4") == [Position(0, 1, 2, 3), Position(1, 2, 3, 4)]


def _comparable(rows: list[dict[str, Any]]) -> list[str]:
    """Rows as texts in any order; a column that was never given is null in both."""
    return sorted(json.dumps({k: v for k, v in row.items() if v is not None}, sort_keys=True) for row in rows)


def _history(rows: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    parts = sorted(
        (r["account"], r["job"], r["version"], r["events"].decode() if isinstance(r["events"], bytes) else r["events"])
        for r in rows
    )
    joined: dict[tuple[str, str], list[str]] = {}
    for account, job, _, text in parts:
        joined.setdefault((account, job), []).append(text)
    return [(account, job, "\n".join(texts)) for (account, job), texts in joined.items()]

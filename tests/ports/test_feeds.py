"""One suite for what follows a topic beside the read models: the archive and the audit, in PostgreSQL and in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from eventsourcing.persistence import IntegrityError
from psycopg.rows import dict_row

from infra.kafka.ports import Record
from infra.settings import Settings
from projections.archive import MemoryArchive, PostgresArchive, stored_event
from projections.audit import MemoryAudit, PostgresAudit
from projections.feed import Feed, FeedStore, Pace
from projections.memory import MemorySource
from projections.ports import Move, Overtaken, StoreFault, Tracked, tracking_name
from schemas.accesses import Access, AccessRecord, encode_accesses
from schemas.topics import ACCESSES, EVENTS
from tests.bench.events import Partition
from tests.databases import make_database
from tests.unit.projections.logs import records_of

Rows = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def dsn(postgres: Settings) -> str:
    return make_database(postgres)


@pytest.fixture(params=["memory", "postgres"])
def archive(request: pytest.FixtureRequest) -> Iterator[MemoryArchive | PostgresArchive]:
    store = MemoryArchive() if request.param == "memory" else PostgresArchive(request.getfixturevalue("dsn"))
    yield store
    store.close()


@pytest.fixture(params=["memory", "postgres"])
def audit(request: pytest.FixtureRequest) -> Iterator[tuple[FeedStore, Rows]]:
    """A store and a way to look at its rows."""
    if request.param == "memory":
        memory = MemoryAudit()
        yield memory, lambda: sorted(memory.rows.values(), key=lambda row: int(row["place"]))
        return
    dsn = request.getfixturevalue("dsn")
    store = PostgresAudit(dsn)

    def rows() -> list[dict[str, Any]]:
        with psycopg.connect(dsn, row_factory=dict_row) as session:
            return session.execute("SELECT * FROM accesses ORDER BY place").fetchall()

    yield store, rows
    store.close()


async def followed(store: FeedStore, records: list[Record], *, batch: int = 7) -> None:
    """Everything that stands on partition 0 of the store's topic."""
    stop = asyncio.Event()
    source = WatchedSource({(store.topic, 0): records})
    feed = Feed([0], lambda: Unclosed(store), lambda: source, Pace(), batch_records_max=batch)
    run = asyncio.create_task(feed.run(stop))
    async with asyncio.timeout(20):
        while source.next_offset(store.topic, 0) <= records[-1].offset:
            await asyncio.sleep(0.01)
    stop.set()
    await run


class WatchedSource(MemorySource):
    """A source that says how far it was read."""

    def next_offset(self, topic: str, partition: int) -> int:
        return self._at.get((topic, partition), 0)


class Unclosed:
    """A store that the test goes on using when its feed has ended."""

    def __init__(self, store: FeedStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def close(self) -> None:
        return


def access(object_id: str, *, times: int = 1) -> Access:
    return Access(5, "acct_a", "user", "read", "get-job", (object_id, "asset_1"), 200, None, None, times)


def accesses(batch: str, *items: Access) -> bytes:
    return encode_accesses(AccessRecord(batch, "acct_a", items))


async def test_every_event_stands_under_its_stream_and_version(archive: MemoryArchive | PostgresArchive) -> None:
    events = Partition(0, partitions=1, accounts=3).events(80)
    await followed(archive, records_of(events))
    archive.generation()
    for stream in {event.account for event in events}:
        held = archive.history(stream)
        wanted = [record.value for record in records_of([e for e in events if e.account == stream])]
        assert [bytes(item.state) for item in held] == wanted
        assert [item.originator_version for item in held] == list(range(1, len(wanted) + 1))
        assert [item.originator_version for item in archive.history(stream, after=2)][:1] == [3][: len(wanted) - 2]
    name = tracking_name("archive", 1, 0)
    tracked = archive.positions([name])[name]
    last = events[-1].at
    assert tracked == Tracked(len(events) - 1, last.offset, last.index, last.ordinal)


async def test_a_second_writer_finds_itself_overtaken_and_writes_nothing(
    archive: MemoryArchive | PostgresArchive,
) -> None:
    records = records_of(Partition(0, partitions=1, accounts=1).events(10))
    name = tracking_name("archive", archive.generation(), 0)
    archive.positions([name])
    archive.write([Move(name, -1, Tracked(4, 1, 0, 0))], {0: records[:5]})
    with pytest.raises(Overtaken):
        archive.write([Move(name, -1, Tracked(9, 9, 0, 0))], {0: records[5:]})
    assert archive.positions([name])[name] == Tracked(4, 1, 0, 0)
    streams = {stored_event(record.value or b"").originator_id for record in records}
    assert sum(len(archive.history(str(stream))) for stream in streams) == 5


def test_a_version_that_is_there_is_never_replaced(dsn: str) -> None:
    store = PostgresArchive(dsn)
    records = records_of(Partition(0, partitions=1, accounts=1).events(10))
    name = tracking_name("archive", store.generation(), 0)
    store.positions([name])
    store.write([Move(name, -1, Tracked(4))], {0: records[:5]})
    with pytest.raises(IntegrityError):
        store.write([Move(name, 4, Tracked(9))], {0: records[:5]})
    assert store.positions([name])[name] == Tracked(4)
    store.close()


async def test_a_record_that_came_twice_counts_once(audit: tuple[FeedStore, Rows]) -> None:
    store, rows = audit
    first, second = accesses("b1", access("job_1"), access("job_2", times=3)), accesses("b2", access("job_3"))
    records = [Record(n, 0, b"acct_a", value) for n, value in enumerate((first, second, first, b"{"))]
    await followed(store, records, batch=2)
    found = [(row["batch"], row["n"], row["place"], row["objects"], row["times"]) for row in rows()]
    assert found == [
        ("b1", 0, 0, "job_1 asset_1", 1),
        ("b1", 1, 1, "job_2 asset_1", 3),
        ("b2", 0, 1024, "job_3 asset_1", 1),
    ]


def test_a_store_that_is_away_is_a_fault() -> None:
    for kind in (PostgresArchive, PostgresAudit):
        store = kind("postgresql://nobody:x@127.0.0.1:9/none?connect_timeout=1")
        store._datastore.pool_open_timeout = 0.3
        with pytest.raises(StoreFault):
            store.generation()
        with pytest.raises(StoreFault):
            store.positions(["x.1.0"])
        store.close()


async def test_read_models_go_first_and_feeds_do_not_starve() -> None:
    pace, loop = Pace(), asyncio.get_running_loop()
    with pace.writing(10):
        async with asyncio.timeout(0.05):
            await pace.turn()
    began = loop.time()
    with pace.writing(5_000):
        await pace.turn()
    assert 0.9 < loop.time() - began < 5, "after a bounded wait it is the feed's turn"
    began = loop.time()
    await pace.turn()
    assert 0.05 < loop.time() - began < 0.9, "a short rest ends the wait"


def test_each_feed_has_a_topic_of_its_own() -> None:
    assert (MemoryArchive.topic, MemoryAudit.topic) == (EVENTS, ACCESSES)

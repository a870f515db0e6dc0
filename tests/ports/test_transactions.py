"""The transactional log as a port: the real one and the one in memory keep the same promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from infra.clock import SystemClock
from infra.kafka.alternating import AlternatingProducers
from infra.kafka.client import start_client
from infra.kafka.memory import MemoryLog
from infra.kafka.ports import Fenced, LogReader, Outgoing, ReadFault, Record, TransactionalLog, TransactionError
from infra.kafka.reader import KafkaLogReader
from infra.kafka.transactions import TransactionalProducer
from infra.settings import Settings
from tests.kafka.topic import fresh, make_topics


@dataclass
class World:
    """Two topics of two partitions, producers by id, and a reader."""

    first: str
    second: str
    reader: LogReader
    producer: Callable[[str], TransactionalLog]

    async def values(self, topic: str, partition: int = 0, *, committed: bool = True) -> list[bytes | None]:
        return [record.value for record in await self.records(topic, partition, committed=committed)]

    async def settled(self, topic: str, partition: int = 0) -> None:
        """Wait for the markers of acknowledged transactions: the broker writes them after its answer."""
        async with asyncio.timeout(5):
            while await self.reader.end_offset(topic, partition) < await self.reader.end_offset(
                topic, partition, committed=False
            ):
                await asyncio.sleep(0.005)

    async def records(self, topic: str, partition: int = 0, *, committed: bool = True) -> list[Record]:
        await self.settled(topic, partition)
        batches = [batch async for batch in self.reader.read(topic, partition, 0, committed=committed)]
        return [record for batch in batches for record in batch]


@pytest.fixture(params=["memory", *(pytest.param(name, marks=pytest.mark.servers) for name in ("kafka", "kafka-v0"))])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    first, second, prefix = fresh("first"), fresh("second"), fresh("id")
    if request.param == "memory":
        log = MemoryLog(SystemClock(), {first: 2, second: 2})
        yield World(first, second, log, lambda name: log.producer(f"{prefix}.{name}"))
        return
    settings: Settings = request.getfixturevalue("kafka")
    await make_topics(settings, {first: (2, {}), second: (2, {})})
    client = await start_client(settings.kafka)
    forced = False if request.param == "kafka-v0" else None
    try:
        yield World(
            first,
            second,
            KafkaLogReader(client, progress_timeout_s=2),
            lambda name: TransactionalProducer(client, f"{prefix}.{name}", transactions_v2=forced),
        )
    finally:
        await client.close()


async def started(producer: TransactionalLog) -> TransactionalLog:
    await producer.initialise()
    return producer


async def refused(call: Awaitable[object], error: type[Exception]) -> None:
    with pytest.raises(error):
        await call


async def test_a_committed_transaction_is_visible_in_every_partition_with_its_offsets(world: World) -> None:
    producer = await started(world.producer("a"))
    records = [
        Outgoing(world.first, 0, b"k", b"one", (("h", b"x"),), 1_700_000_000_000),
        Outgoing(world.first, 0, None, b"two"),
        Outgoing(world.second, 1, b"k", None),
    ]
    base = await producer.commit(records)
    assert base == {(world.first, 0): 0, (world.second, 1): 0}
    found = await world.records(world.first)
    assert [(record.offset, record.key, record.value) for record in found] == [(0, b"k", b"one"), (1, None, b"two")]
    assert found[0].headers == (("h", b"x"),)
    assert found[0].timestamp_ms == 1_700_000_000_000
    assert await world.values(world.second, 1) == [None]


async def test_transactions_follow_each_other_with_a_marker_between(world: World) -> None:
    producer = await started(world.producer("a"))
    bases = [(await producer.commit([Outgoing(world.first, 0, b"k", b"%d" % n)]))[world.first, 0] for n in range(5)]
    assert bases == [0, 2, 4, 6, 8]
    assert await world.values(world.first) == [b"0", b"1", b"2", b"3", b"4"]


async def test_the_end_stands_behind_the_last_marker_and_reading_to_it_ends(world: World) -> None:
    producer = await started(world.producer("a"))
    await producer.commit([Outgoing(world.first, 0, b"k", b"v")])
    await world.settled(world.first)
    assert await world.reader.end_offset(world.first, 0) == 2
    assert await world.values(world.first) == [b"v"]
    assert [batch async for batch in world.reader.read(world.first, 0, 1, 2)] == []


async def test_an_empty_partition_reads_as_nothing(world: World) -> None:
    assert await world.reader.begin_offset(world.first, 0) == await world.reader.end_offset(world.first, 0) == 0
    assert await world.values(world.first) == []


async def test_a_range_is_cut_at_both_ends(world: World) -> None:
    producer = await started(world.producer("a"))
    await producer.commit([Outgoing(world.first, 0, b"k", b"%d" % n) for n in range(10)])
    await world.settled(world.first)
    batches = [batch async for batch in world.reader.read(world.first, 0, 3, 6)]
    assert [record.offset for batch in batches for record in batch] == [3, 4, 5]


async def test_reading_beyond_the_end_raises_instead_of_ending_quietly(world: World) -> None:
    producer = await started(world.producer("a"))
    await producer.commit([Outgoing(world.first, 0, b"k", b"v")])
    await world.settled(world.first)
    with pytest.raises(ReadFault):
        [batch async for batch in world.reader.read(world.first, 0, 0, 50)]


async def test_a_new_producer_of_the_same_id_fences_the_old_one(world: World) -> None:
    old = await started(world.producer("a"))
    await old.commit([Outgoing(world.first, 0, b"k", b"old")])
    new = await started(world.producer("a"))
    await refused(old.commit([Outgoing(world.first, 0, b"k", b"zombie")]), Fenced)
    await new.commit([Outgoing(world.first, 0, b"k", b"new")])
    assert await world.values(world.first) == [b"old", b"new"]


async def test_two_owners_that_fence_each_other_lose_and_double_nothing(world: World) -> None:
    taken: list[bytes] = []
    for number in range(6):
        owner = await started(world.producer("a"))
        value = b"%d" % number
        await owner.commit([Outgoing(world.first, 0, b"k", value), Outgoing(world.second, 0, b"k", value)])
        taken.append(value)
    assert await world.values(world.first) == taken
    assert await world.values(world.second) == taken


async def test_a_producer_is_dead_after_a_failure_and_before_it_is_initialised(world: World) -> None:
    producer = world.producer("a")
    await refused(producer.commit([Outgoing(world.first, 0, b"k", b"v")]), TransactionError)
    await producer.initialise()
    await started(world.producer("a"))
    await refused(producer.commit([Outgoing(world.first, 0, b"k", b"v")]), TransactionError)
    await refused(producer.commit([Outgoing(world.first, 0, b"k", b"v")]), TransactionError)
    assert await world.values(world.first) == []


async def test_an_empty_transaction_is_a_mistake_of_the_caller(world: World) -> None:
    producer = await started(world.producer("a"))
    await refused(producer.commit([]), ValueError)


async def test_two_ids_in_turn_keep_the_order_and_the_successor_fences_both(world: World) -> None:
    pair = AlternatingProducers(world.producer("0"), world.producer("1"))
    await pair.initialise()
    for number in range(7):
        await pair.commit([Outgoing(world.first, 0, b"k", b"%d" % number)])
    successor = AlternatingProducers(world.producer("0"), world.producer("1"))
    await successor.initialise()
    await refused(pair.commit([Outgoing(world.first, 0, b"k", b"zombie")]), Fenced)
    await refused(pair.commit([Outgoing(world.first, 0, b"k", b"other id")]), TransactionError)
    assert await world.values(world.first) == [b"%d" % number for number in range(7)]


async def test_a_failure_of_one_id_kills_the_pair(world: World) -> None:
    pair = AlternatingProducers(world.producer("0"), world.producer("1"))
    await pair.initialise()
    await pair.commit([Outgoing(world.first, 0, b"k", b"first")])
    await started(world.producer("1"))
    await refused(pair.commit([Outgoing(world.first, 0, b"k", b"second")]), Fenced)
    await refused(pair.commit([Outgoing(world.first, 0, b"k", b"third")]), TransactionError)
    assert await world.values(world.first) == [b"first"]


async def test_commits_of_a_pair_may_not_overlap(world: World) -> None:
    pair = AlternatingProducers(world.producer("0"), world.producer("1"))
    await pair.initialise()
    calls = [pair.commit([Outgoing(world.first, 0, b"k", b"%d" % number)]) for number in range(2)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(outcomes[1], TransactionError)
    assert await world.values(world.first) == [b"0"]

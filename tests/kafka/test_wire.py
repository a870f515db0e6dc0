"""The transactional producer on the wire: late, lost, repeated and refused requests (hazards H2, H3, H8, H9)."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from infra.kafka.client import start_client
from infra.kafka.ports import Outgoing, TransactionError
from infra.kafka.reader import KafkaLogReader
from infra.kafka.transactions import TransactionalProducer
from infra.settings import Settings
from tests.kafka.topic import fresh, make_topics
from tests.proxy import ADD_PARTITIONS_TO_TXN, END_TXN, INIT_PRODUCER_ID, PRODUCE, KafkaProxy, proxied_client

pytestmark = pytest.mark.servers

PRODUCER_FENCED = 90


@dataclass
class Wire:
    """A client behind the proxy, an honest reader, and two topics; ``narrow`` takes batches up to 1,000 bytes."""

    proxy: KafkaProxy
    client: Any
    direct: Any
    topic: str
    narrow: str

    def producer(self, name: str, *, v2: bool = True, batch_bytes_max: int = 1_000_000) -> TransactionalProducer:
        forced = None if v2 else False
        identity = f"{self.topic}.{name}"
        return TransactionalProducer(
            self.client, identity, 5_000, batch_bytes_max=batch_bytes_max, transactions_v2=forced
        )

    async def visible(self, topic: str | None = None) -> list[bytes | None]:
        reader = KafkaLogReader(self.direct)
        return [record.value async for batch in reader.read(topic or self.topic, 0, 0) for record in batch]

    async def settled(self) -> list[bytes | None]:
        """What is visible when no transaction is open any more."""
        reader = KafkaLogReader(self.direct)
        async with asyncio.timeout(8):
            while await reader.end_offset(self.topic, 0) < await reader.end_offset(self.topic, 0, committed=False):
                await asyncio.sleep(0.01)
        return await self.visible()


@pytest.fixture
async def wire(kafka: Settings) -> AsyncIterator[Wire]:
    topic, narrow = fresh("wire"), fresh("narrow")
    await make_topics(kafka, {topic: (1, {}), narrow: (1, {"max.message.bytes": "1000"})})
    host, port = kafka.kafka.bootstrap_servers.rsplit(":", 1)
    async with KafkaProxy(host, int(port)) as proxy:
        client, direct = await proxied_client(kafka.kafka, proxy), await start_client(kafka.kafka)
        try:
            yield Wire(proxy, client, direct, topic, narrow)
        finally:
            await client.close()
            await direct.close()


def records(topic: str, *values: bytes) -> list[Outgoing]:
    return [Outgoing(topic, 0, b"k", value) for value in values]


@pytest.mark.parametrize("v2", [True, False], ids=["v2", "v0"])
async def test_a_late_end_of_one_transaction_meets_the_next(wire: Wire, v2: bool) -> None:
    """With v0 the late request commits half of the next transaction; with v2 it is refused and nothing moves."""
    producer = wire.producer("late", v2=v2, batch_bytes_max=100)
    await producer.initialise()
    assert producer.speaks_v2 is v2
    late = wire.proxy.catch_request(END_TXN, "copy")
    await producer.commit(records(wire.topic, b"first"))
    await late.arrived()
    assert await wire.settled() == [b"first"]

    wire.proxy.catch_request(PRODUCE, "copy")  # the next transaction's first batch passes
    commit = asyncio.create_task(producer.commit(records(wire.topic, b"a" * 80, b"b" * 80)))
    await asyncio.sleep(0)
    second_half = wire.proxy.catch_request(PRODUCE, "hold")
    await second_half.arrived()
    code = _end_code(await late.replay(), v2)
    await asyncio.sleep(0.3)
    half_way = await wire.visible()
    await second_half.forward()
    if v2:
        assert code == PRODUCER_FENCED
        assert half_way == [b"first"]
        await commit
        assert await wire.settled() == [b"first", b"a" * 80, b"b" * 80]
    else:
        assert code == 0
        assert half_way == [b"first", b"a" * 80]
        await asyncio.gather(commit, return_exceptions=True)


def _end_code(answer: bytes, v2: bool) -> int:
    header = 1 if v2 else 0  # a flexible answer's header ends in tagged fields
    return int(struct.unpack_from(">ih", answer, header)[1])


@pytest.mark.parametrize("v2", [True, False], ids=["v2", "v0"])
async def test_a_lost_answer_to_the_records_ends_the_producer_and_commits_nothing(wire: Wire, v2: bool) -> None:
    producer = wire.producer("a", v2=v2)
    await producer.initialise()
    lost = wire.proxy.catch_answer(PRODUCE, "cut")
    with pytest.raises(TransactionError):
        await producer.commit(records(wire.topic, b"lost"))
    await lost.arrived()
    with pytest.raises(TransactionError, match="dead"):
        await producer.commit(records(wire.topic, b"next"))
    successor = wire.producer("a", v2=v2)
    await successor.initialise()
    await successor.commit(records(wire.topic, b"truth"))
    assert await wire.settled() == [b"truth"]


@pytest.mark.parametrize("action", ["cut", "drop"])
@pytest.mark.parametrize("v2", [True, False], ids=["v2", "v0"])
async def test_a_lost_answer_to_the_end_is_unknown_and_the_successor_reads_the_truth(
    wire: Wire, v2: bool, action: str
) -> None:
    producer = wire.producer("a", v2=v2)
    await producer.initialise()
    wire.proxy.catch_answer(END_TXN, "cut" if action == "cut" else "drop")
    with pytest.raises(TransactionError):
        await producer.commit(records(wire.topic, b"committed"))
    await wire.producer("a", v2=v2).initialise()
    assert await wire.visible() == [b"committed"]


async def test_an_end_that_never_arrives_is_aborted_by_the_successor(wire: Wire) -> None:
    producer = wire.producer("a")
    await producer.initialise()
    never = wire.proxy.catch_request(END_TXN, "cut")
    with pytest.raises(TransactionError):
        await producer.commit(records(wire.topic, b"open"))
    reader = KafkaLogReader(wire.direct)
    assert await reader.end_offset(wire.topic, 0) == 0  # the open transaction holds readers back
    assert await wire.visible() == []
    await wire.producer("a").initialise()
    assert await reader.end_offset(wire.topic, 0) == 2
    assert await wire.visible() == []
    everything = [r.value async for b in reader.read(wire.topic, 0, 0, committed=False) for r in b]
    assert everything == [b"open"]
    assert _end_code(await never.replay(), v2=True) == PRODUCER_FENCED
    assert await wire.visible() == []


@pytest.mark.parametrize("v2", [True, False], ids=["v2", "v0"])
async def test_one_refused_partition_commits_nothing_of_the_others(wire: Wire, v2: bool) -> None:
    producer = wire.producer("a", v2=v2)
    await producer.initialise()
    batch = [*records(wire.topic, b"good"), Outgoing(wire.narrow, 0, b"k", b"x" * 5_000)]
    with pytest.raises(TransactionError, match="10"):
        await producer.commit(batch)
    await wire.producer("a", v2=v2).initialise()
    assert await wire.visible() == []
    assert await wire.visible(wire.narrow) == []


@pytest.mark.parametrize("v2", [True, False], ids=["v2", "v0"])
async def test_a_transaction_larger_than_a_batch_stays_one_transaction_in_order(wire: Wire, v2: bool) -> None:
    producer = wire.producer("a", v2=v2, batch_bytes_max=2_000)
    await producer.initialise()
    values = [b"%04d" % number * 25 for number in range(200)]
    for half in (values[:120], values[120:]):
        await producer.commit(records(wire.topic, *half))
    assert await wire.settled() == values


async def test_a_hanging_broker_ends_the_commit_before_the_broker_ends_the_transaction(wire: Wire) -> None:
    producer = wire.producer("a")
    await producer.initialise()
    held = wire.proxy.catch_request(PRODUCE, "hold")
    started = asyncio.get_running_loop().time()
    with pytest.raises(TransactionError):
        await producer.commit(records(wire.topic, b"late"))
    assert asyncio.get_running_loop().time() - started < 4.5
    successor = wire.producer("a")
    await successor.initialise()
    await held.replay()
    await successor.commit(records(wire.topic, b"truth"))
    assert await wire.settled() == [b"truth"]


async def test_initialising_goes_on_after_a_lost_answer(wire: Wire) -> None:
    lost = wire.proxy.catch_answer(INIT_PRODUCER_ID, "cut")
    producer = wire.producer("a")
    await producer.initialise()
    await lost.arrived()
    await producer.commit(records(wire.topic, b"v"))
    assert await wire.settled() == [b"v"]


async def test_initialising_gives_up_in_time(wire: Wire) -> None:
    producer = TransactionalProducer(wire.client, f"{wire.topic}.b", 1_000)
    for _ in range(8):
        wire.proxy.catch_request(INIT_PRODUCER_ID, "drop")
    with pytest.raises(TransactionError, match="in time"):
        await producer.initialise()


async def test_the_old_protocol_adds_its_partitions_first_and_the_new_one_does_not(wire: Wire) -> None:
    added = wire.proxy.catch_request(ADD_PARTITIONS_TO_TXN, "copy")
    lengths = []
    new, old = wire.producer("new"), wire.producer("old", v2=False)
    await new.initialise()
    await new.commit(records(wire.topic, b"new"))
    lengths.append(len(added.frame))
    await old.initialise()
    await old.commit(records(wire.topic, b"old"))
    lengths.append(len(added.frame))
    assert lengths[0] == 0 < lengths[1]
    assert await wire.settled() == [b"new", b"old"]


async def test_the_epoch_rises_with_every_transaction(wire: Wire) -> None:
    producer = wire.producer("a")
    await producer.initialise()
    seen = []
    for number in range(4):
        seen.append(producer.identity)
        await producer.commit(records(wire.topic, b"%d" % number))
    assert [epoch for _, epoch in seen] == [seen[0][1] + number for number in range(4)]
    assert len({producer_id for producer_id, _ in seen}) == 1
    assert await wire.settled() == [b"0", b"1", b"2", b"3"]

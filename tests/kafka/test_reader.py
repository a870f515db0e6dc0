"""Reading at explicit offsets: markers, aborted tails, retention, and a seek that cannot be lost (H7, P1)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from infra.kafka.client import connection_arguments, start_client
from infra.kafka.ports import Outgoing, ReadFault
from infra.kafka.reader import KafkaLogReader, end_offsets
from infra.kafka.transactions import TransactionalProducer
from infra.kafka.trimmer import KafkaTrimmer
from infra.settings import Settings
from tests.kafka.topic import fresh, make_topics
from tests.proxy import END_TXN, KafkaProxy, proxied_client

pytestmark = pytest.mark.servers


@dataclass
class Log:
    """One partition with a committed, an aborted and another committed transaction, in this order."""

    settings: Settings
    client: Any
    reader: KafkaLogReader
    topic: str

    async def values(self, begin: int = 0, end: int | None = None, *, committed: bool = True) -> list[bytes | None]:
        read = self.reader.read(self.topic, 0, begin, end, committed=committed)
        return [record.value async for batch in read for record in batch]


async def commit(client: Any, name: str, topic: str, *values: bytes) -> None:
    producer = TransactionalProducer(client, name, 5_000)
    await producer.initialise()
    await producer.commit([Outgoing(topic, 0, b"k", value) for value in values])


async def abort(settings: Settings, name: str, topic: str, *values: bytes) -> None:
    """A transaction whose end is lost, and a successor that makes the broker abort it."""
    host, port = settings.kafka.bootstrap_servers.rsplit(":", 1)
    async with KafkaProxy(host, int(port)) as proxy:
        client = await proxied_client(settings.kafka, proxy)
        proxy.catch_request(END_TXN, "cut")
        with pytest.raises(Exception, match="unknown"):
            await commit(client, name, topic, *values)
        await TransactionalProducer(client, name, 5_000).initialise()
        await client.close()


@pytest.fixture
async def log(kafka: Settings) -> AsyncIterator[Log]:
    topic = fresh("read")
    await make_topics(kafka, {topic: (1, {})})
    client = await start_client(kafka.kafka)
    await commit(client, f"{topic}.a", topic, b"1", b"2")
    await TransactionalProducer(client, f"{topic}.a", 5_000).initialise()
    await abort(kafka, f"{topic}.b", topic, b"never", b"seen")
    await commit(client, f"{topic}.c", topic, b"3")
    await TransactionalProducer(client, f"{topic}.c", 5_000).initialise()
    try:
        yield Log(kafka, client, KafkaLogReader(client, progress_timeout_s=2), topic)
    finally:
        await client.close()


async def test_aborted_records_are_invisible_and_the_committed_around_them_are_not(log: Log) -> None:
    assert await log.values() == [b"1", b"2", b"3"]
    assert await log.values(committed=False) == [b"1", b"2", b"never", b"seen", b"3"]


async def test_a_log_that_ends_in_an_aborted_transaction_is_read_to_its_end(log: Log) -> None:
    await abort(log.settings, f"{log.topic}.d", log.topic, b"x")
    end = await log.reader.end_offset(log.topic, 0)
    assert end == 10
    assert await log.values() == [b"1", b"2", b"3"]
    assert await log.values(begin=8) == []


async def test_every_begin_gives_exactly_the_rest(log: Log) -> None:
    offsets = {0: b"1", 1: b"2", 6: b"3"}
    for begin in range(8):
        assert await log.values(begin=begin) == [value for offset, value in offsets.items() if offset >= begin]


async def test_a_begin_that_retention_has_taken_is_a_fault_not_a_shorter_log(log: Log) -> None:
    await KafkaTrimmer(log.settings.kafka).delete_before(log.topic, 0, 2)
    assert await log.reader.begin_offset(log.topic, 0) == 2
    with pytest.raises(ReadFault, match="holds offsets 2 to 8"):
        await log.values(begin=0)
    assert await log.values(begin=2) == [b"3"]


async def test_a_seek_to_the_beginning_at_once_is_lost_by_a_consumer_and_cannot_be_by_the_reader(log: Log) -> None:
    """The fault that the reader is built against, planted: position at the end, nothing read, no error."""
    consumer = AIOKafkaConsumer(
        **connection_arguments(log.settings.kafka), auto_offset_reset="latest", isolation_level="read_committed"
    )
    await consumer.start()
    consumer.assign([TopicPartition(log.topic, 0)])
    assert await consumer.getmany(timeout_ms=500) == {}
    assert await consumer.position(TopicPartition(log.topic, 0)) == 8
    await consumer.stop()
    assert await log.values() == [b"1", b"2", b"3"]


async def test_large_partitions_are_read_in_batches_in_order(kafka: Settings) -> None:
    topic = fresh("large")
    await make_topics(kafka, {topic: (1, {})})
    client = await start_client(kafka.kafka)
    producer = TransactionalProducer(client, f"{topic}.a")
    await producer.initialise()
    wanted = [b"%06d" % number * 50 for number in range(8_000)]
    for begin in range(0, 8_000, 2_000):
        await producer.commit([Outgoing(topic, 0, b"k", value) for value in wanted[begin : begin + 2_000]])
    await TransactionalProducer(client, f"{topic}.a").initialise()
    reader = KafkaLogReader(client, fetch_bytes_max=200_000)
    batches = [batch async for batch in reader.read(topic, 0, 0)]
    assert len(batches) >= 4
    assert [record.value for batch in batches for record in batch] == wanted
    assert await end_offsets(reader, [(topic, 0)]) == {(topic, 0): 8_004}
    await client.close()


async def test_an_unknown_topic_is_a_fault_in_time(kafka: Settings) -> None:
    client = await start_client(kafka.kafka)
    reader = KafkaLogReader(client, progress_timeout_s=0.5)
    with pytest.raises(ReadFault, match="no broker named an offset"):
        await reader.end_offset(fresh("absent"), 0)
    await client.close()

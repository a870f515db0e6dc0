"""Topics that only the bench uses, and whole records appended to any topic as fast as the broker takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from infra.kafka.client import connection_arguments
from infra.settings import Settings


async def make_topics(settings: Settings, partitions: Mapping[str, int]) -> None:
    """Create the topics, each with its number of partitions; those that exist stay as they are."""
    admin = AIOKafkaAdminClient(**connection_arguments(settings.kafka))
    await admin.start()
    try:
        existing = set(await admin.list_topics())
        missing = [NewTopic(name, count, 1) for name, count in partitions.items() if name not in existing]
        if missing:
            await admin.create_topics(missing)
    finally:
        await admin.close()


async def append_records(settings: Settings, topic: str, values: Mapping[int, Sequence[bytes]]) -> Mapping[int, int]:
    """Append the values of each partition in order; the offset of the last one of each, all acknowledged."""
    producer = AIOKafkaProducer(
        acks="all",
        linger_ms=5,
        max_batch_size=1 << 20,
        max_request_size=8 << 20,
        **connection_arguments(settings.kafka),
    )
    await producer.start()
    try:
        sent = [
            await producer.send(topic, value, partition=partition)
            for partition, partition_values in values.items()
            for value in partition_values
        ]
        stored = [await future for future in sent]
        return {record.partition: record.offset for record in stored}
    finally:
        await producer.stop()

"""Throw-away topics for tests."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from infra.kafka.client import connection_arguments, start_client
from infra.kafka.reader import KafkaLogReader, end_offsets
from infra.settings import Settings

APPEND_TIME: Mapping[str, str] = {"message.timestamp.type": "LogAppendTime"}


def fresh(prefix: str) -> str:
    """A topic or id that no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


async def make_topics(
    settings: Settings, topics: Mapping[str, tuple[int, Mapping[str, str]]], *, replicas: int = 1
) -> None:
    """Create topics (name: partitions and configs); on return every partition's leader serves it."""
    admin = AIOKafkaAdminClient(**connection_arguments(settings.kafka))
    await admin.start()
    try:
        await admin.create_topics(
            [NewTopic(name, count, replicas, topic_configs=dict(configs)) for name, (count, configs) in topics.items()]
        )
        while not await _all_led(admin, set(topics)):
            await asyncio.sleep(0.02)
    finally:
        await admin.close()
    client = await start_client(settings.kafka)
    try:
        places = [(name, number) for name, (count, _) in topics.items() for number in range(count)]
        await end_offsets(KafkaLogReader(client), places)
    finally:
        await client.close()


async def _all_led(admin: AIOKafkaAdminClient, names: set[str]) -> bool:
    found = [topic for topic in await admin.describe_topics() if topic["topic"] in names]
    return len(found) == len(names) and all(
        partition["leader"] >= 0 for topic in found for partition in topic["partitions"]
    )

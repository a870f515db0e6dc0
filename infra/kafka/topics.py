"""Creating and checking the topics of `schemas.topics`. Safe to run in several processes at once, and again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from infra.errors import OperatorError
from infra.kafka.client import connection_arguments, retry_until, start_client
from infra.kafka.cluster import abilities_of
from infra.kafka.reader import KafkaLogReader, end_offsets
from infra.settings import KafkaSettings, Settings
from schemas.topics import COMMANDS, TOPICS, TopicSpec

_ALREADY_EXISTS = 36
_VISIBLE_TIMEOUT_S = 10.0
_RETRY_S = 0.05
_TIMESTAMP_TYPE = "message.timestamp.type"
_LOG_APPEND_TIME = "LogAppendTime"


class TopicsUnfit(OperatorError):
    """The cluster's topics are not what this deployment needs; one sentence with the cure."""


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What the start found: the partitions of ``commands`` and whether transactions V2 are in effect."""

    partitions: int
    transactions_v2: bool


async def ensure_topics(settings: Settings, *, deadline_s: float = 30.0) -> ClusterFacts:
    """Create the topics that are missing, then check all.

    The number of partitions of an existing topic is the record of how the deployment was made; another number in the
    settings raises `TopicsUnfit`, since an account's partition would change. So does a ``commands`` topic whose time
    is not the broker's. Raises `BrokersUnreachable` when no broker answers.
    """
    admin = await retry_until(lambda: _start_admin(settings.kafka), settings.kafka, deadline_s)
    created: list[TopicSpec] = []
    try:
        existing = await _partition_counts(admin)
        missing = [spec for spec in TOPICS if spec.name not in existing]
        if missing:
            _check_counts(existing, settings)
            await _create(admin, missing, settings)
            created = missing
            existing = await _until_visible(admin)
        _check_counts(existing, settings)
        await _check_commands_time(admin)
    finally:
        await admin.close()
    places = [(spec.name, number) for spec in created for number in range(wanted_partitions(spec, settings))]
    return ClusterFacts(settings.partitions, await _transactions_v2(settings.kafka, places, deadline_s))


async def _start_admin(kafka: KafkaSettings) -> AIOKafkaAdminClient:
    admin = AIOKafkaAdminClient(client_id="darkroom-topics", **connection_arguments(kafka))
    try:
        await admin.start()
    except BaseException:
        await admin.close()
        raise
    return admin


def wanted_partitions(spec: TopicSpec, settings: Settings) -> int:
    """How many partitions a topic has in this deployment."""
    return settings.partitions if spec.partitions is None else spec.partitions


async def _partition_counts(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """Partitions by topic name, of the topics whose partitions all have a leader."""
    topics: list[dict[str, Any]] = await admin.describe_topics()
    return {
        str(topic["topic"]): len(topic["partitions"])
        for topic in topics
        if topic["error_code"] == 0 and all(partition["leader"] >= 0 for partition in topic["partitions"])
    }


async def _create(admin: AIOKafkaAdminClient, specs: list[TopicSpec], settings: Settings) -> None:
    answer = await admin.create_topics(
        [
            NewTopic(
                spec.name,
                wanted_partitions(spec, settings),
                settings.replication_factor,
                topic_configs=dict(spec.configs),
            )
            for spec in specs
        ]
    )
    for name, code, *message in answer.topic_errors:
        if code not in (0, _ALREADY_EXISTS):
            raise TopicsUnfit(
                f"Kafka did not create the topic {name}: {for_code(code).__name__} {' '.join(map(str, message))}."
            )


async def _until_visible(admin: AIOKafkaAdminClient) -> dict[str, int]:
    names = {spec.name for spec in TOPICS}
    try:
        async with asyncio.timeout(_VISIBLE_TIMEOUT_S):
            while True:
                existing = await _partition_counts(admin)
                if names <= existing.keys():
                    return existing
                await asyncio.sleep(_RETRY_S)
    except TimeoutError as error:
        raise TopicsUnfit(
            "Some topics have no leader: see that as many brokers run as DARKROOM_REPLICATION_FACTOR says."
        ) from error


def _check_counts(existing: Mapping[str, int], settings: Settings) -> None:
    for spec in TOPICS:
        found, wanted = existing.get(spec.name), wanted_partitions(spec, settings)
        if found is not None and found != wanted:
            raise TopicsUnfit(
                f"The topic {spec.name} was made with {found} partitions and {wanted} are wanted:"
                f" set DARKROOM_PARTITIONS to what this deployment was made with, or start a new deployment."
            )


async def _check_commands_time(admin: AIOKafkaAdminClient) -> None:
    resource = ConfigResource(ConfigResourceType.TOPIC, COMMANDS, configs={_TIMESTAMP_TYPE: None})
    (answer,) = await admin.describe_configs([resource])
    for code, message, _, name, entries in answer.resources:
        if code != 0:
            raise KafkaError(f"the settings of {name} cannot be read: {message}")
        for entry in entries:
            if entry[0] == _TIMESTAMP_TYPE and entry[1] != _LOG_APPEND_TIME:
                raise TopicsUnfit(
                    f"The topic {COMMANDS} stamps {entry[1]}, but a command's time must be the broker's:"
                    f" set {_TIMESTAMP_TYPE}={_LOG_APPEND_TIME} on it."
                )


async def _transactions_v2(kafka: KafkaSettings, created: list[tuple[str, int]], deadline_s: float) -> bool:
    """Whether transactions V2 are in effect. Returns when the leaders serve what was just created."""
    client = await start_client(kafka, client_id="darkroom-topics", deadline_s=deadline_s)
    try:
        await end_offsets(KafkaLogReader(client), created)
        node = client.get_random_node()
        return node is not None and (await abilities_of(client, node)).transactions_v2
    finally:
        await client.close()

"""What producers and readers ask of a started client: leaders, coordinators, abilities, each with fresh metadata."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError
from aiokafka.structs import TopicPartition

from infra.kafka.protocol import ApiVersionsV3, BrokerAbilities, broker_abilities

_RETRY_S = 0.05


async def leader_of(client: AIOKafkaClient, topic: str, partition: int) -> int:
    """The node id of the partition's leader; waits for metadata until the caller's timeout."""
    place = TopicPartition(topic, partition)
    leader = client.cluster.leader_for_partition(place)
    while leader is None or leader == -1:
        await client.add_topic(topic)
        await refresh(client)
        leader = client.cluster.leader_for_partition(place)
        if leader is None or leader == -1:
            await asyncio.sleep(_RETRY_S)
    return int(leader)


async def refresh(client: AIOKafkaClient) -> None:
    """Fetch the cluster's metadata anew; on return leaders are as the cluster sees them now, if a broker answered."""
    await client.force_metadata_update()


async def transaction_coordinator(client: AIOKafkaClient, transactional_id: str) -> int:
    """The node id of the coordinator, as the cluster says now (never from a cache)."""
    if client.get_random_node() is None:
        await refresh(client)
    return int(await client.coordinator_lookup(CoordinationType.TRANSACTION, transactional_id))


async def send_to_coordinator(client: AIOKafkaClient, node: int, request: Any) -> Any:
    """One request on the connection that is kept for coordinators, so that it never waits behind a Produce."""
    return await client.send(node, request, group=ConnectionGroup.COORDINATION)


async def abilities_of(client: AIOKafkaClient, node: int) -> BrokerAbilities:
    """The node's request versions and the cluster's finalized features; empty where it is too old to say."""
    try:
        return broker_abilities(await send_to_coordinator(client, node, ApiVersionsV3()))
    except (IncompatibleBrokerVersion, NotImplementedError):
        return BrokerAbilities({}, {})


def is_connection_fault(error: BaseException) -> bool:
    """Whether an exception of a request says nothing but that the broker was not reached or did not answer."""
    return isinstance(error, KafkaError | OSError | TimeoutError)

"""Consumer groups, from outside: take a dead member out at once instead of waiting for its session to end."""

from __future__ import annotations

import asyncio

from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import for_code
from aiokafka.protocol.group import LeaveGroupRequest

from infra.kafka.client import retry_until, start_client
from infra.settings import Settings

_UNKNOWN_MEMBER = 25


async def leave_group(settings: Settings, group: str, member_id: str, *, deadline_s: float = 3.0) -> bool:
    """Send LeaveGroup for a member that is known to be dead; the group rebalances at once.

    Only for a process that has ended: a living one would be put out, notice at its next heartbeat, and join again.
    Returns False when the coordinator no longer knows the member. Raises `BrokersUnreachable` after ``deadline_s``.
    """
    end = asyncio.get_running_loop().time() + deadline_s
    client = await start_client(
        settings.kafka, client_id="darkroom-leave", request_timeout_ms=2_000, deadline_s=deadline_s
    )
    try:
        remaining_s = max(0.1, end - asyncio.get_running_loop().time())
        return bool(await retry_until(lambda: _leave(client, group, member_id), settings.kafka, remaining_s))
    finally:
        await client.close()


async def _leave(client: AIOKafkaClient, group: str, member_id: str) -> bool:
    coordinator = await client.coordinator_lookup(CoordinationType.GROUP, group)
    answer = await client.send(coordinator, LeaveGroupRequest(group, member_id), group=ConnectionGroup.COORDINATION)
    if answer.error_code not in (0, _UNKNOWN_MEMBER):
        raise for_code(answer.error_code)(f"LeaveGroup of {member_id} in {group}")
    return bool(answer.error_code == 0)

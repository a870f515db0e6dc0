"""Commands that an operator appends to partitions' own streams."""

from __future__ import annotations

from collections.abc import Sequence

from infra import failpoints
from infra.clock import SystemClock
from infra.ids import SystemIds
from infra.kafka.appender import CommandAppender
from infra.kafka.client import start_client
from infra.settings import Settings
from schemas.commands import AnyCommand, Envelope, encode_command
from schemas.identifiers import partition_stream
from schemas.topics import COMMANDS


async def append_to_partitions(settings: Settings, partitions: Sequence[int], command: AnyCommand) -> None:
    """Append the command to each partition's own stream; on return all are on the log.

    Raises BrokersUnreachable, or OutcomeUnknown, after which repeating is harmless: these commands are idempotent.
    """
    clock, ids = SystemClock(), SystemIds()
    client = await start_client(settings.kafka, client_id="darkroom-operator", deadline_s=10.0)
    appender = CommandAppender(client, COMMANDS)
    try:
        for partition in partitions:
            envelope = Envelope(
                ids.mint("cmd"), partition_stream(partition), "", command, clock.now_ms(), actor="operator"
            )
            failpoints.passed("operator.append.before")
            await appender.append(partition, encode_command(envelope))
            failpoints.passed("operator.append.after")
    finally:
        await appender.close()
        await client.close()

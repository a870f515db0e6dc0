"""How long a partition stands still: commands wait on the log and no transaction of its owner commits.

Each transaction of an owner writes its position to `accounts`, also one that makes no event. A stable end that moves
is not yet one: a new owner first aborts what its predecessor left open. So a move is believed when a record can be read
there; looking into each would cost too much, so only moves that end a longer wait are looked into.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass

from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.offset import OffsetRequest

from infra.errors import ServerUnreachable
from infra.kafka.client import start_client
from infra.kafka.cluster import leader_of
from infra.kafka.ports import ReadFault
from infra.kafka.reader import KafkaLogReader
from infra.settings import Settings
from schemas.topics import ACCOUNTS, COMMANDS

_LOOK_EVERY_S = 0.1
_SHORT_S = 0.3
_LOOKS_WITHIN_S = 5.0
_CLOSES_WITHIN_S = 2.0
_LATEST = -1


@dataclass(frozen=True)
class Spell:
    """A partition's wait, on the monotonic clock."""

    partition: int
    began_s: float
    ended_s: float

    @property
    def seconds(self) -> float:
        return self.ended_s - self.began_s


class Standstill:
    """Watches a stack's partitions; `spells` holds every wait that was not short, once it is over."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.spells: list[Spell] = []
        self._seen: list[tuple[int, int] | None] = [None] * settings.partitions
        self._waiting_since: list[float | None] = [None] * settings.partitions

    @property
    def waiting_s(self) -> float:
        """How long the partition that waits longest has waited by now."""
        now_s = time.monotonic()
        return max((now_s - since for since in self._waiting_since if since is not None), default=0.0)

    async def watch(self) -> None:
        """Look until cancelled, also while no broker answers."""
        while True:
            client = None
            try:
                client = await start_client(self._settings.kafka, client_id="standstill", request_timeout_ms=2_000)
                await self._watch(client)
            except (KafkaError, OSError, ReadFault, ServerUnreachable):
                await asyncio.sleep(_LOOK_EVERY_S)
            finally:
                if client is not None:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_CLOSES_WITHIN_S):
                            await client.close()

    async def _watch(self, client: AIOKafkaClient) -> None:
        reader, partitions = KafkaLogReader(client), self._settings.partitions
        while True:
            async with asyncio.timeout(_LOOKS_WITHIN_S):
                # In this order: a command that came and was done in between must not look as if it waited.
                done = await _ends(client, ACCOUNTS, partitions, READ_COMMITTED)
                commands = await _ends(client, COMMANDS, partitions, READ_UNCOMMITTED)
                for partition in range(partitions):
                    await self._look(reader, partition, commands[partition], done[partition])
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _look(self, reader: KafkaLogReader, partition: int, commands: int, done: int) -> None:
        now_s = time.monotonic()
        commands_before, done_before = self._seen[partition] or (commands, done)
        since_s = self._waiting_since[partition]
        if done != done_before and await self._moved(reader, partition, done_before, done, since_s):
            if since_s is not None and now_s - since_s > _SHORT_S:
                self.spells.append(Spell(partition, since_s, now_s))
            self._waiting_since[partition] = None
        elif commands != commands_before and since_s is None:
            self._waiting_since[partition] = now_s
        self._seen[partition] = (commands, done)

    async def _moved(
        self, reader: KafkaLogReader, partition: int, before: int, after: int, since_s: float | None
    ) -> bool:
        if since_s is None or time.monotonic() - since_s <= _SHORT_S:
            return True
        return any([True async for records in reader.read(ACCOUNTS, partition, before, after) if records])


async def _ends(client: AIOKafkaClient, topic: str, partitions: int, isolation: int) -> list[int]:
    """The ends of all partitions, asked at once of the one broker."""
    wanted = [(topic, [(number, _LATEST) for number in range(partitions)])]
    answer = await client.send(await leader_of(client, topic, 0), OffsetRequest(-1, isolation, wanted))
    ends: dict[int, int] = {}
    for _, rows in answer.topics:
        for number, code, _, offset in rows:
            if code != 0:
                raise for_code(code)(f"{topic}-{number}")
            ends[number] = offset
    return [ends[number] for number in range(partitions)]

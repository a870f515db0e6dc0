"""Following all partitions of a topic from their ends on, committed records only, with little delay.

Theory of operation. One Fetch for each leader names all of its partitions at explicit offsets and waits at the broker
until any of them has something; what it brings is handed out before the next one is sent, so no partition ever waits
behind a fetch that left it out. A leader's fetch is a task of its own: a slow broker delays only its partitions, and an
open transaction in one partition holds back that partition alone. Needs a client of its own, because the broker serves
the requests of a connection one after the other.

An offset that retention has passed begins anew at the oldest record: whoever follows wants what is new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.errors import OffsetOutOfRangeError, for_code

from infra.kafka.cluster import is_connection_fault, leader_of, refresh
from infra.kafka.fetched import aborted_of, decode_fetched
from infra.kafka.hot_requests import HotFetch
from infra.kafka.ports import Record
from infra.kafka.protocol import NO_ERROR
from infra.kafka.reader import KafkaLogReader

_RETRY_S = 0.05
_FETCH_BYTES_MAX = 8 << 20
_PARTITION_BYTES_MAX = 1 << 20


class KafkaFollower:
    """Implements `infra.kafka.ports.Follower` over a started client that nobody else uses."""

    def __init__(self, client: AIOKafkaClient, topic: str, partitions: int, *, wait_ms: int = 100) -> None:
        self._client = client
        self._topic = topic
        self._partitions = range(partitions)
        self._wait_ms = wait_ms
        self._reader = KafkaLogReader(client)
        self._positions: dict[int, int] = {}
        self._fetches: dict[int, asyncio.Task[Any]] = {}

    async def start(self) -> None:
        """Stand at the end of every partition. Raises `ReadFault` when no broker says where that is."""
        ends = [self._reader.end_offset(self._topic, partition) for partition in self._partitions]
        self._positions = dict(zip(self._partitions, await asyncio.gather(*ends), strict=True))

    async def poll(self) -> Sequence[Record]:
        """See `infra.kafka.ports.Follower.poll`."""
        try:
            await self._launch()
            done, _ = await asyncio.wait(self._fetches.values(), return_when=asyncio.FIRST_COMPLETED)
            return [record for task in done for record in self._taken(task)]
        except Exception as error:
            if not is_connection_fault(error):
                raise
            await asyncio.sleep(_RETRY_S)
            await refresh(self._client)
            return ()

    async def close(self) -> None:
        """End the fetches that are under way."""
        for task in self._fetches.values():
            task.cancel()
        await asyncio.gather(*self._fetches.values(), return_exceptions=True)
        self._fetches.clear()

    async def _launch(self) -> None:
        """A fetch for every leader that has none under way."""
        by_leader: dict[int, dict[int, int]] = {}
        for partition, position in self._positions.items():
            leader = await leader_of(self._client, self._topic, partition)
            by_leader.setdefault(leader, {})[partition] = position
        for leader, positions in by_leader.items():
            if leader not in self._fetches:
                self._fetches[leader] = asyncio.create_task(self._fetch(leader, positions))

    async def _fetch(self, leader: int, positions: Mapping[int, int]) -> list[Any]:
        places = [(partition, position, _PARTITION_BYTES_MAX) for partition, position in positions.items()]
        request = HotFetch(self._wait_ms, 1, _FETCH_BYTES_MAX, READ_COMMITTED, [(self._topic, places)])
        answer = await self._client.send(leader, request)
        ((_, entries),) = answer.topics
        for entry in entries:
            if entry[1] != NO_ERROR and for_code(entry[1]) is OffsetOutOfRangeError:
                self._positions[entry[0]] = await self._reader.begin_offset(self._topic, entry[0])
        return list(entries)

    def _taken(self, task: asyncio.Task[Any]) -> list[Record]:
        """The records of an answered fetch; positions move past them, markers and aborted records included."""
        self._fetches = {leader: other for leader, other in self._fetches.items() if other is not task}
        records: list[Record] = []
        for entry in task.result():
            partition, code, data = entry[0], entry[1], entry[-1]
            if code != NO_ERROR:
                error = for_code(code)
                if error is OffsetOutOfRangeError:
                    continue
                raise error(f"{self._topic}-{partition}")
            if not data:  # of eight partitions most have nothing new
                continue
            place = f"{self._topic}-{partition}"
            batch, self._positions[partition] = decode_fetched(
                place, data, aborted_of(entry), self._positions[partition]
            )
            records += batch
        return records

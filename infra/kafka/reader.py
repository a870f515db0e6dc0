"""Reading partitions at explicit offsets: rebuilds, audits and gaps, without a consumer.

Theory of operation
-------------------
A consumer has a position that is set beside the read: a seek that loses against the initial reset reads nothing and
says nothing. Here every request is a Fetch that names its offset, so there is no position to lose:

    begin -> Fetch(offset) -> records, next offset -> Fetch(next) -> … -> until next offset >= end

- The end is the last stable offset (LSO) unless the caller names one; the loop ends on the *next fetch offset*, which
  passes transaction markers and aborted batches, never on the offset of a record (a log that ends in a marker has no
  record at end - 1).
- ``begin`` older than the log's first offset is a hole and raises; so does ``begin`` beyond the end, and an end that
  is not reached in time.
- Reading a range that is not empty and ending without one fetched batch cannot happen silently: each Fetch must move
  the next offset, else it is asked again until the deadline and then raises.
- Aborted transactions are left out by the list of aborted producers in each answer; the broker returns nothing at or
  above the LSO for read_committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED
from aiokafka.errors import (
    OffsetOutOfRangeError,
    for_code,
)
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest

from infra.kafka.cluster import is_connection_fault, leader_of, refresh
from infra.kafka.fetched import aborted_of, decode_fetched
from infra.kafka.ports import ReadFault, Record

_EARLIEST = -2
_LATEST = -1
_RETRY_S = 0.05


class KafkaLogReader:
    """Implements `infra.kafka.ports.LogReader` over a started client. Safe for concurrent reads."""

    def __init__(
        self,
        client: AIOKafkaClient,
        *,
        progress_timeout_s: float = 10.0,
        fetch_bytes_max: int = 4 << 20,
        wait_ms: int = 100,
    ) -> None:
        """``progress_timeout_s`` bounds the time without any progress, not the whole read."""
        self._client = client
        self._progress_timeout_s = progress_timeout_s
        self._fetch_bytes_max = fetch_bytes_max
        self._wait_ms = wait_ms

    async def begin_offset(self, topic: str, partition: int) -> int:
        """The oldest offset that is still kept."""
        return await self._list_offset(topic, partition, _EARLIEST, READ_UNCOMMITTED)

    async def end_offset(self, topic: str, partition: int, *, committed: bool = True) -> int:
        """The last stable offset, or with ``committed=False`` the end of the log."""
        return await self._list_offset(topic, partition, _LATEST, READ_COMMITTED if committed else READ_UNCOMMITTED)

    async def read(
        self, topic: str, partition: int, begin: int, end: int | None = None, *, committed: bool = True
    ) -> AsyncIterator[Sequence[Record]]:
        """See `infra.kafka.ports.LogReader.read`."""
        if end is None:
            end = await self.end_offset(topic, partition, committed=committed)
        position = begin
        while position < end:
            batch, position = await self._advance(topic, partition, position, committed)
            if batch and batch[-1].offset >= end:
                batch = [record for record in batch if record.offset < end]
            if batch:
                yield batch

    async def _advance(self, topic: str, partition: int, position: int, committed: bool) -> tuple[list[Record], int]:
        """The records at ``position`` and the next position, which is greater."""
        place = f"{topic}-{partition}"
        try:
            async with asyncio.timeout(self._progress_timeout_s):
                while True:
                    try:
                        batch, following = await self._fetch(topic, partition, position, committed)
                    except OffsetOutOfRangeError as error:
                        raise await self._out_of_range(topic, partition, position) from error
                    except Exception as error:
                        if not is_connection_fault(error):
                            raise
                        await asyncio.sleep(_RETRY_S)
                        await refresh(self._client)
                        continue
                    if following > position:
                        return batch, following
        except TimeoutError as error:
            raise ReadFault(
                f"{place} gave nothing at offset {position} for {self._progress_timeout_s:g} s,"
                " although the log was said to go on there"
            ) from error

    async def _fetch(self, topic: str, partition: int, position: int, committed: bool) -> tuple[list[Record], int]:
        isolation = READ_COMMITTED if committed else READ_UNCOMMITTED
        leader = await leader_of(self._client, topic, partition)
        topics = [(topic, [(partition, position, self._fetch_bytes_max)])]
        request = FetchRequest(self._wait_ms, 1, self._fetch_bytes_max, isolation, topics)
        answer = await self._client.send(leader, request)
        ((_, (entry,)),) = answer.topics
        if entry[1] != 0:
            raise for_code(entry[1])(f"{topic}-{partition} at {position}")
        aborted = aborted_of(entry) if committed else None
        return decode_fetched(f"{topic}-{partition}", entry[-1], aborted, position)

    async def _out_of_range(self, topic: str, partition: int, position: int) -> ReadFault:
        begin = await self.begin_offset(topic, partition)
        end = await self.end_offset(topic, partition, committed=False)
        return ReadFault(f"{topic}-{partition} holds offsets {begin} to {end}, so nothing can be read at {position}")

    async def _list_offset(self, topic: str, partition: int, timestamp: int, isolation: int) -> int:
        try:
            async with asyncio.timeout(self._progress_timeout_s):
                while True:
                    try:
                        leader = await leader_of(self._client, topic, partition)
                        request = OffsetRequest(-1, isolation, [(topic, [(partition, timestamp)])])
                        answer = await self._client.send(leader, request)
                        ((_, ((_, code, _, offset),)),) = answer.topics
                        if code == 0:
                            return int(offset)
                        raise for_code(code)(f"{topic}-{partition}")
                    except Exception as error:
                        if not is_connection_fault(error):
                            raise
                        await asyncio.sleep(_RETRY_S)
                        await refresh(self._client)
        except TimeoutError as error:
            raise ReadFault(
                f"no broker named an offset of {topic}-{partition} within {self._progress_timeout_s:g} s"
            ) from error


async def end_offsets(
    reader: KafkaLogReader, places: Sequence[tuple[str, int]], *, committed: bool = True
) -> Mapping[tuple[str, int], int]:
    """The ends of several partitions at once (LSO unless ``committed`` is False)."""
    ends = await asyncio.gather(*(reader.end_offset(*place, committed=committed) for place in places))
    return dict(zip(places, ends, strict=True))

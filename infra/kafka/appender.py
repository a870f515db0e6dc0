"""Appending commands: idempotent, never transactional, many callers packed into one record.

Theory of operation
-------------------
Each partition has a lane: a queue and at most one record in flight. A caller that finds the lane idle is sent at once;
while a record is in flight the callers that come meanwhile gather and leave together in the next one (at most
``record_bytes_max``). So a lone item never waits for company, and under load records grow by themselves. No timer.

Every lane has a producer id and sequence number of its own (KIP-98 without a transactional id). A record whose answer
does not come is sent again with the SAME bytes and sequence number until ``delivery_timeout_s``: the broker knows the
last batches of a producer and answers a repeat with the first one's offset and time. When the time is over, or the
broker refuses after an attempt whose fate is unknown, exactly the items of that record get `OutcomeUnknown`; if no
attempt can have arrived they get `NotAppended`. Either way the lane takes a new producer id and goes on with the next
record: the order of commands between callers is the log's, not theirs, so a late arrival of the lost record is
harmless, and a client that retries does so under its idempotency key.

``commands`` must carry no transaction markers (a marker looks like a hole to the processors) and must use
LogAppendTime: the broker's time in the acknowledgement is the command's time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import for_code
from aiokafka.protocol.transaction import InitProducerIdRequest

from infra.kafka.batches import Batch
from infra.kafka.cluster import is_connection_fault, leader_of, refresh
from infra.kafka.hot_requests import HotProduce
from infra.kafka.ports import Appended, NotAppended, OutcomeUnknown, Outgoing, Overloaded
from infra.kafka.protocol import NO_ERROR, PartitionAnswer, produce_answers
from schemas.codec import pack_items

_RETRY_S = 0.05
_SEQUENCE_END = (1 << 31) - 1
_ITEM_OVERHEAD = 4
_FAULTS_BEFORE_APPEND = frozenset({3, 5, 6, 19, 56})  # unknown topic, no leader, not leader, too few replicas, disk
_FAULTS_OF_UNKNOWN_FATE = frozenset({7, 13, 20})  # timed out, network, too few replicas after the append
_FAULTS_OF_IDENTITY = frozenset({45, 47, 49, 59})  # sequence, epoch or producer id that the broker no longer knows


@dataclass(slots=True, eq=False)
class _Entry:
    """Items that stay together; ``done`` gets the offset, the index of the first of them, and the broker's time."""

    items: Sequence[bytes]
    size: int
    done: asyncio.Future[tuple[int, int, int]]


@dataclass(slots=True, eq=False)
class _Lane:
    partition: int
    waiting: deque[_Entry] = field(default_factory=deque)
    task: asyncio.Task[None] | None = None
    producer_id: int = -1
    epoch: int = -1
    sequence: int = 0


class CommandAppender:
    """Implements `infra.kafka.ports.Appender` over a started client. One per process and topic."""

    def __init__(
        self,
        client: AIOKafkaClient,
        topic: str,
        *,
        queue_bytes_max: int = 64 << 20,
        record_bytes_max: int = 512 << 10,
        delivery_timeout_s: float = 5.0,
    ) -> None:
        self._client = client
        self._topic = topic
        self._queue_bytes_max = queue_bytes_max
        self._record_bytes_max = record_bytes_max
        self._delivery_timeout_s = delivery_timeout_s
        self._queued_bytes = 0
        self._lanes: dict[int, _Lane] = {}
        self._closed = False

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait or are in flight; a gauge."""
        return self._queued_bytes

    async def append(self, partition: int, item: bytes) -> Appended:
        """See `infra.kafka.ports.Appender.append`. A cancelled caller does not take its item back."""
        return Appended(*await self._enqueue(partition, (item,), len(item) + _ITEM_OVERHEAD))

    async def append_many(self, partition: int, items: Sequence[bytes]) -> list[Appended]:
        """See `infra.kafka.ports.Appender.append_many`. All or none are queued; raises the first failure if any."""
        chunks = _chunks(items, self._record_bytes_max)
        self._admit(sum(size for _, size in chunks))
        waiting = [self._enqueue(partition, chunk, size, admitted=True) for chunk, size in chunks]
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        appended: list[Appended] = []
        for (chunk, _), outcome in zip(chunks, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                raise outcome
            offset, first, time_ms = outcome
            appended.extend(Appended(offset, first + number, time_ms) for number in range(len(chunk)))
        return appended

    async def close(self) -> None:
        """Refuse new items, wait until what is queued is settled. The client stays open: it is the caller's."""
        self._closed = True
        tasks = [lane.task for lane in self._lanes.values() if lane.task is not None]
        await asyncio.gather(*tasks)

    def _admit(self, size: int) -> None:
        if self._closed:
            raise NotAppended(f"the appender to {self._topic} is closed")
        if self._queued_bytes + size > self._queue_bytes_max:
            raise Overloaded(f"{self._queued_bytes} bytes wait for {self._topic} already")

    def _enqueue(
        self, partition: int, items: Sequence[bytes], size: int, *, admitted: bool = False
    ) -> asyncio.Future[tuple[int, int, int]]:
        if not admitted:
            self._admit(size)
        lane = self._lanes.get(partition)
        if lane is None:
            lane = self._lanes[partition] = _Lane(partition)
        entry = _Entry(items, size, asyncio.get_running_loop().create_future())
        lane.waiting.append(entry)
        self._queued_bytes += size
        if lane.task is None:
            lane.task = asyncio.create_task(self._drain(lane), name=f"append {self._topic}-{partition}")
        return entry.done

    async def _drain(self, lane: _Lane) -> None:
        while lane.waiting:
            entries = _take(lane.waiting, self._record_bytes_max)
            try:
                answer = await self._deliver(lane, pack_items([item for entry in entries for item in entry.items]))
            except Exception as error:
                lane.producer_id = -1
                _fail(entries, error)
            else:
                _settle(entries, answer)
            self._queued_bytes -= sum(entry.size for entry in entries)
        lane.task = None

    async def _deliver(self, lane: _Lane, value: bytes) -> PartitionAnswer:
        """Append one record. Raises `OutcomeUnknown` or `NotAppended`."""
        batch = Batch(0, transactional=False)
        batch.add(Outgoing(self._topic, lane.partition, None, value))
        place = f"{self._topic}-{lane.partition}"
        perhaps_there, last = False, "no leader"
        try:
            async with asyncio.timeout(self._delivery_timeout_s):
                while True:
                    if lane.producer_id < 0 or lane.sequence >= _SEQUENCE_END:
                        await self._identify(lane)
                    leader = await leader_of(self._client, self._topic, lane.partition)
                    data = batch.build(lane.producer_id, lane.epoch, lane.sequence)
                    sent, perhaps_there = perhaps_there, True
                    answer = await self._send(leader, lane.partition, data)
                    if answer is None or answer.error_code in _FAULTS_OF_UNKNOWN_FATE:
                        last = "no answer"
                    elif answer.error_code == NO_ERROR:
                        lane.sequence += 1
                        return answer
                    else:
                        perhaps_there, last = sent, for_code(answer.error_code).__name__
                        if perhaps_there and answer.error_code not in _FAULTS_BEFORE_APPEND:
                            break
                        if answer.error_code in _FAULTS_OF_IDENTITY:
                            lane.producer_id = -1
                        elif answer.error_code not in _FAULTS_BEFORE_APPEND:
                            break
                    await asyncio.sleep(_RETRY_S)
                    await refresh(self._client)
        except TimeoutError:
            pass
        if perhaps_there:
            raise OutcomeUnknown(f"{place} did not acknowledge the record in time ({last})")
        raise NotAppended(f"{place} did not take the record ({last})")

    async def _send(self, leader: int, partition: int, data: bytes) -> PartitionAnswer | None:
        """One attempt; None when nobody knows how it ended."""
        timeout_ms = int(self._delivery_timeout_s * 1000)
        try:
            request = HotProduce(None, -1, timeout_ms, [(self._topic, [(partition, data)])])
            (answer,) = produce_answers(await self._client.send(leader, request))
        except Exception as error:
            if is_connection_fault(error):
                return None
            raise
        return answer

    async def _identify(self, lane: _Lane) -> None:
        """Give the lane a fresh producer id; tries until the caller's timeout."""
        while True:
            try:
                node = self._client.get_random_node()
                if node is not None:
                    answer = await self._client.send(node, InitProducerIdRequest(None, 0))
                    if answer.error_code == NO_ERROR:
                        lane.producer_id, lane.epoch, lane.sequence = answer.producer_id, answer.producer_epoch, 0
                        return
            except Exception as error:
                if not is_connection_fault(error):
                    raise
            await asyncio.sleep(_RETRY_S)
            await refresh(self._client)


def _chunks(items: Sequence[bytes], bytes_max: int) -> list[tuple[list[bytes], int]]:
    chunks: list[tuple[list[bytes], int]] = []
    chunk: list[bytes] = []
    size = 0
    for item in items:
        if chunk and size + len(item) + _ITEM_OVERHEAD > bytes_max:
            chunks.append((chunk, size))
            chunk, size = [], 0
        chunk.append(item)
        size += len(item) + _ITEM_OVERHEAD
    return [*chunks, (chunk, size)] if chunk else chunks


def _take(waiting: deque[_Entry], bytes_max: int) -> list[_Entry]:
    """The entries of the next record: at least one, then as many as fit."""
    entries = [waiting.popleft()]
    size = entries[0].size
    while waiting and size + waiting[0].size <= bytes_max:
        entry = waiting.popleft()
        size += entry.size
        entries.append(entry)
    return entries


def _settle(entries: Sequence[_Entry], answer: PartitionAnswer) -> None:
    first = 0
    for entry in entries:
        if not entry.done.done():
            if answer.append_time_ms < 0:
                entry.done.set_exception(RuntimeError(f"the topic {answer.topic} does not use LogAppendTime"))
            else:
                entry.done.set_result((answer.base_offset, first, answer.append_time_ms))
        first += len(entry.items)


def _fail(entries: Sequence[_Entry], error: Exception) -> None:
    for entry in entries:
        if not entry.done.done():
            entry.done.set_exception(error)

"""The log in memory: partitions, transactions, fencing and last stable offsets, for simulations and fast tests.

It keeps what the rest of the pipeline relies on and nothing else:
- a partition is a list of entries; an entry is a record of a transaction or of none, or a transaction's marker, which
  takes an offset too, as in Kafka;
- a transactional id has one living producer; initialising another aborts what the first left open and fences it;
- a reader of committed records stops at the first entry of an open transaction (the LSO) and skips aborted ones;
- topics with LogAppendTime get their time from the injected clock, others keep the producer's.

Faults are asked for, not rolled: ``log.fault`` names one of `FAULTS`, and the next commit (of any producer, or of
the id in ``fault_id``) meets it. The two that matter most are ``after-append`` (records written, nothing committed)
and ``after-commit`` (committed, but the acknowledgement is lost).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Literal

import msgspec

from infra.clock import Clock
from infra.kafka.ports import (
    Appended,
    Fenced,
    NotAppended,
    OutcomeUnknown,
    Outgoing,
    ReadFault,
    Record,
    TransactionError,
)
from schemas.codec import pack_items

Fault = Literal["before-append", "after-append", "after-commit"]
FAULTS: tuple[Fault, ...] = ("before-append", "after-append", "after-commit")
_BATCH_RECORDS = 500


class _Transaction:
    __slots__ = ("places", "state")

    def __init__(self) -> None:
        self.state: Literal["open", "committed", "aborted"] = "open"
        self.places: set[tuple[str, int]] = set()


class _Entry(msgspec.Struct):
    """A record, or with ``record`` None a marker or a record that compaction took."""

    record: Record | None
    transaction: _Transaction | None


class _Partition:
    __slots__ = ("begin", "entries")

    def __init__(self) -> None:
        self.begin = 0
        self.entries: list[_Entry] = []

    @property
    def end(self) -> int:
        return self.begin + len(self.entries)

    def last_stable_offset(self) -> int:
        for index, entry in enumerate(self.entries):
            if entry.transaction is not None and entry.transaction.state == "open":
                return self.begin + index
        return self.end


class MemoryLog:
    """A whole cluster: create topics, take producers and readers from it."""

    def __init__(self, clock: Clock, topics: Mapping[str, int], append_time_topics: Sequence[str] = ()) -> None:
        """``topics`` maps a name to its number of partitions; ``append_time_topics`` use the clock's time."""
        self._clock = clock
        self._append_time_topics = frozenset(append_time_topics)
        self._partitions = {(name, number): _Partition() for name, count in topics.items() for number in range(count)}
        self._owners: dict[str, MemoryProducer] = {}
        self.fault: Fault | None = None
        self.fault_id: str | None = None

    def producer(self, transactional_id: str) -> MemoryProducer:
        """A transactional producer; not usable before its `initialise`."""
        return MemoryProducer(self, transactional_id)

    def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """Retention: forget every entry below ``offset``."""
        log = self._partitions[topic, partition]
        keep = max(0, min(offset, log.end) - log.begin)
        del log.entries[:keep]
        log.begin += keep

    def append(
        self,
        topic: str,
        partition: int,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: tuple[tuple[str, bytes], ...] = (),
        timestamp_ms: int | None = None,
        transaction: _Transaction | None = None,
    ) -> Record:
        """Append one record, outside of a transaction unless one is given."""
        log = self._partitions[topic, partition]
        if timestamp_ms is None or topic in self._append_time_topics:
            timestamp_ms = self._clock.now_ms()
        record = Record(log.end, timestamp_ms, key, value, headers)
        log.entries.append(_Entry(record, transaction))
        return record

    def take_over(self, producer: MemoryProducer) -> None:
        """Make ``producer`` the living one of its id and abort what its predecessor left open."""
        previous = self._owners.get(producer.transactional_id)
        if previous is not None and previous.transaction is not None:
            self.finish(previous.transaction, "aborted")
            previous.transaction = None
        self._owners[producer.transactional_id] = producer

    def is_owner(self, producer: MemoryProducer) -> bool:
        return self._owners.get(producer.transactional_id) is producer

    def finish(self, transaction: _Transaction, state: Literal["committed", "aborted"]) -> None:
        """End a transaction: its markers take an offset in each of its partitions."""
        transaction.state = state
        for place in sorted(transaction.places):
            self._partitions[place].entries.append(_Entry(None, None))

    def meets(self, fault: Fault, transactional_id: str) -> bool:
        """Whether the commit of this id meets ``fault`` now; a fault happens once."""
        if self.fault != fault or self.fault_id not in (None, transactional_id):
            return False
        self.fault = None
        return True

    async def begin_offset(self, topic: str, partition: int) -> int:
        """See `infra.kafka.ports.LogReader.begin_offset`."""
        return self._partitions[topic, partition].begin

    async def end_offset(self, topic: str, partition: int, *, committed: bool = True) -> int:
        """See `infra.kafka.ports.LogReader.end_offset`."""
        log = self._partitions[topic, partition]
        return log.last_stable_offset() if committed else log.end

    async def read(
        self, topic: str, partition: int, begin: int, end: int | None = None, *, committed: bool = True
    ) -> AsyncIterator[Sequence[Record]]:
        """See `infra.kafka.ports.LogReader.read`."""
        log = self._partitions[topic, partition]
        limit = await self.end_offset(topic, partition, committed=committed)
        end = limit if end is None else end
        position = begin
        while position < end:
            if not log.begin <= position <= log.end:
                raise ReadFault(
                    f"{topic}-{partition} holds offsets {log.begin} to {log.end}, so nothing can be read at {position}"
                )
            if position >= limit:
                raise ReadFault(f"{topic}-{partition} gave nothing at offset {position}, although asked to {end}")
            upto = min(position + _BATCH_RECORDS, end, limit)
            entries = log.entries[position - log.begin : upto - log.begin]
            position = upto
            batch = [entry.record for entry in entries if entry.record is not None and _readable(entry, committed)]
            await asyncio.sleep(0)
            if batch:
                yield batch


def _readable(entry: _Entry, committed: bool) -> bool:
    return not committed or entry.transaction is None or entry.transaction.state == "committed"


class MemoryProducer:
    """Implements `infra.kafka.ports.TransactionalLog`."""

    def __init__(self, log: MemoryLog, transactional_id: str) -> None:
        self._log = log
        self.transactional_id = transactional_id
        self.transaction: _Transaction | None = None
        self._usable = False

    async def initialise(self) -> None:
        """Fence and abort every predecessor of this id."""
        await asyncio.sleep(0)
        self._log.take_over(self)
        self._usable = True

    async def commit(self, records: Sequence[Outgoing]) -> Mapping[tuple[str, int], int]:
        """See `infra.kafka.ports.TransactionalLog.commit`."""
        if not records:
            raise ValueError("a transaction without records has nothing to commit")
        if not self._usable:
            raise TransactionError(f"the producer {self.transactional_id} is dead or not initialised")
        self._usable = False
        await asyncio.sleep(0)
        self._check("before-append")
        self.transaction = transaction = _Transaction()
        base_offsets: dict[tuple[str, int], int] = {}
        for record in records:
            place = (record.topic, record.partition)
            transaction.places.add(place)
            appended = self._log.append(
                *place,
                record.value,
                key=record.key,
                headers=record.headers,
                timestamp_ms=record.timestamp_ms,
                transaction=transaction,
            )
            base_offsets.setdefault(place, appended.offset)
        await asyncio.sleep(0)
        self._check("after-append")
        self._log.finish(transaction, "committed")
        self.transaction = None
        await asyncio.sleep(0)
        if self._log.meets("after-commit", self.transactional_id):
            raise TransactionError(f"the outcome of {self.transactional_id} is unknown: acknowledgement lost")
        self._usable = True
        return base_offsets

    def _check(self, fault: Fault) -> None:
        if not self._log.is_owner(self):
            raise Fenced(f"{self.transactional_id} was initialised by another producer")
        if self._log.meets(fault, self.transactional_id):
            raise TransactionError(f"the outcome of {self.transactional_id} is unknown: {fault}")


class MemoryAppender:
    """Implements `infra.kafka.ports.Appender`: one record an append call, never in a transaction."""

    def __init__(self, log: MemoryLog, topic: str) -> None:
        self._log = log
        self._topic = topic
        self.lose_acknowledgement = False

    async def append(self, partition: int, item: bytes) -> Appended:
        """See `infra.kafka.ports.Appender.append`."""
        (appended,) = await self.append_many(partition, [item])
        return appended

    async def append_many(self, partition: int, items: Sequence[bytes]) -> list[Appended]:
        """All items in one record."""
        record = self._log.append(self._topic, partition, pack_items(items))
        await asyncio.sleep(0)
        if self.lose_acknowledgement:
            self.lose_acknowledgement = False
            raise OutcomeUnknown(f"the acknowledgement of {self._topic}-{partition} was lost")
        return [Appended(record.offset, index, record.timestamp_ms) for index in range(len(items))]


class MemoryRecords:
    """Implements `infra.kafka.ports.Records`; while `is_away` nothing is taken."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.is_away = False

    async def append(self, records: Sequence[Outgoing]) -> None:
        """See the port."""
        await asyncio.sleep(0)
        if self.is_away:
            raise NotAppended("the log is away")
        for record in records:
            self._log.append(record.topic, record.partition, record.value, key=record.key, headers=record.headers)


class MemoryFollower:
    """Implements `infra.kafka.ports.Follower`; looks every few milliseconds."""

    def __init__(self, log: MemoryLog, topic: str, partitions: int) -> None:
        self._log = log
        self._topic = topic
        self._positions = dict.fromkeys(range(partitions), 0)

    async def start(self) -> None:
        """Stand at the end of every partition."""
        for partition in self._positions:
            self._positions[partition] = await self._log.end_offset(self._topic, partition)

    async def poll(self) -> Sequence[Record]:
        """See the port."""
        found: list[Record] = []
        for partition, position in self._positions.items():
            begin = max(position, await self._log.begin_offset(self._topic, partition))
            end = await self._log.end_offset(self._topic, partition)
            if begin < end:
                async for batch in self._log.read(self._topic, partition, begin, end):
                    found.extend(batch)
                self._positions[partition] = end
        if not found:
            await asyncio.sleep(0.005)
        return found

    async def close(self) -> None:
        """Nothing is under way."""

"""A Kafka broker in memory that is spoken to in requests: Produce, InitProducerId, EndTxn, as its 4.x release answers.

Theory of operation
-------------------
It keeps what the pipeline relies on, and gets it wrong in no way that Kafka does not:

* a partition is a list of entries: records, of a transaction or of none, and markers, which take an offset too;
* idempotent producers: a batch whose sequence number was seen is answered with where it stands and not appended
  again, one out of order is refused, and so is an older epoch (KIP-98);
* transactions V2 (KIP-890): EndTxn raises the epoch, so a late request of the last transaction is refused; a Produce
  that comes while markers are still being written is told to wait (51);
* EndTxn is answered when the end is decided. The markers follow, each partition's at a moment of its own;
* InitProducerId ends what the predecessor left, raises the epoch, and answers once the markers are written;
* a transaction that lasts longer than its timeout is aborted.

Whoever reads committed records stops at the first entry of an open transaction and skips aborted ones.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace
from typing import Any

from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.protocol.types import CompactString, Int16, UnsignedVarInt32
from aiokafka.record.memory_records import MemoryRecords

from infra.kafka.ports import Record
from infra.kafka.protocol import (
    API_END_TXN,
    API_PRODUCE,
    CONCURRENT_TRANSACTIONS,
    INVALID_PRODUCER_EPOCH,
    NO_ERROR,
    TRANSACTION_FEATURE,
    ApiVersionsV3,
    EndTxnV5,
    ProduceV12,
)
from tests.simulation.partitions import Partition, Place, Seen, Transaction
from tests.simulation.processes import SERVER, SkewedClock
from tests.simulation.troubles import Troubles

NOT_LEADER, NOT_ENOUGH_REPLICAS_AFTER_APPEND = 6, 20
INVALID_TRANSACTION_STATE = 48
_FEATURES = (
    UnsignedVarInt32.encode(2) + CompactString().encode(TRANSACTION_FEATURE) + Int16.encode(2) + Int16.encode(0) + b"\0"
)


@dataclass(eq=False, slots=True)
class _Identity:
    """A transactional id as the coordinator knows it."""

    producer_id: int
    epoch: int = -1
    timeout_s: float = 10.0
    transaction: Transaction | None = None
    unmarked: set[Place] = field(default_factory=set)


class Broker:
    """All topics, and the coordinator of transactions. `receive` runs in the context of servers."""

    def __init__(
        self, topics: Mapping[str, int], append_time: Sequence[str], random: Random, troubles: Troubles
    ) -> None:
        """`append_time` names the topics whose records get this broker's time."""
        self.clock = SkewedClock()
        self.is_away = False
        self.partitions = {(t, p): Partition((t, p)) for t, count in topics.items() for p in range(count)}
        self.identities: dict[str, _Identity] = {}
        self._append_time, self._random, self._troubles = frozenset(append_time), random, troubles
        self._producer_ids = 0
        self._waiting: defaultdict[str, list[asyncio.Future[None]]] = defaultdict(list)

    def receive(self, request: Any) -> Any:
        """The answer to a request; whatever it changes is changed now."""
        match request:
            case ProduceV12():
                return self._produced(request._transactional_id, request._batches)
            case ProduceRequest():
                return self._produced(None, dict(request._topics))
            case InitProducerIdRequest():
                return self._initialised(request._transactional_id, request._transaction_timeout_ms)
            case EndTxnV5():
                return self._ended(*request._arguments[:4])
            case ApiVersionsV3():
                versions = [(API_PRODUCE, 3, 12), (API_END_TXN, 0, 5)]
                return SimpleNamespace(api_versions=[(*v, {}) for v in versions], tags={2: _FEATURES})
            case _:
                raise NotImplementedError(type(request).__name__)

    def append(self, topic: str, partition: int, value: bytes) -> int:
        """Put a record there as some foreign producer would; its offset."""
        log = self.partitions[topic, partition]
        log.append(Record(len(log.entries), self.clock.now_ms(), None, value))
        self.tell(topic)
        return len(log.entries) - 1

    async def news(self, topics: Iterable[str], timeout_s: float) -> None:
        """Returns when something was appended to the topics or ended there, or after the timeout."""
        loop = asyncio.get_running_loop()
        told: asyncio.Future[None] = loop.create_future()
        for topic in topics:
            self._waiting[topic].append(told)
        timer = loop.call_later(timeout_s, _settle, told)
        try:
            await told
        finally:
            timer.cancel()

    def tell(self, topic: str) -> None:
        """Wake whoever waits for news of the topic."""
        for told in self._waiting.pop(topic, ()):
            _settle(told)

    def _produced(self, name: str | None, topics: Mapping[str, Sequence[tuple[int, bytes]]]) -> Any:
        answers = []
        for topic, batches in topics.items():
            for partition, data in batches:
                code, offset, time_ms = self._taken(name, self.partitions[topic, partition], data)
                answers.append((topic, [(partition, code, offset, time_ms)]))
            self.tell(topic)
        return SimpleNamespace(topics=answers)

    def _taken(self, name: str | None, log: Partition, data: bytes) -> tuple[int, int, int]:
        if self._troubles.strikes("a partition without a leader", 0.004):
            return NOT_LEADER, -1, -1
        batch = MemoryRecords(data).next_batch()
        pid, epoch, first = batch.producer_id, batch.producer_epoch, batch.base_sequence
        transaction = None
        if name is not None:
            identity = self.identities[name]
            if (identity.producer_id, identity.epoch) != (pid, epoch):
                self._troubles.saw("a Produce of an old epoch was refused")
                return INVALID_PRODUCER_EPOCH, -1, -1
            if identity.unmarked:
                return CONCURRENT_TRANSACTIONS, -1, -1
            transaction = self._begun(identity)
        records = list(batch)
        code, seen = log.in_sequence(pid, epoch, first, len(records))
        if code == NO_ERROR and seen is None:
            seen = self._append(log, records, transaction, first)
            log.sequences[pid].batches.append(seen)
            if self._troubles.strikes("too few replicas after the append", 0.004):
                return NOT_ENOUGH_REPLICAS_AFTER_APPEND, -1, -1
        elif seen is not None:
            self._troubles.saw("a repeated Produce was recognised")
        return (code, -1, -1) if seen is None else (code, seen.offset, seen.time_ms)

    def _append(self, log: Partition, records: Sequence[Any], transaction: Transaction | None, first: int) -> Seen:
        now_ms, base = self.clock.now_ms(), len(log.entries)
        own_time = log.place[0] in self._append_time
        for record in records:
            time_ms = now_ms if own_time else record.timestamp
            entry = Record(len(log.entries), time_ms, record.key, record.value, tuple(record.headers))
            log.append(entry, transaction)
        return Seen(first, len(records), base, now_ms if own_time else -1)

    def _initialised(self, name: str | None, timeout_ms: int) -> Any:
        if name is None:
            self._producer_ids += 1
            return SimpleNamespace(error_code=NO_ERROR, producer_id=self._producer_ids, producer_epoch=0)
        identity = self.identities.get(name)
        if identity is None:
            self._producer_ids += 1
            identity = self.identities[name] = _Identity(self._producer_ids)
        if identity.transaction is not None:
            self._troubles.saw("a takeover aborted an open transaction")
            self._end(identity, commit=False)
        if identity.unmarked:
            return SimpleNamespace(error_code=CONCURRENT_TRANSACTIONS, producer_id=-1, producer_epoch=-1)
        identity.epoch += 1
        identity.timeout_s = timeout_ms / 1000
        return SimpleNamespace(error_code=NO_ERROR, producer_id=identity.producer_id, producer_epoch=identity.epoch)

    def _begun(self, identity: _Identity) -> Transaction:
        """The identity's open transaction; a new one has its timeout from now on."""
        if identity.transaction is None:
            transaction = identity.transaction = Transaction()
            self._later(identity.timeout_s, lambda: self._expire(identity, transaction))
        return identity.transaction

    def _expire(self, identity: _Identity, transaction: Transaction) -> None:
        if identity.transaction is transaction:
            self._troubles.saw("a transaction ran into its timeout")
            self._end(identity, commit=False)

    def _ended(self, name: str, producer_id: int, epoch: int, commit: bool) -> Any:
        identity = self.identities[name]
        code = NO_ERROR
        if identity.producer_id != producer_id or identity.epoch != epoch:
            self._troubles.saw("an EndTxn of an old epoch was refused")
            code = INVALID_PRODUCER_EPOCH
        elif identity.unmarked:
            code = CONCURRENT_TRANSACTIONS
        elif identity.transaction is None:
            code = INVALID_TRANSACTION_STATE
        else:
            self._end(identity, commit=commit)
        return SimpleNamespace(error_code=code, producer_id=identity.producer_id, producer_epoch=identity.epoch)

    def _end(self, identity: _Identity, *, commit: bool) -> None:
        transaction, identity.transaction = identity.transaction, None
        assert transaction is not None
        identity.epoch += 1
        identity.unmarked = set(transaction.places)
        slow_s = 5.0 if self._troubles.strikes("slow markers", 0.03) else 0.004
        for place in transaction.places:
            self._later(self._random.uniform(0, slow_s), _marking(self, identity, transaction, place, commit))

    def mark(self, identity: _Identity, transaction: Transaction, place: Place, commit: bool) -> None:
        """Write the marker of one partition."""
        log = self.partitions[place]
        log.append(None)
        transaction.committed[place] = commit
        del log.open[transaction]
        identity.unmarked.discard(place)
        self.tell(place[0])

    def _later(self, pause_s: float, call: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(pause_s, call, context=SERVER)


def _marking(
    broker: Broker, identity: _Identity, transaction: Transaction, place: Place, commit: bool
) -> Callable[[], None]:
    return lambda: broker.mark(identity, transaction, place, commit)


def _settle(told: asyncio.Future[None]) -> None:
    if not told.done():
        told.set_result(None)

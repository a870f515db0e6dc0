"""Ports of the log: what the pipeline asks of Kafka. `infra.kafka.memory` implements the same in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A record to append inside a transaction; no partitioner runs.

    ``timestamp_ms`` None takes the machine's time when the record is packed. A time far in the past makes retention
    delete the record at once on a topic that keeps the producer's time.
    """

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp_ms: int | None = None


class Record(msgspec.Struct, frozen=True, gc=False):
    """A record of a partition as it was read."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Appended(NamedTuple):
    """Where an item landed: the record's offset, the item's index in the record, and the broker's time."""

    offset: int
    item_index: int
    broker_time_ms: int


class TransactionError(Exception):
    """The transaction was refused or its outcome is unknown. Forget the producer and the state built with it."""


class Fenced(TransactionError):
    """Another producer has initialised the same transactional id since."""


class OutcomeUnknown(Exception):
    """Nobody can say whether the item is on the log: the acknowledgement did not come in time."""


class NotAppended(Exception):
    """The item is certainly not on the log."""


class Overloaded(NotAppended):
    """The queue is full; the item was not sent."""


class ReadFault(Exception):
    """The log could not be read as asked: not in time, or what was asked for is not there."""


class TransactionalLog(Protocol):
    """Whole transactions in order. After any exception the object is dead; make a new one and initialise it."""

    async def initialise(self) -> None:
        """Fence every predecessor; on return its transactions are committed or aborted, never open."""
        ...

    async def commit(self, records: Sequence[Outgoing]) -> Mapping[tuple[str, int], int]:
        """Append all or nothing; the answer is the offset of each partition's first record.

        On return the transaction is committed for good; its markers follow within milliseconds, so a reader of
        committed records (and the LSO) may see it a little later. After `initialise` of a successor it is seen.
        Raises `TransactionError` when refused or unknown. ``records`` must not be empty.
        """
        ...


class LogReader(Protocol):
    """Reads partitions at explicit offsets; nothing is remembered between calls."""

    def read(
        self, topic: str, partition: int, begin: int, end: int | None = None, *, committed: bool = True
    ) -> AsyncIterator[Sequence[Record]]:
        """Batches of records with ``begin <= offset < end`` in order; ``end`` None is the end at the call.

        ``committed`` leaves out aborted and open transactions. Raises `ReadFault` when ``begin`` is older than the
        log (a hole), when the log does not get to ``end`` in time, or the broker does not answer.
        """
        ...

    async def begin_offset(self, topic: str, partition: int) -> int:
        """The oldest offset that is still kept."""
        ...

    async def end_offset(self, topic: str, partition: int, *, committed: bool = True) -> int:
        """The offset after the last readable record; with ``committed`` the last stable offset (LSO)."""
        ...


class Follower(Protocol):
    """What is appended to a topic from `start` on, all partitions, committed records only."""

    async def start(self) -> None:
        """Stand at the end of every partition. Raises `ReadFault`."""
        ...

    async def poll(self) -> Sequence[Record]:
        """What has come, each partition in its order; empty after a while without any, or while a broker is away."""
        ...

    async def close(self) -> None:
        """Stop following; harmless twice."""
        ...


class Appender(Protocol):
    """Appends items to ``commands``: idempotent, never in a transaction."""

    async def append(self, partition: int, item: bytes) -> Appended:
        """On return the item is on the log (acks=all). Raises `OutcomeUnknown` or `NotAppended`
        (`Overloaded` when the queue is full)."""
        ...

    async def append_many(self, partition: int, items: Sequence[bytes]) -> list[Appended]:
        """The same for several items, in order; they may land in more than one record."""
        ...


class Records(Protocol):
    """Appends single records with keys, outside of transactions: what gateways note beside the commands."""

    async def append(self, records: Sequence[Outgoing]) -> None:
        """On return all are on the log (acks=all), each partition's in order.

        Raises `NotAppended` when some are not or perhaps not there. A record may land twice: its reader must not mind.
        """
        ...

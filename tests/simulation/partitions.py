"""A partition of a topic in the broker: entries, open transactions, and the batches of idempotent producers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from infra.kafka.ports import Record
from infra.kafka.protocol import INVALID_PRODUCER_EPOCH, NO_ERROR

OUT_OF_ORDER_SEQUENCE = 45
_BATCHES_REMEMBERED = 5
Place = tuple[str, int]


@dataclass(eq=False, slots=True)
class Transaction:
    """Its end is seen in each partition when the marker is there."""

    committed: dict[Place, bool] = field(default_factory=dict)
    places: dict[Place, None] = field(default_factory=dict)


class Seen(NamedTuple):
    """A batch that a producer has appended: its first sequence number, and where it stands."""

    first: int
    records: int
    offset: int
    time_ms: int


@dataclass(slots=True)
class _Sequences:
    epoch: int
    following: int = 0
    batches: deque[Seen] = field(default_factory=lambda: deque(maxlen=_BATCHES_REMEMBERED))


class Partition:
    """Entries in the order of their offsets; None stands for a marker."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.entries: list[Record | None] = []
        self.transactions: list[Transaction | None] = []
        self.open: dict[Transaction, int] = {}
        self.sequences: dict[int, _Sequences] = {}

    def end(self, *, committed: bool) -> int:
        """The offset after the last entry, or the last stable one."""
        return min(self.open.values(), default=len(self.entries)) if committed else len(self.entries)

    def readable(self, begin: int, end: int, *, committed: bool) -> list[Record]:
        """Records from `begin` up to `end`, which may not be beyond the end."""
        found = []
        for offset in range(begin, end):
            record, transaction = self.entries[offset], self.transactions[offset]
            aborted = committed and transaction is not None and not transaction.committed.get(self.place, False)
            if record is not None and not aborted:
                found.append(record)
        return found

    def append(self, record: Record | None, transaction: Transaction | None = None) -> None:
        """One more entry."""
        if transaction is not None and self.place not in transaction.places:
            transaction.places[self.place] = None
            self.open[transaction] = len(self.entries)
        self.entries.append(record)
        self.transactions.append(transaction)

    def in_sequence(self, producer_id: int, epoch: int, first: int, records: int) -> tuple[int, Seen | None]:
        """An error code; or where the batch stands already; or that it comes next, and then it must be appended."""
        known = self.sequences.get(producer_id)
        if known is None or known.epoch < epoch:
            if first != 0:
                return OUT_OF_ORDER_SEQUENCE, None
            known = self.sequences[producer_id] = _Sequences(epoch)
        elif known.epoch > epoch:
            return INVALID_PRODUCER_EPOCH, None
        for seen in known.batches:
            if (seen.first, seen.records) == (first, records):
                return NO_ERROR, seen
        if first != known.following:
            return OUT_OF_ORDER_SEQUENCE, None
        known.following += records
        return NO_ERROR, None

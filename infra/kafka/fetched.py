"""What a Fetch answer holds of one partition: its readable records, and where to fetch on.

The rules are those of aiokafka's own consumer (`aiokafka.consumer.fetcher.PartitionRecords`), which makes a record of
eleven fields of each and passes it through two generators. A takeover reads half a million records, so they are made
here once, as what the readers want.

- A batch's checksum has to be right.
- Control batches (markers) hold nothing for readers. An abort marker ends its producer's aborted transaction.
- To a reader of what is committed, a transactional batch of a producer with an aborted transaction open is not there.
- The next offset is the one after the batch, also where compaction took its last record or all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from aiokafka.errors import CorruptRecordException
from aiokafka.record import MemoryRecords
from aiokafka.record.control_record import ABORT_MARKER, ControlRecord

from infra.kafka.ports import Record


def aborted_of(entry: Sequence[Any]) -> list[tuple[int, int]]:
    """The aborted transactions of a Fetch answer's partition (version 4 and up), as (producer id, first offset)."""
    for field in entry:
        if isinstance(field, list):
            return field
    return []


def decode_fetched(
    place: str, data: bytes, aborted: Sequence[tuple[int, int]] | None, position: int
) -> tuple[list[Record], int]:
    """The records from `position` on, and the offset to fetch next.

    `aborted` None: those of open and of aborted transactions as well. Raises CorruptRecordException, which names the
    `place`.
    """
    records: list[Record] = []
    ended = _Aborted(aborted or ())
    for batch in _batches(data):
        if not batch.validate_crc():
            raise CorruptRecordException(f"{place} holds a batch at {batch.base_offset} whose checksum is wrong")
        if batch.is_control_batch:
            ended.pass_marker(batch)
        elif aborted is None or not ended.holds(batch):
            records += [
                Record(one.offset, one.timestamp, one.key, one.value, tuple(one.headers) if one.headers else ())
                for one in batch
                if one.offset >= position
            ]
        position = max(position, batch.next_offset)
    return records, position


def _batches(data: bytes) -> Iterator[Any]:
    stored = MemoryRecords(data)
    while stored.has_next():
        yield stored.next_batch()


class _Aborted:
    """Which producers have an aborted transaction open, as the reader passes its batches."""

    def __init__(self, aborted: Sequence[tuple[int, int]]) -> None:
        self._ahead = sorted(aborted, key=lambda one: one[1], reverse=True)
        self._open: set[int] = set()

    def holds(self, batch: Any) -> bool:
        """Whether the batch belongs to one of them."""
        self._reach(batch.base_offset)
        return batch.is_transactional and batch.producer_id in self._open

    def pass_marker(self, batch: Any) -> None:
        """The transaction of this marker has ended."""
        self._reach(batch.base_offset)
        if self._open and ControlRecord.parse(next(batch).key) == ABORT_MARKER:
            self._open.discard(batch.producer_id)

    def _reach(self, offset: int) -> None:
        while self._ahead and self._ahead[-1][1] <= offset:
            self._open.add(self._ahead.pop()[0])

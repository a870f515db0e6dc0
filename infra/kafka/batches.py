"""Record batches (message format v2, uncompressed) packed by partition, with aiokafka's compiled builder."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from infra.kafka.ports import Outgoing

_MAGIC = 2
_UNCOMPRESSED = 0
_NO_HEADERS: list[tuple[str, bytes | None]] = []


class Batch:
    """A record batch being filled. The producer's identity is written when the batch is built, not before."""

    __slots__ = ("_builder", "count")

    def __init__(self, bytes_max: int, *, transactional: bool) -> None:
        self._builder: Any = DefaultRecordBatchBuilder(
            _MAGIC, _UNCOMPRESSED, int(transactional), -1, -1, 0, batch_size=bytes_max
        )
        self.count = 0

    def add(self, record: Outgoing) -> bool:
        """False when the batch is full. The first record always fits, however large it is."""
        headers = list(record.headers) if record.headers else _NO_HEADERS
        if self._builder.append(self.count, record.timestamp_ms, record.key, record.value, headers) is None:
            return False
        self.count += 1
        return True

    def build(self, producer_id: int, producer_epoch: int, sequence: int) -> bytes:
        """The bytes for the wire, with checksum. Building again with another identity is allowed."""
        self._builder.set_producer_state(producer_id, producer_epoch, sequence)
        return bytes(self._builder.build())


def pack(
    records: Iterable[Outgoing], bytes_max: int, *, transactional: bool = True
) -> dict[tuple[str, int], list[Batch]]:
    """Batches of each partition in order, none over ``bytes_max`` unless one record alone is."""
    packed: dict[tuple[str, int], list[Batch]] = {}
    for record in records:
        place = (record.topic, record.partition)
        batches = packed.get(place)
        if batches is None:
            batches = packed[place] = [Batch(bytes_max, transactional=transactional)]
        if not batches[-1].add(record):
            batches.append(Batch(bytes_max, transactional=transactional))
            batches[-1].add(record)
    return packed

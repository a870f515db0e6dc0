"""The events that show a violation found by comparing: the last ones that speak of the row, record or object."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from infra.kafka.ports import LogReader
from processors.audit import shown_event
from schemas.events import decode_event
from schemas.identifiers import is_partition_stream, partition_of
from schemas.topics import EVENTS

EVENTS_MAX = 3
ABOUT_MAX = 50


def about(key: str) -> tuple[str, ...]:
    """What a key names: the account or stream, and the id in it where there is one."""
    parts = key.replace("|", " ").replace("/", " ").split()
    names = [part for part in parts[1:] if "_" in part]
    return (parts[0], *names[:1]) if parts else ()


async def events_about(reader: LogReader, partitions: int, keys: Iterable[str]) -> Mapping[str, Sequence[str]]:
    """For the first keys, by key: the last events of its account that name it, a line each."""
    wanted = {key: names for key in list(keys)[:ABOUT_MAX] if (names := about(key))}
    found: dict[str, deque[str]] = {key: deque(maxlen=EVENTS_MAX) for key in wanted}
    by_partition: dict[int, list[str]] = {}
    for key, names in wanted.items():
        by_partition.setdefault(_partition(names[0], partitions), []).append(key)
    for partition, ours in by_partition.items():
        begin = await reader.begin_offset(EVENTS, partition)
        async for records in reader.read(EVENTS, partition, begin):
            for record in records:
                value = record.value or b""
                for key in ours:
                    if all(name.encode() in value for name in wanted[key]):
                        found[key].append(shown_event(decode_event(value)))
    return {key: tuple(lines) for key, lines in found.items()}


def _partition(stream: str, partitions: int) -> int:
    if is_partition_stream(stream):
        return int(stream.rpartition("-")[2]) % partitions
    return partition_of(stream, partitions)

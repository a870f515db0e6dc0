"""Retention of `commands`: the owner deletes what was applied more than seven days ago (design section 3).

Kafka's own retention is off for this topic, because it would also take commands that nobody has decided yet.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

import structlog

from infra import failpoints
from infra.clock import Clock
from infra.kafka.ports import LogReader, ReadFault
from schemas.topics import COMMANDS

KEPT_MS = 7 * 86_400_000
TRIM_EVERY_S = 3_600.0

log = structlog.get_logger()


class LogTrimmer(Protocol):
    """Deletes the beginning of a partition."""

    async def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """Forget every record below `offset`; repeating it is harmless."""
        ...


async def trim_offset(reader: LogReader, partition: int, next_offset: int, now_ms: int) -> int:
    """Up to where `commands` may be deleted: applied, and older than seven days by the broker's clock. By bisection."""
    low, high = await reader.begin_offset(COMMANDS, partition), next_offset
    while low < high:
        middle = (low + high) // 2
        if await _time_of(reader, partition, middle) < now_ms - KEPT_MS:
            low = middle + 1
        else:
            high = middle
    return low


async def keep_trimmed(
    reader: LogReader, trimmer: LogTrimmer, clock: Clock, positions: Callable[[], Mapping[int, int]]
) -> None:
    """Trim the partitions that `positions` names (with their next offsets) once an hour, until cancelled."""
    while True:
        await asyncio.sleep(TRIM_EVERY_S)
        for partition, next_offset in positions().items():
            try:
                begin = await reader.begin_offset(COMMANDS, partition)
                offset = await trim_offset(reader, partition, next_offset, clock.now_ms())
                if offset > begin:
                    failpoints.passed("processor.trim.before")
                    await trimmer.delete_before(COMMANDS, partition, offset)
                    failpoints.passed("processor.trim.after")
                    log.info("commands trimmed", partition=partition, before=offset)
            except Exception as error:  # an hour later is soon enough; the partition itself is not touched
                log.warning("commands not trimmed", partition=partition, error=repr(error))


async def _time_of(reader: LogReader, partition: int, offset: int) -> int:
    async for records in reader.read(COMMANDS, partition, offset, offset + 1, committed=False):
        if records:
            return records[0].timestamp_ms
    raise ReadFault(f"{COMMANDS}-{partition} has no record at {offset}")

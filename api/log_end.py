"""The end of `commands`, asked once for all who ask at the same time.

A read that finds nothing waits for everything that was on the log when it came. So an answer may only serve those who
came before its question was sent; whoever comes while it is under way shares the next one.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from aiokafka.errors import KafkaError

from infra.kafka.ports import LogReader, ReadFault
from schemas.codec import unpack_items
from schemas.topics import COMMANDS

ANSWER_WITHIN_S = 1.0


class LogEndUnknown(Exception):
    """The log did not answer in time."""


class LogEnd(Protocol):
    """Where the log of commands ends."""

    async def last_command(self, partition: int) -> tuple[int, int] | None:
        """(offset, index) of the last command as of this call, None for an empty log. Raises LogEndUnknown."""
        ...


class KafkaLogEnd:
    """`LogEnd` over a reader of the topic."""

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader
        self._locks: dict[int, asyncio.Lock] = {}
        self._begun: dict[int, int] = {}
        self._answers: dict[int, tuple[int, tuple[int, int] | None]] = {}
        self._lasts: dict[int, tuple[int, int]] = {}

    async def last_command(self, partition: int) -> tuple[int, int] | None:
        """See the port."""
        came_after = self._begun.get(partition, 0)
        async with self._locks.setdefault(partition, asyncio.Lock()):
            number, answer = self._answers.get(partition, (0, None))
            if number > came_after:
                return answer
            number = self._begun[partition] = self._begun.get(partition, 0) + 1
            try:
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    answer = await self._ask(partition)
            except (TimeoutError, ReadFault, KafkaError, OSError) as error:
                raise LogEndUnknown(f"{COMMANDS}-{partition} did not say where it ends") from error
            self._answers[partition] = (number, answer)
            return answer

    async def _ask(self, partition: int) -> tuple[int, int] | None:
        end = await self._reader.end_offset(COMMANDS, partition, committed=False)
        if end == 0:
            return None
        known = self._lasts.get(partition)
        if known is not None and known[0] == end - 1:
            return known
        last = self._lasts[partition] = (end - 1, await self._last_index(partition, end - 1))
        return last

    async def _last_index(self, partition: int, offset: int) -> int:
        """The index of the last command in a record; 0 for one that is no longer kept, as it was applied long ago."""
        if await self._reader.begin_offset(COMMANDS, partition) > offset:
            return 0
        async for batch in self._reader.read(COMMANDS, partition, offset, offset + 1, committed=False):
            return len(unpack_items(batch[-1].value)) - 1
        return 0

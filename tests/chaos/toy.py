"""A worker that copies: every record of one topic to the same partition of another, exactly once, through Faust.

Run as a process by the chaos tests: ``python -m tests.chaos.toy NAME INPUT OUTPUT GROUP`` with DARKROOM_* settings.
The output is its only memory, as `events` is for the real owner: a copy's value is the source's offset and value.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack

import uvloop

from infra.kafka.alternating import owner_producers
from infra.kafka.cluster import refresh
from infra.kafka.ports import LogReader, Outgoing, Record, TransactionalLog
from infra.kafka.reader import KafkaLogReader
from infra.logs import configure_logging
from infra.settings import Settings, load_settings
from processors.app import Connections, serve_partitions
from processors.supervision import Owner

BATCH = 200


def copy_value(record: Record) -> bytes:
    """What a copy holds: the source's offset, a space, the source's value."""
    return b"%d %s" % (record.offset, record.value or b"")


class Copier:
    """Implements `processors.supervision.Owner` for a topic pair."""

    def __init__(
        self, partition: int, source: str, target: str, transactions: TransactionalLog, reader: LogReader
    ) -> None:
        self._partition = partition
        self._source = source
        self._target = target
        self._transactions = transactions
        self._reader = reader
        self._buffer: deque[Record] = deque()
        self._arrived = asyncio.Event()
        self._taken_over = asyncio.Event()
        self.next_offset = 0
        self.stopped = False
        self.gaps = 0

    async def taken_over(self) -> None:
        await self._taken_over.wait()

    async def offer(self, records: Sequence[Record]) -> None:
        self._buffer.extend(records)
        self._arrived.set()

    async def run(self) -> None:
        await self._transactions.initialise()
        begin = await self._reader.begin_offset(self._target, self._partition)
        async for records in self._reader.read(self._target, self._partition, begin):
            self.next_offset = int((records[-1].value or b"").split(b" ", 1)[0]) + 1
        self._taken_over.set()
        while True:
            while not self._buffer:
                self._arrived.clear()
                await self._arrived.wait()
            if self._buffer[0].offset > self.next_offset:
                self.gaps += 1
                await self._read_gap(self._buffer[0].offset)
            batch: list[Record] = []
            while self._buffer and len(batch) < BATCH and self._buffer[0].offset <= self.next_offset + len(batch):
                record = self._buffer.popleft()
                if record.offset == self.next_offset + len(batch):
                    batch.append(record)
            await self._copy(batch)

    async def _read_gap(self, end: int) -> None:
        async for records in self._reader.read(self._source, self._partition, self.next_offset, end):
            await self._copy(records)

    async def _copy(self, records: Sequence[Record]) -> None:
        if records:
            await self._transactions.commit(
                [Outgoing(self._target, self._partition, record.key, copy_value(record)) for record in records]
            )
            self.next_offset = records[-1].offset + 1


async def work(settings: Settings, name: str, source: str, target: str, group: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with AsyncExitStack() as stack:
        connections = Connections(settings, stack)

        async def make(partition: int) -> Owner:
            client = await connections.of(partition)
            await refresh(client)
            transactions = owner_producers(client, group, partition)
            return Copier(partition, source, target, transactions, KafkaLogReader(client))

        await serve_partitions(settings, name, group, source, make, stop)


def main() -> None:
    name, source, target, group = sys.argv[1:]
    configure_logging(name, "info")
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    try:
        asyncio.run(work(load_settings(), name, source, target, group))
    except Exception as error:
        print(f"{name} ended: {error!r}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()

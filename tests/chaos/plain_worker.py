"""The loop that tutorials show: consume, process, produce; a balance in memory. It copies as `tests.chaos.toy` does.

Run as a process: ``python -m tests.chaos.plain_worker NAME SOURCE TARGET GROUP MANNER`` with DARKROOM_* settings.
MANNER is ``plain`` (offsets are committed by themselves) or ``transactional`` (one transaction a batch, with its
offsets; the transactional id is the worker's name). Each copy's key is the balance that the worker knows then: the
number of records of the partition.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

from infra.kafka.client import connection_arguments
from infra.settings import load_settings
from processors.agents import HEARTBEAT_MS, SESSION_MS
from tests.chaos.toy import copy_value

BATCH = 200


class PlainLoop:
    """One worker's loop; ``balances`` is all that it knows."""

    def __init__(self, consumer: Any, producer: Any, target: str) -> None:
        self._consumer, self._producer, self._target = consumer, producer, target
        self.balances: defaultdict[int, int] = defaultdict(int)

    async def copy(self, batch: Mapping[Any, Sequence[Any]]) -> None:
        """Process and produce, and wait for the answers."""
        sent = []
        for place, records in batch.items():
            for record in records:
                self.balances[place.partition] += 1
                key = b"%d" % self.balances[place.partition]
                value = copy_value(record)
                sent.append(await self._producer.send(self._target, value, key, place.partition))
        await asyncio.gather(*sent)

    async def plain(self) -> None:
        """For ever; the consumer commits what it has handed out."""
        while True:
            await self.copy(await self._consumer.getmany(timeout_ms=100, max_records=BATCH))

    async def transactional(self, group: str) -> None:
        """For ever; a batch and its offsets are committed together."""
        while True:
            batch = await self._consumer.getmany(timeout_ms=100, max_records=BATCH)
            if batch:
                async with self._producer.transaction():
                    await self.copy(batch)
                    offsets = {place: records[-1].offset + 1 for place, records in batch.items()}
                    await self._producer.send_offsets_to_transaction(offsets, group)


async def work(name: str, source: str, target: str, group: str, manner: str) -> None:
    """Until SIGTERM; ends with an exception where the libraries raise one."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    reached = connection_arguments(load_settings().kafka)
    is_plain = manner == "plain"
    consumer = AIOKafkaConsumer(
        source,
        **reached,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=is_plain,
        auto_commit_interval_ms=1_000,
        session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=HEARTBEAT_MS,
        isolation_level="read_committed",
    )
    producer = AIOKafkaProducer(**reached, acks="all", transactional_id=None if is_plain else f"{group}-{name}")
    await consumer.start()
    await producer.start()
    loop = PlainLoop(consumer, producer, target)
    looping = asyncio.create_task(loop.plain() if is_plain else loop.transactional(group))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({looping, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if looping.done():
        looping.result()
    looping.cancel()
    await asyncio.gather(looping, return_exceptions=True)
    await consumer.stop()
    await producer.stop()


def main() -> None:
    name, source, target, group, manner = sys.argv[1:]
    try:
        asyncio.run(work(name, source, target, group, manner))
    except KafkaError as error:
        sys.exit(f"{name} ended: {error!r}")


if __name__ == "__main__":
    main()

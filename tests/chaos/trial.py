"""Two workers that copy one topic into another while records come in: what storms of small loops begin with."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from infra.kafka.appender import CommandAppender
from infra.kafka.client import start_client
from infra.kafka.reader import KafkaLogReader
from infra.settings import Settings
from tests.chaos.storm import Feed, Report, Worker, check, until_copied
from tests.kafka.topic import APPEND_TIME, fresh, make_topics

PARTITIONS = 8


@dataclass(frozen=True)
class How:
    """The module that workers run, what it takes beside topics and group, and the seconds between two records."""

    module: str = "tests.chaos.toy"
    arguments: tuple[str, ...] = ()
    publishes_member: bool = True
    every_s: float = 0.005


@dataclass
class Trial:
    """Two workers of one group between two topics, and a feed of records that runs until `finish`."""

    reader: KafkaLogReader
    source: str
    target: str
    workers: list[Worker]
    feed: Feed
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def copied(self, within_s: float) -> bool:
        return await until_copied(self.reader, self.source, self.target, PARTITIONS, within_s)

    async def until_running(self) -> None:
        """Start again, as a supervisor does, what has given up without its broker."""
        for worker in self.workers:
            if not worker.is_running:
                await worker.start()

    async def finish(self, report: Report, within_s: float = 40.0) -> Report:
        """Stop the feed, wait until everything is copied, and count."""
        self.stop.set()
        if not await self.copied(within_s):
            report.violations.append(f"not everything was copied within {within_s:g} s after the last fault")
        await check(self.reader, self.source, self.target, PARTITIONS, self.feed, report)
        return report


@asynccontextmanager
async def trial_of(settings: Settings, folder: Path, how: How = How()) -> AsyncIterator[Trial]:
    """Workers that copy, as they are once everything sent so far has been copied; afterwards they are killed."""
    source, target, group = fresh("toy-in"), fresh("toy-out"), fresh("toy")
    topics = {source: (PARTITIONS, APPEND_TIME), target: (PARTITIONS, dict[str, str]())}
    await make_topics(settings, topics, replicas=settings.replication_factor)
    client = await start_client(settings.kafka)
    appender = CommandAppender(client, source)
    workers = [
        Worker(settings, f"worker-{n}", (source, target, group, *how.arguments), folder / f"worker-{n}.log", how.module)
        for n in (0, 1)
    ]
    trial = Trial(
        KafkaLogReader(client, progress_timeout_s=60), source, target, workers, Feed(appender, PARTITIONS, how.every_s)
    )
    feeding = asyncio.create_task(trial.feed.run(trial.stop))
    try:
        await asyncio.gather(*(worker.start() for worker in workers))
        async with asyncio.timeout(60):
            while how.publishes_member and not all(worker.member_file.is_file() for worker in workers):
                await asyncio.sleep(0.05)
        while trial.feed.unknown == 0 and not any(trial.feed.acknowledged.values()):
            await asyncio.sleep(0.05)
        assert await trial.copied(120)
        yield trial
    finally:
        trial.stop.set()
        await feeding
        for worker in workers:
            if worker.is_running:
                worker.send(signal.SIGKILL)
                await worker.ended()
        await appender.close()
        await client.close()

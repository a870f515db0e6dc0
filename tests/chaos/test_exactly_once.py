"""Records through Faust and our own transactions, exactly once, while workers are killed, hung and stopped.

A longer storm by hand: ``DARKROOM_STORM_S=600 DARKROOM_STORM_SEED=7 pytest tests/chaos/test_exactly_once.py``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from infra.kafka.appender import CommandAppender
from infra.kafka.client import start_client
from infra.kafka.reader import KafkaLogReader
from infra.settings import Settings
from tests.chaos.storm import Feed, Report, Worker, check, storm, until_copied
from tests.kafka.topic import APPEND_TIME, fresh, make_topics
from tests.servers import LocalServers, Servers

PARTITIONS = 8
STORM_S = float(os.environ.get("DARKROOM_STORM_S", "20"))
SEED = int(os.environ.get("DARKROOM_STORM_SEED", "1"))

pytestmark = [pytest.mark.servers, pytest.mark.chaos]


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

    async def finish(self, report: Report) -> Report:
        self.stop.set()
        if not await self.copied(40):
            report.violations.append("not everything was copied within 40 s after the last fault")
        await check(self.reader, self.source, self.target, PARTITIONS, self.feed, report)
        return report


@asynccontextmanager
async def trial_of(settings: Settings, folder: Path) -> AsyncIterator[Trial]:
    source, target, group = fresh("toy-in"), fresh("toy-out"), fresh("toy")
    await make_topics(settings, {source: (PARTITIONS, APPEND_TIME), target: (PARTITIONS, {})})
    client = await start_client(settings.kafka)
    appender = CommandAppender(client, source)
    workers = [
        Worker(settings, f"worker-{number}", (source, target, group), folder / f"worker-{number}.log")
        for number in (0, 1)
    ]
    trial = Trial(
        KafkaLogReader(client, progress_timeout_s=60), source, target, workers, Feed(appender, PARTITIONS, 0.005)
    )
    feeding = asyncio.create_task(trial.feed.run(trial.stop))
    try:
        await asyncio.gather(*(worker.start() for worker in workers))
        async with asyncio.timeout(20):
            while not all(worker.member_file.is_file() for worker in workers):
                await asyncio.sleep(0.05)
        assert await trial.copied(20)
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


async def test_a_storm_of_faults_copies_every_record_once_and_in_order(kafka: Settings, tmp_path: Path) -> None:
    async with trial_of(kafka, tmp_path) as trial:
        report = Report()
        await storm(trial.workers, STORM_S, SEED, report)
        await trial.finish(report)
    print(f"\n{dict(report.faults)}: {report.acknowledged} acknowledged, {report.copied} copied")
    assert report.violations == []
    assert report.acknowledged > 0


@pytest.mark.parametrize("how", ["reported kill", "clean stop"])
async def test_the_partitions_of_a_worker_that_ends_move_on_within_three_seconds(
    kafka: Settings, tmp_path: Path, how: str
) -> None:
    async with trial_of(kafka, tmp_path) as trial:
        started = time.monotonic()
        if how == "clean stop":
            trial.workers[0].send(signal.SIGTERM)
            assert await trial.workers[0].ended() == 0
        else:
            await trial.workers[0].kill_and_report()
        assert await trial.copied(10)
        print(f"\n{how}: all partitions moved on after {time.monotonic() - started:.2f} s")
        assert time.monotonic() - started < 3.0
        report = await trial.finish(Report())
    assert report.violations == []


async def test_a_killed_broker_costs_time_and_nothing_else(servers: Servers, tmp_path: Path) -> None:
    kafka = servers.need("kafka")
    assert isinstance(servers, LocalServers), "this test kills the local stack's own broker"
    async with trial_of(kafka, tmp_path) as trial:
        os.kill(servers.pid("kafka"), signal.SIGKILL)
        started = time.monotonic()
        await asyncio.sleep(2)
        await trial.until_running()
        assert await trial.copied(60)
        print(f"\nall partitions went on {time.monotonic() - started:.1f} s after the broker was killed")
        report = await trial.finish(Report())
    assert report.violations == []
    assert report.acknowledged > 0

"""Records through Faust and our own transactions, exactly once, while workers are killed, hung and stopped.

A longer storm by hand: ``DARKROOM_STORM_S=600 DARKROOM_STORM_SEED=7 pytest tests/chaos/test_exactly_once.py``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from infra.settings import Settings
from tests.chaos.storm import Report, storm
from tests.chaos.trial import trial_of
from tests.servers import LocalServers, Servers

STORM_S = float(os.environ.get("DARKROOM_STORM_S", "20"))
SEED = int(os.environ.get("DARKROOM_STORM_SEED", "1"))

pytestmark = [pytest.mark.servers, pytest.mark.chaos]


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

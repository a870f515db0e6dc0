"""Three brokers, each topic on all of them: one is lost without warning, and nothing that was acknowledged is."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from infra.kafka.client import start_client
from infra.kafka.cluster import leader_of
from infra.settings import Settings
from tests.chaos.brokers import BROKERS, three_brokers
from tests.chaos.storm import Report
from tests.chaos.trial import PARTITIONS, How, trial_of

LOST = 2
MOVES_ON_WITHIN_S = 60.0


@pytest.mark.chaos
async def test_a_lost_broker_loses_no_record_and_its_partitions_move_on(tmp_path: Path) -> None:
    async with (
        three_brokers(tmp_path / "brokers") as brokers,
        trial_of(brokers.settings, tmp_path, How(every_s=0.02)) as trial,
    ):
        led = [node for node in range(1, BROKERS + 1) if await _led(brokers.settings, trial.source, node)]
        assert len(led) == BROKERS, "each broker leads some partitions"
        for node in led[:LOST]:
            await brokers.kill(node)
            started = time.monotonic()
            assert await trial.copied(MOVES_ON_WITHIN_S)
            print(f"\nbroker {node} lost: all partitions moved on after {time.monotonic() - started:.1f} s")
            assert await _led(brokers.settings, trial.source, node) == []
            brokers.begin(node)
            await brokers.until_answers(node)
            await trial.until_running()
            assert await trial.copied(MOVES_ON_WITHIN_S)
        report = await trial.finish(Report())
    assert report.violations == []
    assert report.acknowledged > 0


async def _led(settings: Settings, topic: str, node: int) -> list[int]:
    """The partitions of a topic that a broker leads now."""
    client = await start_client(settings.kafka)
    try:
        return [number for number in range(PARTITIONS) if await leader_of(client, topic, number) == node]
    finally:
        await client.close()

"""The auditor over topics in memory, PostgreSQL away: what it finds is told once, and stands until it is mended."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import pytest
from prometheus_client import REGISTRY

from infra.cli import audit_again
from infra.cli.audit_report import STATE_LAW
from infra.cli.auditor import Auditor
from infra.cli.read_model_audit import LAW, ReadModelAudit, ReadModelAuditor
from infra.settings import Settings
from processors.audit_spill import Spill
from processors.effects import Addressing
from schemas import topics
from schemas.codec import pack_items, unpack_items
from schemas.commands import decode_command, encode_command
from tests.unit.processors.test_partition_audit import Written

NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


def _sample(name: str, **labels: str) -> float:
    value = REGISTRY.get_sample_value(name, labels)
    assert value is not None
    return value


async def test_damage_is_told_once_and_stands_in_the_metrics_until_it_is_mended() -> None:
    written, told = Written(), list[str]()
    await written.write(written.steps)

    def tell(line: str, _: Sequence[str]) -> None:
        told.append(line)

    settings = Settings(partitions=1, postgres_dsn=NOWHERE)
    with Spill(hot_max=50) as spill, closing(Auditor(settings, written.log, spill, tell)) as auditor:
        faults = REGISTRY.get_sample_value("darkroom_audit_faults_total", {"of": "read-models"}) or 0
        await auditor.step()
        assert (told, _sample("invariant_violations", law=STATE_LAW)) == ([], 0)
        assert _sample("darkroom_audit_faults_total", of="read-models") == faults + 1
        assert _sample("positions_behind", of="processors", partition="0") == 0
        key, value = next((k, v) for k, v in written.state().items() if b"|account|" in k)
        written.log.append(topics.ACCOUNTS, 0, None, key=key)
        for _ in range(2):
            await auditor.step()
            assert _sample("invariant_violations", law=STATE_LAW) == 1
        (line,) = told
        assert line.startswith(f"{STATE_LAW} at 0.")
        written.log.append(topics.ACCOUNTS, 0, value, key=key)
        written.log.append(topics.COMMANDS, 0, written.steps[-1].value)
        await auditor.step()
        assert _sample("invariant_violations", law=STATE_LAW) == 0
        assert _sample("positions_behind", of="processors", partition="0") == 1


@pytest.mark.parametrize("other", [False, True], ids=["the same", "other commands"])
async def test_another_process_is_held_to_the_bytes_of_all_events(other: bool) -> None:
    written = Written()
    await written.write(written.steps)
    found = await written.audit()
    if other:
        step = written.steps[1]
        (item,) = unpack_items(step.value)
        assert isinstance(item, bytes)
        step.value = pack_items([encode_command(decode_command(item.replace(b"bench", b"bensh")))])
        written = Written(steps=written.steps)
        await written.write(written.steps)
    fingerprint = await audit_again._fingerprint(written.log, 0, found.audit.events, Addressing("bench", 1))
    assert (fingerprint == found.fingerprint) is not other


async def test_what_stands_from_comparison_to_comparison_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    written, told, found = Written(), list[str](), ReadModelAudit()
    await written.write(written.steps)
    found.compare("jobs", "acct_a job_a", 1, 2)

    async def scan(_: ReadModelAuditor) -> ReadModelAudit:
        return found

    monkeypatch.setattr(ReadModelAuditor, "scan", scan)
    monkeypatch.setattr("infra.cli.auditor.COMPARE_EVERY_S", 0.0)
    monkeypatch.setattr("infra.cli.auditor._COMPARE_PAUSE_TIMES", 0)
    settings = Settings(partitions=1, postgres_dsn=NOWHERE)
    with (
        Spill() as spill,
        closing(Auditor(settings, written.log, spill, lambda line, _: told.append(line))) as auditor,
    ):
        for _ in range(3):
            await auditor.step()
            assert _sample("invariant_violations", law=LAW) == 1
    assert told == found.violations

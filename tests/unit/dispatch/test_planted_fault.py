"""The planted fault is armed by tests alone, loses what it says, and nothing else."""

from __future__ import annotations

import pytest

from infra.errors import OperatorError
from processors.dispatch.planted_fault import VARIABLE, Loss, LossySender, lossy, planted_loss
from processors.dispatch.sender import MemoryCommandSender
from schemas.commands import AttemptStarted, Failed, RecordOutcome
from schemas.work import WorkItem

ITEM = WorkItem(
    job="job_a",
    account="acct_a",
    product="darkroom",
    attempt=1,
    lane="standard",
    model="sandbox/echo",
    engine="sandbox_echo",
    engine_version="1",
    params={},
    input=None,
    sealed=None,
    output_key="acct_a/job_a/1",
    lease_until_ms=1000,
    lease_ms=1000,
    run_until_ms=1000,
)


def test_nothing_is_planted_without_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert planted_loss("local", 0) is None


def test_it_is_refused_outside_of_local_deployments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "drop:0.5")
    assert planted_loss("local", 0) is not None
    with pytest.raises(OperatorError, match="unset it"):
        planted_loss("production", 0)


@pytest.mark.parametrize("text", ["", "drop", "drop:x", "drop:2", "drop:-1", "keep:0.5"])
def test_nonsense_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(OperatorError, match="drop:SHARE"):
        planted_loss("local", 0)


async def test_outcomes_get_lost_and_other_commands_do_not() -> None:
    inner = MemoryCommandSender()
    sender = LossySender(inner, Loss(1.0, 0))
    started = AttemptStarted("job_a", 1, "dispatcher-0")
    outcome = RecordOutcome("job_a", 1, Failed("permanent", "x", "y"))
    assert await sender.send(ITEM, [started, outcome], 1000)
    assert await sender.send(ITEM, [outcome], 1000)
    assert inner.sent == [started]


async def test_the_share_of_items_that_get_lost_is_the_one_asked_for() -> None:
    seen = 0

    async def take(value: bytes | None) -> None:
        nonlocal seen
        seen += 1

    taking = lossy(take, Loss(0.25, 0))
    for _ in range(4000):
        await taking(b"")
    assert 2880 < seen < 3120

"""Views are counted in memory and sent packed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from infra import views
from infra.clock import ManualClock
from infra.ids import SeededIds
from infra.kafka.ports import Appended, NotAppended, OutcomeUnknown
from infra.views import MemoryViews, ViewSender, open_views
from schemas.commands import Envelope, RecordViews, decode_command
from schemas.identifiers import partition_of


class Log:
    """An `Appender` that keeps what it is given."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.fault: Exception | None = None

    async def append(self, partition: int, item: bytes) -> Appended:
        if self.fault is not None:
            raise self.fault
        envelope = decode_command(item)
        assert partition == partition_of(envelope.account, 8)
        self.envelopes.append(envelope)
        return Appended(0, 0, 0)

    async def append_many(self, partition: int, items: Sequence[bytes]) -> list[Appended]:
        return [await self.append(partition, item) for item in items]

    @property
    def views(self) -> dict[str, dict[str, int]]:
        """Views by account and asset."""
        found: dict[str, dict[str, int]] = {}
        for envelope in self.envelopes:
            assert isinstance(envelope.command, RecordViews)
            for asset, times in envelope.command.views:
                asset_views = found.setdefault(envelope.account, {})
                asset_views[asset] = asset_views.get(asset, 0) + times
        return found


def sender(log: Log) -> ViewSender:
    return ViewSender(log, ManualClock(7), SeededIds(1), 8)


async def test_views_are_one_command_an_account() -> None:
    log = Log()
    counter = sender(log)
    for account, asset in (("a", "1"), ("a", "1"), ("a", "2"), ("b", "3")):
        counter.note(account, "darkroom", asset)
    assert await counter.flush()
    assert [envelope.account for envelope in log.envelopes] == ["a", "b"]
    assert log.views == {"a": {"1": 2, "2": 1}, "b": {"3": 1}}
    envelope = log.envelopes[0]
    assert (envelope.product, envelope.actor, envelope.sent_ms) == ("darkroom", "gateway", 7)
    assert (envelope.reply, envelope.idempotency) == (None, None)
    assert await counter.flush()
    assert len(log.envelopes) == 2


async def test_they_leave_after_a_second_or_when_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "EVERY_S", 0.1)
    log = Log()
    async with open_views(log, ManualClock(7), SeededIds(1), 8) as counter:
        counter.note("a", "darkroom", "1")
        await asyncio.sleep(0.02)
        assert log.envelopes == []
        await asyncio.sleep(0.2)
        assert log.views == {"a": {"1": 1}}
        for _ in range(views.VIEWS_MAX):
            counter.note("a", "darkroom", "1")
        await asyncio.sleep(0.02)
        assert log.views == {"a": {"1": 501}}
        counter.note("b", "darkroom", "2")
    assert log.views == {"a": {"1": 501}, "b": {"2": 1}}, "an orderly end sends what is left"


async def test_what_is_not_on_the_log_is_sent_again_and_what_may_be_is_not() -> None:
    log = Log()
    counter = sender(log)
    counter.note("a", "darkroom", "1")
    log.fault = NotAppended("x")
    assert not await counter.flush()
    counter.note("a", "darkroom", "1")
    log.fault = None
    assert await counter.flush()
    assert log.views == {"a": {"1": 2}}
    counter.note("a", "darkroom", "1")
    log.fault = OutcomeUnknown("x")
    assert await counter.flush()
    log.fault = None
    await counter.flush()
    assert log.views == {"a": {"1": 2}}


async def test_a_fault_that_nobody_foresaw_does_not_end_the_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "EVERY_S", 0.01)
    log = Log()
    log.fault = RuntimeError("nobody foresaw it")
    async with open_views(log, ManualClock(7), SeededIds(1), 8) as counter, asyncio.timeout(30):
        counter.note("a", "darkroom", "1")
        while counter._waiting:
            await asyncio.sleep(0.01)
        log.fault = None
        counter.note("b", "darkroom", "2")
        while not log.envelopes:
            await asyncio.sleep(0.01)
    assert log.views == {"b": {"2": 1}}


async def test_memory_is_bounded_and_commands_are_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "WAITING_MAX", 3)
    monkeypatch.setattr(views, "ASSETS_MAX", 2)
    log = Log()
    counter = sender(log)
    for asset in ("1", "2", "3", "4", "5", "1"):
        counter.note("a", "darkroom", asset)
    assert counter.dropped == 2
    log.fault = NotAppended("x")
    await counter.flush()
    log.fault = None
    await counter.flush()
    assert log.views == {"a": {"1": 2, "2": 1, "3": 1}}
    assert [len(envelope.command.views) for envelope in log.envelopes] == [2, 1]  # type: ignore[union-attr]


def test_views_in_memory_are_kept() -> None:
    memory = MemoryViews()
    memory.note("a", "darkroom", "1")
    memory.note("a", "darkroom", "1")
    assert memory.counted["a", "darkroom", "1"] == 2

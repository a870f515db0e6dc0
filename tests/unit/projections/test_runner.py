"""The projector's loop over ports in memory: faults before and after each commit, and the end of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pytest

from infra.kafka.ports import Record
from projections import runner as runner_module
from projections.intake import LogUnreadable
from projections.memory import MemoryReadModels, MemorySource
from projections.ports import Hole, Move, ReadModels, StoreFault, Tracked
from projections.rows import Rows
from projections.runner import Runner
from projections.source import Place, Records, Source, SourceFault
from schemas.events import encode_event
from schemas.positions import Position
from schemas.topics import EVENTS, KEYS
from tests.bench.events import Partition
from tests.unit.projections.logs import Log, folded, log_of, parts_of

SHARES = (0, 1)


def a_log(events: int = 300) -> Log:
    return log_of([Partition(n, partitions=2, accounts=4) for n in SHARES], events)


class Faulty:
    """A store that fails at chosen calls, before or after it has written; an `after` is a lost acknowledgement."""

    def __init__(self, models: MemoryReadModels, faults: Mapping[int, str]) -> None:
        self.models, self.faults, self.calls, self.closed = models, dict(faults), 0, 0

    def generations(self) -> Mapping[str, int]:
        return self.models.generations()

    def positions(self, names: Sequence[str]) -> Mapping[str, Tracked]:
        return self.models.positions(names)

    def apply(self, moves: Sequence[Move], rows: Sequence[Rows], reached: Sequence[Position] = ()) -> Sequence[Hole]:
        self.calls += 1
        fault = self.faults.pop(self.calls, None)
        if fault == "before":
            raise StoreFault("away")
        holes = self.models.apply(moves, rows, reached)
        if fault == "after":
            raise StoreFault("the answer was lost")
        return holes

    def close(self) -> None:
        self.closed += 1


async def until_folded(log: Log, store: ReadModels, source: Source, models: MemoryReadModels, **options: Any) -> Runner:
    runner = Runner(SHARES, lambda: store, lambda: source, **options)
    stop = asyncio.Event()
    task = asyncio.create_task(runner.run(stop))
    ends = {p: records[-1].offset for p, records in parts_of(log).items()}
    async with asyncio.timeout(20):
        while not task.done() and any(
            models.tracked.get(f"assets.1.{p}", Tracked()).offset < end for p, end in ends.items()
        ):
            await asyncio.sleep(0.002)
    stop.set()
    await task
    return runner


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", [1, 2, 3])
async def test_a_fault_at_any_commit_leaves_nothing_twice_and_nothing_out(call: int, when: str) -> None:
    log, models = a_log(), MemoryReadModels()
    store = Faulty(models, {call: when, call + 2: when})
    await until_folded(log, store, MemorySource(log), models, batch_events_max=100)
    assert store.faults == {}
    assert {**models.tables, "job_events": None} == {**folded(parts_of(log)).tables, "job_events": None}
    assert store.closed == 3


async def test_what_comes_while_it_runs_is_applied_and_announced() -> None:
    partition = Partition(0, partitions=2, accounts=4)
    commands = partition.commands()
    log: Log = {(EVENTS, 0): [], (EVENTS, 1): []}
    models = MemoryReadModels()
    stop = asyncio.Event()
    runner = Runner(SHARES, lambda: models, lambda: MemorySource(log))
    task = asyncio.create_task(runner.run(stop))
    for _ in range(30):
        events = next(commands)
        for event in events:
            log[EVENTS, 0].append(Record(2 * len(log[EVENTS, 0]), 0, b"", encode_event(event)))
        async with asyncio.timeout(5):
            while models.reached.get(0) != events[-1].at:
                await asyncio.sleep(0.001)
    assert runner.healthy()
    stop.set()
    await task


async def test_keys_are_applied_beside_events() -> None:
    log, models = a_log(50), MemoryReadModels()
    log[KEYS, 1] = [Record(3, 0, b"acct_a.key_1", b"wrapped")]
    await until_folded(log, models, MemorySource(log), models)
    assert list(models.tables["data_keys"]) == [("acct_a", "key_1")]
    assert models.tracked["keys.1.1"].offset == 3


async def test_what_cannot_be_read_ends_the_process_instead_of_being_skipped() -> None:
    log, models = a_log(50), MemoryReadModels()
    log[EVENTS, 1].append(Record(len(log[EVENTS, 1]), 0, b"", b'{"type":"new"}'))
    with pytest.raises(LogUnreadable, match="events-1"):
        await until_folded(log, models, MemorySource(log), models)
    assert models.tracked["jobs.1.1"].offset < len(log[EVENTS, 1]) - 1


class Stalled(MemorySource):
    """Gives nothing although the log goes on: a consumer that a broker's restart has left behind."""

    async def poll(self, timeout_s: float, records_max: int, places: Collection[Place] = ()) -> Records:
        await asyncio.sleep(0.001)
        return {}


async def test_a_consumer_that_stands_still_before_the_end_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "_STALLED_AFTER_S", 0.1)
    monkeypatch.setattr(runner_module, "_WATCH_EVERY_S", 0.02)
    log, models = a_log(50), MemoryReadModels()
    sources: list[Source] = [Stalled(log), MemorySource(log)]
    runner = Runner(SHARES, lambda: models, lambda: sources.pop(0))
    stop = asyncio.Event()
    task = asyncio.create_task(runner.run(stop))
    async with asyncio.timeout(10):
        while len(models.reached) < 2:
            await asyncio.sleep(0.005)
    stop.set()
    await task
    assert sources == []


async def test_an_end_that_no_consumer_gets_past_is_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "_STALLED_AFTER_S", 0.05)
    monkeypatch.setattr(runner_module, "_WATCH_EVERY_S", 0.01)
    opened: list[Source] = []

    class Marked(MemorySource):
        async def progress(self) -> Mapping[tuple[str, int], tuple[int, int]]:
            return {place: (at, end + 1) for place, (at, end) in (await super().progress()).items()}

    def open_source() -> Source:
        opened.append(Marked(log))
        return opened[-1]

    log, models = a_log(50), MemoryReadModels()
    runner = Runner(SHARES, lambda: models, open_source)
    stop = asyncio.Event()
    task = asyncio.create_task(runner.run(stop))
    await asyncio.sleep(1.5)
    stop.set()
    await task
    assert 2 <= len(opened) <= 5, "each of four places is tried again once"


async def test_faults_of_the_log_are_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "_BACKOFF_S", (0.01, 0.05))
    log, models = a_log(50), MemoryReadModels()

    class Away(MemorySource):
        async def start(self, positions: Mapping[tuple[str, int], int]) -> None:
            raise SourceFault("no broker")

    sources: list[Source] = [Away(log), Away(log), MemorySource(log)]
    runner = Runner(SHARES, lambda: models, lambda: sources.pop(0))
    assert not runner.healthy()
    stop = asyncio.Event()
    task = asyncio.create_task(runner.run(stop))
    async with asyncio.timeout(5):
        while len(models.reached) < 2:
            await asyncio.sleep(0.005)
    assert runner.healthy()
    stop.set()
    await task

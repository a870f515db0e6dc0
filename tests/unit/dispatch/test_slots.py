"""Lanes share a dispatcher's slots: what is reserved stays reserved, a full lane holds up nobody, stops are clean."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.settings import Settings
from processors.dispatch.app import share_table, work_handler
from processors.dispatch.shares import Share, Table, draw, most, shared_left
from processors.dispatch.slots import ROOM_ITEMS_MAX, Slots, Waiting
from processors.dispatch.suspects import WAITING_MAX, Suspects
from schemas.commands import Failed, RecordOutcome
from schemas.topics import LANES
from schemas.work import WorkItem, encode_work
from tests.unit.dispatch.world import SlowEngine, World, item

TABLE = share_table(Settings())
LANE = st.sampled_from(LANES)


def test_the_default_shares_name_every_lane_and_leave_the_usual_lane_eight_slots() -> None:
    assert set(TABLE.shares) == set(LANES)
    assert most(TABLE, "standard") == 8


@given(st.lists(st.tuples(st.sampled_from(["come", "come", "come", "end"]), LANE), min_size=60, max_size=200))
def test_a_reserved_slot_is_there_whatever_the_others_do(steps: list[tuple[str, str]]) -> None:
    """Reserved slots are never starved: a waiting lane below its reserve begins in the very next draws."""
    waiting, running, credits = Counter[str](), Counter[str](), dict[str, int]()
    for kind, lane in steps:
        if kind == "come":
            waiting[lane] += 1
        elif running[lane]:
            running[lane] -= 1
        while True:
            drawn = draw(TABLE, [name for name in waiting if waiting[name]], running, credits)
            credits = dict(drawn.credits)
            if drawn.lane is None:
                break
            waiting[drawn.lane] -= 1
            running[drawn.lane] += 1
        assert running.total() <= TABLE.slots
        assert shared_left(TABLE, running) >= 0
        for name, share in TABLE.shares.items():
            assert not waiting[name] or running[name] >= share.reserved
            assert running[name] <= most(TABLE, name)
        if any(waiting[name] and running[name] < most(TABLE, name) for name in TABLE.shares):
            assert shared_left(TABLE, running) == 0


def test_what_is_left_is_drawn_by_weight() -> None:
    table = Table(1, {"priority": Share(weight=3), "batch": Share(weight=1)})
    credits: dict[str, int] = {}
    drawn = []
    for _ in range(400):
        step = draw(table, ["priority", "batch"], {}, credits)
        credits = dict(step.credits)
        drawn.append(step.lane)
    assert Counter(drawn) == {"priority": 300, "batch": 100}
    assert drawn[:4].count("batch") == 1


class Worker:
    """Items that run until they are let go."""

    def __init__(self, table: Table) -> None:
        self.begun: list[str] = []
        self.ended = asyncio.Event()
        self.rooms: list[str] = []
        lanes = table.shares
        self.slots = Slots(table, dict.fromkeys(lanes, self._run), self.rooms.append)

    async def _run(self, value: bytes | None) -> None:
        await self.ended.wait()
        if value == b"bad":
            raise ValueError("a bug")

    def put(self, lane: str, count: int, value: bytes = b"") -> None:
        for _ in range(count):
            self.slots.put(lane, Waiting(value, lambda: self.begun.append(lane)))


async def test_a_full_batch_lane_is_held_and_priority_begins_at_once() -> None:
    worker = Worker(TABLE)
    worker.put("batch", 40)
    assert worker.slots.is_full("batch")
    assert not worker.slots.is_full("priority")
    before = len(worker.begun)
    worker.put("priority", 3)
    assert worker.begun[before:] == ["priority", "priority"]
    worker.ended.set()
    await asyncio.sleep(0.05)
    assert Counter(worker.begun) == {"batch": 40, "priority": 3}
    assert worker.rooms == ["batch"]
    assert not worker.slots.is_full("batch")


async def test_a_room_that_was_forgotten_begins_nothing_more() -> None:
    worker = Worker(Table(1, {"batch": Share()}))
    worker.put("batch", ROOM_ITEMS_MAX + 1)
    assert worker.slots.is_full("batch")
    worker.slots.forget_waiting()
    assert not worker.slots.is_full("batch")
    worker.ended.set()
    await asyncio.sleep(0.01)
    assert worker.begun == ["batch"]


async def test_an_item_that_fails_gives_its_slot_back() -> None:
    worker = Worker(Table(1, {"batch": Share()}))
    worker.put("batch", 2, b"bad")
    worker.ended.set()
    await asyncio.sleep(0.01)
    assert worker.begun == ["batch", "batch"]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def records() -> list[bytes]:
    return [encode_work(item(job=f"job_{number}", output_key=f"acct_a/job_{number}/1")) for number in range(6)]


async def test_slots_bound_what_runs_at_once(world: World, records: list[bytes]) -> None:
    engine = SlowEngine(0.02)
    runner = world.runner_with(engine)
    slots = Slots(Table(2, {"standard": Share()}), {"standard": work_handler(runner.run, Suspects(runner.run))}, print)
    for value in [b"{}", b"\xff", None, *records]:
        slots.put("standard", Waiting(value, lambda: None))
    await asyncio.sleep(0.3)
    await slots.drain(5)
    assert engine.most == 2
    assert len([sent for sent in world.sender.sent if isinstance(sent, RecordOutcome)]) == 6


async def test_a_stop_gives_unfinished_attempts_back_free_of_charge(world: World, records: list[bytes]) -> None:
    runner = world.runner_with(SlowEngine(30))
    slots = Slots(Table(6, {"standard": Share()}), {"standard": work_handler(runner.run, Suspects(runner.run))}, print)
    for value in records:
        slots.put("standard", Waiting(value, lambda: None))
    await slots.drain(0.05)
    outcomes = [sent.outcome for sent in world.sender.sent if isinstance(sent, RecordOutcome)]
    assert len(outcomes) == 6
    assert {outcome.reason for outcome in outcomes if isinstance(outcome, Failed)} == {"dispatcher-stopped"}


async def test_suspects_stand_in_line_and_hold_no_slot() -> None:
    inside, most_inside, ended = 0, 0, []

    async def run(suspect: WorkItem) -> None:
        nonlocal inside, most_inside
        inside += 1
        most_inside = max(most_inside, inside)
        await asyncio.sleep(0.001)
        inside -= 1
        ended.append(suspect.job)

    suspects = Suspects(run)
    handle = work_handler(run, suspects)
    for number in range(WAITING_MAX + 5):
        await handle(encode_work(item(job=f"job_{number}", quarantine=True)))
    assert ended == []
    await suspects.drain(5)
    assert most_inside == 1
    assert ended == [f"job_{number}" for number in range(WAITING_MAX)]


async def test_a_stop_gives_waiting_suspects_up() -> None:
    async def run(_: WorkItem) -> None:
        await asyncio.sleep(30)

    suspects = Suspects(run)
    suspects.take(item(quarantine=True))
    suspects.take(item(job="job_2", quarantine=True))
    await asyncio.wait_for(suspects.drain(0.01), 1)

"""What reads wait for: the map of positions, and the end of the log asked once for many."""

from __future__ import annotations

import asyncio

import pytest

from api.log_end import KafkaLogEnd, LogEndUnknown
from api.reached import Reached
from infra.clock import ManualClock
from infra.kafka.memory import MemoryLog
from infra.kafka.ports import ReadFault
from schemas.codec import pack_items
from schemas.positions import Position
from schemas.topics import COMMANDS


async def test_a_wait_ends_when_the_command_is_applied_and_not_before() -> None:
    reached = Reached()
    reached.note(Position(0, 5, 1, 9))
    assert reached.has_reached(0, (5, 1))
    assert not reached.has_reached(1, (0, 0))
    waits = [asyncio.create_task(reached.wait(0, source, 5)) for source in ((5, 2), (6, 0))]
    await asyncio.sleep(0)
    reached.note(Position(0, 5, 2, 0))
    assert await waits[0]
    assert not waits[1].done()
    reached.note(Position(1, 9, 0, 0))
    reached.note(Position(0, 4, 0, 0))
    assert not reached.has_reached(0, (6, 0))
    reached.replace({0: Position(0, 7, 0, 0)})
    assert await waits[1]


async def test_a_wait_is_bounded() -> None:
    reached = Reached()
    async with asyncio.timeout(1):
        assert not await reached.wait(0, (0, 0), 0.01)
    reached.note(Position(0, 0, 0, 0))
    assert await reached.wait(0, (0, 0), 0)


async def test_a_database_made_anew_is_behind_again() -> None:
    reached = Reached()
    reached.note(Position(0, 5, 0, 0))
    reached.replace({})
    assert not reached.has_reached(0, (0, 0))


class SlowReader:
    """A `LogReader` that waits before it answers and counts its answers."""

    def __init__(self, log: MemoryLog) -> None:
        self._reader = log
        self.asked = 0
        self.fault: Exception | None = None
        self.read, self.begin_offset = log.read, log.begin_offset

    async def end_offset(self, topic: str, partition: int, *, committed: bool = True) -> int:
        self.asked += 1
        end = await self._reader.end_offset(topic, partition, committed=committed)
        await asyncio.sleep(0.02)
        if self.fault is not None:
            raise self.fault
        return end


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(ManualClock(0), {COMMANDS: 2})


async def test_the_last_command_is_the_last_item_of_the_last_record(log: MemoryLog) -> None:
    end = KafkaLogEnd(SlowReader(log))
    assert await end.last_command(0) is None
    log.append(COMMANDS, 0, pack_items([b"one"]))
    log.append(COMMANDS, 0, pack_items([b"one", b"two", b"three"]))
    assert await end.last_command(0) == (1, 2)
    assert await end.last_command(1) is None
    log.append(COMMANDS, 0, b"\x07")
    assert await end.last_command(0) == (2, 0)


async def test_a_record_that_is_no_longer_kept_was_applied(log: MemoryLog) -> None:
    log.append(COMMANDS, 0, pack_items([b"one", b"two"]))
    log.delete_before(COMMANDS, 0, 1)
    assert await KafkaLogEnd(SlowReader(log)).last_command(0) == (0, 0)


async def test_those_who_ask_together_share_one_question_and_later_ones_the_next(log: MemoryLog) -> None:
    reader = SlowReader(log)
    end = KafkaLogEnd(reader)
    log.append(COMMANDS, 0, pack_items([b"one"]))
    first = asyncio.create_task(end.last_command(0))
    await asyncio.sleep(0.005)
    log.append(COMMANDS, 0, pack_items([b"two"]))
    later = [asyncio.create_task(end.last_command(0)) for _ in range(50)]
    assert await first == (0, 0), "it came before the second record"
    assert await asyncio.gather(*later) == [(1, 0)] * 50
    assert reader.asked == 2


async def test_a_question_that_fails_fails_for_its_asker_and_the_next_one_asks_again(log: MemoryLog) -> None:
    reader = SlowReader(log)
    end = KafkaLogEnd(reader)
    log.append(COMMANDS, 0, pack_items([b"one"]))
    reader.fault = ReadFault("away")
    with pytest.raises(LogEndUnknown):
        await end.last_command(0)
    reader.fault = None
    assert await end.last_command(0) == (0, 0)

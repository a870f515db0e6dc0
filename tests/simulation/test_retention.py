"""What was applied more than seven days ago is deleted from `commands`; nothing else is."""

from infra.clock import ManualClock
from infra.kafka.memory import MemoryLog
from processors.retention import KEPT_MS, trim_offset
from schemas.codec import pack_items
from schemas.topics import COMMANDS


async def _log_of_days(days: int) -> tuple[MemoryLog, ManualClock]:
    """One command a day."""
    clock = ManualClock(0)
    log = MemoryLog(clock, {COMMANDS: 1}, (COMMANDS,))
    for _ in range(days):
        log.append(COMMANDS, 0, pack_items([b"{}"]))
        clock.advance(86_400_000)
    return log, clock


async def test_only_what_is_older_than_seven_days_may_go() -> None:
    log, clock = await _log_of_days(10)
    offset = await trim_offset(log, 0, next_offset=10, now_ms=clock.now_ms())
    assert offset == 3
    kept = [record async for batch in log.read(COMMANDS, 0, offset, committed=False) for record in batch]
    assert all(record.timestamp_ms >= clock.now_ms() - KEPT_MS for record in kept)


async def test_what_is_not_applied_stays_however_old_it_is() -> None:
    log, clock = await _log_of_days(10)
    clock.advance(100 * 86_400_000)
    assert await trim_offset(log, 0, next_offset=4, now_ms=clock.now_ms()) == 4


async def test_a_young_log_is_not_touched() -> None:
    log, clock = await _log_of_days(3)
    assert await trim_offset(log, 0, next_offset=3, now_ms=clock.now_ms()) == 0

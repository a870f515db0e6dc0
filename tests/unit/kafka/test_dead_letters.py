"""Dead letters: the latest of each source, what was redriven, and what can be."""

from __future__ import annotations

import pytest

from infra.clock import ManualClock
from infra.kafka.dead_letters import DeadLetter, partition_for, read_dead_letters, redrivable, redriven_mark
from infra.kafka.memory import MemoryLog, MemoryRecords
from processors.effects import dead_letter
from schemas.commands import Envelope, Tick, encode_command
from schemas.identifiers import partition_of, partition_stream
from schemas.topics import DEAD_LETTERS

NOW_MS = 1_800_000_000_000
COMMAND = Envelope("cmd_1", "acct_a", "darkroom", Tick(), NOW_MS)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_MS)


@pytest.fixture
def log(clock: ManualClock) -> MemoryLog:
    return MemoryLog(clock, {DEAD_LETTERS: 2})


def _letter(**changes: object) -> DeadLetter:
    fields: dict[str, object] = {
        "source": "0.1.0",
        "partition": 0,
        "topic": "commands",
        "reason": "decision-failed",
        "account": "acct_a",
        "time_ms": NOW_MS,
        "item": encode_command(COMMAND),
    }
    return DeadLetter(**{**fields, **changes})  # type: ignore[arg-type]


async def test_letters_are_read_oldest_first_with_what_became_of_them(log: MemoryLog, clock: ManualClock) -> None:
    records = MemoryRecords(log)
    await records.append([dead_letter(encode_command(COMMAND), (1, 3, 0), "decision-failed", "acct_a", NOW_MS)])
    clock.advance(1)
    await records.append([dead_letter(b"{broken", (0, 7, 2), "not-an-envelope", "", NOW_MS + 1)])
    letters = await read_dead_letters(log, 2)
    assert [(one.source, one.reason, one.item, one.redriven) for one in letters] == [
        ("1.3.0", "decision-failed", encode_command(COMMAND), None),
        ("0.7.2", "not-an-envelope", b"{broken", None),
    ]
    await records.append([redriven_mark(letters[0], "1.90.0.0")])
    again = await read_dead_letters(log, 2)
    assert [(one.source, one.redriven) for one in again] == [("1.3.0", "1.90.0.0"), ("0.7.2", None)]
    assert again[0].item == encode_command(COMMAND)


def test_what_can_be_read_now_is_redrivable_once() -> None:
    assert redrivable(_letter()) == COMMAND
    assert redrivable(_letter(reason="wrong-partition")) == COMMAND
    assert "redriven as 0.9.0.0" in str(redrivable(_letter(redriven="0.9.0.0")))
    assert "cannot read it either (not-an-envelope)" in str(redrivable(_letter(item=b"{broken")))
    assert "hands work out again by itself" in str(redrivable(_letter(topic="dispatch.standard")))


def test_a_command_goes_to_its_account_and_a_partitions_own_to_where_it_stood() -> None:
    assert partition_for(_letter(partition=3), COMMAND, 64) == partition_of("acct_a", 64)
    own = Envelope("cmd_1", partition_stream(3), "", Tick(), NOW_MS)
    assert partition_for(_letter(partition=3), own, 64) == 3

"""The ports of time and identity."""

from __future__ import annotations

import re
import time

from infra.clock import ManualClock, SystemClock
from infra.ids import SeededIds, SystemIds


def test_the_manual_clock_moves_only_when_told() -> None:
    clock = ManualClock(1_000)
    assert clock.now_ms() == clock.now_ms() == 1_000
    clock.advance(250)
    clock.advance(-50)
    assert clock.now_ms() == 1_200


def test_the_system_clock_is_wall_time_in_ms() -> None:
    assert abs(SystemClock().now_ms() - time.time() * 1000) < 1_000


def test_identifiers_are_prefixed_base32_of_130_bits_and_differ() -> None:
    ids = SystemIds()
    minted = {ids.mint("job") for _ in range(1_000)}
    assert len(minted) == 1_000
    assert all(re.fullmatch(r"job_[a-z2-7]{26}", one) for one in minted)


def test_seeded_identifiers_repeat() -> None:
    first, second, other = SeededIds(7), SeededIds(7), SeededIds(8)
    assert [first.mint("a") for _ in range(3)] == [second.mint("a") for _ in range(3)]
    assert first.mint("a") != other.mint("a")

"""What is flat and what swells, by quarters of a run."""

from __future__ import annotations

from collections.abc import Sequence

from tests.chaos.footprint import Sample, growing, quarters

MEMORY, HANDLES = "memory gateway, MiB", "open gateway, handles"


def samples(memory: Sequence[float | None], handles: float = 100.0) -> list[Sample]:
    """Looks at a gateway; None where it was away."""
    return [
        Sample(10.0 * number, {HANDLES: handles} if one is None else {MEMORY: one, HANDLES: handles})
        for number, one in enumerate(memory)
    ]


def test_a_quarter_is_told_by_the_median_of_what_was_there() -> None:
    found = quarters(samples([None, 300, 310, 300, 900, 310, 310, None, 300, 310, 300, 310]))
    assert found[MEMORY] == (305, 310, 305, 310)
    assert growing(found) == []


def test_what_grows_on_after_the_caches_are_full_is_told() -> None:
    found = quarters(samples([100.0 + 20 * number for number in range(16)]))
    assert growing(found) == [f"{MEMORY}: 210 in the second quarter, 370 in the last one"]
    assert growing(quarters(samples([100, 100, 400, 400, 400, 400, 400, 400]))) == []


def test_handles_may_not_leak_either() -> None:
    run = samples([300] * 8) + samples([300] * 8, handles=300)
    assert growing(quarters(run)) == [f"{HANDLES}: 100 in the second quarter, 300 in the last one"]
    assert quarters(samples([1, 2, 3])) == {}

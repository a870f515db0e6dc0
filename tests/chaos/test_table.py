"""What a run's figures are made of: standstills by kind, totals, and when a run does not hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.faults.fault import Kind
from tests.chaos.generations import parsed
from tests.chaos.standstill import Spell
from tests.chaos.table import Result, Strike, as_json, groups, quantile, slowest, standstills, text, together
from tests.chaos.verdict import Verdict

CLEAN = Verdict(
    acknowledged=10,
    jobs=8,
    quiet_after_s=1.0,
    lost=(),
    charged_twice=(),
    stuck=(),
    drift_units=0,
    silent=(),
    wrong=(),
    violations=(),
    decided_again=30,
)


def strike(began_s: float, kind: Kind = "dead worker", *, alone: bool = True, **counts: int) -> Strike:
    return Strike("some-fault", kind, alone, began_s, began_s + 5.0, counts)


def result(strikes: list[Strike], spells: list[Spell], verdict: Verdict = CLEAN) -> Result:
    return Result(1, 60.0, 12, strikes, standstills(strikes, spells), {"group": 4}, verdict)


def test_a_spell_belongs_to_the_strike_that_came_alone_and_in_whose_time_it_began() -> None:
    strikes = [strike(100.0, kill=1), strike(200.0, kill=1), strike(300.0, "lost host", kill=1)]
    spells = [Spell(0, 100.2, 102.2), Spell(1, 101.0, 101.5), Spell(2, 150.0, 190.0), Spell(3, 300.0, 307.0)]
    found = standstills(strikes, spells)
    assert found["dead worker"].strikes == 2
    assert found["dead worker"].p50_s == 0.0
    assert found["dead worker"].max_s == pytest.approx(2.0)
    assert found["lost host"].p99_s == pytest.approx(7.0)


def test_the_longest_standstills_are_told_with_time_and_place() -> None:
    strikes = [replace(strike(100.0, kill=1), clock="12:00:00"), strike(200.0, alone=False, kill=1)]
    spells = [Spell(3, 100.2, 102.2), Spell(1, 101.0, 101.5), Spell(2, 200.0, 290.0)]
    assert slowest(strikes, spells, most=1) == ["partition 3 stood still for 2.0 s after some-fault at 12:00:00"]
    assert len(slowest(strikes, spells)) == 2


def test_volleys_and_strikes_that_met_nothing_tell_nothing_of_standstills() -> None:
    strikes = [strike(100.0, alone=False, kill=1), strike(200.0)]
    assert standstills(strikes, [Spell(0, 100.0, 160.0), Spell(0, 200.0, 260.0)]) == {}


def test_the_share_of_a_quantile_is_not_exceeded() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [quantile(values, share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert quantile([7.0], 0.99) == 7.0


def test_totals_count_what_struck() -> None:
    counts = {
        "kill kafka": 2,
        "lost processor": 1,
        "zombie triton": 3,
        "held Fetch answer": 4,
        "dropped EndTxn request": 5,
    }
    assert groups(counts) == {
        "kills": 3,
        "zombies": 3,
        "held or dropped": 9,
        "delayed or cut": 0,
        "clean restarts": 0,
    }


@pytest.mark.parametrize(
    "change",
    [
        {"lost": ("echo key: it was accepted 0 times",)},
        {"charged_twice": ("job was charged [1, 1]",)},
        {"stuck": ("job",)},
        {"drift_units": 1},
        {"silent": ("echo key",)},
        {"wrong": ("ada: the jobs that are shown are not those of the log",)},
        {"violations": ("a law",)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_anything_wrong_means_that_the_run_does_not_hold(change: dict[str, Any]) -> None:
    assert result([], []).holds
    made = result([], [], replace(CLEAN, **change))
    assert not made.holds
    assert not as_json(made)["holds"]
    assert text(made).endswith("DOES NOT HOLD")


def test_a_partition_that_moves_on_too_late_means_that_the_run_does_not_hold() -> None:
    assert result([strike(100.0, kill=1)], [Spell(0, 100.0, 102.9)]).holds
    late = result([strike(100.0, kill=1)], [Spell(0, 100.0, 103.5)])
    assert not late.holds
    assert "dead worker: partitions moved on within 3.5 s" in text(late)


def test_both_writings_of_a_groups_generation_are_read() -> None:
    key = b"\x00\x02\x00\x05local"
    old = b"\x00\x03\x00\x08consumer\x00\x00\x00\x07rest"
    compact = b"\x00\x04\x09consumer\x00\x00\x00\x09rest"
    offset_key = b"\x00\x01\x00\x05local"
    assert parsed([(key, old)]) == {"local": 7}
    assert parsed([(key, old), (offset_key, b"\x00\x01"), (key, compact), (key, None)]) == {"local": 9}


def test_runs_add_up() -> None:
    first = result([strike(100.0, kill=1)], [Spell(0, 100.0, 101.0)])
    second = result([strike(100.0, kill=2)], [Spell(0, 100.0, 102.0)], replace(CLEAN, drift_units=1))
    both = together([as_json(first), as_json(second)])
    assert both["struck"] == {"kill": 3}
    still = both["standstill"]["dead worker"]
    assert (still["strikes"], still["p50_s"], still["p99_s"], still["seconds"]) == (2, 1.0, 2.0, [1.0, 2.0])
    assert (both["verdict"]["drift_units"], both["verdict"]["acknowledged"], both["holds"]) == (1, 20, False)

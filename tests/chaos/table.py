"""What a run has shown, as a table for people and as JSON: pure, over strikes, spells and the verdict."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.chaos.faults.fault import Kind
from tests.chaos.footprint import growing
from tests.chaos.standstill import Spell
from tests.chaos.verdict import Verdict

BOUNDS_P99_S: Mapping[str, float] = {"dead worker": 3.0, "hanging worker": 10.0, "lost host": 10.0}
"""Within which partitions of an owner that was struck alone have to move on."""
FLAT_FROM_S = 1_800.0
OWNERS: tuple[Kind, ...] = ("dead worker", "hanging worker", "lost host", "clean restart")
"""Kinds of faults of processors, who own partitions."""


@dataclass(frozen=True)
class Strike:
    """One strike as it went, until the stack was whole again; on the monotonic clock."""

    fault: str
    kind: Kind
    alone: bool
    began_s: float
    ended_s: float
    counts: Mapping[str, int]
    clock: str = ""
    """When it began, as logs tell the time."""


@dataclass(frozen=True)
class Still:
    """The longest standstill of any partition after each strike of a kind that came alone."""

    seconds: tuple[float, ...]

    @property
    def strikes(self) -> int:
        return len(self.seconds)

    @property
    def p50_s(self) -> float:
        return quantile(self.seconds, 0.5)

    @property
    def p99_s(self) -> float:
        return quantile(self.seconds, 0.99)

    @property
    def max_s(self) -> float:
        return max(self.seconds)

    def as_json(self) -> dict[str, Any]:
        """The figures and what they are made of."""
        figures = {"strikes": self.strikes, "p50_s": self.p50_s, "p99_s": self.p99_s, "max_s": self.max_s}
        rounded = {name: round(value, 2) for name, value in figures.items()}
        return rounded | {"seconds": [round(value, 2) for value in self.seconds]}


@dataclass(frozen=True)
class Result:
    """All of a run."""

    seed: int
    seconds: float
    commands: int
    strikes: Sequence[Strike]
    standstill: Mapping[str, Still]
    rebalances: Mapping[str, int]
    verdict: Verdict
    footprint: Mapping[str, tuple[float, float, float, float]] = field(default_factory=dict)
    """Medians of the quarters of the run."""
    failed: tuple[str, ...] = ()
    """Strikes that could not be carried out as they should."""
    slowest: tuple[str, ...] = ()

    @property
    def counts(self) -> Counter[str]:
        """What really struck, by name."""
        return totals(self.strikes)

    @property
    def too_long(self) -> list[str]:
        """Kinds of faults after which partitions stood still for too long."""
        return [
            f"{kind}: partitions moved on within {found.p99_s:.1f} s (p99), which should be {BOUNDS_P99_S[kind]:g} s"
            for kind, found in self.standstill.items()
            if kind in BOUNDS_P99_S and found.p99_s > BOUNDS_P99_S[kind]
        ]

    @property
    def holds(self) -> bool:
        return self.verdict.holds and not self.too_long and not self.failed and not self.swelling

    @property
    def swelling(self) -> list[str]:
        """What was not flat, in a run long enough to tell."""
        return growing(self.footprint) if self.seconds >= FLAT_FROM_S else []


def totals(strikes: Iterable[Strike]) -> Counter[str]:
    """What really struck, by name."""
    found: Counter[str] = Counter()
    for strike in strikes:
        found.update(strike.counts)
    return found


def standstills(strikes: Sequence[Strike], spells: Sequence[Spell]) -> dict[str, Still]:
    """By kind; a spell belongs to the strike that came alone and in whose time it began."""
    by_kind: dict[str, list[float]] = {}
    for strike in strikes:
        if strike.alone and strike.counts:
            longest = max(_of(strike, spells), key=lambda spell: spell.seconds, default=None)
            by_kind.setdefault(strike.kind, []).append(longest.seconds if longest else 0.0)
    return {kind: Still(tuple(found)) for kind, found in sorted(by_kind.items())}


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def groups(counts: Mapping[str, int]) -> dict[str, int]:
    """The figures that a run is asked for, each the sum of what stands in the table below it."""

    def total(*beginnings: str) -> int:
        return sum(count for name, count in counts.items() if name.startswith(beginnings))

    return {
        "kills": total("kill ", "lost "),
        "zombies": total("zombie "),
        "held or dropped": total("held ", "dropped "),
        "delayed or cut": total("delayed ", "cut "),
        "clean restarts": total("restart "),
    }


def text(result: Result) -> str:
    """The table."""
    verdict, counts = result.verdict, result.counts
    rows: list[tuple[str, str]] = [
        ("seed, seconds, strikes", f"{result.seed}, {result.seconds:.0f}, {len(result.strikes)}"),
        ("answers", f"{result.commands}, of them acknowledged {verdict.acknowledged}; jobs {verdict.jobs}"),
        *((name, str(count)) for name, count in groups(counts).items()),
        ("rebalances", f"{sum(result.rebalances.values())} ({_listed(result.rebalances)})"),
        *((f"  {name}", str(count)) for name, count in sorted(counts.items())),
        ("acknowledged lost", str(len(verdict.lost))),
        ("charged twice", str(len(verdict.charged_twice))),
        ("stuck jobs", str(len(verdict.stuck))),
        ("drift in units", str(verdict.drift_units)),
        ("commands without an answer", str(len(verdict.silent))),
        ("read models that differ", str(len(verdict.wrong))),
        ("violations of the audit", f"{len(verdict.violations)}; decided again {verdict.decided_again}"),
        ("quiet after the last fault", f"{verdict.quiet_after_s:.0f} s"),
        *(
            (f"standstill, {kind}", f"p50 {s.p50_s:.2f} s, p99 {s.p99_s:.2f} s, max {s.max_s:.2f} s ({s.strikes})")
            for kind, s in sorted(result.standstill.items(), key=lambda item: item[0] not in OWNERS)
        ),
        *((name, " ".join(f"{one:.0f}" for one in found)) for name, found in result.footprint.items()),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {value}" for name, value in rows]
    return "\n".join(
        [
            *lines,
            *result.slowest,
            *verdict.lines(),
            *result.too_long,
            *result.swelling,
            *result.failed,
            "holds" if result.holds else "DOES NOT HOLD",
        ]
    )


def as_json(result: Result) -> dict[str, Any]:
    """The same for programs, without the single strikes."""
    verdict = {name: len(v) if isinstance(v, tuple) else v for name, v in asdict(result.verdict).items()}
    return {
        "seed": result.seed,
        "seconds": round(result.seconds),
        "strikes": len(result.strikes),
        "answers": result.commands,
        "totals": groups(result.counts) | {"rebalances": sum(result.rebalances.values())},
        "struck": dict(sorted(result.counts.items())),
        "rebalances": dict(result.rebalances),
        "verdict": verdict,
        "standstill": {kind: found.as_json() for kind, found in result.standstill.items()},
        "footprint": {name: [round(one, 1) for one in found] for name, found in result.footprint.items()},
        "slowest": list(result.slowest),
        "failed_strikes": list(result.failed),
        "holds": result.holds,
    }


def slowest(strikes: Sequence[Strike], spells: Sequence[Spell], most: int = 5) -> list[str]:
    """The longest standstills after strikes that came alone, each with its place and time, for whoever asks why."""
    found = [(spell, strike) for strike in strikes if strike.alone and strike.counts for spell in _of(strike, spells)]
    found.sort(key=lambda pair: -pair[0].seconds)
    return [
        f"partition {spell.partition} stood still for {spell.seconds:.1f} s after {strike.fault} at {strike.clock}"
        for spell, strike in found[:most]
    ]


def _of(strike: Strike, spells: Iterable[Spell]) -> list[Spell]:
    """The spells that began while a strike that came alone was at work, or a moment before it was seen."""
    return [spell for spell in spells if strike.began_s - 0.5 <= spell.began_s <= strike.ended_s]


def together(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The figures of several runs as one: sums, and standstills over all their strikes."""
    sums: dict[str, Counter[str]] = {name: Counter() for name in ("totals", "struck", "verdict")}
    seconds: dict[str, tuple[float, ...]] = {}
    for one in runs:
        for name, counts in sums.items():
            counts.update(one[name])
        for kind, found in one["standstill"].items():
            seconds[kind] = (*seconds.get(kind, ()), *found["seconds"])
    return {
        "runs": len(runs),
        "seconds": sum(one["seconds"] for one in runs),
        "strikes": sum(one["strikes"] for one in runs),
        "answers": sum(one["answers"] for one in runs),
        **{name: dict(sorted(counts.items())) for name, counts in sums.items()},
        "standstill": {kind: Still(found).as_json() for kind, found in sorted(seconds.items())},
        "holds": all(one["holds"] for one in runs),
    }


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))

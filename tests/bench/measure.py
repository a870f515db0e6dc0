"""What a figure is: one value a round, its median and spread, and its ratio to the bare component of the same round.

Rounds alternate between ours and the bare component, so that what disturbs the machine disturbs both. A ratio is taken
round by round; the ratio of a pair is the median of those. CPU is user plus system time of a process and all its
children, and the steadier figure where the load generator shares the cores.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

import msgspec
import psutil


class Spread(msgspec.Struct, frozen=True):
    """Median, least and greatest of one value a round."""

    median: float
    least: float
    greatest: float

    def text(self) -> str:
        """Such as ``1,234 [1,100-1,300]``."""
        return f"{_number(self.median)} [{_number(self.least)}-{_number(self.greatest)}]"


class Figure(msgspec.Struct, frozen=True):
    """One measurement: operations per second, and CPU in microseconds an operation where a process was watched."""

    rate: float
    cpu_us: float | None = None


class Pair(msgspec.Struct, frozen=True):
    """Ours against a bare component. `goal` is the ratio of the rates to reach; nothing should be below a third."""

    name: str
    unit: str
    against: str
    goal: float
    ours: Spread
    bare: Spread
    ratio: Spread
    ours_cpu_us: float | None
    bare_cpu_us: float | None


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds of `count` requests, made one at a time unless the name says at what load. A goal of None is not
    stated."""

    name: str
    count: int
    p50_ms: float
    p99_ms: float
    goal_p50_ms: float | None = None
    goal_p99_ms: float | None = None


class Curves(msgspec.Struct, frozen=True):
    """Lines of points (x, y) over one pair of axes, for a plot; all lines have the same x. `logarithmic`: so is y."""

    title: str
    x: str
    y: str
    lines: dict[str, list[tuple[float, float]]]
    logarithmic: bool = False


class CheckFailed(Exception):
    """Something that was counted is not what it must be; the message says what."""


def spread(values: Iterable[float]) -> Spread:
    """The spread of at least one value."""
    ordered = sorted(values)
    return Spread(statistics.median(ordered), ordered[0], ordered[-1])


def pair(name: str, unit: str, against: str, goal: float, ours: Sequence[Figure], bare: Sequence[Figure]) -> Pair:
    """The pair of two series measured in turn; raises CheckFailed for a rate of nothing."""
    if len(ours) != len(bare) or not all(figure.rate > 0 for figure in (*ours, *bare)):
        raise CheckFailed(f"{name}: not every round was measured")
    return Pair(
        name,
        unit,
        against,
        goal,
        spread(figure.rate for figure in ours),
        spread(figure.rate for figure in bare),
        spread(mine.rate / theirs.rate for mine, theirs in zip(ours, bare, strict=True)),
        _cpu(ours),
        _cpu(bare),
    )


def latency(name: str, values_ms: Sequence[float], goals_ms: tuple[float, float | None] | None = None) -> Latency:
    """The latency of requests; `goals_ms` are those of p50 and p99."""
    p50, p99 = goals_ms or (None, None)
    return Latency(name, len(values_ms), percentile(values_ms, 0.5), percentile(values_ms, 0.99), p50, p99)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not pass."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def cpu_seconds(pids: Iterable[int]) -> float:
    """User plus system time so far of the processes and their children, alive or awaited."""
    total = 0.0
    for pid in pids:
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            try:
                times = one.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system + times.children_user + times.children_system
    return total


def check(good: bool, text: str) -> None:
    """Raise CheckFailed with `text` unless `good`."""
    if not good:
        raise CheckFailed(text)


def _cpu(figures: Sequence[Figure]) -> float | None:
    values = [figure.cpu_us for figure in figures if figure.cpu_us is not None]
    return statistics.median(values) if values else None


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

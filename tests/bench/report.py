"""The bench's figures as a Markdown table and as JSON."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.bench.measure import Curves, Latency, Pair
from tests.bench.plots import chart

RESULTS = Path(__file__).with_name("results.json")


class Results(msgspec.Struct, frozen=True):
    """One run. `failures` names what could not run and every counted check that was off."""

    rounds: int
    seconds: float
    machine: str
    pairs: Sequence[Pair]
    latencies: Sequence[Latency] = ()
    curves: Sequence[Curves] = ()
    notes: Sequence[str] = ()
    failures: Sequence[str] = ()


def machine() -> str:
    """Cores and Python, which the figures depend on."""
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def markdown(results: Results) -> str:
    """The tables: median [least-greatest] of the rounds; a ratio is ours by bare, round by round."""
    lines = [
        f"{results.rounds} alternating rounds on {results.machine}, {results.seconds:.0f} s in all; load by the",
        "project's own raw-socket client in a process of its own; rates a second, CPU of the measured processes.",
        "",
        "| pair | Darkroom | bare | against | ratio | goal | CPU us each, Darkroom / bare |",
        "|---|---|---|---|---|---|---|",
        *map(_pair, results.pairs),
        "",
        "| latency, one at a time or at a load | count | p50 ms | p99 ms | goal p50 / p99 |",
        "|---|---|---|---|---|",
        *map(_latency, results.latencies),
    ]
    if results.notes:
        lines += ["", *results.notes]
    if results.failures:
        lines += ["", *(f"FAILED {failure}" for failure in results.failures)]
    return "\n".join(lines)


def write(results: Results, path: Path = RESULTS) -> None:
    """Store the run beside the bench."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def plots(results: Results, folder: Path = RESULTS.parent) -> None:
    """Each set of curves as an SVG that is named after its title."""
    for curves in results.curves:
        plot = chart("Line", curves.title, curves.x, curves.y)
        if curves.logarithmic:
            plot.logarithmic, plot.y_labels = True, _decades(curves)
        else:
            plot.range = (0, max(_values(curves)))
        first, *_ = curves.lines.values()
        plot.x_labels = [f"{x:,.0f}" for x, _ in first]
        for name, points in curves.lines.items():
            plot.add(name, [y for _, y in points])
        plot.render_to_file(str(folder / f"{'-'.join(curves.title.lower().split())}.svg"))


def _decades(curves: Curves) -> list[float]:
    """Powers of ten around all values."""
    values = _values(curves)
    return [10.0**power for power in range(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))) + 1)]


def _values(curves: Curves) -> list[float]:
    return [y for points in curves.lines.values() for _, y in points]


def _pair(row: Pair) -> str:
    cpu = f"{_us(row.ours_cpu_us)} / {_us(row.bare_cpu_us)}"
    verdict = "" if row.ratio.median >= row.goal else " (short)" if row.ratio.median >= row.goal / 3 else " (FAR)"
    ours, bare, ratio = row.ours.text(), row.bare.text(), row.ratio.text()
    goal = f"{row.goal:g}" if row.goal else "-"
    return f"| {row.name} | {ours} {row.unit} | {bare} | {row.against} | {ratio}{verdict} | {goal} | {cpu} |"


def _latency(row: Latency) -> str:
    goals = [f"< {goal:g}" if goal is not None else "-" for goal in (row.goal_p50_ms, row.goal_p99_ms)]
    return f"| {row.name} | {row.count} | {row.p50_ms:.1f} | {row.p99_ms:.1f} | {' / '.join(goals)} |"


def _us(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.1f}"

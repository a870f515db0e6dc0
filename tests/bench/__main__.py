"""``python -m tests.bench [--only submits,idle] [--rounds 5] [--growth]``: pairs with bare components, in one run.

It starts what it needs, prints Markdown tables, and writes `results.json` and the plots beside this file. Times and
rates are printed, never judged: the exit code is 1 only where something could not run, or where what was counted is not
what it must be.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.bench import history
from tests.bench.report import Results, machine, markdown, plots, write
from tests.bench.station import Bench, station

ROUNDS = 5
QUICK = (
    *("projections", "idle", "jobs", "photographs", "calls", "counted"),
    *("latencies", "submits", "decisions", "price", "reservations", "batches", "queries"),
)
"""Modules of `tests.bench.parts`, in an order in which none disturbs the next."""
GROWTH: tuple[str, ...] = ("rebuilds", "memory", "growth", "hoard")
"""Those that take long."""
_PLAN = Path(__file__).with_name("plan.toml")


def run(parts: Sequence[str], rounds: int, write_history: bool = False) -> int:
    """Run these parts on one stack; the exit code. `write_history`: what was counted is the entry of this version."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the bare loops retry on topics that are just made
    os.environ["DARKROOM_PLAN_PATH"] = str(_PLAN)
    started = time.monotonic()
    bench = Bench(rounds)
    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as folder, station(Path(folder) / "bench") as at:
        for name in parts:
            bench.part(name, partial(importlib.import_module(f"tests.bench.parts.{name}").measure, bench, at))
    results = Results(
        rounds=rounds,
        seconds=time.monotonic() - started,
        machine=machine(),
        pairs=bench.pairs,
        latencies=bench.latencies,
        curves=bench.curves,
        notes=bench.notes,
        failures=bench.failures,
    )
    print(markdown(results))
    if write_history and bench.entry is not None:
        history.write(bench.entry)
    write(results)
    plots(results)
    return 1 if bench.failures else 0


def main() -> int:
    """Run what was asked for; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--only", default="", help=f"of {', '.join((*QUICK, *GROWTH))}")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--growth", action="store_true", help="the parts that take long instead of the quick ones")
    parser.add_argument("--write-history", action="store_true", help="keep what was counted as that of this version")
    asked = parser.parse_args()
    only = [name for name in asked.only.split(",") if name]
    parts = only or (GROWTH if asked.growth else QUICK)
    if asked.write_history and "counted" not in parts:
        parser.error("--write-history needs the part counted")
    return run(parts, asked.rounds, asked.write_history)


if __name__ == "__main__":
    sys.exit(main())

"""How long starts and takeovers last as accounts grow: ``python -m tests.bench.restarts [--accounts 1000,...]``.

Kafka and processors run as ``darkroom up`` runs them. The stack grows to each number of accounts by commands that its
own processor decides: each account gets credits, one in ten of them credits that expire and so a timer; with
``--updates 10`` ten times, so that the state topic holds more than is alive. Then, some rounds each:

    cold start   everything is stopped and the page cache dropped (where that is allowed); from ``up`` on one processor
    warm start   Kafka runs on; from the moment when the only processor is told to end
    takeover     two processors run; from the kill (-9) of one that holds partitions

Each lasts until every partition has decided a submit that was sent when it could be. Memory is that of a processor that
holds all partitions and has just read their state.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import psutil

from tests.bench.growing import ACCOUNTS, LIMIT_S, Growing
from tests.bench.measure import Spread, spread
from tests.bench.plots import chart
from tests.bench.report import machine
from tests.stack import Stack

PLOT = Path(__file__).with_name("restarts.svg")
RESULTS = Path(__file__).with_name("restarts.json")
ROUNDS = 3
SETTLES_S = 8.0
_PLAN = Path(__file__).with_name("plan.toml")
_DROP_CACHES = Path("/proc/sys/vm/drop_caches")


class Size(msgspec.Struct, frozen=True):
    """The figures at a number of accounts: seconds, and MiB resident."""

    accounts: int
    cold_s: Spread
    warm_s: Spread
    takeover_s: Spread
    memory_mib: Spread


class Restarting(Growing):
    """One data directory that grows, served by one or two processors."""

    @contextmanager
    def serving(self, processors: int) -> Iterator[Stack]:
        """Kafka and so many processors, up."""
        names = ("kafka", *(f"processor-{number}" for number in range(processors)))
        stack = Stack(self.data, {"DARKROOM_PLAN_PATH": str(_PLAN)}, only=names)
        stack.start(LIMIT_S)
        try:
            yield stack
            stack.stop()
        finally:
            stack.kill()

    async def starts(self, rounds: int) -> tuple[list[float], list[float], list[float]]:
        """Seconds of cold and of warm starts, and MiB."""
        cold_s, warm_s, memory_mib = [], [], []
        for _ in range(rounds):
            _drop_page_cache()
            began = time.monotonic()
            with self.serving(1) as stack:
                await self.decided()
                cold_s.append(time.monotonic() - began)
                processor = psutil.Process(_pid(stack, "processor-0"))
                memory_mib.append(processor.memory_info().rss / (1 << 20))
                began = time.monotonic()
                processor.send_signal(signal.SIGTERM)
                await asyncio.to_thread(processor.wait, LIMIT_S)  # else it decides this last submit as well
                await self.decided()
                warm_s.append(time.monotonic() - began)
        return cold_s, warm_s, memory_mib

    async def takeovers(self, rounds: int) -> list[float]:
        """Seconds until all partitions decide again after one of two processors was killed, each in turn."""
        seconds = []
        with self.serving(2) as stack:
            for number in range(rounds):
                await self.decided()
                await asyncio.sleep(SETTLES_S)  # a member that came back has its share again
                await self.decided()
                began = time.monotonic()
                os.kill(_pid(stack, f"processor-{number % 2}"), signal.SIGKILL)
                await self.decided()
                seconds.append(time.monotonic() - began)
                await asyncio.to_thread(stack.wait_healthy)
        return seconds


def _pid(stack: Stack, name: str) -> int:
    pid = stack.status()[name]["pid"]
    assert isinstance(pid, int), f"{name} does not run"
    return pid


def _drop_page_cache() -> None:
    os.sync()
    with suppress(OSError):
        _DROP_CACHES.write_text("3", encoding="ascii")


def markdown(sizes: Sequence[Size]) -> str:
    """The table: medians [least-greatest]."""
    lines = ["| accounts | cold start, s | warm start, s | takeover, s | processor, MiB |", "|---|---|---|---|---|"]
    for size in sizes:
        told = (size.cold_s, size.warm_s, size.takeover_s, size.memory_mib)
        lines.append(f"| {size.accounts:,} | " + " | ".join(one.text() for one in told) + " |")
    return "\n".join(lines)


def plot(sizes: Sequence[Size], path: Path) -> None:
    """Seconds against accounts, as SVG."""
    lines = chart("Line", "Seconds until every partition decides", "accounts", "seconds (median)")
    lines.x_labels = [f"{size.accounts:,}" for size in sizes]
    lines.add("cold start", [round(size.cold_s.median, 2) for size in sizes])
    lines.add("warm start", [round(size.warm_s.median, 2) for size in sizes])
    lines.add("takeover after kill -9", [round(size.takeover_s.median, 2) for size in sizes])
    lines.render_to_file(str(path))


async def _measured(growing: Restarting, accounts: int, rounds: int, updates: int) -> Size:
    with growing.serving(1):
        rate = await growing.grow(accounts, updates)
    print(f"grown to {accounts:,} accounts at {rate:,.0f} commands/s", file=sys.stderr, flush=True)
    cold_s, warm_s, memory_mib = await growing.starts(rounds)
    takeover_s = await growing.takeovers(rounds)
    return Size(accounts, spread(cold_s), spread(warm_s), spread(takeover_s), spread(memory_mib))


def main() -> int:
    """Run it, print the table, and write it with its plot where asked to."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.restarts")
    parser.add_argument("--accounts", default=",".join(map(str, ACCOUNTS)))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--updates", type=int, default=1, help="grants of each account: what the state topic holds")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name} and {PLOT.name}")
    given = parser.parse_args()
    sizes = []
    with tempfile.TemporaryDirectory(prefix="darkroom-restarts-", ignore_cleanup_errors=True) as folder:
        growing = Restarting(Path(folder) / "data")
        for accounts in map(int, given.accounts.split(",")):
            sizes.append(asyncio.run(_measured(growing, accounts, given.rounds, given.updates)))
            print(markdown(sizes[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    print(f"{given.rounds} rounds each on {machine()}\n\n{markdown(sizes)}")
    if given.write:
        RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(sizes), indent=1) + b"\n")
        plot(sizes, PLOT)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What each role holds, resident, under the load that fills it, beside the most that it may hold.

On a stack of its own, because most of the photographs are left undone: 32 of twelve megapixels are in flight in one
dispatcher, which holds them as bytes, while two media processes and Triton work on one after the other. Processors at
so many accounts are in `growth`.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import psutil
from msgspec import Struct

from infra.cli.plan import publish_plan
from infra.local.layout import read_stack_file
from infra.settings import Settings
from processors.dispatch.app import MEDIA_PROCESSES, share_table
from processors.dispatch.shares import most
from tests.bench.children import stack
from tests.bench.clients import measured, shapes, submit, tokens, upload
from tests.bench.load import Load
from tests.bench.measure import check
from tests.bench.station import HOST, Bench, Station
from tests.pictures import encoded, scene

ROLES = ("processor-0", "dispatcher-0", "projector-0", "gateway-0")
PHOTOGRAPHS, WIDTH, HEIGHT = 32, 4000, 3000
CONNECTIONS, SUBMITS_S = 64, 15.0
WORKED_ON_S, IN_FLIGHT_LIMIT_S = 30.0, 60.0
LOOK_EVERY_S = 0.1
GENERAL_MIB: Mapping[str, float] = {"gateway-0": 150, "processor-0": 300, "dispatcher-0": 400, "projector-0": 200}
PHOTOGRAPHS_MIB: Mapping[str, float] = {
    "dispatcher-0": 400,
    **{f"dispatcher-0, child {number}": 1024.0 for number in range(MEDIA_PROCESSES)},
}
_IN_FLIGHT = re.compile(r"^darkroom_dispatch_in_flight (\S+)$", re.MULTILINE)


class Row(Struct, frozen=True):
    """The most that a process held, and may hold: MiB."""

    what: str
    load: str
    held: float
    bound: float


class Peaks:
    """The most that each process and its children have held since the beginning of `watching`, in MiB by name."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self.of: dict[str, float] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look ten times a second meanwhile."""
        over = threading.Event()

        def look_on() -> None:
            while not over.wait(LOOK_EVERY_S):
                self._look()

        watcher = threading.Thread(target=look_on)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    def _look(self) -> None:
        for name, process in self._processes.items():
            self._note(name, process)
            for number, child in enumerate(process.children()):
                self._note(f"{name}, child {number}", child)

    def _note(self, name: str, process: psutil.Process) -> None:
        try:
            held = process.memory_info().rss / (1 << 20)
        except psutil.NoSuchProcess:
            return
        self.of[name] = max(held, self.of.get(name, 0.0))


def measure(bench: Bench, at: Station) -> None:
    """Needs no role of the station."""
    at.roles()
    with stack(at.root / "memory", "kafka", "s3", "postgres", "triton") as (servers, children), _slots(PHOTOGRAPHS):
        asyncio.run(publish_plan(servers.settings))
        users = tokens(servers.settings, CONNECTIONS)
        port = children.gateway_port
        roles = {name: children.role(name) for name in ROLES}
        peaks = Peaks({name: role.pid for name, role in roles.items()})
        with peaks.watching():
            jobs = shapes(users, {"model": "sandbox/echo"}, "wait=30")
            load = Load(HOST, port, jobs, "memory-", connections=CONNECTIONS, run_s=SUBMITS_S)
            done = measured(load, 200).requests
        stack_file = read_stack_file(servers.layout)
        assert stack_file is not None
        rows = _rows(f"{done:,} jobs from {CONNECTIONS} connections", peaks.of, GENERAL_MIB)
        peaks.of.clear()
        with peaks.watching():
            _photographs(port, users, lambda: _in_flight(stack_file.ports["dispatcher-0"]))
        rows += _rows(f"{PHOTOGRAPHS} photographs of 12 megapixels in flight", peaks.of, PHOTOGRAPHS_MIB)
    bench.notes += ["", "| process | load | MiB at most | bound |", "|---|---|---|---|"]
    bench.notes += [f"| {row.what} | {row.load} | {row.held:,.0f} | {row.bound:,.0f} |" for row in rows]


def _rows(load: str, peaks: Mapping[str, float], bounds: Mapping[str, float]) -> list[Row]:
    return [Row(name.replace("child", "media process"), load, peaks[name], bound) for name, bound in bounds.items()]


def _photographs(port: int, users: Sequence[str], in_flight: Callable[[], float]) -> None:
    """Submit them all; return some time after all are in flight."""
    picture = encoded(scene(WIDTH, HEIGHT))
    jobs = tuple(
        submit(token, {"model": "classical/upscale", "input": {"asset": upload(port, token, picture)}}, "wait=0")
        for token in users[:PHOTOGRAPHS]
    )
    measured(Load(HOST, port, jobs, "photographs-", connections=8, count=PHOTOGRAPHS), 202)
    ends_s = time.monotonic() + IN_FLIGHT_LIMIT_S
    while (found := in_flight()) < PHOTOGRAPHS:
        check(time.monotonic() < ends_s, f"{found:g} of {PHOTOGRAPHS} photographs came to be in flight")
        time.sleep(LOOK_EVERY_S)
    time.sleep(WORKED_ON_S)


def _in_flight(port: int) -> float:
    """Attempts that the dispatcher works on."""
    with urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=10) as answer:
        found = _IN_FLIGHT.search(answer.read().decode())
    assert found is not None
    return float(found[1])


@contextmanager
def _slots(standard: int) -> Iterator[None]:
    """A dispatcher that is started meanwhile takes so many items of the lane `standard` at once."""
    table = share_table(Settings())
    os.environ["DARKROOM_DISPATCHER_SLOTS"] = str(standard + table.slots - most(table, "standard"))
    try:
        yield
    finally:
        del os.environ["DARKROOM_DISPATCHER_SLOTS"]

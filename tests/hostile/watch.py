"""A watch on a running stack: which processes live, how much memory they take, how long answers take.

An answer is late when it takes more than LATE_S by the clock while the gateway computes for most of that, or when it
takes so long that no busy machine excuses it. What the tests must not depend on is how much of a processor they get.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import ClassVar, NamedTuple, Self

import psutil

from infra.local.memory import resident_bytes
from infra.local.stack import _WORKER_CAPS_MIB
from tests.stack import Stack

LATE_S = 2.0
_COMPUTES_S = 1.0
_INEXCUSABLE_S = 30.0
_EVERY_S = 0.25
_WATCHED = ("gateway", "dispatcher")


class Process(NamedTuple):
    """A component as `darkroom status` shows it."""

    pid: int
    restarts: int


class Late(NamedTuple):
    """An answer that took too long: of the clock, and of the gateway's processor."""

    what: str
    seconds: float
    cpu_s: float


class Watch:
    """Use as a context; `told` gathers lines for the end of the run."""

    told: ClassVar[list[str]] = []

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.before = self.processes()
        self.media_before = self.media_processes()
        self.peak_bytes: dict[str, int] = defaultdict(int)
        self.late: list[Late] = []
        self._seconds: list[float] = []
        self._gateway = psutil.Process(self.before["gateway-0"].pid)
        self._ended = threading.Event()
        self._sampler = threading.Thread(target=self._sample, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._sampler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._sampler.join()
        self._report()

    def processes(self) -> dict[str, Process]:
        """Every component."""
        return {name: Process(row["pid"], row["restarts"]) for name, row in self._stack.status().items()}

    def media_processes(self) -> set[int]:
        """Processes that decode and encode, which may be killed by design: children of dispatchers."""
        pids = [process.pid for name, process in self.processes().items() if name.startswith("dispatcher")]
        return {child.pid for pid in pids for child in psutil.Process(pid).children()}

    @property
    def caps_bytes(self) -> Mapping[str, int]:
        """The caps by component; the supervisor kills what is above."""
        return {name: mebibytes << 20 for name, mebibytes in _WORKER_CAPS_MIB.items()}

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Note how long the answer inside takes."""
        began, computed = time.perf_counter(), self._cpu_s()
        yield
        seconds, cpu_s = time.perf_counter() - began, self._cpu_s() - computed
        self._seconds.append(seconds)
        if seconds > LATE_S and (cpu_s > _COMPUTES_S or seconds > _INEXCUSABLE_S):
            self.late.append(Late(what, round(seconds, 2), round(cpu_s, 2)))

    def _cpu_s(self) -> float:
        times = self._gateway.cpu_times()
        return float(times.user + times.system)

    def _sample(self) -> None:
        while not self._ended.wait(_EVERY_S):
            for name, process in self.before.items():
                role = next((watched for watched in _WATCHED if name.startswith(watched)), None)
                if role is not None:
                    self.peak_bytes[role] = max(self.peak_bytes[role], resident_bytes(process.pid))

    def _report(self) -> None:
        seconds = sorted(self._seconds)
        if seconds:
            middle, last = seconds[len(seconds) // 2], seconds[len(seconds) * 99 // 100]
            text = f"{len(seconds)} hostile requests timed: p50 {middle * 1000:.0f} ms, p99 {last * 1000:.0f} ms"
            self.told.append(f"{text}, slowest {seconds[-1] * 1000:.0f} ms")
        for name, peak in sorted(self.peak_bytes.items()):
            self.told.append(f"{name}: at most {peak >> 20} MiB of {self.caps_bytes[name] >> 20} MiB")

"""Operating system processes inside one event loop: each may be killed, hang and go on, and has a clock of its own.

Theory of operation
-------------------
Everything that a process does runs in callbacks of the event loop, and every callback carries a context. A process is
a value of the context variable `PROCESS`: tasks inherit it, timers and futures keep it. The loop asks before it runs a
callback whether its process may run (`tests.simulation.virtual`):

* one that hangs (SIGSTOP) has its callbacks put by until it goes on, and then finds that time has passed;
* one that is dead (SIGKILL) never runs again: no `finally`, no cancellation, nothing sent;
* a fuse kills after so many more callbacks, so that a death can come between any two steps.

Servers are not processes: what they do runs in the context SERVER, and a request that is under way arrives although
its sender has died. At the end of a life the dead are cut off: whatever reaches out raises CancelledError, so that
their tasks can be cancelled and collected without any effect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, Literal

T0 = 1_800_000_000_000
PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)
SERVER = Context()


class SkewedClock:
    """`infra.clock.Clock`: the true time, and how far this one is from it; a frozen one stands still."""

    def __init__(self) -> None:
        self.skew_ms = 0
        self._frozen_at_ms: int | None = None

    def now_ms(self) -> int:
        """Milliseconds since the epoch, as this clock shows them."""
        return self._shown_ms() if self._frozen_at_ms is None else self._frozen_at_ms

    def freeze(self) -> None:
        """Stand still until `jump`."""
        self._frozen_at_ms = self.now_ms()

    def jump(self, skew_ms: int) -> None:
        """Run on, this far from the true time."""
        self.skew_ms, self._frozen_at_ms = skew_ms, None

    def _shown_ms(self) -> int:
        return T0 + round(asyncio.get_running_loop().time() * 1000) + self.skew_ms


class Process:
    """One process from its start to its end; a restart is another one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state: Literal["runs", "hangs", "dead"] = "runs"
        self.is_cut = False
        self.clock = SkewedClock()
        self.main: asyncio.Task[Any] | None = None
        self._parked: list[asyncio.Handle] = []
        self._fuse: int | None = None

    def start(self, main: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `main` as this process."""
        self.main = self.task(main)
        return self.main

    def task(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """One more task of this process, begun from outside: a request that has reached it."""
        context = copy_context()
        context.run(PROCESS.set, self)
        return asyncio.get_running_loop().create_task(work, context=context)

    @property
    def is_over(self) -> bool:
        """It was killed or has ended by itself."""
        return self.state == "dead" or (self.main is not None and self.main.done())

    def hang(self) -> None:
        """SIGSTOP."""
        if self.state == "runs":
            self.state = "hangs"

    def go_on(self) -> None:
        """SIGCONT."""
        if self.state == "hangs":
            self.state = "runs"
            self._unpark()

    def kill(self) -> None:
        """SIGKILL."""
        self.state = "dead"

    def kill_after(self, steps: int) -> None:
        """SIGKILL after so many more steps."""
        self._fuse = steps

    def cut(self) -> None:
        """The life is over: what is left may only unwind."""
        self.is_cut, self.state, self._fuse = True, "runs", None
        self._unpark()

    def may_run(self, handle: asyncio.Handle) -> bool:
        """Whether the loop may run the callback now; it is kept where not."""
        if self.state == "runs" and self._fuse is not None:
            self._fuse -= 1
            if self._fuse < 0:
                self.kill()
        if self.state == "runs":
            return True
        self._parked.append(handle)
        return False

    def _unpark(self) -> None:
        parked, self._parked = self._parked, []
        asyncio.get_running_loop()._ready.extend(parked)  # type: ignore[attr-defined]


def reach_out() -> None:
    """Whatever leaves a process passes here."""
    process = PROCESS.get()
    if process is not None and process.is_cut:
        raise asyncio.CancelledError


def current_clock() -> SkewedClock:
    """The clock of the process that asks."""
    process = PROCESS.get()
    assert process is not None, "nobody asks for the time outside of a process"
    return process.clock


class LoopTime:
    """Stands in for the module `time` where the product measures how long something took."""

    @staticmethod
    def monotonic() -> float:
        """The loop's time; no clock's jump is seen here."""
        return asyncio.get_running_loop().time()

    perf_counter = monotonic

"""An event loop whose time passes only when everything waits: a day of ticks takes a moment, and nothing is random."""

import asyncio
import selectors
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from tests.simulation.processes import PROCESS, T0

T = TypeVar("T")
_WAKE_UPS_READ_EVERY = 256
ROUNDS_MAX = 1_000_000  # a life under faults takes 50,000


class _NobodyMoves(RuntimeError):
    """Every task waits for something that no task and no timer will ever bring."""


class _Selector(selectors.SelectSelector):
    """Skips what would be waiting."""

    now_s = 0.0
    rounds = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.rounds += 1
        if self.rounds > ROUNDS_MAX:
            raise _NobodyMoves("something goes round in circles")
        if timeout is None:
            raise _NobodyMoves("every task waits for something that never comes")
        if timeout > 0:
            self.now_s += timeout
        # nothing comes from outside but the loop's own wake-up calls, which are read now and then
        return super().select(0) if self.rounds % _WAKE_UPS_READ_EVERY == 0 else []


class _Nothing(asyncio.Handle):
    """Runs in the place of a callback whose process may not run."""

    def __init__(self) -> None:
        self._cancelled = True


class _Ready(deque[asyncio.Handle]):
    """The loop's queue; callbacks of processes that hang or are dead do not leave it."""

    def popleft(self) -> asyncio.Handle:
        handle = super().popleft()
        process = handle._context.get(PROCESS)  # type: ignore[attr-defined]
        return handle if process is None or process.may_run(handle) else _NOTHING


_NOTHING = _Nothing()


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module. Processes live in it (`tests.simulation.processes`)."""

    def __init__(self) -> None:
        self._skipping = _Selector()
        super().__init__(self._skipping)
        self._ready = _Ready()

    def time(self) -> float:
        """Seconds of virtual time since the loop was made."""
        return self._skipping.now_s


class VirtualClock:
    """`infra.clock.Clock` over the running loop's virtual time."""

    def now_ms(self) -> int:
        """T0 and what has passed since."""
        return T0 + round(asyncio.get_running_loop().time() * 1000)


def run_virtually(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run to the end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())

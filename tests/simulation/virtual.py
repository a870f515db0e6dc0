"""An event loop whose time passes only when everything waits: a day of ticks takes a moment, and nothing is random."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
T0 = 1_800_000_000_000
ROUNDS_MAX = 200_000  # a life under faults takes 5,000


class _NobodyMoves(RuntimeError):
    """Every task waits for something that no task and no timer will ever bring."""


class _Selector(selectors.SelectSelector):
    """Skips what would be waiting."""

    now_s = 0.0
    rounds = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        self.rounds += 1
        if self.rounds > ROUNDS_MAX:
            raise _NobodyMoves("something goes round in circles")
        if not ready:
            if timeout is None:
                raise _NobodyMoves("every task waits for something that never comes")
            self.now_s += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        self._skipping = _Selector()
        super().__init__(self._skipping)

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

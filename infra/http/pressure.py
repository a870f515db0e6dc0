"""Whether the process has more to do than it can: how late its event loop runs what is due.

Theory of operation. A timer is due every `_LOOK_EVERY_S`; how much later it runs is what every request waits at least,
again and again, for its turn. Past `lag_max_s` requests are refused at the door, before anything of them is read but
their head: that costs a fraction of an answer, so the loop catches up and whoever is let in is answered soon. Two looks
in a row have to be late, so that a single long step refuses nobody. Health and metrics stand outside of the door.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from prometheus_client import Counter, Gauge

from infra.http.problems import Problem

_LOOK_EVERY_S = 0.05
_LOOKS = 2
_LAG = Gauge("darkroom_http_loop_lag_seconds", "How late the event loop runs what is due.")
SHED = Counter("darkroom_http_shed_total", "Requests that were refused because of too much work.", ["why"])


class LoopPressure:
    """Watches the loop that it is opened in."""

    def __init__(self, lag_max_s: float) -> None:
        self._lag_max_s = lag_max_s
        self._late_looks = 0

    def note(self, lag_s: float) -> None:
        """The timer ran so much later than it was due."""
        _LAG.set(lag_s)
        self._late_looks = self._late_looks + 1 if lag_s > self._lag_max_s else 0

    def check(self) -> None:
        """Raises Problem 503 while the loop is late."""
        if self._late_looks >= _LOOKS:
            SHED.labels("loop").inc()
            detail = "The gateway has more work than it can do in time; try again."
            raise Problem(503, "overloaded", detail, headers={"Retry-After": "1"})

    @asynccontextmanager
    async def watched(self) -> AsyncGenerator[None]:
        """Look until the block ends."""
        watching = asyncio.create_task(self._watch(), name="watch the loop")
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + _LOOK_EVERY_S
            await asyncio.sleep(_LOOK_EVERY_S)
            self.note(max(0.0, loop.time() - due_s))

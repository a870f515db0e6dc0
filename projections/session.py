"""One connection's life: the thread that writes, and the one transaction that is under way."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from infra.logs import get_logger
from projections import metrics
from projections.intake import Intake, Work
from projections.ports import Hole, ReadModels

_log = get_logger(__name__)
T = TypeVar("T")


class WritingSession:
    """The one thread that writes, and the one transaction that is under way."""

    def __init__(self, store: ReadModels, thread: ThreadPoolExecutor) -> None:
        self._store, self._thread = store, thread
        self._under_way: asyncio.Future[None] | None = None

    async def in_thread(self, call: Callable[[], T]) -> T:
        """The call's result, from the thread that owns the connection."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def intake(self, shares: Sequence[int]) -> Intake:
        """An intake where the store's generations stand."""

        def begun() -> Intake:
            generations = self._store.generations()
            return Intake(generations, shares, self._store.positions(Intake.names(generations, shares)))

        return await self.in_thread(begun)

    async def write(self, work: Work) -> None:
        """Begin the transaction once the one before it has committed."""
        await self.finish()
        self._under_way = asyncio.ensure_future(self.in_thread(lambda: _apply(self._store, work)))

    async def finish(self) -> None:
        """Wait for the transaction under way; raises what it raised."""
        if self._under_way is not None:
            under_way, self._under_way = self._under_way, None
            await under_way

    async def abandon(self) -> None:
        """Wait for the transaction under way, whatever becomes of it."""
        if self._under_way is not None:
            await asyncio.wait((self._under_way,))
            self._under_way.exception()


def _apply(store: ReadModels, work: Work) -> None:
    begun_s = time.perf_counter()
    holes = store.apply(work.moves, work.rows, work.reached)
    metrics.WRITE_SECONDS.observe(time.perf_counter() - begun_s)
    if work.events:
        metrics.EVENTS.inc(work.events)
        metrics.BATCH_EVENTS.observe(work.events)
    else:
        metrics.KEYS.inc()
    for hole in holes:
        _alarm(hole)


def _alarm(hole: Hole) -> None:
    metrics.HOLES.labels(hole.what).inc()
    _log.error("hole-in-the-log", what=hole.what, detail=hole.detail)

"""Suspects wait for the quarantine one after the other, outside of their lanes' slots.

A suspect holds up nobody: its slot is free again as soon as it stands here. A full line forgets what comes, and what
waits past its lease is dropped when its turn comes; the decider releases both again, which costs the job nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from infra.logs import get_logger
from processors.dispatch import metrics
from schemas.work import WorkItem

WAITING_MAX = 32
_log = get_logger(__name__)


class Suspects:
    """The line; `run` brings one item to its end."""

    def __init__(self, run: Callable[[WorkItem], Awaitable[None]]) -> None:
        self._run = run
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, item: WorkItem) -> None:
        """Let the item stand in line; returns at once."""
        if len(self._tasks) >= WAITING_MAX:
            metrics.DROPPED.labels("quarantine-full").inc()
            _log.warning("suspect-dropped", job=item.job, attempt=item.attempt)
            return
        task = asyncio.create_task(self._alone(item), name=f"suspect {item.job}/{item.attempt}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, grace_s: float) -> None:
        """Let the one that runs end for `grace_s`; give up the rest."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=grace_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _alone(self, item: WorkItem) -> None:
        async with self._turn:
            await self._run(item)

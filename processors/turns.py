"""Turns at the broker: few transactions of a process at once, so that each takes more commands along.

A process owns several partitions, and its transactions go over one connection, where the broker serves them one after
the other. Eight owners that each commit the few commands they have make eight small transactions that wait for each
other; with two at once, the owners that wait gather what arrives meanwhile. Two and not one, so that one owner decides
while another commits. An idle process never waits here. Nobody waits longer than `patience_s`: a partition whose
commit hangs slows its neighbours down, and does not stop them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

AT_ONCE = 2
PATIENCE_S = 0.25


class Turns:
    """Shared by the owners of a process."""

    def __init__(self, at_once: int = AT_ONCE, patience_s: float = PATIENCE_S) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._patience_s = patience_s

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """The block runs once a turn is free, in the order of asking, or when patience has run out."""
        taken = await self._taken()
        try:
            yield
        finally:
            if taken:
                self._free.release()

    async def _taken(self) -> bool:
        if not self._free.locked():
            return await self._free.acquire()
        try:
            async with asyncio.timeout(self._patience_s):
                return await self._free.acquire()
        except TimeoutError:
            return False

"""A bound on what is held in memory at once, in pixels: large pictures wait for each other, small ones pass freely."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class PixelBudget:
    """First come, first served; an amount above the whole budget gets the whole budget."""

    def __init__(self, pixels_max: int) -> None:
        self._pixels_max = self._free = pixels_max
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def hold(self, pixels: int) -> AsyncGenerator[None]:
        """Wait until that many pixels fit, and hold them for the block."""
        amount = min(pixels, self._pixels_max)
        await self._take(amount)
        try:
            yield
        finally:
            self._give(amount)

    async def _take(self, amount: int) -> None:
        if not self._waiting and amount <= self._free:
            self._free -= amount
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (amount, turn)
        self._waiting.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give(amount)
            else:
                self._waiting.remove(entry)
                self._give(0)
            raise

    def _give(self, amount: int) -> None:
        self._free += amount
        while self._waiting and self._waiting[0][0] <= self._free:
            taken, turn = self._waiting.popleft()
            if not turn.cancelled():
                self._free -= taken
                turn.set_result(None)

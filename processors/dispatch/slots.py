"""Slots for work and a small waiting room before them for each lane.

An item enters its lane's room, begins when the shares give its lane a slot (`shares`), and runs in a task of its own.
Whoever feeds a room asks whether it is full and is told when it is half empty again, so a full lane holds up nobody
else. Items in a room have not begun: a rebalance or a stop forgets them, and somebody gets them again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec

from infra.logs import get_logger
from processors.dispatch import metrics
from processors.dispatch.shares import Table, draw

ROOM_ITEMS_MAX = 16
"""Items that wait in this process instead of with a dispatcher that has a slot; their leases run."""

Handle = Callable[[bytes | None], Coroutine[Any, Any, None]]
"""Brings the item of a record to its end."""

_log = get_logger(__name__)


class Waiting(msgspec.Struct, frozen=True):
    """A record of a lane; `begun` is called once, when it leaves its room for a slot."""

    value: bytes | None
    begun: Callable[[], None]


class Slots:
    """At most as many items run as the table has slots."""

    def __init__(self, table: Table, handlers: Mapping[str, Handle], room_again: Callable[[str], None]) -> None:
        self._table, self._handlers, self._room_again = table, dict(handlers), room_again
        self._rooms: dict[str, deque[Waiting]] = {lane: deque() for lane in self._handlers}
        self._full: set[str] = set()
        self._running = dict.fromkeys(self._handlers, 0)
        self._credits: Mapping[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def put(self, lane: str, item: Waiting) -> None:
        """Let the item begin or wait; a full room takes it too, and `is_full` says so."""
        self._rooms[lane].append(item)
        self._fill()
        if len(self._rooms[lane]) >= ROOM_ITEMS_MAX:
            self._full.add(lane)

    def is_full(self, lane: str) -> bool:
        """Whether the lane's partitions should be held; `room_again` follows."""
        return lane in self._full

    def forget_waiting(self) -> None:
        """Empty the rooms; what has begun goes on."""
        for room in self._rooms.values():
            room.clear()
        self._full.clear()

    async def drain(self, grace_s: float) -> None:
        """Begin nothing more, let items end for `grace_s`, cancel the rest and wait for them."""
        self.forget_waiting()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=grace_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _fill(self) -> None:
        """Give free slots to waiting items until there are no more of either."""
        while True:
            waiting = [lane for lane, room in self._rooms.items() if room]
            drawn = draw(self._table, waiting, self._running, self._credits)
            self._credits = drawn.credits
            if drawn.lane is None:
                return
            self._begin(drawn.lane, self._rooms[drawn.lane].popleft())
            if drawn.lane in self._full and len(self._rooms[drawn.lane]) <= ROOM_ITEMS_MAX // 2:
                self._full.discard(drawn.lane)
                self._room_again(drawn.lane)

    def _begin(self, lane: str, item: Waiting) -> None:
        self._running[lane] += 1
        metrics.LANE_RUNNING.labels(lane).set(self._running[lane])
        metrics.LANE_BEGUN.labels(lane).inc()
        item.begun()
        task = asyncio.create_task(self._handlers[lane](item.value), name=f"item of {lane}")
        self._tasks.add(task)
        task.add_done_callback(lambda ended: self._ended(lane, ended))

    def _ended(self, lane: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._running[lane] -= 1
        metrics.LANE_RUNNING.labels(lane).set(self._running[lane])
        if not task.cancelled() and task.exception() is not None:
            _log.error("item-failed", lane=lane, error=repr(task.exception()))
        self._fill()

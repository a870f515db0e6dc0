"""Replies: from the decider's transaction to the request that waits for it.

Theory of operation. A gateway has an incarnation, a name that no other process ever had, and the owner of partition p
writes its replies to partition p of `replies` under that name: an owner that hangs with an open transaction holds back
its own accounts' answers and nobody else's. The reader follows all partitions from their ends as of its start (nobody
waits for anything older) and drops what is keyed for others. A reply is matched to its waiter by correlation id; one
without a waiter is dropped, the client has its 202. A reader that falls behind or fails delays answers and loses none:
waiters ask the read model beside it (design section 2, point 21).

Overload. A partition whose first undecided command has waited longer than `behind_after_s` is behind, and takes no
more than `behind_waiting_max` waiters until it has caught up: the next one is refused at once, before anything is on
the log, so that whoever is let in is still answered soon. A few may wait however far behind it is: those of the seconds
in which a dead owner's partitions move. Each partition is judged by itself, so one that hangs costs the others nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

import msgspec

from infra.kafka.ports import Follower
from infra.logs import get_logger
from schemas.replies import Reply, decode_replies

NUMBERED = "."  # a correlation `<id>.<number>` is that of one of many commands, whose waiter is `<id>`
_RETRY_S = 0.5
_log = get_logger(__name__)


class TooManyWaiters(Exception):
    """As many requests as allowed wait for a decision already, of all partitions or of one that is behind."""


class Waiter:
    """The replies to one command, or to many of one request, in order. Leave the block when no more are wanted."""

    __slots__ = ("_arrived", "_replies", "_waiters", "correlation", "opened_s", "partition")

    def __init__(self, waiters: Waiters, correlation: str, partition: int, opened_s: float) -> None:
        self.correlation = correlation
        self.partition = partition
        self.opened_s = opened_s
        self._waiters = waiters
        self._replies: deque[Reply] = deque()
        self._arrived: asyncio.Future[None] | None = None

    def __enter__(self) -> Waiter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """No more are wanted; harmless twice."""
        self._waiters.forget(self)

    def put(self, reply: Reply) -> None:
        """Called by the reader."""
        self._replies.append(reply)
        if self._arrived is not None:
            _settle(self._arrived)

    async def take(self, timeout_s: float) -> Reply | None:
        """The next reply, None when none has come in time."""
        if not self._replies and timeout_s > 0:
            loop = asyncio.get_running_loop()
            self._arrived = loop.create_future()
            timer = loop.call_later(timeout_s, _settle, self._arrived)
            try:
                await self._arrived
            finally:
                timer.cancel()
                self._arrived = None
        return self._replies.popleft() if self._replies else None


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Waiters:
    """Who waits for which correlation id in this gateway. `clock` gives seconds of a monotonic clock."""

    def __init__(
        self,
        incarnation: str,
        waiting_max: int = 20_000,
        *,
        behind_after_s: float = 0.5,
        behind_waiting_max: int = 32,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.incarnation = incarnation
        self._waiting_max = waiting_max
        self._behind_after_s, self._behind_waiting_max = behind_after_s, behind_waiting_max
        self._clock = clock
        self._by_correlation: dict[str, Waiter] = {}
        self._undecided: dict[int, dict[str, Waiter]] = {}  # of each partition, the first one first

    def open(self, correlation: str, partition: int) -> Waiter:
        """A waiter, registered before its command is sent to the partition. Raises TooManyWaiters."""
        if len(self._by_correlation) >= self._waiting_max:
            raise TooManyWaiters(f"{self._waiting_max} requests wait already")
        undecided, now_s = self._undecided.setdefault(partition, {}), self._clock()
        if len(undecided) >= self._behind_waiting_max:
            first = next(iter(undecided.values()))
            if now_s - first.opened_s > self._behind_after_s:
                raise TooManyWaiters(f"partition {partition} is {now_s - first.opened_s:.1f} s behind")
        waiter = Waiter(self, correlation, partition, now_s)
        self._by_correlation[correlation] = undecided[correlation] = waiter
        return waiter

    def forget(self, waiter: Waiter) -> None:
        """Drop what still comes for it."""
        self._by_correlation.pop(waiter.correlation, None)
        self._undecided[waiter.partition].pop(waiter.correlation, None)

    def deliver(self, reply: Reply) -> None:
        """Give the reply to its waiter, if it still waits."""
        waiter = self._by_correlation.get(reply.correlation.partition(NUMBERED)[0])
        if waiter is not None:
            self._undecided[waiter.partition].pop(waiter.correlation, None)
            waiter.put(reply)


class ReplyReader(Protocol):
    """Fills the waiters from somewhere."""

    @property
    def is_ready(self) -> bool:
        """Whether a reply to a command sent now would be seen."""
        ...

    async def run(self) -> None:
        """Follow the replies until cancelled."""
        ...


class LogReplyReader:
    """`ReplyReader` over the topic."""

    def __init__(self, follower: Follower, waiters: Waiters) -> None:
        self._follower, self._waiters = follower, waiters
        self._key = waiters.incarnation.encode()
        self._ready = False

    @property
    def is_ready(self) -> bool:
        return self._ready

    async def run(self) -> None:
        try:
            while True:
                try:
                    if not self._ready:
                        await self._follower.start()
                        self._ready = True
                    for record in await self._follower.poll():
                        if record.key == self._key and record.value is not None:
                            self._hand_out(record.value)
                except Exception as error:
                    _log.error("replies-not-read", exc_info=error)
                    await asyncio.sleep(_RETRY_S)
        finally:
            await self._follower.close()

    def _hand_out(self, value: bytes) -> None:
        try:
            replies = decode_replies(value)
        except msgspec.DecodeError as error:
            _log.error("replies-unreadable", exc_info=error)
            return
        for reply in replies:
            self._waiters.deliver(reply)

"""Replies: from the decider's transaction to the request that waits for it.

Theory of operation. A gateway has an incarnation, a name that no other process ever had, and the owner of partition p
writes its replies to partition p of `replies` under that name: an owner that hangs with an open transaction holds back
its own accounts' answers and nobody else's. The reader follows all partitions from their ends as of its start (nobody
waits for anything older) and drops what is keyed for others. A reply is matched to its waiter by correlation id; one
without a waiter is dropped, the client has its 202. A reader that falls behind or fails delays answers and loses none:
waiters ask the read model beside it (design section 2, point 21).

Overload. A partition whose first undecided command has waited longer than `behind_after_s` is behind. Until it has
caught up it takes no more waiters than it has decided in the last `_SOON_S`: whoever comes last then waits about that
long (Little's law; while some wait, what is decided is all that can be). The next one is refused at once, before
anything is on the log. `behind_waiting_min` may wait however far behind it is: those of the seconds in which a dead
owner's partitions move. Each partition is judged by itself, so one that hangs costs the others nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Protocol

import msgspec

from infra.kafka.ports import Follower
from infra.logs import get_logger
from schemas.replies import Reply, decode_replies

_SOON_S = 0.5
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


class _Pace:
    """How many were decided within the last `_SOON_S`: a window that slides over two counts."""

    __slots__ = ("_before", "_began_s", "_count")

    def __init__(self) -> None:
        self._began_s, self._count, self._before = 0.0, 0, 0

    def note(self, now_s: float) -> None:
        """One more was decided."""
        self._turn(now_s)
        self._count += 1

    def lately(self, now_s: float) -> float:
        """How many they are, the older count taken in part."""
        self._turn(now_s)
        return self._count + self._before * (1.0 - (now_s - self._began_s) / _SOON_S)

    def _turn(self, now_s: float) -> None:
        since_s = now_s - self._began_s
        if since_s >= 2 * _SOON_S:
            self._began_s, self._before, self._count = now_s, 0, 0
        elif since_s >= _SOON_S:
            self._began_s, self._before, self._count = self._began_s + _SOON_S, self._count, 0


class _Line:
    """Who waits in a partition, the first one first, and how fast it goes on."""

    __slots__ = ("pace", "undecided")

    def __init__(self) -> None:
        self.undecided: dict[str, Waiter] = {}
        self.pace = _Pace()


class Waiters:
    """Who waits for which correlation id in this gateway. `clock` gives seconds of a monotonic clock."""

    def __init__(
        self,
        incarnation: str,
        waiting_max: int = 20_000,
        *,
        behind_after_s: float = 0.3,
        behind_waiting_min: int = 24,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.incarnation = incarnation
        self._waiting_max = waiting_max
        self._behind_after_s, self._behind_waiting_min = behind_after_s, behind_waiting_min
        self._clock = clock
        self._by_correlation: dict[str, Waiter] = {}
        self._lines: defaultdict[int, _Line] = defaultdict(_Line)

    def open(self, correlation: str, partition: int) -> Waiter:
        """A waiter, registered before its command is sent to the partition. Raises TooManyWaiters."""
        if len(self._by_correlation) >= self._waiting_max:
            raise TooManyWaiters(f"{self._waiting_max} requests wait already")
        line, now_s = self._lines[partition], self._clock()
        if len(line.undecided) >= self._behind_waiting_min:
            behind_s = now_s - next(iter(line.undecided.values())).opened_s
            if behind_s > self._behind_after_s and len(line.undecided) >= line.pace.lately(now_s):
                raise TooManyWaiters(f"partition {partition} is {behind_s:.1f} s behind")
        waiter = Waiter(self, correlation, partition, now_s)
        self._by_correlation[correlation] = line.undecided[correlation] = waiter
        return waiter

    def forget(self, waiter: Waiter) -> None:
        """Drop what still comes for it."""
        self._by_correlation.pop(waiter.correlation, None)
        self._lines[waiter.partition].undecided.pop(waiter.correlation, None)

    def deliver(self, reply: Reply) -> None:
        """Give the reply to its waiter, if it still waits."""
        waiter = self._by_correlation.get(reply.correlation.partition(NUMBERED)[0])
        if waiter is not None:
            line = self._lines[waiter.partition]
            if line.undecided.pop(waiter.correlation, None) is not None:
                line.pace.note(self._clock())
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

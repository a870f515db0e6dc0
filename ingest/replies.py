"""Replies: from the decider's transaction to the request that waits for it.

Theory of operation. A gateway has an incarnation, a name that no other process ever had; its replies come to the one
partition of `replies` that the name hashes to. The reader begins at the partition's end as of its start (nobody waits
for anything older), follows it with read_committed fetches at explicit offsets, and drops what is keyed for others. A
reply is matched to its waiter by correlation id; one without a waiter is dropped, the client has its 202. A reader that
falls behind or fails delays answers and loses none: waiters ask the read model beside it (design section 2, point 21).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

import msgspec

from infra.kafka.ports import LogReader, ReadFault
from infra.logs import get_logger
from schemas.identifiers import partition_of
from schemas.replies import Reply, decode_replies
from schemas.topics import REPLIES

_NO_END = 1 << 62
_RETRY_S = 0.5
_SILENCE_PAUSE_S = 0.005
_log = get_logger(__name__)


class TooManyWaiters(Exception):
    """As many requests as allowed wait for a decision already."""


class Waiter:
    """The replies to one command, in order. Take one at a time; leave the block when no more are wanted."""

    __slots__ = ("_arrived", "_replies", "_waiters", "correlation")

    def __init__(self, waiters: Waiters, correlation: str) -> None:
        self.correlation = correlation
        self._waiters = waiters
        self._replies: deque[Reply] = deque()
        self._arrived: asyncio.Future[None] | None = None

    def __enter__(self) -> Waiter:
        return self

    def __exit__(self, *_: object) -> None:
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
    """Who waits for which correlation id in this gateway."""

    def __init__(self, incarnation: str, waiting_max: int = 20_000) -> None:
        self.incarnation = incarnation
        self._waiting_max = waiting_max
        self._by_correlation: dict[str, Waiter] = {}

    def open(self, correlation: str) -> Waiter:
        """A waiter, registered before its command is sent. Raises TooManyWaiters."""
        if len(self._by_correlation) >= self._waiting_max:
            raise TooManyWaiters(f"{self._waiting_max} requests wait already")
        waiter = self._by_correlation[correlation] = Waiter(self, correlation)
        return waiter

    def forget(self, waiter: Waiter) -> None:
        """Drop what still comes for it."""
        self._by_correlation.pop(waiter.correlation, None)

    def deliver(self, reply: Reply) -> None:
        """Give the reply to its waiter, if it still waits."""
        waiter = self._by_correlation.get(reply.correlation)
        if waiter is not None:
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
    """`ReplyReader` over the topic. Its log reader needs a connection of its own: fetches wait at the broker."""

    def __init__(self, reader: LogReader, waiters: Waiters, partitions: int) -> None:
        self._reader, self._waiters = reader, waiters
        self._partition = partition_of(waiters.incarnation, partitions)
        self._key = waiters.incarnation.encode()
        self._position: int | None = None

    @property
    def is_ready(self) -> bool:
        return self._position is not None

    async def run(self) -> None:
        while True:
            try:
                if self._position is None:
                    self._position = await self._reader.end_offset(REPLIES, self._partition)
                await self._follow(self._position)
            except ReadFault as error:
                await self._recover(error)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                _log.error("replies-not-read", exc_info=error)
                await asyncio.sleep(_RETRY_S)

    async def _follow(self, position: int) -> None:
        async for batch in self._reader.read(REPLIES, self._partition, position, _NO_END):
            for record in batch:
                if record.key == self._key and record.value is not None:
                    self._hand_out(record.value)
            self._position = batch[-1].offset + 1

    def _hand_out(self, value: bytes) -> None:
        try:
            replies = decode_replies(value)
        except msgspec.DecodeError as error:
            _log.error("replies-unreadable", exc_info=error)
            return
        for reply in replies:
            self._waiters.deliver(reply)

    async def _recover(self, error: ReadFault) -> None:
        """Silence is normal; a position that retention has passed begins anew at the oldest record."""
        await asyncio.sleep(_SILENCE_PAUSE_S)
        try:
            oldest = await self._reader.begin_offset(REPLIES, self._partition)
        except ReadFault:
            _log.warning("replies-not-read", reason=str(error))
            await asyncio.sleep(_RETRY_S)
            return
        self._position = max(self._position or 0, oldest)

"""Owners of partitions: started and stopped by the group's assignments, rebuilt after every failure, watched.

Theory of operation
-------------------
The front end (a group member that fetches) says which partitions are ours; `Fleet` starts an `OwnerSupervisor` for
each new one and cancels those that are gone. Nothing here decides who may write: that is the fencing of the
transactional ids, so two processes that both think a partition theirs do no harm.

    make owner -> run ... taken over -> release(next offset) -> deliver, deliver, ... -> failure
        ^                                                                                  |
        +---- ours still? <---- wait longer than a heartbeat <---- hold, forget -----------+

A fenced owner that came back at once would fence its successor; after the wait the group has told us whether the
partition is still ours.

How records reach an owner. The front end's position is a hint, never the truth. A partition is held (not fetched)
until its owner has read its state; then it is released at the owner's next offset. Records go through an inbox; when
it is full the partition is held and released later. What a rebalance drops on the way is fetched again, because every
assignment starts held and is released at the offset after the last delivered record. The owner skips what it has
and reads by itself what is missing, also where it hears nothing for two seconds. That keeps it going; what brings the
front end back is `look`, which compares, once a second, the end of the partition with the owner's next offset, and
releases again at the latter when neither moves. What does not help within `stuck_after_s` makes `healthy` false, and
the process exits so that whoever started it starts it again.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog

from infra.kafka.ports import Record
from processors import metrics

INBOX_RECORDS_MAX = 4_000
LOOK_EVERY_S = 1.0

log = structlog.get_logger()


class Owner(Protocol):
    """What a supervisor needs of `processors.loop.PartitionOwner`."""

    @property
    def next_offset(self) -> int: ...

    @property
    def stopped(self) -> bool:
        """An operator must act; standing still is right."""
        ...

    async def taken_over(self) -> None: ...

    async def offer(self, records: Sequence[Record]) -> None: ...

    async def run(self) -> None: ...


class FrontEnd(Protocol):
    """Who fetches. All calls return at once and may be lost without harm."""

    def is_ours(self, partition: int) -> bool:
        """Whether the group has assigned the partition to this process, as far as is known now."""
        ...

    def release(self, partition: int, offset: int) -> None:
        """Fetch from ``offset`` on."""
        ...

    def hold(self, partition: int) -> None:
        """Stop fetching; what is on its way may still be delivered."""
        ...

    def end_offset(self, partition: int) -> int | None:
        """The end of the partition as the last fetch saw it."""
        ...


MakeOwner = Callable[[int], Awaitable[Owner]]


class OwnerSupervisor:
    """Keeps one partition owned until cancelled."""

    def __init__(self, partition: int, make_owner: MakeOwner, front: FrontEnd, rebuild_wait_s: float = 1.0) -> None:
        """``rebuild_wait_s`` must be longer than the group's heartbeat interval."""
        self.partition = partition
        self._make_owner = make_owner
        self._front = front
        self._rebuild_wait_s = rebuild_wait_s
        self._owner: Owner | None = None
        self._inbox: deque[Sequence[Record]] = deque()
        self._inbox_records = 0
        self._arrived = asyncio.Event()
        self._held = True
        self._delivered_to = 0
        self._seen_offset = -1
        self._moved_at = time.monotonic()

    @property
    def is_live(self) -> bool:
        """An owner has taken over and has not failed since."""
        return self._owner is not None

    async def run(self) -> None:
        """Own, and own again after each failure; ends only by cancellation."""
        while True:
            try:
                await self._own(await self._make_owner(self.partition))
            except Exception as error:
                metrics.OWNER_FAILURES.inc()
                log.warning("owner failed", partition=self.partition, error=repr(error))
            finally:
                self._forget()
            self._front.hold(self.partition)
            await asyncio.sleep(self._rebuild_wait_s)
            while not self._front.is_ours(self.partition):
                await asyncio.sleep(self._rebuild_wait_s)

    async def _own(self, owner: Owner) -> None:
        running = asyncio.create_task(owner.run(), name=f"owner {self.partition}")
        started = asyncio.create_task(owner.taken_over())
        feeding: asyncio.Task[None] | None = None
        try:
            await asyncio.wait((running, started), return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                self._owner = owner
                self._moved_at = time.monotonic()
                self._release(owner.next_offset)
                feeding = asyncio.create_task(self._feed(owner))
                await asyncio.wait((running, feeding), return_when=asyncio.FIRST_COMPLETED)
        finally:
            tasks = [task for task in (running, started, feeding) if task is not None]
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def _feed(self, owner: Owner) -> None:
        while True:
            while not self._inbox:
                self._arrived.clear()
                await self._arrived.wait()
            records = self._inbox.popleft()
            await owner.offer(records)
            self._inbox_records -= len(records)
            if self._held and self._inbox_records <= INBOX_RECORDS_MAX // 2:
                self._release(self._delivered_to)

    def deliver(self, records: Sequence[Record]) -> None:
        """Take fetched records in order. Without a living owner they are dropped: it will read them itself."""
        if self._owner is None or not records or records[-1].offset < self._delivered_to:
            return
        self._delivered_to = records[-1].offset + 1
        self._inbox.append(records)
        self._inbox_records += len(records)
        self._arrived.set()
        if self._inbox_records > INBOX_RECORDS_MAX and not self._held:
            self._held = True
            self._front.hold(self.partition)

    def release_again(self) -> None:
        """The front end has lost its position (a rebalance): fetch on after the last delivered record."""
        if self._owner is not None and not self._held:
            self._release(self._delivered_to)

    def look(self) -> None:
        """Once a second: when records are there and neither owner nor inbox moves, fetch them again."""
        owner = self._owner
        if owner is None:
            return
        offset, end = owner.next_offset, self._front.end_offset(self.partition)
        if offset != self._seen_offset or end is None or offset >= end or owner.stopped:
            self._moved_at = time.monotonic()
        elif not self._inbox:
            log.warning("records were not delivered", partition=self.partition, at=offset, end=end)
            self._release(offset)
        self._seen_offset = offset

    def stuck_s(self) -> float:
        """How long there have been records without any progress; 0 while no owner lives (its steps have deadlines)."""
        return 0.0 if self._owner is None else time.monotonic() - self._moved_at

    def _release(self, offset: int) -> None:
        self._delivered_to = offset
        self._held = False
        self._front.release(self.partition, offset)

    def _forget(self) -> None:
        self._owner = None
        self._held = True
        self._inbox.clear()
        self._inbox_records = 0
        self._seen_offset = -1


class Fleet:
    """All owners of this process."""

    def __init__(
        self,
        make_owner: MakeOwner,
        front: FrontEnd,
        *,
        rebuild_wait_s: float = 1.0,
        stuck_after_s: float = 30.0,
    ) -> None:
        self._make_owner = make_owner
        self._front = front
        self._rebuild_wait_s = rebuild_wait_s
        self._stuck_after_s = stuck_after_s
        self._running: dict[int, tuple[OwnerSupervisor, asyncio.Task[None]]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def partitions(self) -> frozenset[int]:
        """The partitions that have a supervisor now."""
        return frozenset(self._running)

    @property
    def live(self) -> frozenset[int]:
        """The partitions whose owner has taken over."""
        return frozenset(number for number, (supervisor, _) in self._running.items() if supervisor.is_live)

    def assign(self, partitions: frozenset[int]) -> None:
        """Make ``partitions`` the whole set; those that stay go on undisturbed. Returns at once."""
        for number in self.partitions - partitions:
            _, task = self._running.pop(number)
            task.cancel()
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        for number in sorted(partitions - self.partitions):
            supervisor = OwnerSupervisor(number, self._make_owner, self._front, self._rebuild_wait_s)
            task = asyncio.create_task(supervisor.run(), name=f"supervisor {number}")
            self._running[number] = (supervisor, task)

    def deliver(self, partition: int, records: Sequence[Record]) -> None:
        """Hand fetched records to the partition's owner, if there is one."""
        entry = self._running.get(partition)
        if entry is not None:
            entry[0].deliver(records)

    def release_again(self) -> None:
        """Release every living owner's partition after the front end has lost its positions."""
        for supervisor, _ in self._running.values():
            supervisor.release_again()

    async def watch(self) -> None:
        """Look after all partitions once a second, until cancelled or no longer `healthy`."""
        while self.healthy():
            await asyncio.sleep(LOOK_EVERY_S)
            for supervisor, _ in self._running.values():
                supervisor.look()

    def healthy(self) -> bool:
        """No partition stands still with records waiting, and no supervisor has died."""
        return all(
            supervisor.stuck_s() < self._stuck_after_s and not task.done()
            for supervisor, task in self._running.values()
        )

    async def close(self) -> None:
        """Stop all owners and wait for them."""
        self.assign(frozenset())
        await asyncio.gather(*self._ending, return_exceptions=True)

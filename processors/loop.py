"""The one transactional shell: take over, fold, decide, append. One owner for each partition of `commands`.

Theory of operation. An owner is a straight line that is thrown away whole:

    fence -> read state and position -> catch up -> { take what is buffered -> decide and evolve -> one transaction }

* Exactly once. A transaction holds the events, work items, replies and dead letters of its commands, the state records
  they changed and the reserved record `position`. It is committed or it is not; a new owner reads the position only
  after it has fenced this one, so a command is applied by exactly one committed transaction, also when a record of many
  commands is cut in the middle.
* The state is evolved before its transaction commits. Any exception, an unknown outcome above all, ends the owner with
  its state and its producers; its supervisor waits, asks whether the partition is still ours, and makes a new one.
* Nothing leaves the process but through the transaction. Ticks are the exception: they are ordinary commands, appended
  by an idempotent producer, and a duplicate of one is harmless.
* A record below the position is skipped. A gap above it is read from the log by the owner itself, so a lost seek of
  whoever feeds it shows as a metric, never as a lost or a doubled command (hazard P1). A gap that the log no longer
  holds raises. An owner that hears nothing for a moment looks at the log itself, so a Fetch that gets no answer and a
  rebalance that waits for a dead member cost that moment and no more.
* A command whose decision raises cannot take its partition down for good: what stood before it is committed, the
  reserved record `suspect` counts the takeovers that failed on it, and after three it is put aside by name.
  More than five commands put aside among a thousand stop the partition until an operator lets it go on.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog
from msgspec.structs import replace

from infra import failpoints
from infra.clock import Clock
from infra.ids import IdSource
from infra.kafka.ports import Appender, LogReader, OutcomeUnknown, Overloaded, ReadFault, Record, TransactionalLog
from processors import metrics
from processors.accounts.state import Progress
from processors.batch import Batch, DecisionFailed, suspect_record
from processors.effects import Addressing
from processors.store import Store
from processors.takeover import load_store
from processors.turns import Turns
from schemas import topics
from schemas.codec import Unreadable, unpack_items
from schemas.commands import CommandUnreadable, Envelope, ResumePartition, Tick, decode_command, encode_command

BUFFERED_RECORDS_MAX = 2_000
TICK_EVERY_MS = 1_000
LOOK_AFTER_S = 2.0
"""The silence after which an owner asks the log itself."""

log = structlog.get_logger()


class CommandsGone(Exception):
    """The log no longer holds the next command; skipping it would lose it."""


@dataclass(frozen=True, slots=True)
class OwnerPorts:
    """What an owner needs of the world; `transactions` is new for each owner, `turns` those of the process."""

    transactions: TransactionalLog
    reader: LogReader
    ticks: Appender
    clock: Clock
    ids: IdSource
    turns: Turns = field(default_factory=Turns)


class PartitionOwner:
    """The decider of one partition, from one takeover to its end. Make a new one after any exception."""

    def __init__(self, partition: int, addressing: Addressing, ports: OwnerPorts) -> None:
        self.partition = partition
        self._addressing = addressing
        self._ports = ports
        self._buffer: deque[Record] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._taken_over = asyncio.Event()
        self._last_tick_ms = 0
        self._heard_s = 0.0
        self._store = Store(partition)
        self._progress = Progress()

    @property
    def next_offset(self) -> int:
        """The offset of the record that holds the next command; meaningful once `taken_over` has returned."""
        return self._progress.next()[0]

    @property
    def stopped(self) -> bool:
        """Too many commands were put aside; standing still is right until an operator lets the partition go on."""
        return self._progress.stopped

    async def taken_over(self) -> None:
        """Returns when the owner has fenced its predecessors and read its state."""
        await self._taken_over.wait()

    async def offer(self, records: Sequence[Record]) -> None:
        """Hand over fetched records in order; waits while the buffer is full."""
        while len(self._buffer) >= BUFFERED_RECORDS_MAX:
            self._room.clear()
            await self._room.wait()
        self._buffer.extend(records)
        self._arrived.set()
        self._heard_s = _now_s()

    async def run(self) -> None:
        """Own the partition until cancelled; raises whatever made that impossible."""
        started = time.perf_counter()
        failpoints.passed("processor.fence.before")
        await self._ports.transactions.initialise()
        failpoints.passed("processor.fence.after")
        self._store = await load_store(self._ports.reader, self.partition)
        failpoints.passed("processor.load.after")
        self._progress = self._store.progress()
        metrics.TAKEOVERS.inc()
        self._taken_over.set()
        log.info(
            "partition taken over",
            partition=self.partition,
            offset=self._progress.offset,
            records=len(self._store),
            took_ms=round(1000 * (time.perf_counter() - started)),
        )
        await self._catch_up(await self._end_of_commands())
        while True:
            if self._progress.stopped:
                await self._wait_for_resume()
                await self._catch_up(await self._end_of_commands())  # what was offered meanwhile was dropped
            await self._wait_for_records()
            if not self._buffer:
                await self._fill_gap(await self._end_as_far_as_known())
                continue
            if self._buffer[0].offset > self.next_offset:
                await self._fill_gap(self._buffer[0].offset)
            await self._transact(self._buffer)
            self._room.set()

    async def _wait_for_records(self) -> None:
        """Until a record has arrived, or none for a while; writes ticks meanwhile and in between."""
        while True:
            pause_ms = await self._tick_if_due()
            if self._buffer:
                return
            if _now_s() - self._heard_s >= LOOK_AFTER_S:
                self._heard_s = _now_s()
                return
            self._arrived.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_ms / 1000):
                    await self._arrived.wait()

    async def _fill_gap(self, end: int) -> None:
        """Decide what stands before `end` and was not offered."""
        if self.next_offset < end:
            metrics.HOLES.inc()
            log.warning("gap in commands", partition=self.partition, at=self.next_offset, end=end)
            await self._catch_up(end)

    async def _catch_up(self, end: int) -> None:
        """Decide what stands between the position and `end`, read from the log itself."""
        begin = self.next_offset
        if begin >= end:
            return
        async for records in self._ports.reader.read(topics.COMMANDS, self.partition, begin, end, committed=False):
            waiting = deque(records)
            while waiting:
                if waiting[0].offset > self.next_offset:
                    raise CommandsGone(f"commands {self.next_offset} to {waiting[0].offset} of {self.partition}")
                await self._transact(waiting)
        if self.next_offset < end:
            raise CommandsGone(f"commands {self.next_offset} to {end} of {self.partition}")

    async def _end_as_far_as_known(self) -> int:
        """The end, or the position where no broker names it soon: looking around is no reason to give a state up."""
        with suppress(ReadFault, TimeoutError):
            async with asyncio.timeout(LOOK_AFTER_S):
                return await self._end_of_commands()
        return self.next_offset

    async def _end_of_commands(self) -> int:
        return await self._ports.reader.end_offset(topics.COMMANDS, self.partition, committed=False)

    async def _transact(self, queue: deque[Record]) -> None:
        """By its turn, one transaction over what is queued, within limits; what is wholly applied leaves the queue."""
        if self._progress.stopped:
            await self._wait_for_resume()
        async with self._ports.turns.turn():
            await self._transact_now(queue)

    async def _transact_now(self, queue: deque[Record]) -> None:
        batch = Batch(self._store, self._progress, self.partition, self._addressing)
        failure: DecisionFailed | None = None
        try:
            while queue and not batch.is_full and queue[0].offset <= batch.progress.next()[0]:
                batch.add(queue[0])
                if batch.progress.next()[0] > queue[0].offset:
                    queue.popleft()
        except DecisionFailed as error:
            failure = error
        await self._commit(batch)
        if failure is not None:
            suspect = suspect_record(self._store, failure.place, self._progress.time_ms)
            failpoints.passed("processor.suspect.before")
            await self._ports.transactions.commit([suspect])
            failpoints.passed("processor.suspect.after")
            raise failure

    async def _commit(self, batch: Batch) -> None:
        records = batch.records()
        if not records:
            return
        failpoints.passed("processor.transaction.before")
        started = time.perf_counter()
        await self._ports.transactions.commit(records)
        self._progress = batch.progress
        failpoints.passed("processor.transaction.after")
        metrics.TRANSACTION_SECONDS.observe(time.perf_counter() - started)
        batch.count(len(self._store))

    async def _tick_if_due(self) -> int:
        """Append a tick when something is due, at most one a second; the ms until the next look."""
        now_ms = self._ports.clock.now_ms()
        due_ms = self._store.next_due_ms()
        if due_ms is None:
            return TICK_EVERY_MS
        if due_ms > now_ms:
            return min(due_ms - now_ms, TICK_EVERY_MS)
        since_ms = now_ms - self._last_tick_ms
        if 0 <= since_ms < TICK_EVERY_MS:
            return TICK_EVERY_MS - since_ms
        self._last_tick_ms = now_ms
        envelope = Envelope(self._ports.ids.mint("cmd"), self._store.stream, "", Tick(), now_ms, actor="system")
        try:
            failpoints.passed("processor.tick.before")
            await self._ports.ticks.append(self.partition, encode_command(envelope))
            failpoints.passed("processor.tick.after")
        except (OutcomeUnknown, Overloaded):
            log.warning("tick not acknowledged", partition=self.partition)  # the next one follows in a second
        return TICK_EVERY_MS

    async def _wait_for_resume(self) -> None:
        """The partition is stopped: look ahead, once a second, for an operator's `resume-partition`.

        What is offered meanwhile is dropped; it is read from the log afterwards.
        """
        metrics.STOPPED.labels(str(self.partition)).set(1)
        log.error("partition stopped: too many commands put aside", partition=self.partition)
        while not await self._resume_is_ahead():
            self._buffer.clear()
            self._room.set()
            await asyncio.sleep(TICK_EVERY_MS / 1000)
        metrics.STOPPED.labels(str(self.partition)).set(0)
        self._progress = replace(self._progress, stopped=False, troubles=())

    async def _resume_is_ahead(self) -> bool:
        begin, end = self.next_offset, await self._end_of_commands()
        if begin >= end:
            return False
        async for records in self._ports.reader.read(topics.COMMANDS, self.partition, begin, end, committed=False):
            for record in records:
                if any(_is_resume(item) for item in unpack_items(record.value)):
                    return True
        return False


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _is_resume(item: bytes | Unreadable) -> bool:
    if isinstance(item, Unreadable):
        return False
    try:
        return isinstance(decode_command(item).command, ResumePartition)
    except CommandUnreadable:
        return False

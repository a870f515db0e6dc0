"""Auditing one partition against the real topics: state = fold of events, events = decisions of the commands.

Theory of operation. Both topics go on growing, so they are compared as of one moment: the state topic is read first,
as far as whole transactions stand there; the position among its records says up to which command; the events are then
read up to that command. `advance` does one such step and remembers where it stood, so a log can be followed. After the
first step only those state records are compared that either side has changed since.

What is remembered stands in the mappings of a shelf. State is kept as fingerprints beside its fold.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator

import msgspec

from infra.kafka.ports import LogReader, Record
from processors.accounts.state import Progress, position_key, suspect_key
from processors.audit_spill import InMemory, Shelf, sorted_items
from processors.audit_trace import Trace
from processors.audited_partition import FINGERPRINT_BYTES, AuditedPartition
from processors.effects import Addressing
from processors.store import decode_record
from schemas import topics
from schemas.codec import state_due_ms
from schemas.events import Event, decode_event
from schemas.identifiers import partition_stream

_PAUSE_S = 0.1
_EVENTS_A_TURN = 200
REST_LIMIT_S = 10.0
"""At rest a command is decided, and a transaction ends, within this time: gateways and workers go on sending."""
REACH_LIMIT_S = 5.0
"""Events that have not come so long after their position are missing."""
CHANGED_MAX = 100_000
"""Past so many changes in one step everything is compared."""

Listener = Callable[[Event], None]


async def audit_partition(
    reader: LogReader,
    partition: int,
    addressing: Addressing,
    *,
    quiet: bool = False,
    shelf: Shelf | None = None,
    listeners: Iterable[Listener] = (),
) -> AuditedPartition:
    """Check every law on the partition; `quiet` says that every job has had time to end. Listeners hear each event."""
    auditor = PartitionAuditor(reader, partition, addressing, shelf, listeners=listeners)
    return await auditor.audit(quiet=quiet)


class PartitionAuditor:
    """The audit of one partition, step by step; with an addressing the commands are decided again."""

    def __init__(
        self,
        reader: LogReader,
        partition: int,
        addressing: Addressing | None,
        shelf: Shelf | None = None,
        *,
        listeners: Iterable[Listener] = (),
    ) -> None:
        self.partition = partition
        self.found = AuditedPartition(partition, shelf)
        self.folds = True
        self._reader, self._addressing, self._shelf = reader, addressing, shelf or InMemory()
        self._listeners = tuple(listeners)
        self._trace: Trace | None = None
        self._state_offset: int | None = None
        self._event_offset: int | None = None
        self._changed_state: set[str] | None = None  # None: compare all
        self._alarmed: set[str] = set()
        self._waiting: Event | None = None  # stands beyond the position

    @property
    def next_event_offset(self) -> int:
        """Where the next event is looked for."""
        return self._event_offset or 0

    async def audit(self, *, quiet: bool = False) -> AuditedPartition:
        """All of the partition, once, with what must hold at its end."""
        if quiet:
            await self.check_rest()
        await self.advance()
        await self.check_waiting()
        self.found.audit.finish(quiet=quiet)
        return self.found

    async def advance(self) -> int:
        """Take what has come since the last step, and compare; the number of events that came.

        After an exception it may be called again.
        """
        before = self.found.audit.events
        await self._read_state()
        if await self._reach() and self.folds:
            self._compare_state()
        return self.found.audit.events - before

    async def check_waiting(self, limit_s: float = 5.0) -> None:
        """An event beyond the position is of a transaction whose state comes within moments, or of nobody's."""
        waiting = self._waiting
        if waiting is None or waiting.position in self._alarmed:
            return
        if not await self._decided(lambda: self.found.progress.next() > waiting.at.source, limit_s):
            self._alarmed.add(waiting.position)
            detail = f"{self.found.progress.next()} is next"
            self.found.audit.violated("no-event-stands-beyond-the-position", waiting, detail)

    async def check_rest(self) -> None:
        """The log is at rest: what stands now is decided, and each transaction that is open now ends, in time."""
        end_s = time.monotonic() + REST_LIMIT_S
        end = await self._commands()
        await self._read_state()
        is_decided = await self._decided(lambda: self.found.progress.next() >= (end, 0), REST_LIMIT_S)
        at = self.found.progress.next()
        if not is_decided or at > (await self._commands(), 0):
            self._violated("the-log-is-at-rest", f"{at} is next, {end} the end of commands")
        for topic in (topics.EVENTS, topics.ACCOUNTS):
            end = await self._reader.end_offset(topic, self.partition, committed=False)
            while (committed := await self._reader.end_offset(topic, self.partition)) < end:
                if time.monotonic() > end_s:
                    self._violated("the-log-is-at-rest", f"{topic} can be read up to {committed} of {end}")
                    break
                await asyncio.sleep(_PAUSE_S)

    async def _commands(self) -> int:
        return await self._reader.end_offset(topics.COMMANDS, self.partition, committed=False)

    async def _decided(self, holds: Callable[[], bool], limit_s: float) -> bool:
        """Read the state on until this holds of its position; False when it does not in time."""
        end_s = time.monotonic() + limit_s
        while not holds():
            if time.monotonic() > end_s:
                return False
            await asyncio.sleep(_PAUSE_S)
            await self._read_state()
        return True

    async def _read_state(self) -> None:
        found, reader = self.found, self._reader
        if self._state_offset is None:
            self._state_offset = await reader.begin_offset(topics.ACCOUNTS, self.partition)
        end = await reader.end_offset(topics.ACCOUNTS, self.partition)
        reserved = position_key(partition_stream(self.partition)), suspect_key(partition_stream(self.partition))
        if self._state_offset >= end:
            return
        async for records in reader.read(topics.ACCOUNTS, self.partition, self._state_offset, end):
            for record in records:
                key = (record.key or b"").decode()
                if key == reserved[0] and record.value is not None:
                    self._move_to(decode_record(key, record.value))
                elif key and key not in reserved:
                    self._store(key, record.value)
        self._state_offset = end
        if found.progress.offset < 0 and found.stored:
            self._violated("state-has-its-position", "there is state and no position")

    def _move_to(self, progress: object) -> None:
        assert isinstance(progress, Progress)
        before = self.found.progress
        if progress.next() < before.next():
            self._violated("positions-never-go-back", f"{progress.next()} is next after {before.next()} was")
        self.found.progress = progress

    def _store(self, key: str, value: bytes | None) -> None:
        if value is None:
            self.found.stored.pop(key, None)
        else:
            state_due_ms(value)  # refuses what a newer release wrote
            self.found.stored[key] = _fingerprint(value)
        if self._changed_state is not None:
            self._changed_state.add(key)

    async def _events(self) -> AsyncIterator[tuple[Event, Record]]:
        """Those up to the position, each once: the place of the next one is remembered."""
        reader, end = self._reader, self.found.progress
        self._waiting = None
        if self._event_offset is None:
            self._event_offset = await reader.begin_offset(topics.EVENTS, self.partition)
        last = await reader.end_offset(topics.EVENTS, self.partition)
        if self._event_offset >= last:
            return
        async for records in reader.read(topics.EVENTS, self.partition, self._event_offset, last):
            for record in records:
                try:
                    event = decode_event(record.value or b"")
                except msgspec.DecodeError as error:
                    self._event_offset = record.offset + 1
                    self._violated("every-event-can-be-read", f"offset {record.offset} of events: {error}")
                    continue
                if event.at.source > (end.offset, end.index):
                    self._waiting = event
                    return
                yield event, record

    async def _take(self, event: Event, value: bytes) -> None:
        found = self.found
        if self._trace is None:
            self._trace = await Trace.of(self._reader, self.partition, self._addressing, self._shelf)
        again = self._trace.again
        broken = await self._trace.add(event, value)
        found.digest.update(value)
        if again is not None:
            found.decided_again = again.decided
        found.audit.add(event)
        for law, detail in broken:
            found.audit.violated(law, event, detail)
        for listener in self._listeners:
            listener(event)
        if self.folds:
            try:
                found.fold.add(event)
            except AssertionError as error:
                found.audit.violated("events-fold", event, str(error))
                self.folds = False

    async def _reach(self) -> bool:
        """Take the events up to the position; False when they do not reach it.

        A transaction ends on each partition by itself, so its state may be seen a moment before its events.
        """
        audit, progress = self.found.audit, self.found.progress
        end_s = time.monotonic() + REACH_LIMIT_S
        while True:
            async for event, record in self._events():
                await self._take(event, record.value or b"")
                self._event_offset = record.offset + 1
                if audit.events % _EVENTS_A_TURN == 0:
                    await asyncio.sleep(0)
            if audit.last_source >= (progress.offset, progress.index):
                return True
            if time.monotonic() > end_s:
                self._violated("events-reach-the-position", f"events end at {audit.last_source}")
                return False
            await asyncio.sleep(_PAUSE_S)

    def _compare_state(self) -> None:
        """Note each state record that is not what the events say; those that are mended are forgotten."""
        found, fold = self.found, self.found.fold
        folded = fold.values()
        keys: Iterable[str]
        if self._changed_state is None or len(self._changed_state) + len(fold.changed or ()) > CHANGED_MAX:
            keys = _differing(sorted_items(folded), sorted_items(found.stored))
            wrong = set(keys)
        else:
            keys = self._changed_state | (fold.changed or set()) | found.wrong_state
            wrong = {key for key in keys if _fingerprint(folded.get(key)) != found.stored.get(key, b"")}
        for key in sorted(wrong - found.wrong_state):
            found.violated("state-is-the-fold-of-events", f"{self.partition}.{found.progress.offset}", key)
        found.wrong_state = wrong
        fold.changed, self._changed_state = set(), set()

    def _violated(self, law: str, detail: str) -> None:
        self.found.violated(law, f"{self.partition}.{self.found.progress.offset}", detail)


def _fingerprint(value: bytes | None) -> bytes:
    return b"" if value is None else hashlib.blake2b(value, digest_size=FINGERPRINT_BYTES).digest()


def _differing(folded: Iterator[tuple[str, bytes]], stored: Iterator[tuple[str, bytes]]) -> Iterator[str]:
    """The keys whose values and fingerprints do not fit, of two listings in the order of keys."""
    here, there = next(folded, None), next(stored, None)
    while here is not None or there is not None:
        if there is None or (here is not None and here[0] < there[0]):
            assert here is not None
            yield here[0]
            here = next(folded, None)
        elif here is None or there[0] < here[0]:
            yield there[0]
            there = next(stored, None)
        else:
            if _fingerprint(here[1]) != there[1]:
                yield here[0]
            here, there = next(folded, None), next(stored, None)

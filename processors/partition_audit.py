"""Auditing one partition against the real topics: state = fold of events, events = decisions of the commands.

The state topic is read first, up to a position; the events are then read up to that same position, so both speak of
one moment of a log that goes on growing. Where the commands are all still there, each is decided again from nothing
and must give the same bytes: that is exactly-once and determinism in one test.
"""

from collections.abc import AsyncIterator

from msgspec.structs import replace

from infra.kafka.ports import LogReader, Record
from processors.accounts.state import Progress
from processors.audit import PartitionAudit, Violation
from processors.batch import Batch, DecisionFailed
from processors.effects import Addressing
from processors.rebuild import Fold, differences
from processors.store import Store
from schemas import topics
from schemas.events import Event, decode_event


class AuditedPartition:
    """What the audit of one partition found; `audit` holds the books, `fold` the state as of `progress`."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.audit = PartitionAudit(partition)
        self.fold = Fold(partition)
        self.progress = Progress()
        self.decided_again = 0

    @property
    def violations(self) -> list[Violation]:
        return self.audit.violations

    def violated(self, law: str, position: str, detail: str) -> None:
        """Add a violation that the books do not see."""
        self.violations.append(Violation(law, position, f"partition-{self.partition}", detail))


async def audit_partition(
    reader: LogReader, partition: int, addressing: Addressing, *, quiet: bool = False
) -> AuditedPartition:
    """Check every law on the partition; `quiet` says that every job has had time to end."""
    found = AuditedPartition(partition)
    stored = await stored_state(reader, partition)
    found.progress = stored.progress()
    again = await _Again.of(reader, partition, addressing)
    async for event, value in _events_until(reader, partition, found.progress):
        found.audit.add(event)
        try:
            found.fold.add(event)
        except AssertionError as error:
            found.violated("events-fold", event.position, str(error))
            return found
        if again is not None:
            await _compare(again, found, event, value)
    found.audit.finish(quiet=quiet)
    if found.audit.commands and found.fold.progress.next()[0] < found.progress.offset:
        found.violated(
            "events-reach-the-position", str(found.fold.progress.offset), f"state at {found.progress.offset}"
        )
    for key in differences(found.fold.values(), stored):
        found.violated("state-is-the-fold-of-events", f"{partition}.{found.progress.offset}", key)
    return found


async def stored_state(reader: LogReader, partition: int) -> Store:
    """The state as it stands on the topic now, without any fencing."""
    store = Store(partition)
    begin = await reader.begin_offset(topics.ACCOUNTS, partition)
    async for records in reader.read(topics.ACCOUNTS, partition, begin):
        for record in records:
            if record.key is not None:
                store.load(record.key, record.value)
    store.loaded()
    return store


async def _events_until(reader: LogReader, partition: int, end: Progress) -> AsyncIterator[tuple[Event, bytes]]:
    begin = await reader.begin_offset(topics.EVENTS, partition)
    async for records in reader.read(topics.EVENTS, partition, begin):
        for record in records:
            value = record.value or b""
            event = decode_event(value)
            if event.at.source > (end.offset, end.index):
                return
            yield event, value


class _Again:
    """The commands decided again, one record at a time."""

    def __init__(self, partition: int, addressing: Addressing, commands: AsyncIterator[Record]) -> None:
        self._store = Store(partition)
        self._progress = Progress()
        self._partition = partition
        self._addressing = addressing
        self._commands = commands
        self._values: list[bytes] = []

    @classmethod
    async def of(cls, reader: LogReader, partition: int, addressing: Addressing) -> "_Again | None":
        """None where retention has taken the first commands."""
        if await reader.begin_offset(topics.COMMANDS, partition) > 0:
            return None
        return cls(partition, addressing, _records(reader, partition))

    async def next_value(self) -> bytes | None:
        """The next event's bytes, None when the log of commands is at its end."""
        while not self._values:
            record = await anext(self._commands, None)
            if record is None:
                return None
            while self._progress.next()[0] <= record.offset:
                self._decide(record)
        return self._values.pop(0)

    def _decide(self, record: Record) -> None:
        progress = self._progress
        if progress.stopped:  # what follows was decided, so an operator had let the partition go on
            progress = replace(progress, stopped=False, troubles=())
        batch = Batch(self._store, progress, self._partition, self._addressing)
        batch.add(record)
        for outgoing in batch.records():
            if outgoing.topic == topics.EVENTS and outgoing.value is not None:
                self._values.append(outgoing.value)
        self._progress = batch.progress


async def _records(reader: LogReader, partition: int) -> AsyncIterator[Record]:
    async for records in reader.read(topics.COMMANDS, partition, 0, committed=False):
        for record in records:
            yield record


async def _compare(again: _Again, found: AuditedPartition, event: Event, value: bytes) -> None:
    if any(v.law == "decided-again-the-same" for v in found.violations):
        return  # one difference shifts all that follow: the first one tells
    try:
        decided = await again.next_value()
    except DecisionFailed as error:
        found.violated("decided-again-the-same", event.position, str(error))
        return
    found.decided_again += 1
    if decided != value:
        found.violated("decided-again-the-same", event.position, f"{value!r} stands, {decided!r} is decided")

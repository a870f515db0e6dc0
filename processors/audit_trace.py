"""Events beside the commands that they came from: each traces to one, none is passed over, all are decided again.

Theory of operation. Events come in the order of their sources, so `commands` is read once, in step with them: at the
first event of a record of `commands` that record is fetched, and its items are what the events have to name. Where
`commands` is whole, every record is also decided again, from nothing, in this process: that the bytes are the same is
exactly-once and determinism in one test. Where retention has taken the first commands, only the naming is checked.
"""

from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence

import msgspec
from msgspec.structs import replace

from infra.kafka.ports import LogReader, Record
from processors.accounts.state import Progress
from processors.audit_spill import Shelf
from processors.batch import Batch, DecisionFailed
from processors.effects import Addressing
from processors.store import Store
from schemas import topics
from schemas.codec import Unreadable, unpack_items
from schemas.events import CommandUnreadable, Event

Broken = tuple[str, str]
_HOT_RECORDS_MAX = 10_000


class _Named(msgspec.Struct, frozen=True):
    id: str


_named = msgspec.json.Decoder(_Named)


class Trace:
    """One partition's commands, in step with its events."""

    def __init__(self, reader: LogReader, partition: int, begin: int, again: "Again | None") -> None:
        self._reader, self._partition, self._begin = reader, partition, begin
        self._next_offset = begin
        self._records: AsyncIterator[Record] | None = None
        self._items: Sequence[bytes | Unreadable] = ()
        self._source = (begin - 1, 0)
        self.again = again

    @classmethod
    async def of(cls, reader: LogReader, partition: int, addressing: Addressing | None, shelf: Shelf) -> "Trace":
        """From the first command that is kept; with an addressing all are decided again where that is the first."""
        begin = await reader.begin_offset(topics.COMMANDS, partition)
        again = Again(partition, addressing, shelf) if addressing is not None and begin == 0 else None
        return cls(reader, partition, begin, again)

    async def add(self, event: Event, value: bytes) -> list[Broken]:
        """(law, detail) of each law that the next event breaks; an event older than the kept commands breaks none."""
        source = event.at.source
        if source[0] < self._begin:
            return []
        broken: list[Broken] = []
        if source[0] != self._source[0]:
            broken += await self._turn_to(source[0])
        if source != self._source:
            broken += self._check_named(event, source[1])
        self._source = source
        if self.again is not None:
            broken += self.again.check(value)
            if broken:
                self.again = None
        return broken

    async def _turn_to(self, offset: int) -> list[Broken]:
        """Let the record at `offset` be the one at hand; the one before has to be used up."""
        broken: list[Broken] = []
        left = len(self._items) - 1 - self._source[1]
        if self._items and left > 0:
            broken.append(("no-command-is-passed-over", f"{left} of the record at {self._source[0]} left no event"))
        skipped = self._next_offset
        record = await self._fetch(offset)
        if record is None:
            self._items = ()
            return [*broken, ("every-event-has-its-command", f"there is no record at {offset}")]
        self._items = unpack_items(record.value)
        if skipped < offset:
            self.again = None
            return [*broken, ("no-command-is-passed-over", f"nothing stands of the records from {skipped} on")]
        return [*broken, *self._decide(record)]

    def _decide(self, record: Record) -> Iterator[Broken]:
        """Decide the record again; one difference shifts all that follow, so the first one tells."""
        again = self.again
        if again is None:
            return
        undecided = again.left()
        if undecided is not None:
            self.again = None
            yield "decided-again-the-same", f"nothing more stands of its record, {undecided!r} is decided"
            return
        try:
            again.decide(record)
        except DecisionFailed as error:
            self.again = None
            yield "decided-again-the-same", str(error)

    async def _fetch(self, offset: int) -> Record | None:
        """The record at an offset that is not behind the last one, None where there is none."""
        fresh = self._records is None
        while True:
            if self._records is None:
                self._records = self._read()
            try:
                record = await anext(self._records, None)
            except BaseException:
                self._records = None
                raise
            if record is None and not fresh:  # the log has grown since that read began
                self._records, fresh = None, True
                continue
            if record is None or record.offset > offset:
                self._records = None
                return None
            self._next_offset = record.offset + 1
            if record.offset == offset:
                return record

    async def _read(self) -> AsyncIterator[Record]:
        async for batch in self._reader.read(topics.COMMANDS, self._partition, self._next_offset, committed=False):
            for record in batch:
                yield record

    def _check_named(self, event: Event, index: int) -> Iterator[Broken]:
        if index >= len(self._items):
            if self._items:
                yield "every-event-has-its-command", f"its record has {len(self._items)} commands"
            return
        named = _id_of(self._items[index])
        unread = isinstance(event.data, CommandUnreadable)
        if named != event.command and not unread:
            yield "every-event-has-its-command", f"{event.command!r} is named, {named!r} stands there"


class Again:
    """The commands of a partition decided again from nothing."""

    def __init__(self, partition: int, addressing: Addressing, shelf: Shelf) -> None:
        self._store = Store(partition, shelf.mapping("again", bytes), hot_records_max=_HOT_RECORDS_MAX)
        self._progress = Progress()
        self._partition = partition
        self._addressing = addressing
        self._values: deque[bytes] = deque()
        self.decided = 0

    def decide(self, record: Record) -> None:
        """Decide the next record of `commands`. Raises DecisionFailed."""
        while self._progress.next()[0] <= record.offset:
            progress = self._progress
            if progress.stopped:  # what follows was decided, so an operator had let the partition go on
                progress = replace(progress, stopped=False, troubles=())
            batch = Batch(self._store, progress, self._partition, self._addressing)
            batch.add(record)
            for outgoing in batch.records():
                if outgoing.topic == topics.EVENTS and outgoing.value is not None:
                    self._values.append(outgoing.value)
            self._progress = batch.progress

    def check(self, value: bytes) -> Iterator[Broken]:
        """Compare the next event's bytes."""
        decided = self._values.popleft() if self._values else None
        self.decided += 1
        if decided != value:
            yield "decided-again-the-same", f"{value!r} stands, {decided!r} is decided"

    def take(self, count: int) -> Iterator[bytes]:
        """At most so many of the next events, without comparing them."""
        while self._values and count > 0:
            count -= 1
            yield self._values.popleft()

    def left(self) -> bytes | None:
        """The next event that is decided and was not compared, None when all were."""
        return self._values[0] if self._values else None


def _id_of(item: bytes | Unreadable) -> str | None:
    """The id that the command names; None for what cannot be read."""
    if isinstance(item, Unreadable):
        return None
    try:
        return _named.decode(item).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None

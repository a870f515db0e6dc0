"""The archive: every event in an event store of the library `eventsourcing`, under its stream and gapless version.

The stream (an account, or a partition's own) is the aggregate. What is stored is the record's value as it stood on the
topic: nothing is folded, so the archive can be asked when a read model is doubted. `topic` is the event's type and, of
events about a job, a space and the job.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from eventsourcing.persistence import InterfaceError, InternalError, OperationalError, StoredEvent
from eventsourcing.postgres import PostgresAggregateRecorder, PostgresDatastore
from psycopg import Cursor
from psycopg.rows import DictRow

from infra import failpoints
from infra.errors import OperatorError
from infra.postgres.generations import FIRST, in_state, schema_of
from projections.feed import Batch
from projections.ports import Move, Overtaken, StoreFault, Tracked
from projections.row_base import RawRecord
from projections.tracking import PositionRecorder, open_datastore
from schemas.topics import EVENTS

NAME = "archive"
TABLE = "stored_events"
_AWAY = (OperationalError, InterfaceError, InternalError)
_COPY = "COPY {}.{} (originator_id, originator_version, topic, state) FROM STDIN (FORMAT BINARY)"
_TYPES = ("text", "int8", "text", "bytea")


class _Data(msgspec.Struct, frozen=True, gc=False):
    type: str
    job: str | None = None


class _Head(msgspec.Struct, frozen=True, gc=False):
    """What the archive needs to know of an event."""

    position: str
    account: str
    version: int
    data: _Data


_decoder = msgspec.json.Decoder(_Head)


def stored_event(value: bytes) -> StoredEvent:
    """An event of the topic as the event store holds it."""
    head = _head(value)
    topic = head.data.type if head.data.job is None else f"{head.data.type} {head.data.job}"
    return StoredEvent(head.account, head.version, topic, value)


def source_of(record: RawRecord) -> tuple[int, int, int]:
    """The position of the command that the event came from."""
    _, offset, index, ordinal = _head(record.value or b"").position.split(".")
    return int(offset), int(index), int(ordinal)


def _head(value: bytes) -> _Head:
    try:
        return _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise OperatorError(f"The archive met an event that this release cannot read ({error}).") from error


class ArchiveRecorder(PostgresAggregateRecorder):
    """The library's recorder; batches arrive by COPY. The migrations make its table and type."""

    def insert_batch(self, cursor: Cursor[DictRow], events: Iterable[StoredEvent]) -> None:
        """Store the events. Raises psycopg.errors.UniqueViolation where a version is there already."""
        with cursor.copy(_COPY.format(f'"{self.datastore.schema}"', self.events_table_name).encode()) as copy:
            copy.set_types(_TYPES)
            for event in events:
                copy.write_row((event.originator_id, event.originator_version, event.topic, event.state))


class PostgresArchive:
    """Implements `projections.feed.FeedStore`. Blocks; for one thread at a time."""

    model, topic = NAME, EVENTS

    def __init__(self, dsn: str) -> None:
        """Connects at first use. The schema must be there (`infra.postgres.migrate`)."""
        self._datastore: PostgresDatastore = open_datastore(dsn)
        self._datastore.originator_id_type = "text"
        self._positions = PositionRecorder(self._datastore)
        self._recorder: ArchiveRecorder | None = None

    def generation(self) -> int:
        """See the port."""
        try:
            with self._datastore.get_connection() as connection:
                number = in_state(connection, "live")[NAME]
            self._datastore.schema = schema_of(NAME, number)
            self._recorder = ArchiveRecorder(self._datastore, events_table_name=TABLE)
        except _AWAY as error:
            raise StoreFault(str(error)) from error
        return number

    def positions(self, names: Sequence[str]) -> Mapping[str, Tracked]:
        """See the port."""
        try:
            return self._positions.positions(names)
        except _AWAY as error:
            raise StoreFault(str(error)) from error

    def source_of(self, record: RawRecord) -> tuple[int, int, int]:
        """See the port."""
        return source_of(record)

    def write(self, moves: Sequence[Move], batch: Batch) -> int:
        """See the port."""
        assert self._recorder is not None, "generation comes first"
        events = [stored_event(record.value or b"") for part in batch.values() for record in part]
        try:
            failpoints.passed("projector.archive.before")
            with self._datastore.get_connection() as connection, connection.transaction():
                cursor = connection.cursor()
                self._positions.advance(cursor, moves, "live")
                self._positions.checked(cursor, moves)
                self._recorder.insert_batch(cursor, events)
                failpoints.passed("projector.archive.inside")
            failpoints.passed("projector.archive.after")
        except _AWAY as error:
            raise StoreFault(str(error)) from error
        return len(events)

    def history(self, stream: str, after: int = 0) -> Sequence[StoredEvent]:
        """The stream's events beyond a version, as the library reads them."""
        assert self._recorder is not None, "generation comes first"
        found: Sequence[StoredEvent] = self._recorder.select_events(stream, gt=after)
        return found

    def close(self) -> None:
        """See the port."""
        self._datastore.close()


class MemoryArchive:
    """The same in memory; `streams` holds the stored events by stream and version."""

    model, topic = NAME, EVENTS

    def __init__(self) -> None:
        self.streams: dict[str, dict[int, StoredEvent]] = {}
        self.tracked: dict[str, Tracked] = {}

    def generation(self) -> int:
        """See the port."""
        return FIRST

    def positions(self, names: Sequence[str]) -> Mapping[str, Tracked]:
        """See the port."""
        return {name: self.tracked.setdefault(name, Tracked()) for name in names}

    def source_of(self, record: RawRecord) -> tuple[int, int, int]:
        """See the port."""
        return source_of(record)

    def write(self, moves: Sequence[Move], batch: Batch) -> int:
        """See the port."""
        if any(self.tracked[move.name].offset != move.before for move in moves):
            raise Overtaken("a position is not where this writer left it")
        events: list[Any] = [stored_event(record.value or b"") for part in batch.values() for record in part]
        for event in events:
            stream = self.streams.setdefault(event.originator_id, {})
            assert event.originator_version not in stream, f"{event.originator_id} has that version"
            stream[event.originator_version] = event
        self.tracked.update((move.name, move.after) for move in moves)
        return len(events)

    def history(self, stream: str, after: int = 0) -> Sequence[StoredEvent]:
        """The stream's events beyond a version."""
        held = self.streams.get(stream, {})
        return [held[version] for version in sorted(held) if version > after]

    def close(self) -> None:
        """See the port."""

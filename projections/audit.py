"""The trail of accesses as a table: who read, changed or deleted what, in the order in which it stands on the topic.

Records of `accesses` come at least once; a second record of the same batch changes nothing. `place` orders an account's
entries: the record's offset and the number in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from eventsourcing.persistence import InterfaceError, InternalError, OperationalError

from infra import failpoints
from infra.logs import get_logger
from infra.postgres.generations import FIRST, in_state, search_path
from projections.feed import Batch
from projections.ports import Move, Overtaken, StoreFault, Tracked
from projections.row_base import RawRecord, Row
from projections.tables import rows_json
from projections.tracking import PositionRecorder, open_datastore
from schemas.accesses import decode_accesses
from schemas.topics import ACCESSES

NAME = "audit"
PLACES_A_RECORD = 1024
_AWAY = (OperationalError, InterfaceError, InternalError)
_INSERT = """
INSERT INTO accesses SELECT * FROM json_populate_recordset(NULL::accesses, %s::json)
ON CONFLICT (account, batch, n) DO NOTHING
"""
_log = get_logger(__name__)


class AccessRow(Row, frozen=True, kw_only=True):
    """One access, or `times` equal ones; `objects` are ids with spaces between them."""

    account: str
    batch: str
    n: int
    place: int
    at_ms: int
    actor: str | None
    role: str
    action: str
    operation: str
    objects: str
    status: int
    address: str | None
    trace: str | None
    times: int


def fold_accesses(records: Sequence[RawRecord]) -> list[AccessRow]:
    """The rows of some records of one partition; records of another form are left out and logged."""
    rows: list[AccessRow] = []
    for record in records:
        try:
            found = decode_accesses(record.value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            _log.error("access-record-not-readable", offset=record.offset, reason=str(error))
            continue
        for n, access in enumerate(found.accesses):
            row = AccessRow(
                account=found.account,
                batch=found.batch,
                n=n,
                place=record.offset * PLACES_A_RECORD + n,
                at_ms=access.at_ms,
                actor=access.actor,
                role=access.role,
                action=access.action,
                operation=access.operation,
                objects=" ".join(access.objects),
                status=access.status,
                address=access.address,
                trace=access.trace,
                times=access.times,
            )
            rows.append(row)
    return rows


class PostgresAudit:
    """Implements `projections.feed.FeedStore`. Blocks; for one thread at a time."""

    model, topic = NAME, ACCESSES

    def __init__(self, dsn: str) -> None:
        """Connects at first use. The schema must be there (`infra.postgres.migrate`)."""
        self._datastore = open_datastore(dsn)
        self._positions = PositionRecorder(self._datastore)
        self._path = ""

    def generation(self) -> int:
        """See the port."""
        try:
            with self._datastore.get_connection() as connection:
                number = in_state(connection, "live")[NAME]
        except _AWAY as error:
            raise StoreFault(str(error)) from error
        self._path = search_path({NAME: number})
        return number

    def positions(self, names: Sequence[str]) -> Mapping[str, Tracked]:
        """See the port."""
        try:
            return self._positions.positions(names)
        except _AWAY as error:
            raise StoreFault(str(error)) from error

    def source_of(self, record: RawRecord) -> tuple[int, int, int]:
        """See the port: the record itself is the source."""
        return record.offset, 0, 0

    def write(self, moves: Sequence[Move], batch: Batch) -> int:
        """See the port."""
        rows = [row for part in batch.values() for row in fold_accesses(part)]
        try:
            failpoints.passed("projector.trail.before")
            with self._datastore.get_connection() as connection, connection.transaction():
                cursor = connection.cursor()
                cursor.execute("SELECT set_config('search_path', %s, true)", (self._path,))
                self._positions.advance(cursor, moves, "live")
                self._positions.checked(cursor, moves)
                cursor.execute(_INSERT, (rows_json(rows),))
                failpoints.passed("projector.trail.inside")
            failpoints.passed("projector.trail.after")
        except _AWAY as error:
            raise StoreFault(str(error)) from error
        return len(rows)

    def close(self) -> None:
        """See the port."""
        self._datastore.close()


class MemoryAudit:
    """The same in memory; `rows` holds plain values by account, batch and number."""

    model, topic = NAME, ACCESSES

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, int], dict[str, Any]] = {}
        self.tracked: dict[str, Tracked] = {}

    def generation(self) -> int:
        """See the port."""
        return FIRST

    def positions(self, names: Sequence[str]) -> Mapping[str, Tracked]:
        """See the port."""
        return {name: self.tracked.setdefault(name, Tracked()) for name in names}

    def source_of(self, record: RawRecord) -> tuple[int, int, int]:
        """See the port."""
        return record.offset, 0, 0

    def write(self, moves: Sequence[Move], batch: Batch) -> int:
        """See the port."""
        if any(self.tracked[move.name].offset != move.before for move in moves):
            raise Overtaken("a position is not where this writer left it")
        rows = [row for part in batch.values() for row in fold_accesses(part)]
        for row in rows:
            self.rows.setdefault((row.account, row.batch, row.n), msgspec.to_builtins(row))
        self.tracked.update((move.name, move.after) for move in moves)
        return len(rows)

    def close(self) -> None:
        """See the port."""

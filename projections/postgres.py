"""The read models in PostgreSQL: one transaction a batch holds the positions, all rows, and the notice to readers.

Order inside it: the lock that a switch of generations waits for, and the path to this generation's tables; positions,
so that a second writer waits for the first and then finds itself overtaken before it has written anything; then the
search for holes; then the rows. These statements travel in pipelines, rows that are only added follow by COPY. The
notice (`NOTIFY`) reaches the gateways when the transaction commits, never before.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from eventsourcing.persistence import InterfaceError, InternalError, OperationalError
from psycopg import Connection, Cursor
from psycopg.rows import DictRow

from infra import failpoints
from infra.postgres.generations import SWITCH_LOCK, in_state, search_path
from infra.postgres.positions import CHANNEL, notices
from projections.ports import Hole, Move, StoreFault, Tracked, holes_within
from projections.rows import JobChange, Row, Rows
from projections.tables import COPIES, STATEMENTS, VERSION_HOLES, copied, copy_statement, rows_json
from projections.tracking import PositionRecorder, open_datastore
from schemas.positions import Position

Aside = Literal["building", "previous"]
_AWAY = (OperationalError, InterfaceError, InternalError)

_LIVE = "SELECT pg_advisory_xact_lock_shared(%s), set_config('search_path', %s, true)"
_ASIDE = """
SELECT set_config('synchronous_commit', 'off', true), set_config('search_path', %s, true),
    set_config('plan_cache_mode', 'force_custom_plan', true)
"""  # tables that grow from nothing: a plan that is kept would be one for an empty table


class PostgresReadModels:
    """Implements `projections.ports.ReadModels`. Blocks; for one thread at a time."""

    def __init__(self, dsn: str, aside: Mapping[str, int] | None = None, state: Aside = "building") -> None:
        """Writes the live generations, or those `aside`: nobody reads them, so nobody waits for the disk.

        Connects at first use. The schema must be there (`infra.postgres.migrate`).
        """
        self._recorder = PositionRecorder(open_datastore(dsn))
        self._aside = aside
        self._path = ""
        self._state = "live" if aside is None else state

    def generations(self) -> Mapping[str, int]:
        """See the port."""
        found = self._aside
        if found is None:
            try:
                with self._recorder.datastore.get_connection() as connection:
                    found = in_state(connection, "live")
            except _AWAY as error:
                raise StoreFault(str(error)) from error
        self._path = search_path(found, self._state)
        return found

    def positions(self, names: Sequence[str]) -> Mapping[str, Tracked]:
        """See the port."""
        try:
            return self._recorder.positions(names)
        except _AWAY as error:
            raise StoreFault(str(error)) from error

    def apply(self, moves: Sequence[Move], rows: Sequence[Rows], reached: Sequence[Position] = ()) -> Sequence[Hole]:
        """See the port. Raises eventsourcing's PersistenceError for rows that the schema does not take: a bug."""
        merged = {kind: part for group in rows for kind, part in group.items()}
        assert len(merged) == sum(map(len, rows)), "each kind of row belongs to one read model"
        if not self._path:
            self.generations()
        try:
            return self._write(moves, merged, reached)
        except _AWAY as error:
            raise StoreFault(str(error)) from error

    def close(self) -> None:
        """See the port."""
        self._recorder.datastore.close()

    def _write(self, moves: Sequence[Move], rows: Rows, reached: Sequence[Position]) -> list[Hole]:
        encoded = {kind: rows_json(part) for kind, part in rows.items() if kind in STATEMENTS}
        holes = holes_within(rows)
        failpoints.passed("projector.transaction.before")
        with self._recorder.datastore.get_connection() as connection, connection.transaction():
            with connection.pipeline() as pipeline:
                self._begin(connection)
                advanced = connection.cursor()
                self._recorder.advance(advanced, moves, self._state)
                pipeline.sync()
                self._recorder.checked(advanced, moves)
                searches = _executed(connection, VERSION_HOLES, encoded)
                done = _executed(connection, STATEMENTS, encoded)
                for notice in notices(reached):
                    connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, notice))
                pipeline.sync()  # the answers are here now; the transaction is still open
                holes += [_version_hole(row) for search in searches.values() for row in search.fetchall()]
            if JobChange in done and done[JobChange].rowcount != len(rows[JobChange]):
                holes.append(_unknown_jobs(rows[JobChange], done[JobChange].rowcount))
            for kind in COPIES:
                if kind in rows:
                    _copy(connection, kind, rows[kind])
            failpoints.passed("projector.transaction.inside")
        failpoints.passed("projector.transaction.after")
        return holes

    def _begin(self, connection: Connection[DictRow]) -> None:
        if self._aside is None:
            connection.execute(_LIVE, (SWITCH_LOCK, self._path))
        else:
            connection.execute(_ASIDE, (self._path,))


def _executed(
    connection: Connection[DictRow], statements: Mapping[type[Row], str], encoded: Mapping[type[Row], str]
) -> dict[type[Row], Cursor[DictRow]]:
    """The statements of the kinds that have rows, sent in their order."""
    return {
        kind: connection.cursor().execute(statement, (encoded[kind],))
        for kind, statement in statements.items()
        if kind in encoded
    }


def _copy(connection: Connection[DictRow], kind: type[Row], rows: Sequence[Row]) -> None:
    with connection.cursor().copy(copy_statement(kind)) as copy:
        copy.set_types(COPIES[kind][1])
        for row in rows:
            copy.write_row(copied(row))


def _version_hole(row: DictRow) -> Hole:
    return Hole("version", f"{row['stream']} goes on with version {row['next']} after {row['known']}")


def _unknown_jobs(rows: Sequence[Row], found: int) -> Hole:
    return Hole("job", f"{len(rows) - found} of {len(rows)} changed jobs were never accepted")

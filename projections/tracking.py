"""Positions in PostgreSQL: eventsourcing's tracking recorder with one row for each name, moved only from where it was.

The library's recorder lets a row move forward whatever it held. That is enough for one writer; with two (a projector
that was believed dead, and its successor) the slower one could step over events that the faster one has already
summed up. So `advance` also names the offset it comes from, and whoever finds another one there writes nothing; nor
does who writes a generation that is no longer what the writer takes it for (`infra.postgres.generations`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from psycopg import Cursor
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow

from infra import failpoints
from projections.ports import NOTHING_READ, Move, Overtaken, Tracked

TABLE = "tracking"

_LIVENESS = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 15_000}

_BEGIN = f"""
INSERT INTO public.{TABLE} (application_name, notification_id)
SELECT name, {NOTHING_READ} FROM unnest(%s::text[]) AS name ON CONFLICT DO NOTHING
"""
_POSITIONS = f"""
SELECT application_name, notification_id, source_offset, source_index, source_ordinal
FROM public.{TABLE} WHERE application_name = ANY(%s)
"""
_ADVANCE = f"""
UPDATE public.{TABLE} AS t SET notification_id = m.after, source_offset = m.source_offset,
    source_index = m.source_index, source_ordinal = m.source_ordinal
FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::int[], %s::int[])
    AS m(name, before, after, source_offset, source_index, source_ordinal)
WHERE t.application_name = m.name AND t.notification_id = m.before AND m.before < m.after AND EXISTS (
    SELECT FROM public.generations AS g WHERE g.model = split_part(m.name, '.', 1)
        AND g.generation::text = split_part(m.name, '.', 2) AND g.state = %s
)
"""


class PositionRecorder(PostgresTrackingRecorder):
    """Records positions inside a transaction that also writes rows. The migrations make its table."""

    def __init__(self, datastore: PostgresDatastore) -> None:
        super().__init__(datastore, tracking_table_name=TABLE)

    def positions(self, names: Sequence[str]) -> Mapping[str, Tracked]:
        """How far each name is; names that are new begin at NOTHING_READ."""
        failpoints.passed("projector.begin.before")
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute(_BEGIN, (sorted(names),))
            cursor.execute(_POSITIONS, (list(names),))
            found = {row["application_name"]: _tracked(row) for row in cursor.fetchall()}
        failpoints.passed("projector.begin.after")
        return found

    def advance(self, cursor: Cursor[DictRow], moves: Sequence[Move], state: str) -> None:
        """Move each position from where the caller believes it, in generations of that state.

        `checked` must follow once the answer is here, before anything is written.
        """
        cursor.execute(
            _ADVANCE,
            (
                [move.name for move in moves],
                [move.before for move in moves],
                [move.after.offset for move in moves],
                [move.after.source_offset for move in moves],
                [move.after.source_index for move in moves],
                [move.after.source_ordinal for move in moves],
                state,
            ),
        )

    def checked(self, cursor: Cursor[DictRow], moves: Sequence[Move]) -> None:
        """Raises Overtaken unless `advance` has moved all of them."""
        if cursor.rowcount != len(moves):
            raise Overtaken(f"only {cursor.rowcount} of {len(moves)} positions stood where this writer left them")


def _tracked(row: Mapping[str, Any]) -> Tracked:
    return Tracked(row["notification_id"], row["source_offset"], row["source_index"], row["source_ordinal"])


def open_datastore(dsn: str, *, connect_timeout_s: float = 10.0) -> PostgresDatastore:
    """A datastore of one connection for any address that libpq reads, with TLS and sockets."""
    parts: dict[str, Any] = {name: value for name, value in conninfo_to_dict(dsn).items() if value is not None}
    datastore = PostgresDatastore(
        dbname=parts.pop("dbname", ""),
        host=parts.pop("host", ""),
        port=parts.pop("port", ""),
        user=parts.pop("user", ""),
        password=parts.pop("password", ""),
        connect_timeout=connect_timeout_s,
        pool_size=1,
        pool_open_timeout=connect_timeout_s,
    )
    assert isinstance(datastore.pool.kwargs, dict)
    datastore.pool.kwargs.update({**_LIVENESS, **parts}, application_name="darkroom-projector")
    return datastore

"""Whether two generations of the read models hold the same rows; in bounded memory, whatever their size.

Tables are walked along their primary key in chunks. PostgreSQL makes one hash of the ordered rows of a chunk on either
side; only a chunk whose hashes differ is fetched and compared row by row. Both sides are read in the transaction that
the caller has begun, so that it is one moment for both (REPEATABLE READ).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.sql import SQL, Composable, Composed, Identifier

from infra.postgres.generations import schema_of

CHUNK_ROWS = 5_000
LINES_A_TABLE_MAX = 20
_VALUE_CHARACTERS_MAX = 60

JOINED: Mapping[str, tuple[tuple[str, ...], str]] = {
    "job_events": (("account", "job"), "string_agg(events, E'\\n' ORDER BY version) AS events"),
}
"""Tables whose rows depend on how events were batched, with what does not: the key of a group and the joined rest."""

Connection = psycopg.Connection[Any]
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Table:
    """A table as it is compared: `key` orders the rows, `columns` are all of them, by name."""

    model: str
    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]

    def rows(self, schema: str) -> Composed:
        """All rows as a relation."""
        source = SQL("{}.{}").format(Identifier(schema), Identifier(self.name))
        if self.name in JOINED:
            joined = SQL("(SELECT {}, {} FROM {} GROUP BY {}) AS t")
            return joined.format(self._names(self.key), SQL(JOINED[self.name][1]), source, self._names(self.key))
        return SQL("(SELECT {} FROM {}) AS t").format(self._names(self.columns), source)

    def keys(self) -> Composed:
        """The key's columns."""
        return self._names(self.key)

    @staticmethod
    def _names(columns: Sequence[str]) -> Composed:
        return SQL(", ").join(map(Identifier, columns))


def compare(
    connection: Connection,
    live: Mapping[str, int],
    fresh: Mapping[str, int],
    told: Callable[[int], None] = lambda rows: None,
    chunk_rows: int = CHUNK_ROWS,
) -> Iterator[str]:
    """A line for each difference between the live and the fresh generation of each model of `fresh`, at most
    LINES_A_TABLE_MAX a table and one that counts the rest. `told` hears of rows compared.
    """
    for model, number in sorted(fresh.items()):
        before, after = schema_of(model, live[model]), schema_of(model, number)
        mine, theirs = _tables(connection, model, before), _tables(connection, model, after)
        if mine != theirs:
            yield f"{model}: the tables are not the same: {sorted(mine)} stand, {sorted(theirs)} are made now"
        for name in sorted(mine.keys() & theirs.keys()):
            if mine[name] == theirs[name]:
                yield from _shortened(name, _differences(connection, mine[name], (before, after), told, chunk_rows))


def row_counts(connection: Connection, generations: Mapping[str, int]) -> int:
    """About how many rows there are, by the planner's statistics; for a progress bar."""
    schemas = [schema_of(model, number) for model, number in generations.items()]
    row = connection.execute(
        "SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint FROM pg_class"
        " WHERE relkind = 'r' AND relnamespace = ANY(%s::text[]::regnamespace[])",
        (schemas,),
    ).fetchone()
    return 0 if row is None else int(row[0])


def _shortened(name: str, lines: Iterator[str]) -> Iterator[str]:
    more = 0
    for number, text in enumerate(lines):
        if number < LINES_A_TABLE_MAX:
            yield text
        else:
            more += 1
    if more:
        yield f"{name}: {more} more"


def _tables(connection: Connection, model: str, schema: str) -> dict[str, Table]:
    rows = connection.execute(
        "SELECT c.relname, (SELECT array_agg(a.attname::text ORDER BY a.attname) FROM pg_attribute a"
        " WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),"
        " (SELECT array_agg(a.attname::text ORDER BY k.n) FROM pg_index i"
        "  CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k(attnum, n)"
        "  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum"
        "  WHERE i.indrelid = c.oid AND i.indisprimary)"
        " FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = %s::text::regnamespace"
        " AND c.relname !~ '^_?yoyo'",
        (schema,),
    ).fetchall()
    tables = {}
    for name, columns, key in rows:
        if name in JOINED:
            key = JOINED[name][0]
        tables[name] = Table(model, name, tuple(key or columns), tuple(columns))
    return tables


def _differences(
    connection: Connection, table: Table, schemas: tuple[str, str], told: Callable[[int], None], chunk_rows: int
) -> Iterator[str]:
    low: Key | None = None
    while True:
        high = _end_of_chunk(connection, table, schemas, low, chunk_rows)
        where, values = _between(table, low, high)
        (count, mine), (_, theirs) = (_hash(connection, table, schema, where, values) for schema in schemas)
        if mine != theirs:
            yield from _rows_that_differ(connection, table, schemas, where, values)
        told(count)
        if high is None:
            return
        low = high


def _end_of_chunk(
    connection: Connection, table: Table, schemas: tuple[str, str], low: Key | None, chunk_rows: int
) -> Key | None:
    """The key at which neither side has more than a chunk of rows; None: the end of both."""
    where, values = _between(table, low, None)
    side = SQL("(SELECT {keys} FROM {rows} {where} ORDER BY {keys} OFFSET {n} LIMIT 1)")
    sides = [
        side.format(keys=table.keys(), rows=table.rows(schema), where=where, n=chunk_rows - 1) for schema in schemas
    ]
    query = SQL("SELECT * FROM ({}) AS ends ORDER BY {} LIMIT 1").format(SQL(" UNION ALL ").join(sides), table.keys())
    row: Key | None = connection.execute(query, values * 2).fetchone()
    return row


def _between(table: Table, low: Key | None, high: Key | None) -> tuple[Composable, Key]:
    parts: list[Composable] = []
    values: list[Any] = []
    for sign, key in ((">", low), ("<=", high)):
        if key is not None:
            marks = SQL(", ").join([SQL("%s")] * len(key))
            parts.append(SQL("({}) {} ({})").format(table.keys(), SQL(sign), marks))
            values += key
    if not parts:
        return SQL(""), ()
    return SQL("WHERE {}").format(SQL(" AND ").join(parts)), tuple(values)


def _hash(connection: Connection, table: Table, schema: str, where: Composable, values: Key) -> tuple[int, str | None]:
    query = SQL("SELECT count(*), md5(string_agg(md5(t::text), '' ORDER BY {})) FROM {} {}")
    row = connection.execute(query.format(table.keys(), table.rows(schema), where), values).fetchone()
    assert row is not None
    return int(row[0]), row[1]


def _rows_that_differ(
    connection: Connection, table: Table, schemas: tuple[str, str], where: Composable, values: Key
) -> Iterator[str]:
    query = SQL("SELECT * FROM {} {}")
    mine: dict[Key, dict[str, Any]] = {}
    theirs: dict[Key, dict[str, Any]] = {}
    for schema, rows in zip(schemas, (mine, theirs), strict=True):
        cursor = connection.execute(query.format(table.rows(schema), where), values)
        names = [column.name for column in cursor.description or ()]
        for row in cursor:
            named = dict(zip(names, row, strict=True))
            rows[tuple(named[name] for name in table.key)] = named
    for key in sorted(mine.keys() | theirs.keys(), key=str):
        place = f"{table.model}.{table.name} ({' '.join(map(str, key))})"
        if key not in theirs:
            yield f"{place}: stands, the log does not say so"
        elif key not in mine:
            yield f"{place}: is missing, the log says it"
        elif mine[key] != theirs[key]:
            differing = [name for name, value in mine[key].items() if value != theirs[key][name]]
            told = (
                f"{name} {_short(mine[key][name])} stands, log says {_short(theirs[key][name])}" for name in differing
            )
            yield f"{place}: {'; '.join(told)}"


def _short(value: Any) -> str:
    if isinstance(value, bytes):
        return "(bytes)"
    text = str(value)
    return text if len(text) <= _VALUE_CHARACTERS_MAX else f"{text[:_VALUE_CHARACTERS_MAX]}…"

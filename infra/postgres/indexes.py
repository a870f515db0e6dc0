"""Indexes put off while a generation is filled: to make one of rows that stand costs a fraction of keeping it current.

Primary keys and unique indexes stay, because writing statements meet rows by them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

_FOUND = """
SELECT c.relname, pg_get_indexdef(c.oid) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE NOT i.indisunique AND c.relnamespace = %s::text::regnamespace AND c.relname <> ALL(%s::text[]) ORDER BY 1
"""
_TABLES = """
SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = %s::text::regnamespace ORDER BY 1
"""

Connection = psycopg.Connection[Any]


def put_off(connection: Connection, schema: str, needed: Collection[str]) -> list[str]:
    """Drop the schema's indexes but for those needed; the statements that make them again."""
    found = connection.execute(_FOUND, (schema, list(needed))).fetchall()
    for name, _ in found:
        connection.execute(SQL("DROP INDEX {}.{}").format(Identifier(schema), Identifier(name)))
    return [statement for _, statement in found]


def make(connection: Connection, statements: Sequence[str]) -> None:
    """Make what `put_off` has dropped."""
    for statement in statements:
        connection.execute(statement.encode())


def analyze(connection: Connection, schema: str) -> None:
    """Let the planner know the schema's tables before anybody reads them."""
    for (table,) in connection.execute(_TABLES, (schema,)).fetchall():
        connection.execute(SQL("ANALYZE {}.{}").format(Identifier(schema), Identifier(table)))

"""Databases with the schema of the read models, one for each test that asks.

The migrations run once for each server, in a template; what a test gets is a copy of that. Where many short tests write
rows and nothing else, `lent_database` gives one after the other the same copy, with the rows of the template.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count

import psycopg

from infra.postgres.migrate import migrate
from infra.settings import Settings

TEMPLATE = "reads_template"
_numbers = count()
_TABLES = """
    SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND c.relname NOT LIKE '\\_yoyo%'
    ORDER BY 1
"""


def make_database(settings: Settings) -> str:
    """The address of a new database with the schema."""
    server, _, _ = settings.postgres_dsn.rpartition("/")
    _make_template(server)
    name = f"reads_{next(_numbers)}"
    _create(server, name, f" TEMPLATE {TEMPLATE}")
    migrate(f"{server}/{name}")  # nothing is left to apply but the role's search path, which a copy has not
    return f"{server}/{name}"


@contextmanager
def lent_database(settings: Settings) -> Iterator[str]:
    """The address of a database that is as new, for a test that leaves schema and sequences as they are."""
    free = _free(settings.postgres_dsn)
    lent = free.pop() if free else _Lent.of(make_database(settings))
    yield lent.dsn
    lent.restore()
    free.append(lent)


@dataclass(frozen=True)
class _Lent:
    """A database, and the rows of each table (as COPY tells them) with which it was made."""

    dsn: str
    rows: dict[str, bytes]

    @classmethod
    def of(cls, dsn: str) -> _Lent:
        rows = {}
        with psycopg.connect(dsn) as session:
            for (table,) in session.execute(_TABLES).fetchall():
                with session.cursor().copy(f"COPY {table} TO STDOUT".encode()) as copy:
                    rows[table] = b"".join(bytes(part) for part in copy)
        return cls(dsn, rows)

    def restore(self) -> None:
        with psycopg.connect(self.dsn) as session:
            assert [table for (table,) in session.execute(_TABLES).fetchall()] == list(self.rows), "the schema stays"
            session.execute("SET session_replication_role = replica")  # in any order
            session.execute("; ".join(f"DELETE FROM {table}" for table in self.rows).encode())
            for table, rows in self.rows.items():
                if rows:
                    with session.cursor().copy(f"COPY {table} FROM STDIN".encode()) as copy:
                        copy.write(rows)


@cache
def _free(_: str) -> list[_Lent]:
    """What a server has and nobody uses."""
    return []


@cache
def _make_template(server: str) -> None:
    _create(server, TEMPLATE, "")
    migrate(f"{server}/{TEMPLATE}")


def _create(server: str, name: str, template: str) -> None:
    with psycopg.connect(f"{server}/postgres", autocommit=True) as session:
        session.execute(f"DROP DATABASE IF EXISTS {name}".encode())
        session.execute(f"CREATE DATABASE {name}{template}".encode())

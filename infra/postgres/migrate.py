"""The schema, brought up to this release by plain SQL files in order, once, whoever comes first.

Gateway and projector both call `migrate` when they start. A PostgreSQL advisory lock, which the server gives back when
its session ends, lets one of them work; yoyo's own lock is a row that a killed process would leave behind, so any such
row is removed under ours. A database that a newer release has changed is refused, never guessed at.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict
from yoyo import get_backend, read_migrations

from infra.errors import OperatorError

MIGRATIONS = Path(__file__).with_name("migrations")
_RETRY_S = 0.2
_LOCK = 0x6461726B  # "dark": the advisory lock of this product's schema


def migrate(dsn: str, folder: Path = MIGRATIONS) -> None:
    """Apply what is missing; blocks while another process does. Idempotent.

    Raises psycopg.OperationalError when the server is away, OperatorError when the database is of a newer release.
    """
    with psycopg.connect(dsn, autocommit=True, connect_timeout=10) as session:
        session.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        backend = get_backend(_yoyo_uri(dsn))
        try:
            backend.break_lock()
            _apply(backend, folder)
        finally:
            backend.connection.close()


def migrate_when_up(dsn: str, deadline_s: float = 60.0) -> None:
    """`migrate`, waiting for a server that still starts. Raises OperatorError after `deadline_s`."""
    end_s = time.monotonic() + deadline_s
    while True:
        try:
            return migrate(dsn)
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            if time.monotonic() > end_s:
                raise OperatorError(
                    f"PostgreSQL did not answer within {deadline_s:g} s ({error}):"
                    " start it or correct DARKROOM_POSTGRES_DSN."
                ) from error
        time.sleep(_RETRY_S)


def _apply(backend: Any, folder: Path) -> None:
    migrations = read_migrations(str(folder))
    unknown = set(backend.get_applied_migration_hashes()) - {migration.hash for migration in migrations}
    if unknown:
        raise OperatorError(
            "The database was changed by a newer release of Darkroom: start that release, or give this one an empty"
            " database, which it fills again from the log."
        )
    backend.apply_migrations(backend.to_apply(migrations))


def _yoyo_uri(dsn: str) -> str:
    """The address as yoyo reads it, with psycopg 3 as the driver; everything but name and user are parameters."""
    parts = {name: str(value) for name, value in conninfo_to_dict(dsn).items() if value is not None}
    user, password = parts.pop("user", ""), parts.pop("password", "")
    database = parts.pop("dbname", user)
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
    return f"postgresql+psycopg://{login}/{quote(database, safe='')}?{urlencode(parts)}"

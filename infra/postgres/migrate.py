"""The schema, brought up to this release by plain SQL files in order, once, whoever comes first.

Gateway and projector both call `migrate` when they start. A PostgreSQL advisory lock, which the server gives back when
its session ends, lets one of them work; yoyo's own lock is a row that a killed process would leave behind, so any such
row is removed under ours. A database that a newer release has changed is refused, never guessed at.

The contract of the files
-------------------------
- `migrations/*.sql` is what stands outside of the read models (positions, generations). Nothing else belongs there.
- `migrations/<model>/*.sql` are the tables of one read model, and apply to each of its generations
  (`infra.postgres.generations`): the live one, the previous one, and those that rebuilds make. Names stand without a
  schema. A new folder is a new model: its first generation is made at the next start, and the projector fills it from
  the log's beginning. Each generation keeps its own record of what was applied to it.
- A table belongs to one model, and only that model's fold writes it; a statement that writes names no table of another
  model, because a rebuild of one model sees no other. Reading statements may join any.
- Rows are a function of the log alone: no serial numbers, no times of writing, nothing that depends on how events were
  batched. A rebuild compares the generations row by row, ordered by the primary key, which every table needs
  (`infra.postgres.compare` holds the one exception).
- A rebuild makes indexes when the rows are there, but for unique ones and those that writing statements need, which
  stand in `projections.rebuild.NEEDED_INDEXES`.
- A change of a table has to leave what is there right, or has to begin anew: a column that only old events can fill is
  null until `darkroom rebuild --model NAME`; say so in the file.
- In Python a model is a fold in `projections.intake.FOLDS`, rows with their statements, and, where reads must wait for
  it, a name in `infra.postgres.positions.READ_MODELS`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier
from yoyo import get_backend, read_migrations

from infra import failpoints
from infra.errors import OperatorError
from infra.postgres.generations import (
    MIGRATIONS,
    MODELS,
    REBUILD_LOCK,
    SWITCH_LOCK,
    found_live,
    schemas,
    set_default_path,
)

_RETRY_S = 0.2
_LOCK = 0x6461726B  # "dark": the advisory lock of this product's schema
_BASE = "public"


def migrate(dsn: str, folder: Path = MIGRATIONS, models: Sequence[str] = MODELS) -> None:
    """Apply what is missing; blocks while another process does. Idempotent.

    Raises psycopg.OperationalError when the server is away, OperatorError when the database is of a newer release.
    """
    with psycopg.connect(dsn, autocommit=True, connect_timeout=10) as session:
        session.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        failpoints.passed("projector.migrate.before")
        apply_folder(session, dsn, _BASE, folder)
        found_live(session, models)
        if _pending(session, folder, models):
            session.execute("SELECT pg_advisory_lock(%s)", (REBUILD_LOCK,))  # no generation changes its name meanwhile
            for schema, files in _pending(session, folder, models):
                apply_folder(session, dsn, schema, files)
        with session.transaction():
            session.execute("SELECT pg_advisory_xact_lock(%s)", (SWITCH_LOCK,))
            set_default_path(session)
        failpoints.passed("projector.migrate.after")


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


def apply_folder(session: psycopg.Connection[Any], dsn: str, schema: str, folder: Path) -> None:
    """Apply the folder's files that the schema has not seen. Raises OperatorError for a schema of a newer release."""
    if not _missing(session, schema, folder):
        return
    backend = get_backend(_yoyo_uri(dsn, schema))
    try:
        backend.break_lock()
        backend.apply_migrations(backend.to_apply(read_migrations(str(folder))))
    finally:
        backend.connection.close()


def _pending(session: psycopg.Connection[Any], folder: Path, models: Sequence[str]) -> list[tuple[str, Path]]:
    """Schemas of generations that lack some of their files, each with its folder."""
    found = sorted(schemas(session).items())
    if any(model not in models for (model, _), _ in found):
        raise _of_a_newer_release()
    return [(schema, folder / model) for (model, _), schema in found if _missing(session, schema, folder / model)]


def _missing(session: psycopg.Connection[Any], schema: str, folder: Path) -> bool:
    files = {file.stem for file in folder.glob("*.sql")}
    applied = _applied(session, schema)
    if applied - files:
        raise _of_a_newer_release()
    return applied != files


def _applied(session: psycopg.Connection[Any], schema: str) -> set[str]:
    table = SQL("{}.{}").format(Identifier(schema), Identifier("_yoyo_migration"))
    row = session.execute("SELECT to_regclass(%s)", (table.as_string(session),)).fetchone()
    if row is None or row[0] is None:
        return set()
    return {name for (name,) in session.execute(SQL("SELECT migration_id FROM {}").format(table))}


def _of_a_newer_release() -> OperatorError:
    return OperatorError(
        "The database was changed by a newer release of Darkroom: start that release, or give this one an empty"
        " database, which it fills again from the log."
    )


def _yoyo_uri(dsn: str, schema: str) -> str:
    """The address as yoyo reads it, with psycopg 3 as the driver; everything but name and user are parameters."""
    parts = {name: str(value) for name, value in conninfo_to_dict(dsn).items() if value is not None}
    user, password = parts.pop("user", ""), parts.pop("password", "")
    database = parts.pop("dbname", user)
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
    parts["schema"] = schema
    return f"postgresql+psycopg://{login}/{quote(database, safe='')}?{urlencode(parts)}"

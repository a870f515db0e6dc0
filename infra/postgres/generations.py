"""Generations of the read models: which tables are read, which are being built, and how one takes another's place.

Theory of operation
-------------------
A read model is a named group of tables that one fold writes. Each generation of it stands in a schema of its own, and
`public.generations` says which one is live:

    building  `jobs_7`            a rebuild fills it; nobody reads it
    live      `jobs_7`            the projector writes it, everybody reads it
    previous  `jobs_7_previous`   stands still; `darkroom rebuild --back` brings it up to date and makes it live again

- Statements name tables without a schema. A search path with one schema for each model gives them their generation;
  the role's default path is the live one, so that any new session reads what is live.
- A switch renames the old schema, marks it previous and the new one live, all in one transaction. A number is never
  used again, so a session with the old path no longer finds its tables: it asks for the path (`PIN`) and reads again
  (`infra.postgres.readers`). A statement can find some of its tables before a switch and miss others after it, which
  is an error and a second attempt; it can never find tables of two generations.
- The projector's transactions hold `SWITCH_LOCK` shared and move positions only in a generation that is live. A switch
  holds it exclusively while it brings the new generation to exactly the live one's positions. So positions never go
  back for a reader, and a projector that finds its generation replaced has written nothing and begins a new session.
- A rebuild holds `REBUILD_LOCK` in a session of its own: only one runs, and what a killed one has left is `building`
  without a holder, which the next one drops.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import tuple_row
from psycopg.sql import SQL, Identifier, Literal

MIGRATIONS = Path(__file__).with_name("migrations")
MODELS = tuple(sorted(folder.name for folder in MIGRATIONS.iterdir() if folder.is_dir()))
"""Every read model has a folder of migrations of its name."""

NEVER_KEPT = frozenset({"keys"})
"""Models whose replaced generation is dropped at once: an erased key must not outlive its erasure anywhere."""

SWITCH_LOCK = 0x6461726B_01
REBUILD_LOCK = 0x6461726B_02
FIRST = 1

_PATH = """(
    SELECT string_agg(quote_ident(model || '_' || generation), ', ' ORDER BY model) || ', public'
    FROM public.generations WHERE state = 'live'
)"""
_DEFAULT_PATH = """(
    SELECT setting FROM pg_db_role_setting, unnest(setconfig) AS setting
    WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND setrole = CURRENT_USER::regrole AND setting LIKE 'search_path=%'
)"""
PIN = f"SELECT set_config('search_path', {_PATH}, false)"
"""Lets a session read what is live from now on. One row: the path."""

Connection = psycopg.Connection[Any]


def schema_of(model: str, number: int) -> str:
    """The schema of a generation that is live or being built."""
    return f"{model}_{number}"


def previous_schema_of(model: str, number: int) -> str:
    """The schema of a generation that another one has replaced."""
    return f"{model}_{number}_previous"


def search_path(generations: Mapping[str, int], state: str = "live") -> str:
    """The path that finds the tables of these generations, all in that state."""
    named = previous_schema_of if state == "previous" else schema_of
    return ", ".join([*(f'"{named(model, number)}"' for model, number in sorted(generations.items())), "public"])


def in_state(connection: Connection, state: str) -> dict[str, int]:
    """Model -> number of the generation in that state."""
    cursor = connection.cursor(row_factory=tuple_row)
    return dict(cursor.execute("SELECT model, generation FROM public.generations WHERE state = %s", (state,)))


def schemas(connection: Connection) -> dict[tuple[str, int], str]:
    """(model, number) -> schema of every generation that is live or previous."""
    live, previous = in_state(connection, "live"), in_state(connection, "previous")
    found = {(model, number): schema_of(model, number) for model, number in live.items()}
    return found | {(model, number): previous_schema_of(model, number) for model, number in previous.items()}


def found_live(connection: Connection, models: Iterable[str]) -> None:
    """Give each model that has no generation its first one, without tables. Under the lock of migrations."""
    known = in_state(connection, "live")
    for model in models:
        if model not in known:
            with connection.transaction():
                _make(connection, model, FIRST, "live")


def begin_building(connection: Connection, models: Collection[str]) -> dict[str, int]:
    """A new generation of each model, without tables. Under REBUILD_LOCK."""
    made: dict[str, int] = {}
    with connection.transaction():
        for model in models:
            row = connection.execute("SELECT nextval('public.generation_numbers')").fetchone()
            assert row is not None
            made[model] = row[0]
            _make(connection, model, made[model], "building")
    return made


def drop(connection: Connection, state: str, models: Collection[str] | None = None) -> None:
    """Drop the generations in a state (`building`, `previous`) with their positions; idempotent. Under REBUILD_LOCK."""
    for model, number in in_state(connection, state).items():
        if models is not None and model not in models:
            continue
        schema = schema_of(model, number) if state == "building" else previous_schema_of(model, number)
        with connection.transaction():
            connection.execute(SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(Identifier(schema)))
            connection.execute(
                "DELETE FROM public.tracking WHERE starts_with(application_name, %s)", (f"{model}.{number}.",)
            )
            connection.execute(
                "DELETE FROM public.generations WHERE model = %s AND generation = %s AND state = %s",
                (model, number, state),
            )


def make_live(connection: Connection, models: Collection[str]) -> None:
    """Make what is being built live and what was live previous. Inside a transaction that holds SWITCH_LOCK.

    There must be no previous generation of these models (`drop` it first).
    """
    names = list(models)
    for model, number in in_state(connection, "live").items():
        if model in models:
            _rename(connection, schema_of(model, number), previous_schema_of(model, number))
    _set_state(connection, names, "live", "previous")
    _set_state(connection, names, "building", "live")
    _count_switch(connection, names)


def take_back(connection: Connection, models: Collection[str]) -> None:
    """Let live and previous change places. Inside a transaction that holds SWITCH_LOCK."""
    names = list(models)
    live, previous = in_state(connection, "live"), in_state(connection, "previous")
    for model in names:
        _rename(connection, schema_of(model, live[model]), previous_schema_of(model, live[model]))
        _rename(connection, previous_schema_of(model, previous[model]), schema_of(model, previous[model]))
    for before, after in (("live", "building"), ("previous", "live"), ("building", "previous")):
        _set_state(connection, names, before, after)
    _count_switch(connection, names)


def last_switched(connection: Connection) -> list[str]:
    """The models that the last switch replaced and that can be taken back."""
    rows = connection.execute(
        "SELECT model FROM public.generations WHERE state = 'live' AND switched > 0"
        " AND switched = (SELECT max(switched) FROM public.generations)"
    ).fetchall()
    previous = in_state(connection, "previous")
    return sorted(row[0] for row in rows if row[0] in previous)


def set_default_path(connection: Connection) -> None:
    """Let new sessions of this role read what is live."""
    row = connection.execute(f"SELECT {_PATH}, current_database(), {_DEFAULT_PATH}").fetchone()
    assert row is not None
    if row[2] == f"search_path={row[0]}":
        return
    path = SQL(", ").join(Literal(part.strip().strip('"')) for part in row[0].split(","))
    database = Identifier(row[1])
    connection.execute(SQL("ALTER ROLE CURRENT_USER IN DATABASE {} SET search_path TO {}").format(database, path))


def _make(connection: Connection, model: str, number: int, state: str) -> None:
    connection.execute(SQL("CREATE SCHEMA {}").format(Identifier(schema_of(model, number))))
    connection.execute(
        "INSERT INTO public.generations (model, generation, state) VALUES (%s, %s, %s)", (model, number, state)
    )


def _rename(connection: Connection, before: str, after: str) -> None:
    connection.execute(SQL("ALTER SCHEMA {} RENAME TO {}").format(Identifier(before), Identifier(after)))


def _set_state(connection: Connection, models: list[str], before: str, after: str) -> None:
    connection.execute(
        "UPDATE public.generations SET state = %s WHERE state = %s AND model = ANY(%s)", (after, before, models)
    )


def _count_switch(connection: Connection, models: list[str]) -> None:
    connection.execute(
        "UPDATE public.generations SET switched = (SELECT nextval('public.generation_switches'))"
        " WHERE state = 'live' AND model = ANY(%s)",
        (models,),
    )
    set_default_path(connection)

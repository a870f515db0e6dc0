"""Databases with the schema of the read models, one for each test that asks.

The migrations run once for each server, in a template; what a test gets is a copy of that.
"""

from __future__ import annotations

from functools import cache
from itertools import count

import psycopg

from infra.postgres.migrate import migrate
from infra.settings import Settings

TEMPLATE = "reads_template"
_numbers = count()


def make_database(settings: Settings) -> str:
    """The address of a new database with the schema."""
    server, _, _ = settings.postgres_dsn.rpartition("/")
    _make_template(server)
    name = f"reads_{next(_numbers)}"
    _create(server, name, f" TEMPLATE {TEMPLATE}")
    migrate(f"{server}/{name}")  # nothing is left to apply but the role's search path, which a copy has not
    return f"{server}/{name}"


@cache
def _make_template(server: str) -> None:
    _create(server, TEMPLATE, "")
    migrate(f"{server}/{TEMPLATE}")


def _create(server: str, name: str, template: str) -> None:
    with psycopg.connect(f"{server}/postgres", autocommit=True) as session:
        session.execute(f"DROP DATABASE IF EXISTS {name}".encode())
        session.execute(f"CREATE DATABASE {name}{template}".encode())

"""Which objects the read models name: what the sweeper has to leave alone."""

from __future__ import annotations

import msgspec
import psycopg

from infra.postgres.object_names import PostgresObjectNames
from infra.postgres.pool import create_pool
from infra.postgres.readers import Readers
from infra.settings import Settings
from schemas.codec import encode_json
from schemas.commands import SealedPart, StoredObject
from tests.databases import make_database

THUMBNAIL = StoredObject("anna/job_2/1-t", 9, "ab" * 32, "jpeg", 64, 64)
ASSETS = [  # account, asset, number, key, thumbnail, gone
    ("anna", "asset_1", 1, "anna/asset_1", None, None),
    ("anna", "asset_2", 2, "anna/job_2/1", encode_json(THUMBNAIL).decode(), None),
    ("anna", "asset_3", 3, "anna/asset_3", encode_json(THUMBNAIL).decode().replace("-t", "-u"), "deleted"),
    ("anna", "asset_4", 4, "anna/shared", None, "expired"),
    ("anna", "asset_5", 5, "anna/shared", None, None),
    ("ben", "asset_1", 1, "ben/asset_1", None, None),
    ("eve", "asset_1", 1, "eve/asset_1", None, "erased"),
]
JOBS = [  # account, job, accepted_ms, key of the sealed part
    ("anna", "job_1", 10, "anna/group_1"),
    ("anna", "job_2", 10, None),
    ("eve", "job_1", 10, "eve/group_before"),
    ("eve", "job_2", 90, "eve/group_after"),
]


def _fill(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as session:
        for account, erased_ms in (("anna", None), ("ben", None), ("eve", 50)):
            _insert(session, "accounts", account=account, version=1, erased_ms=erased_ms, position="0.1.0.0")
        for account, asset, number, key, thumbnail, gone in ASSETS:
            row = {"account": account, "asset": asset, "number": number, "key": key, "thumbnail": thumbnail}
            _insert(session, "assets", **row, gone=gone)
        for account, job, accepted_ms, sealed_key in JOBS:
            sealed_at = None if sealed_key is None else msgspec.json.encode(SealedPart(sealed_key, 0, 40)).decode()
            _insert(session, "jobs", account=account, job=job, accepted_ms=accepted_ms, sealed_at=sealed_at)


def _insert(session: psycopg.Connection, table: str, **row: object) -> None:
    """A row with these values, and something in every other column that must have one."""
    columns = session.execute(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s"
        " AND table_schema = (SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = %s::regclass)"
        " AND is_nullable = 'NO' AND column_default IS NULL",
        (table, table),
    ).fetchall()
    values = {name: "{}" if kind == "json" else 0 if "int" in kind else "x" for name, kind in columns} | row
    names, places = ", ".join(values), ", ".join(["%s"] * len(values))
    session.execute(f"INSERT INTO {table} ({names}) VALUES ({places})".encode(), list(values.values()))


async def test_what_lives_is_named_by_account_and_what_has_ended_is_not(postgres: Settings) -> None:
    dsn = make_database(postgres)
    _fill(dsn)
    pool = await create_pool(dsn, connections_max=1)
    readers = Readers(pool, 1)
    try:
        named = await PostgresObjectNames(readers).of(["anna", "ben", "eve", "nobody"])
    finally:
        await readers.close()
        await pool.close()
    assert named == {
        "anna": {"anna/asset_1", "anna/job_2/1", "anna/job_2/1-t", "anna/shared", "anna/group_1"},
        "ben": {"ben/asset_1"},
        "eve": {"eve/group_after"},
    }

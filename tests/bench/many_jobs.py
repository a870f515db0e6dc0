"""A read model with very many jobs, in seconds: jobs that the projector has projected, multiplied in PostgreSQL.

Some synthetic events go through the real log and the projector. Its rows of ended jobs are then repeated for accounts
that tokens are there for, each under an account, a job id, a result's id and a version of its own; everything else in a
row is what the projector wrote. Indexes are made when the rows are there, as in a rebuild; the pattern itself goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, LiteralString

import psycopg
from psycopg.sql import SQL, Identifier

from infra.http.tokens import read_secret
from infra.postgres.generations import in_state, schema_of
from infra.postgres.indexes import make, put_off
from infra.settings import Settings
from schemas.identifiers import account_id
from tests.bench.children import Children
from tests.bench.measure import check
from tests.bench.projection import SyntheticLog, ours

EVENTS = 30_000
VERSIONS_A_JOB = 6
"""An account's version grows by so many events with each of its jobs."""

_PATTERN = """
CREATE TEMPORARY TABLE pattern ON COMMIT DROP AS
SELECT row_number() OVER (ORDER BY account, version) - 1 AS number, * FROM jobs WHERE outcome IS NOT NULL
"""
_JOBS: LiteralString = """
INSERT INTO jobs ({columns}) SELECT {values}
FROM unnest(%(accounts)s::text[]) WITH ORDINALITY AS a(name, number)
CROSS JOIN generate_series(1, %(jobs)s) AS n
JOIN pattern AS t ON t.number = (n * 7 + a.number) %% (SELECT count(*) FROM pattern)
"""
_OTHERS: dict[str, LiteralString] = {
    "account": "a.name",
    "job": "'job_' || lpad(((a.number - 1) * %(jobs)s + n)::text, 26, '0')",
    "asset": "CASE WHEN t.asset IS NOT NULL THEN 'asset_' || lpad(((a.number - 1) * %(jobs)s + n)::text, 26, '0') END",
    "asset_number": "CASE WHEN t.asset IS NOT NULL THEN n END",
    "version": "n * %(step)s",
}
_ACCOUNT: dict[str, LiteralString] = {"account": "a.name", "version": "(%(jobs)s + 1) * %(step)s"}
_ACCOUNTS: LiteralString = """
INSERT INTO accounts ({columns}) SELECT {values}
FROM unnest(%(accounts)s::text[]) AS a(name) CROSS JOIN (SELECT * FROM accounts ORDER BY account LIMIT 1) AS t
"""
_COLUMNS = """
SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""

Connection = psycopg.Connection[Any]


def job_id(account_number: int, number: int, jobs: int) -> str:
    """The job `number` (from 1) of an account (from 0) of `jobs` each."""
    return f"job_{account_number * jobs + number:026d}"


def accounts_of_tokens(settings: Settings, count: int) -> list[str]:
    """The accounts of `clients.tokens`."""
    key = read_secret(settings.secrets_dir, "identifier.key")
    return [account_id(key, "darkroom", f"bench-{number}") for number in range(count)]


def make_jobs(settings: Settings, children: Children, postgres_pid: int, accounts: Sequence[str], jobs: int) -> None:
    """So many ended jobs for each account, and no others; the projector has ended afterwards."""
    projector = children.role("projector-0")
    values = SyntheticLog(settings.partitions).take(EVENTS)
    asyncio.run(ours(settings, values, projector, postgres_pid))
    children.stop(projector)
    given = {"accounts": list(accounts), "jobs": jobs, "step": VERSIONS_A_JOB}
    with psycopg.connect(settings.postgres_dsn, autocommit=True) as session:
        with session.transaction():  # a table that this transaction has emptied goes to no log
            session.execute("SET LOCAL maintenance_work_mem = '128MB'")
            session.execute(_PATTERN)
            session.execute("ANALYZE pattern")
            indexes = put_off(session, schema_of("jobs", in_state(session, "live")["jobs"]), ())
            session.execute("TRUNCATE jobs")
            made = session.execute(_repeated(session, "jobs", _JOBS, _OTHERS), given).rowcount
            check(made == len(accounts) * jobs, f"{made} jobs were made, not {len(accounts) * jobs}")
            make(session, indexes)
            session.execute(_repeated(session, "accounts", _ACCOUNTS, _ACCOUNT), given)
        session.execute("VACUUM (ANALYZE) jobs")
        session.execute("VACUUM (ANALYZE) accounts")
        session.execute("CHECKPOINT")


def _repeated(session: Connection, table: str, statement: LiteralString, replaced: dict[str, LiteralString]) -> Any:
    """The statement with all columns of the table: those that are replaced, the others as the pattern has them."""
    columns = [row[0] for row in session.execute(_COLUMNS, (table,)).fetchall()]
    values = [SQL(replaced[name]) if name in replaced else SQL("t.{}").format(Identifier(name)) for name in columns]
    return SQL(statement).format(columns=SQL(", ").join(map(Identifier, columns)), values=SQL(", ").join(values))

"""Lists of an account with very many jobs: no statement reads a whole table, and deep pages cost what first ones do."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import asyncpg
import pytest

from api.asset_queries import AssetFilters, assets_statement, results_statement, results_total_statement
from api.job_queries import JobFilters, counted_statement, jobs_statement, page_statement, total_statement
from infra.settings import Settings
from tests.databases import make_database

JOBS = int(os.environ.get("DARKROOM_TEST_JOBS", "60000"))
DAY_MS = 86_400_000
_JOBS = """
INSERT INTO jobs (account, job, version, product, model, engine, engine_version, lane, params, input, cost, plan,
    plan_version, accepted_ms, accepted_at, status, outcome, balance, position, ended_ms, asset, group_id, hidden_ms)
SELECT $2, 'job_' || n, n * 3, 'p', CASE WHEN n % 997 = 0 THEN 'rare' ELSE 'usual' END, 'e', '1',
    CASE WHEN n % 991 = 0 THEN 'video' ELSE 'standard' END, '{}', 'asset_in' || n % 5000, 1, 'default', 1,
    1000 * n, '0.0.0.0', s.status, CASE WHEN s.status = 'running' THEN NULL ELSE s.status END, 0, '0.0.0.0',
    CASE WHEN s.status = 'running' THEN NULL ELSE 1000 * n + 500 END,
    CASE WHEN s.status = 'succeeded' THEN 'asset_' || n END, CASE WHEN n % 100 = 0 THEN 'group_' || n / 1000 END,
    CASE WHEN n % 30 = 0 AND s.status <> 'running' THEN 1000 * n + 900 END
FROM generate_series(1, $1::int) AS n, LATERAL (SELECT CASE WHEN n % 1009 = 0 THEN 'failed'
    WHEN n > $1::int - 20 THEN 'running' ELSE 'succeeded' END AS status) AS s
"""
_COUNTS = """
INSERT INTO job_counts (account, day_ms, model, status, wait, run, jobs, credits)
SELECT account, ended_ms * 365 / (1000 * $1::bigint), model, outcome, version % 7, version % 5, count(*), count(*)
FROM jobs WHERE outcome IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6
"""
_ASSETS = """
INSERT INTO assets (account, asset, number, key, bytes, sha256, format, width, height, job, created_ms, position,
    duration_ms)
SELECT $2, 'asset_' || n, n, 'k', 1, 's', 'png', 1, 1, CASE WHEN n % 500 > 0 THEN 'job_' || n END, 1000 * n,
    '0.0.0.0', CASE WHEN n % 700 = 0 THEN 2000 ELSE 0 END FROM generate_series(1, $1::int) AS n
"""
FILTERS = {
    "all": JobFilters(),
    "several statuses": JobFilters(statuses=("failed", "running")),
    "one that is rare": JobFilters(statuses=("failed",)),
    "a model": JobFilters(models=("rare",)),
    "a lane": JobFilters(lane="video"),
    "a group": JobFilters(group="group_7"),
    "an input": JobFilters(input="asset_in7"),
    "a result": JobFilters(result="asset_77"),
    "with a result": JobFilters(has_result=True),
    "ended late": JobFilters(ended_after_ms=1000 * (JOBS - 100)),
    "ended early": JobFilters(ended_before_ms=5_000),
    "shown": JobFilters(hidden=False),
    "hidden": JobFilters(hidden=True),
    "shown, of two models": JobFilters(models=("usual", "rare"), hidden=False),
    "shown, ended, and of a model": JobFilters(statuses=("failed",), models=("usual",), hidden=False),
    "created late": JobFilters(created_after_ms=1000 * (JOBS - 100)),
}


IN_INDEXES = [name for name, filters in FILTERS.items() if filters.has_result is None]
"""Whether a result is still there, the rows alone know."""


@pytest.fixture(scope="module")
def dsn(postgres: Settings) -> str:
    return make_database(postgres)


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    opened = await asyncpg.connect(dsn)
    if not await opened.fetchval("SELECT count(*) FROM jobs"):
        await opened.execute(
            "INSERT INTO accounts (account, version, position) VALUES ('acct_a', 999999999, '0.0.0.0')"
        )
        for account, rows in (("acct_a", JOBS), ("acct_b", JOBS // 2), ("acct_c", JOBS // 2)):
            await opened.execute(_JOBS, rows, account)
            await opened.execute(_ASSETS, rows, account)
        await opened.execute(_COUNTS, JOBS)
        await opened.execute("VACUUM ANALYZE")
    yield opened
    await opened.close()


async def plan_of(connection: asyncpg.Connection, statement: str, *arguments: object) -> tuple[str, int]:
    """(the plan, shared buffers that it touched)."""
    rows = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, SUMMARY OFF) {statement}", *arguments)
    lines = [str(row[0]) for row in rows]
    touched = next(line for line in lines if "Buffers: shared" in line)
    return "\n".join(lines), sum(
        int(part.split("=")[1]) for part in touched.split() if part.startswith(("hit=", "read="))
    )


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("newest_first", [True, False])
async def test_no_page_of_jobs_reads_a_whole_table(
    connection: asyncpg.Connection, name: str, newest_first: bool
) -> None:
    statement, arguments = jobs_statement(FILTERS[name], newest_first)
    top = 1 << 60
    for after in (top if newest_first else 0, JOBS * 3 // 2):
        plan, touched = await plan_of(connection, statement, "acct_a", top, after, 0, top, 51, *arguments)
        assert "Seq Scan" not in plan.replace("Seq Scan on accounts", ""), plan
        assert touched < 400 + JOBS // 50, f"{touched} pages\n{plan}"


def bounds_of(filters: JobFilters) -> tuple[int, int]:
    """The versions that the filters' times come to."""
    return 0 if filters.created_after_ms is None else filters.created_after_ms // 1000 * 3, 1 << 60


@pytest.mark.parametrize("name", IN_INDEXES)
async def test_no_page_by_offset_reads_a_whole_table(connection: asyncpg.Connection, name: str) -> None:
    """What is passed over is read in an index, and of this account alone."""
    statement, arguments = page_statement(FILTERS[name])
    wanted = await total_by_hand(connection, FILTERS[name])
    for offset in (0, JOBS // 2, wanted - 1):
        plan, touched = await plan_of(
            connection, statement, "acct_a", *bounds_of(FILTERS[name]), offset, 20, *arguments
        )
        assert "Seq Scan" not in plan, plan
        assert touched < 400 + JOBS // 50, f"{touched} pages\n{plan}"


async def total_by_hand(connection: asyncpg.Connection, filters: JobFilters) -> int:
    statement, arguments = jobs_statement(filters, True)
    rows = await connection.fetch(
        statement, "acct_a", 1 << 60, 1 << 60, bounds_of(filters)[0], 1 << 60, JOBS, *arguments
    )
    return len(rows)


@pytest.mark.parametrize("name", IN_INDEXES)
async def test_no_total_reads_a_whole_table(connection: asyncpg.Connection, name: str) -> None:
    counted, filters = counted_statement(FILTERS[name]), FILTERS[name]
    if counted is None:
        statement, arguments = total_statement(filters)
        arguments = [*bounds_of(filters), *arguments]
    else:
        statement, arguments = counted
    assert await connection.fetchval(statement, "acct_a", *arguments) == await total_by_hand(connection, filters)
    plan, touched = await plan_of(connection, statement, "acct_a", *arguments)
    assert "Seq Scan on jobs" not in plan, plan
    assert touched < 400 + JOBS // 50, f"{touched} pages\n{plan}"


@pytest.mark.parametrize("media", [None, "image", "video"])
async def test_no_page_of_results_reads_a_whole_table(connection: asyncpg.Connection, media: str | None) -> None:
    total = await connection.fetchval(results_total_statement(media), "acct_a")
    by_hand = {None: "true", "image": "duration_ms = 0", "video": "duration_ms > 0"}[media]
    assert total == await connection.fetchval(
        f"SELECT count(*) FROM assets WHERE account = 'acct_a' AND job IS NOT NULL AND {by_hand}"
    )
    plan, touched = await plan_of(connection, results_total_statement(media), "acct_a")
    assert "Seq Scan" not in plan, plan
    assert touched < 100 + JOBS // 100, f"{touched} pages\n{plan}"
    for newest_first in (True, False):
        for offset in (0, total // 2, total - 1):
            plan, touched = await plan_of(connection, results_statement(media, newest_first), "acct_a", offset, 20)
            assert "Seq Scan on assets" not in plan, plan
            assert touched < 200 + JOBS // 100, f"{touched} pages\n{plan}"


@pytest.mark.parametrize("filters", [AssetFilters(), AssetFilters(kind="input"), AssetFilters(kind="result")])
async def test_no_page_of_assets_reads_a_whole_table(connection: asyncpg.Connection, filters: AssetFilters) -> None:
    statement, arguments = assets_statement(filters, True)
    for after in (1 << 60, JOBS // 2):
        plan, touched = await plan_of(connection, statement, "acct_a", 1 << 60, after, 0, 1 << 60, 51, *arguments)
        assert "Seq Scan on assets" not in plan, plan
        assert touched < 2_000, f"{touched} pages\n{plan}"

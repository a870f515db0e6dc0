"""Lists of jobs and of results: by cursor and by offset, with totals; all are what a search by hand finds."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping
from itertools import product
from typing import Any

import pytest

from api.queries import JobFilters, Queries
from infra.settings import Settings
from schemas import events as ev
from schemas.commands import StoredObject
from tests.ports.scripted import played, readers_over
from tests.properties.scripts import ACCOUNTS
from tests.unit.projections.test_folds import ACCOUNT, accepted, events_of

STATUSES = ("accepted", "queued", "running", "succeeded", "failed", "canceled", "expired")
TOP = 1 << 60
STORED = StoredObject("k", 1234, "a" * 64, "png", 64, 48)


@pytest.fixture
async def queries(postgres: Settings) -> AsyncIterator[Queries]:
    """Queries over everything that deciders have written of a long script."""
    async with readers_over(postgres, played(7, 700).events) as readers:
        yield Queries(readers)


async def everything(queries: Queries, account: str) -> list[Mapping[str, Any]]:
    """All jobs of the account, the oldest first."""
    rows = await queries.jobs(account, JobFilters(), newest_first=False, pin=TOP, after=0, limit=10_000)
    return [dict(row) for row in rows]


def any_filters(chance: random.Random, times: list[int]) -> JobFilters:
    """Filters of every kind, several at a time."""
    after_ms, ended_ms = chance.choice(times), chance.choice(times)
    return JobFilters(
        statuses=chance.choice(((), tuple(chance.sample(STATUSES, 2)), STATUSES)),
        models=chance.choice(((), ("a",), ("b", "c"), ("none",))),
        hidden=chance.choice((None, True, False, False)),
        lane=chance.choice((None, None, "priority")),
        has_result=chance.choice((None, None, True, False)),
        created_after_ms=chance.choice((None, after_ms)),
        created_before_ms=chance.choice((None, after_ms + 7_200_000)),
        ended_after_ms=chance.choice((None, None, ended_ms)),
        ended_before_ms=chance.choice((None, None, ended_ms + 7_200_000)),
    )


async def test_jobs_by_cursor_are_those_that_a_search_by_hand_finds(queries: Queries) -> None:
    chance = random.Random(3)
    for account in ACCOUNTS:
        jobs = await everything(queries, account)
        assert [row["version"] for row in jobs] == sorted(row["version"] for row in jobs)
        for _ in range(40):
            filters = any_filters(chance, [row["accepted_ms"] for row in jobs] or [0])
            wanted = [row["job"] for row in jobs if _fits(row, filters)]
            pages: list[str] = []
            after = TOP
            while True:
                page = await queries.jobs(account, filters, newest_first=True, pin=TOP, after=after, limit=4)
                pages += [row["job"] for row in page]
                if len(page) < 4:
                    break
                after = page[-1]["version"]
            assert pages == wanted[::-1], filters


async def test_jobs_by_offset_and_their_total_are_those_that_a_search_by_hand_finds(queries: Queries) -> None:
    chance, found = random.Random(3), 0
    for account in ACCOUNTS:
        jobs = await everything(queries, account)
        for _ in range(40):
            filters = any_filters(chance, [row["accepted_ms"] for row in jobs] or [0])
            wanted = [row["job"] for row in jobs if _fits(row, filters)][::-1]
            for offset in (0, 1, len(wanted) // 2, len(wanted), len(wanted) + 3):
                page = await queries.jobs_page(account, filters, offset=offset, limit=4)
                assert [row["job"] for row in page] == wanted[offset : offset + 4], filters
            assert await queries.jobs_total(account, filters) == len(wanted), filters
            found += len(wanted)
    assert found > 200


async def test_totals_out_of_counts_are_exact(queries: Queries) -> None:
    statuses = ((), ("accepted", "queued"), ("running",), ("failed", "expired"), STATUSES)
    jobs = {account: await everything(queries, account) for account in (*ACCOUNTS, "acct_nobody")}
    for wanted, models, hidden in product(statuses, ((), ("a",), ("b", "c")), (None, True, False)):
        filters = JobFilters(statuses=wanted, models=models, hidden=hidden)
        for account, rows in jobs.items():
            total = sum(_fits(row, filters) for row in rows)
            assert await queries.jobs_total(account, filters) == total, filters


async def test_every_way_of_hiding_has_come_to_the_rows(queries: Queries) -> None:
    rows = [row for account in ACCOUNTS for row in await everything(queries, account)]
    assert {row["status"] for row in rows if row["hidden_ms"] is not None} >= {"succeeded", "failed", "canceled"}
    assert all(row["ended_ms"] <= row["hidden_ms"] for row in rows if row["hidden_ms"] is not None)


async def test_jobs_of_an_input_are_all_that_work_on_it(postgres: Settings) -> None:
    jobs = [accepted(job=f"job_{n}", input="asset_p" if n % 2 else "asset_q") for n in range(7)]
    hidden = (ev.JobCanceled("job_3", 9, None), ev.JobHidden("job_3", True, 9, None))
    async with readers_over(postgres, events_of(*jobs, *hidden)) as readers:
        queries = Queries(readers)
        assert await names(queries, ACCOUNT, "asset_p", 100) == ["job_5", "job_3", "job_1"]
        assert await names(queries, ACCOUNT, "asset_q", 2) == ["job_6", "job_4"]
        assert await names(queries, ACCOUNT, "asset_x", 2) == await names(queries, "acct_other", "asset_p", 2) == []


async def names(queries: Queries, account: str, asset: str, limit: int) -> list[str]:
    return [row["job"] for row in await queries.jobs_of_input(account, asset, limit)]


async def test_results_by_kind_and_offset_are_those_that_live(postgres: Settings) -> None:
    film = StoredObject("k", 9, "f" * 64, "mp4", 8, 8, 2_000)
    made: list[ev.AnyEvent] = [ev.AssetRegistered("asset_in", 1, STORED, None, None)]
    for n in range(2, 12):
        made.append(accepted(job=f"job_{n}"))
        made.append(ev.JobSucceeded(f"job_{n}", 1, f"asset_{n}", n, film if n % 3 == 0 else STORED, 1))
    gone = [ev.AssetDeleted(f"asset_{n}", "deleted", None) for n in (4, 6)]
    async with readers_over(postgres, events_of(*made, *gone)) as readers:
        queries = Queries(readers)
        for media, numbers in ((None, [2, 3, 5, 7, 8, 9, 10, 11]), ("image", [2, 5, 7, 8, 10, 11]), ("video", [3, 9])):
            assert await queries.results_total(ACCOUNT, media) == len(numbers)
            assert await queries.results_total("acct_other", media) == 0
            for newest_first in (True, False):
                wanted = numbers[::-1] if newest_first else numbers
                for offset in (0, 1, 3, 9):
                    page = await queries.results_page(ACCOUNT, media, newest_first=newest_first, offset=offset, limit=3)
                    assert [row.number for row in page] == wanted[offset : offset + 3]
                    assert all(row.asset == f"asset_{row.number}" and row.job for row in page)


async def test_assets_by_name_are_the_accounts_own_also_when_they_are_gone(postgres: Settings) -> None:
    made = [ev.AssetRegistered(f"asset_{n}", n, STORED, None, None) for n in (1, 2)]
    async with readers_over(
        postgres, events_of(*made, ev.AssetDeleted("asset_1", "original-processed", None))
    ) as readers:
        queries = Queries(readers)
        found = await queries.assets_named(ACCOUNT, ["asset_1", "asset_2", "asset_3"])
        assert {name: (row.number, row.gone, row.stored.bytes) for name, row in found.items()} == {
            "asset_1": (1, "original-processed", STORED.bytes),
            "asset_2": (2, None, STORED.bytes),
        }
        assert await queries.assets_named("acct_other", ["asset_1"]) == {}
        assert await queries.assets_named(ACCOUNT, []) == {}


def _fits(job: Mapping[str, Any], filters: JobFilters) -> bool:
    has_result = job["status"] == "succeeded" and job["result_gone"] is None
    ended_ms, after_ms, before_ms = job["ended_ms"], filters.ended_after_ms, filters.ended_before_ms
    return (
        (not filters.statuses or job["status"] in filters.statuses)
        and (not filters.models or job["model"] in filters.models)
        and filters.hidden in (None, job["hidden_ms"] is not None)
        and filters.lane in (None, job["lane"])
        and filters.has_result in (None, has_result)
        and (filters.created_after_ms is None or job["accepted_ms"] > filters.created_after_ms)
        and (filters.created_before_ms is None or job["accepted_ms"] < filters.created_before_ms)
        and (after_ms is None or (ended_ms is not None and ended_ms > after_ms))
        and (before_ms is None or (ended_ms is not None and ended_ms < before_ms))
    )

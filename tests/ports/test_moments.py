"""An account at earlier moments, out of the ledger and the sums of days: what its events up to there leave."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from api.account_fold import AccountFold
from api.queries import JobFilters, Queries
from infra.postgres.pool import create_pool
from infra.postgres.readers import Readers
from infra.settings import Settings
from projections.intake import Intake
from projections.postgres import PostgresReadModels
from schemas import events as ev
from tests.databases import make_database
from tests.properties.scripts import ACCOUNTS, HOUR, KINDS, PAUSES, SECOND, T0, Player, Step
from tests.unit.projections.logs import records_of


@pytest.fixture
async def read(postgres: Settings) -> AsyncIterator[tuple[Queries, list[ev.Event]]]:
    """Queries over everything that deciders have written of a long script."""
    player, chance = Player(), random.Random(5)
    player.check_each = False
    player.play(
        [
            Step(chance.choice(KINDS), chance.randrange(4), chance.randrange(12), chance.choice(PAUSES))
            for _ in range(500)
        ]
    )
    async with queries_over(postgres, player.events) as queries:
        yield queries, player.events


@asynccontextmanager
async def queries_over(postgres: Settings, events: list[ev.Event]) -> AsyncIterator[Queries]:
    """Queries over the read models of partition 0's events."""
    dsn = make_database(postgres)
    store = PostgresReadModels(dsn)
    generations = store.generations()
    intake = Intake(generations, [0], store.positions(Intake.names(generations, [0])))
    work = intake.take_events({0: records_of(events)})
    assert work is not None
    store.apply(work.moves, work.rows)
    store.close()
    pool = await create_pool(dsn, connections_max=2)
    readers = Readers(pool, 2)
    try:
        yield Queries(readers)
    finally:
        await readers.close()
        await pool.close()


async def test_an_account_at_any_position_and_time_is_the_fold_of_its_events(
    read: tuple[Queries, list[ev.Event]],
) -> None:
    queries, events = read
    compared = 0
    for account in ACCOUNTS:
        own = [event for event in events if event.account == account]
        fold, folds = AccountFold(), []
        for event in own:
            fold.add(event)
            folds.append((dict(fold.sums), fold.since_ms, fold.plan_name, sorted(map(str, fold.lots)), fold.windows))
        for number in range(0, len(own), 7):
            while number + 1 < len(own) and own[number + 1].time_ms == own[number].time_ms:
                number += 1  # a time names the last event at it
            event = own[number]
            at_position = await queries.moment_at_position(account, msgspec.structs.astuple(event.at))
            at_time = await queries.moment_at_time(account, event.time_ms)
            sums, since_ms, plan_name, lots, windows = folds[number]
            for moment in (at_position, at_time):
                if moment is None:
                    assert not any(sums.values())
                    continue
                compared += 1
                assert moment.sums == sums
                assert (moment.since_ms, moment.plan_name) == (since_ms, plan_name)
                assert sorted(map(str, moment.lots)) == [_tuple(lot) for lot in lots]
                used = {(kind, start_ms): units for kind, start_ms, units in moment.windows}
                day_ms = 32 * 86_400_000
                assert all(
                    used.get((kind, start_ms), 0) == units
                    for kind, start_ms, units in windows
                    if start_ms > moment.time_ms - day_ms and units
                )
    assert compared > 100


async def test_another_plan_begins_the_clock_of_regeneration_anew(postgres: Settings) -> None:
    player = Player().play([Step("submit", 0, 1, 0), Step("set-plan", 0, 1, HOUR + 7 * SECOND)])
    before, changed = player.now_ms - 1, player.now_ms
    player.play([Step("asset", 0, 1, 3 * HOUR // 2)])
    async with queries_over(postgres, player.events) as queries:
        for time_ms, plan_name, since_ms in ((before, "default", T0), (changed, "gold", changed)):
            moment = await queries.moment_at_time(ACCOUNTS[0], time_ms)
            assert moment is not None
            assert (moment.plan_name, moment.since_ms) == (plan_name, since_ms)
        last = await queries.moment_at_time(ACCOUNTS[0], player.now_ms)
        assert last is not None
        assert last.since_ms == changed + HOUR


def _tuple(lot: str) -> str:
    """How a `LotLeft` reads as the row that it is made of."""
    name, units, expires, priority = (part.split("=")[1].strip(")") for part in lot.split(", "))
    return f"({name}, {units}, {expires}, {priority})"


async def test_lists_of_jobs_are_those_that_a_search_by_hand_finds(read: tuple[Queries, list[ev.Event]]) -> None:
    queries, _ = read
    chance = random.Random(3)
    for account in ACCOUNTS:
        everything = await queries.jobs(account, JobFilters(), newest_first=False, pin=1 << 60, after=0, limit=10_000)
        assert [row["version"] for row in everything] == sorted(row["version"] for row in everything)
        times = [row["accepted_ms"] for row in everything] or [0]
        for _ in range(25):
            statuses = tuple(chance.sample(["accepted", "queued", "running", "succeeded", "failed", "canceled"], 2))
            after_ms, ended_ms = chance.choice(times), chance.choice(times)
            filters = JobFilters(
                statuses=statuses if chance.random() < 0.5 else (),
                model=chance.choice((None, "a", "b")),
                lane=chance.choice((None, None, "priority")),
                has_result=chance.choice((None, None, True, False)),
                created_after_ms=chance.choice((None, after_ms)),
                created_before_ms=chance.choice((None, after_ms + 7_200_000)),
                ended_after_ms=chance.choice((None, None, ended_ms)),
            )
            wanted = [row["job"] for row in everything if _fits(row, filters)]
            pages: list[str] = []
            after = 1 << 60
            while True:
                page = await queries.jobs(account, filters, newest_first=True, pin=1 << 60, after=after, limit=4)
                pages += [row["job"] for row in page]
                if len(page) < 4:
                    break
                after = page[-1]["version"]
            assert pages == wanted[::-1], filters


def _fits(row: ev.Event | object, filters: JobFilters) -> bool:
    job = dict(row)  # type: ignore[call-overload]
    has_result = job["status"] == "succeeded" and job["result_gone"] is None
    return (
        (not filters.statuses or job["status"] in filters.statuses)
        and filters.model in (None, job["model"])
        and filters.lane in (None, job["lane"])
        and filters.has_result in (None, has_result)
        and (filters.created_after_ms is None or job["accepted_ms"] > filters.created_after_ms)
        and (filters.created_before_ms is None or job["accepted_ms"] < filters.created_before_ms)
        and (
            filters.ended_after_ms is None or (job["ended_ms"] is not None and job["ended_ms"] > filters.ended_after_ms)
        )
    )

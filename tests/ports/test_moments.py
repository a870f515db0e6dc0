"""An account at earlier moments, out of the ledger and the sums of days: what its events up to there leave."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from api.account_fold import AccountFold
from api.queries import Queries
from infra.settings import Settings
from schemas import events as ev
from tests.ports.scripted import played, readers_over
from tests.properties.scripts import ACCOUNTS, HOUR, SECOND, T0, Player, Step


@pytest.fixture
async def read(postgres: Settings) -> AsyncIterator[tuple[Queries, list[ev.Event]]]:
    """Queries over everything that deciders have written of a long script."""
    player = played(5, 500)
    async with readers_over(postgres, player.events) as readers:
        yield Queries(readers), player.events


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
    async with readers_over(postgres, player.events) as readers:
        queries = Queries(readers)
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

"""Lots of credits that expire or have a priority, thresholds, refunds, plans of accounts."""

from typing import Any

import pytest

from processors.accounts.ledger import LOTS_MAX
from schemas import commands as cmd
from schemas import events as ev
from schemas import refusals as no
from schemas.plans import RegenerationTerms, WindowTerms
from schemas.replies import BalanceChanged
from tests.specification.given import (
    DAY,
    HOUR,
    MINUTE,
    PRODUCT,
    SECOND,
    T0,
    World,
    failed,
    outcome,
    plan,
    submit,
    terms,
)


def lot(amount: int, expires: int | None = HOUR, priority: int = 0) -> cmd.GrantCredits:
    """A grant that expires so many ms after T0."""
    return cmd.GrantCredits(amount, "gift", None if expires is None else T0 + expires, priority)


def world_of(**changes: Any) -> World:
    """ANNA holds 10 plain credits."""
    return World(plan(terms(**changes))).given(cmd.OpenAccount())


def held(world: World) -> list[tuple[str, int]]:
    """Lots and their units."""
    return [(each.lot, each.units) for each in world.header().lots]


def test_a_grant_that_expires_is_a_lot_of_its_own() -> None:
    world = world_of()
    then = world.when(lot(5), reply="r")
    assert then.events == [ev.CreditsGranted(5, "gift", 15, None, T0 + HOUR)]
    assert then.answers == [("r", BalanceChanged(15))]
    assert held(world) == [(then.draft.events[0].position, 5)]


def test_what_expires_is_spent_before_what_does_not() -> None:
    world = world_of().given(lot(5))
    name = held(world)[0][0]
    then = world.when(submit("job_1", "dear"))
    assert then.events[1] == ev.CreditsReserved("job_1", 7, (), 1, 8, (ev.LotUse(name, 5, T0 + HOUR),))
    assert held(world) == [(name, 0)]


def test_lower_priorities_are_spent_first_and_higher_ones_last() -> None:
    world = world_of(opening_credits=1).given(lot(2, DAY, 1), lot(2, DAY, -1), lot(2, HOUR), lot(2, 2 * HOUR))
    order = []
    for number in range(9):
        (use,) = world.when(submit(f"job_{number}")).events[1].lots or (None,)  # type: ignore[union-attr]
        order.append(use and use.lot)
    last, first, second, third = (name for name, _ in held(world))
    assert order == [first, first, second, second, third, third, None, last, last]


def test_a_lot_whose_time_is_over_is_gone_at_the_next_tick() -> None:
    world = world_of().given(lot(5))
    name = held(world)[0][0]
    assert world.tick(HOUR - 1).types == ["command-ignored"]
    then = world.tick(HOUR)
    assert [data for _, data in then.all_events] == [ev.CreditsExpired(name, 5, 10)]
    assert (world.header().expired, world.header().available, world.header().lots) == (5, 10, ())


def test_a_lot_whose_time_is_over_cannot_be_spent_before_the_tick() -> None:
    world = world_of(opening_credits=3).given(lot(5))
    then = world.when(submit("job_1", "dear"), at=HOUR)
    assert then.types == ["credits-expired", "command-refused"]
    assert then.events[1] == ev.CommandRefused("submit-job", no.InsufficientCredits(7, 3), "job_1")


def test_released_units_return_to_their_lot() -> None:
    world = world_of().given(lot(5), submit("job_1", "dear"))
    name = held(world)[0][0]
    then = world.when(outcome("job_1", 1, failed()), at=MINUTE)
    assert then.events[1] == ev.CreditsReleased("job_1", 7, (), "failed", 15, (ev.LotUse(name, 5, T0 + HOUR),))
    assert held(world) == [(name, 5)]


def test_units_that_come_back_too_late_are_gone() -> None:
    world = world_of().given(lot(5), submit("job_1", "dear"))
    name = held(world)[0][0]
    world.tick(HOUR)
    then = world.when(cmd.CancelJob("job_1"), at=HOUR, reply="r")
    assert then.types[1:] == ["credits-released", "credits-expired"]
    assert then.events[2] == ev.CreditsExpired(name, 5, 10)
    assert world.header().available == 10
    assert then.answers[-1][1].balance == 10  # type: ignore[union-attr]


def test_taking_back_takes_from_lots_as_spending_does() -> None:
    world = world_of(opening_credits=3).given(lot(5))
    name = held(world)[0][0]
    then = world.when(cmd.GrantCredits(-6, "back"))
    assert then.events == [ev.CreditsGranted(-6, "back", 2, None, lots=(ev.LotUse(name, 5, T0 + HOUR),))]
    assert world.header().available == 2


@pytest.mark.parametrize(
    ("grant", "refusal"),
    [
        (lot(5, 0), no.GrantExpired(T0)),
        (lot(-1), no.GrantExpired(T0 + HOUR)),
    ],
)
def test_a_lot_has_to_add_and_to_last(grant: cmd.GrantCredits, refusal: no.AnyRefusal) -> None:
    assert world_of().when(grant).events == [ev.CommandRefused("grant-credits", refusal)]


def test_lots_are_bounded() -> None:
    world = world_of().given(*(lot(1) for _ in range(LOTS_MAX)))
    assert world.when(lot(1)).events == [ev.CommandRefused("grant-credits", no.GrantsFull(LOTS_MAX))]
    assert world.when(cmd.GrantCredits(1, "plain")).types == ["credits-granted"]


def test_thresholds_of_a_window_are_told_once_each() -> None:
    metered = terms(windows=(WindowTerms("day", 5),), uses_balance=False, thresholds=(80, 100), in_flight_jobs_max=9)
    world = World(plan(metered))
    told = []
    for number in range(5):
        events = world.when(submit(f"job_{number}")).events
        told.append([(e.of, e.percent, e.used, e.limit) for e in events if isinstance(e, ev.ThresholdReached)])
    assert told == [[], [], [], [("day", 80, 4, 5)], [("day", 100, 5, 5)]]


def test_thresholds_of_the_balance_count_all_units_ever_added() -> None:
    world = world_of(thresholds=(80, 100), in_flight_jobs_max=9)
    first = world.when(submit("job_1", "dear"))
    assert "threshold-reached" not in first.types
    assert world.when(submit("job_2")).events[2] == ev.ThresholdReached("balance", 80, 8, 10, None)
    world.given(submit("job_3"))
    assert world.when(submit("job_4")).events[2] == ev.ThresholdReached("balance", 100, 10, 10, None)


def test_a_charge_is_given_back_once() -> None:
    world = world_of().given(submit("job_1", "dear"), outcome("job_1"))
    then = world.when(cmd.RefundJob("job_1", "blurred"), key=("k", "f"), reply="r")
    use = ev.IdempotencyUse("k", "f", T0 + 7 * DAY)
    assert then.events == [ev.CreditsRefunded("job_1", 7, (), 1, "blurred", 10, use)]
    assert then.answers == [("r", BalanceChanged(10))]
    assert (world.header().refunded, world.header().captured) == (7, 7)
    again = world.when(cmd.RefundJob("job_1", "blurred"), key=("k", "f"), reply="s")
    assert (again.types, again.answers) == (["command-duplicate"], [("s", BalanceChanged(10))])
    refused = world.when(cmd.RefundJob("job_1", "blurred"))
    assert refused.events == [ev.CommandRefused("refund-job", no.AlreadyRefunded("job_1"))]


def test_a_refund_gives_the_window_its_unit_back() -> None:
    metered = terms(windows=(WindowTerms("day", 1),), uses_balance=False)
    world = World(plan(metered)).given(submit("job_1"), outcome("job_1"))
    assert world.when(submit("job_2")).types == ["command-refused"]
    assert world.when(cmd.RefundJob("job_1", "sorry")).types == ["credits-refunded"]
    assert world.when(submit("job_2")).types[0] == "job-accepted"


@pytest.mark.parametrize("job", ["job_1", "job_9"])
def test_only_a_charge_can_be_given_back(job: str) -> None:
    world = world_of().given(submit("job_1"))
    assert world.when(cmd.RefundJob(job, "why")).events == [ev.CommandRefused("refund-job", no.ChargeUnknown(job))]


def test_what_was_free_cannot_be_given_back() -> None:
    world = World(plan(terms(uses_balance=False))).given(submit("job_1"), outcome("job_1"))
    assert world.when(cmd.RefundJob("job_1", "why")).events == [
        ev.CommandRefused("refund-job", no.NothingCharged("job_1"))
    ]


def test_an_account_moves_to_another_plan() -> None:
    gold = terms(in_flight_jobs_max=5, regeneration=RegenerationTerms(1, MINUTE, 20))
    products = {PRODUCT: {"default": terms(), "gold": gold}}
    world = World(plan(products=products)).given(cmd.OpenAccount())
    then = world.when(cmd.SetPlan("gold"), at=HOUR, reply="r")
    assert then.events == [ev.PlanChanged("gold", 1, 10, None)]
    assert then.answers == [("r", BalanceChanged(10))]
    later = world.when(submit("job_1"), at=HOUR + 2 * MINUTE + SECOND)
    assert later.events[0] == ev.CreditsRegenerated(2, T0 + HOUR + 2 * MINUTE, 12)
    assert isinstance(later.events[1], ev.JobAccepted)
    assert (later.events[1].plan, later.events[1].in_flight_jobs_max) == ("gold", 5)


def test_a_plan_has_to_be_one_of_the_product() -> None:
    refusal = no.PlanUnknown("gold")
    assert world_of().when(cmd.SetPlan("gold")).events == [ev.CommandRefused("set-plan", refusal)]

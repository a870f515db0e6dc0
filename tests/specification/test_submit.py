"""Submit: what is refused, what is reserved, what a key remembers, and whose turn it is."""

import pytest
from msgspec.structs import replace

from schemas import commands as cmd
from schemas import events as ev
from schemas import refusals as no
from schemas.plans import WindowTerms
from schemas.replies import JobDecided, Refused
from tests.specification.given import (
    ANNA,
    BEN,
    CARA,
    DAY,
    HOUR,
    PICTURE,
    STREAM,
    T0,
    World,
    accepted,
    model,
    outcome,
    plan,
    released,
    submit,
    terms,
)

GATEWAY = "gw_1"
MIDNIGHT = 16 * HOUR  # T0 is 08:00 UTC


def opened(**changes: object) -> World:
    """An open account under `terms(**changes)`."""
    return World(plan(terms(**changes))).given(cmd.OpenAccount())


def test_a_job_is_accepted_reserved_and_released() -> None:
    then = opened().when(submit("job_1"), reply="r", trace="00-trace")
    assert then.events == [
        accepted("job_1", 9, reply=cmd.ReplyAddress(GATEWAY, "r")),
        ev.CreditsReserved("job_1", 1, (), 1, 9),
        released("job_1"),
    ]
    assert then.answers == [("r", JobDecided("job_1", "accepted", 1, 9, T0, (), "default", 1))]
    (item,) = then.work
    assert (item.job, item.attempt, item.account, item.engine) == ("job_1", 1, ANNA, "echo")
    assert (item.lease_until_ms, item.run_until_ms, item.lease_ms) == (T0 + 60_000, T0 + 180_000, 15_000)
    assert (item.output_key, item.trace, item.input) == ("acct_anna/job_1/1", "00-trace", None)


def test_the_first_use_opens_the_account() -> None:
    then = World(plan()).when(submit("job_1"), subject="sealed-subject")
    assert then.types == ["account-opened", "credits-granted", "job-accepted", "credits-reserved", "attempt-released"]
    assert then.events[0] == ev.AccountOpened("default", 1, "sealed-subject")


@pytest.mark.parametrize(("scale", "cost"), [(2, 1), (4, 3)])
def test_parameters_add_to_the_price(scale: int, cost: int) -> None:
    world = opened().given(cmd.RegisterAsset("asset_p", PICTURE))
    then = world.when(submit("job_1", "upscale", params={"scale": scale}, input="asset_p", sealed="s"), reply="r")
    assert then.events[0] == accepted(
        "job_1",
        10 - cost,
        model="upscale",
        engine="upscale",
        params={"scale": scale},
        input="asset_p",
        sealed="s",
        cost=cost,
        reply=cmd.ReplyAddress(GATEWAY, "r"),
    )
    assert then.answers == [("r", JobDecided("job_1", "accepted", cost, 10 - cost, T0, (), "default", 1))]
    assert then.work[0].input == PICTURE
    assert then.work[0].params == {"scale": scale}
    assert then.work[0].sealed == "s"


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        (submit("job_1", "unheard-of"), no.ModelUnknown("unheard-of")),
        (submit("job_1", "upscale"), no.InputRequired("upscale")),
        (submit("job_1", "upscale", input="asset_x"), no.AssetUnknown("asset_x")),
        (submit("job_1", "echo", input="asset_x"), no.AssetUnknown("asset_x")),
    ],
)
def test_what_does_not_fit_is_refused_and_costs_nothing(command: cmd.SubmitJob, refusal: no.AnyRefusal) -> None:
    world = opened()
    then = world.when(command, reply="r")
    assert then.events == [ev.CommandRefused("submit-job", refusal, "job_1")]
    assert then.answers == [("r", Refused(refusal))]
    assert world.header().available == 10


def test_another_accounts_asset_is_unknown() -> None:
    world = opened().given(cmd.RegisterAsset("asset_p", PICTURE), account=BEN)
    then = world.when(submit("job_1", "upscale", input="asset_p"))
    assert then.events == [ev.CommandRefused("submit-job", no.AssetUnknown("asset_p"), "job_1")]


def test_credits_that_are_reserved_cannot_be_spent_again() -> None:
    world = opened().given(submit("job_1", "dear"))
    then = world.when(submit("job_2", "dear"), reply="r")
    assert then.events == [ev.CommandRefused("submit-job", no.InsufficientCredits(7, 3), "job_2")]
    assert then.answers == [("r", Refused(no.InsufficientCredits(7, 3)))]


def test_the_last_credit_can_be_spent() -> None:
    assert opened(opening_credits=1).when(submit("job_1")).types[:2] == ["job-accepted", "credits-reserved"]


def test_the_answer_tells_what_the_windows_have_used_and_a_repeats_does_not() -> None:
    world = opened(windows=(WindowTerms("day", 9), WindowTerms("month", 9)), in_flight_jobs_max=9)
    world = world.given(submit("job_1"))
    start_ms = T0 - 8 * HOUR
    month_ms = start_ms - (world.header().windows[0].start_ms - world.header().windows[1].start_ms)
    then = world.when(submit("job_2"), reply="r", key=("k", "f"))
    used = (ev.WindowUse("day", start_ms, 2), ev.WindowUse("month", month_ms, 2))
    assert then.answers == [("r", JobDecided("job_2", "accepted", 1, 8, T0, used, "default", 1))]
    again = world.given(submit("job_2"), key=("k", "f")).when(submit("job_3"), reply="r", key=("k", "f"))
    assert again.answers == [("r", JobDecided("job_2", "accepted", 1, 8, T0))]


def test_terms_without_a_balance_reserve_no_units_but_the_windows() -> None:
    world = opened(uses_balance=False, opening_credits=0, windows=(WindowTerms("day", 2),))
    then = world.when(submit("job_1", "dear"))
    assert then.events[1] == ev.CreditsReserved("job_1", 0, (ev.WindowUse("day", T0 - 8 * HOUR, 1),), 1, 0)


def test_a_day_ends_at_midnight_utc() -> None:
    world = opened(windows=(WindowTerms("day", 2),), in_flight_jobs_max=9).given(submit("job_1"), submit("job_2"))
    refusal = no.QuotaExceeded("day", 2, 2, T0 + MIDNIGHT)
    assert world.when(submit("job_3"), at=MIDNIGHT - 1).events == [ev.CommandRefused("submit-job", refusal, "job_3")]
    assert world.when(submit("job_4"), at=MIDNIGHT).types[0] == "job-accepted"
    assert world.header().windows == (ev.WindowUse("day", T0 + MIDNIGHT, 1),)


def test_a_month_ends_with_its_last_day() -> None:
    world = opened(windows=(WindowTerms("month", 1),)).given(submit("job_1"))
    resets_ms = T0 + 16 * DAY + 16 * HOUR  # 2027-02-01T00:00:00Z
    refusal = no.QuotaExceeded("month", 1, 1, resets_ms)
    assert world.when(submit("job_2"), at=16 * DAY).events == [ev.CommandRefused("submit-job", refusal, "job_2")]
    assert world.when(submit("job_3"), at=resets_ms - T0).types[0] == "job-accepted"


def test_windows_are_asked_before_the_balance() -> None:
    world = opened(opening_credits=1, windows=(WindowTerms("day", 1), WindowTerms("month", 9))).given(submit("job_1"))
    refusal = no.QuotaExceeded("day", 1, 1, T0 + MIDNIGHT)
    assert world.when(submit("job_2")).events == [ev.CommandRefused("submit-job", refusal, "job_2")]


def test_a_full_queue_refuses() -> None:
    world = opened(in_flight_jobs_max=1, queued_jobs_max=2).given(submit("job_1"), submit("job_2"), submit("job_3"))
    assert world.when(submit("job_4")).events == [ev.CommandRefused("submit-job", no.QueueFull(2), "job_4")]
    world.given(outcome("job_1"))
    assert world.when(submit("job_4")).types == ["job-accepted", "credits-reserved"]


def test_a_key_makes_one_job_and_gives_one_answer() -> None:
    world = opened().given(submit("job_1"), key=("k", "f"), reply="r1")
    then = world.when(submit("job_2"), key=("k", "f"), reply="r2", at=DAY)
    assert then.events == [
        ev.CommandDuplicate("submit-job", "0.2.0.0", "job_1", cmd.ReplyAddress(GATEWAY, "r2"), "job_2")
    ]
    assert then.answers == [("r2", JobDecided("job_1", "accepted", 1, 9, T0))]
    assert then.draft.answers[0][1].position == "0.2.0.0"
    assert world.header().available == 9


def test_a_key_with_other_content_is_refused() -> None:
    world = opened().given(submit("job_1"), key=("k", "f"))
    then = world.when(submit("job_2"), key=("k", "other"), reply="r")
    assert then.events == [ev.CommandRefused("submit-job", no.IdempotencyMismatch("job_1"), "job_2")]
    assert then.answers == [("r", Refused(no.IdempotencyMismatch("job_1")))]


def test_a_key_is_the_accounts_own() -> None:
    world = opened().given(submit("job_1"), key=("k", "f"))
    assert world.when(submit("job_2"), account=BEN, key=("k", "f")).types[-3:] == [
        "job-accepted",
        "credits-reserved",
        "attempt-released",
    ]


def test_a_key_is_forgotten_after_its_life() -> None:
    world = opened().given(submit("job_1"), key=("k", "f"))
    assert world.when(submit("job_2"), key=("k", "f"), at=7 * DAY - 1).types == ["command-duplicate"]
    assert world.when(submit("job_3"), key=("k", "g"), at=7 * DAY).types[0] == "job-accepted"
    assert world.when(submit("job_4"), key=("k", "g"), at=7 * DAY + 1).types == ["command-duplicate"]


def test_a_refusal_leaves_the_key_free() -> None:
    world = opened(opening_credits=0).given(submit("job_1"), key=("k", "f"))
    world.given(cmd.GrantCredits(1, "gift"))
    assert world.when(submit("job_2"), key=("k", "other"), reply="r").types[0] == "job-accepted"


def test_a_live_job_is_never_made_twice() -> None:
    world = opened().given(submit("job_1"))
    then = world.when(submit("job_1"), reply="r")
    assert then.events == [ev.CommandIgnored("submit-job", "job-exists", "job_1")]
    assert then.answers == [("r", JobDecided("job_1", "accepted", 1, 9))]


def test_a_job_keeps_the_last_eight_addresses() -> None:
    world = opened().given(submit("job_1"), key=("k", "f"), reply="r0")
    for number in range(1, 10):
        world.given(submit("job_x"), key=("k", "f"), reply=f"r{number}")
    then = world.when(outcome("job_1"))
    assert [correlation for correlation, _ in then.answers] == [f"r{number}" for number in range(2, 10)]


def test_at_most_as_many_attempts_run_as_the_terms_allow() -> None:
    world = opened().given(submit("job_1"), submit("job_2"))
    assert world.when(submit("job_3")).types == ["job-accepted", "credits-reserved"]
    assert world.when(submit("job_4")).events[0] == accepted("job_4", 6, queue_number=3)
    then = world.when(outcome("job_2"))
    assert then.types == ["job-succeeded", "credits-captured", "attempt-released"]
    assert then.events[-1] == released("job_3")
    assert world.when(outcome("job_1")).events[-1] == released("job_4")


def test_a_raised_limit_counts_from_the_next_job_on() -> None:
    world = opened(in_flight_jobs_max=1).given(submit("job_1"), submit("job_2"))
    world.given(cmd.PublishPlan(plan(terms(in_flight_jobs_max=3), version=2)), account=STREAM)
    then = world.when(submit("job_3"))
    assert then.events[2:] == [released("job_2"), released("job_3")]


def crowded() -> World:
    """A partition with one slot, taken by ANNA, who has two more jobs waiting; BEN and CARA wait with one each."""
    world = World(plan(terms(in_flight_jobs_max=5), lane_released_jobs_max={"standard": 1}))
    world.given(submit("job_a1"), submit("job_a2"), submit("job_a3"))
    return world.given(submit("job_b1"), account=BEN).given(submit("job_c1"), account=CARA)


def test_a_partitions_slots_go_round_the_accounts() -> None:
    world = crowded()
    turns = []
    holder: tuple[str, str] | None = (ANNA, "job_a1")
    while holder is not None:
        account, job = holder
        then = world.when(outcome(job), account=account)
        freed = [(to, data.job) for to, data in then.all_events if isinstance(data, ev.AttemptReleased)]
        turns += [job for _, job in freed]
        holder = freed[0] if freed else None
    assert turns == ["job_a2", "job_b1", "job_c1", "job_a3"]
    assert world.partition().lane("standard").waiting == 0


def test_a_raised_partition_limit_releases_whoever_waits() -> None:
    world = crowded()
    world.given(
        cmd.PublishPlan(replace(plan(terms(in_flight_jobs_max=5), version=2), lane_released_jobs_max={"standard": 4})),
        account=STREAM,
    )
    then = world.when(outcome("job_a1"))
    jobs = [data.job for _, data in then.all_events if isinstance(data, ev.AttemptReleased)]
    assert jobs == ["job_a2", "job_b1", "job_c1", "job_a3"]


def test_lanes_have_limits_of_their_own() -> None:
    lanes = {"echo": model(), "film": model(lane="video")}
    world = World(plan(terms(in_flight_jobs_max=1), models=lanes, lane_released_jobs_max={"standard": 1, "video": 1}))
    assert world.when(submit("job_1")).types[-1] == "attempt-released"
    assert world.when(submit("job_2", "film")).types[-1] == "attempt-released"
    assert world.when(submit("job_3", "film")).types[-1] == "credits-reserved"
    assert [use.running for use in world.header().lanes] == [1, 1]

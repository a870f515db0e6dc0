"""Lanes, weights, entitlements, suspicion: who runs where and when."""

from typing import Any

import pytest

from schemas import commands as cmd
from schemas import events as ev
from schemas import refusals as no
from schemas.plans import AccountTerms, Plan
from tests.laws import check_state, state_of
from tests.specification.given import (
    ANNA,
    BEN,
    CARA,
    MODELS,
    PICTURE,
    PRODUCT,
    SECOND,
    World,
    failed,
    model,
    outcome,
    plan,
    submit,
    submitted,
    terms,
)

CRASH = failed("engine-crashed", "engine-crashed", "The engine died.")


def lanes(world: World, *jobs: cmd.SubmitJob, **frame: Any) -> list[str]:
    """The lanes that the jobs are released to."""
    return [item.lane for job in jobs for item in world.when(job, **frame).work]


def test_a_plan_lifts_jobs_to_its_lane_and_batches_step_aside() -> None:
    models = {**MODELS, "film": model(lane="video")}
    world = World(plan(terms(lane="priority", in_flight_jobs_max=9), models=models))
    jobs = (submit("job_1"), submit("job_2", bulk=True), submit("job_3", "film"), submit("job_4", "film", bulk=True))
    assert lanes(world, *jobs) == ["priority", "batch", "video", "video"]


def test_each_lane_has_its_own_limits() -> None:
    account_terms = terms(in_flight_jobs_max=2, lane_in_flight_jobs_max={"batch": 1})
    world = World(plan(account_terms, lane_released_jobs_max={"standard": 8, "batch": 8}))
    assert lanes(world, *(submit(f"job_{n}", bulk=True) for n in range(3))) == ["batch"]
    assert lanes(world, *(submit(f"job_s{n}") for n in range(3))) == ["standard", "standard"]


def weighted(default: AccountTerms, heavy: AccountTerms) -> Plan:
    """Two plans of one product; one attempt at a time in the partition."""
    return plan(products={PRODUCT: {"default": default, "heavy": heavy}}, lane_released_jobs_max={"standard": 1})


def test_a_weight_is_turns_in_the_round() -> None:
    world = World(weighted(terms(in_flight_jobs_max=9), terms(in_flight_jobs_max=9, weight=3)))
    world.given(submit("job_0"), account=CARA)
    for number in range(6):
        world.given(submit(f"job_a{number}"), account=ANNA, plan_name="heavy")
    for number in range(3):
        world.given(submit(f"job_b{number}"), account=BEN)
    order, running, account = [], "job_0", CARA
    for _ in range(8):
        (item,) = world.when(outcome(running), account=account).work
        running, account = item.job, item.account
        order.append(running)
    assert order == ["job_a0", "job_a1", "job_a2", "job_b0", "job_a3", "job_a4", "job_a5", "job_b1"]


def test_five_hundred_batches_delay_a_newcomer_by_no_more_than_a_round() -> None:
    world = World(plan(terms(in_flight_jobs_max=2), lane_released_jobs_max={"standard": 4}))
    world.checks_each = False  # of a thousand records each time; once at the end is enough
    running = []
    for account in (f"acct_{n}" for n in range(500)):
        for number in range(3):
            running += world.when(submit(f"job_{account}_{number}"), account=account).work
    world.given(submit("job_new"), account="acct_new")
    drawn = 0
    while not any(item.account == "acct_new" for item in running):
        item = running.pop(0)
        started = world.when(outcome(item.job), account=item.account).work
        drawn += len(started)
        running += started
    check_state(state_of(world.store))
    assert drawn <= 501, "each account that waited had at most one turn before"


@pytest.mark.parametrize(
    ("job", "refusal"),
    [
        (submit("job_1", "dear"), no.NotEntitled("dear", None)),
        (submit("job_1", params={"scale": 4}), no.NotEntitled("scale", 2)),
        (submit("job_1", params={"face": True}), no.NotEntitled("face", 0)),
    ],
)
def test_what_the_plan_does_not_include_is_refused(job: cmd.SubmitJob, refusal: no.AnyRefusal) -> None:
    guest = terms(models_denied=("dear",), param_limits={"scale": 2, "face": 0})
    then = World(plan(guest)).given(cmd.OpenAccount()).when(job)
    assert then.events == [ev.CommandRefused("submit-job", refusal, "job_1")]
    assert World(plan(guest)).when(submit("job_1", params={"scale": 2, "face": False})).types[2] == "job-accepted"


def test_a_model_may_belong_to_other_products() -> None:
    world = World(plan(models={"echo": model(products=("studio",))})).given(cmd.OpenAccount())
    refusal = no.ModelUnknown("echo")
    assert world.when(submit("job_1")).events == [ev.CommandRefused("submit-job", refusal, "job_1")]


def test_a_model_that_needs_a_mask_is_refused_without() -> None:
    world = World(plan(models={"inpaint": model(takes_input=True, takes_mask=True)}))
    world.given(cmd.RegisterAsset("asset_p", PICTURE), cmd.RegisterAsset("asset_m", PICTURE_OF_MASK))
    refused = world.when(submit("job_1", "inpaint", input="asset_p"))
    assert refused.events == [ev.CommandRefused("submit-job", no.MaskRequired("inpaint"), "job_1")]
    unknown = world.when(submit("job_1", "inpaint", input="asset_p", mask="asset_x"))
    assert unknown.events == [ev.CommandRefused("submit-job", no.AssetUnknown("asset_x"), "job_1")]
    then = world.when(submit("job_1", "inpaint", input="asset_p", mask="asset_m"))
    assert (then.work[0].input, then.work[0].mask) == (PICTURE, PICTURE_OF_MASK)


PICTURE_OF_MASK = cmd.StoredObject("acct_anna/asset_m", 99, "ef" * 32, "png", 64, 48)


def test_a_crash_is_no_attempt_of_the_job() -> None:
    then = submitted("once").when(outcome("job_1", 1, CRASH))
    (ended,) = then.events
    assert isinstance(ended, ev.AttemptEnded)
    assert (ended.reason, ended.counted) == ("engine-crashed", False)


def test_after_two_crashes_a_job_runs_alone() -> None:
    world = submitted("once")
    quarantined = []
    for attempt in (1, 2):
        world.given(outcome("job_1", attempt, CRASH))
        (item,) = world.tick(3 * SECOND * attempt).work
        quarantined.append(item.quarantine)
    assert quarantined == [False, True]
    assert world.when(outcome("job_1", 3)).types[0] == "job-succeeded"


def test_a_crash_alone_is_the_jobs_own_failure() -> None:
    world = submitted()
    for attempt in (1, 2):
        world.given(outcome("job_1", attempt, CRASH)).tick(3 * SECOND * attempt)
    then = world.when(outcome("job_1", 3, CRASH))
    assert then.types == ["job-failed", "credits-released"]
    assert isinstance(then.events[0], ev.JobFailed)
    assert then.events[0].reason == "crashes-engine"

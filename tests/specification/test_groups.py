"""Groups: all jobs are accepted or none is; then each is captured or released by itself."""

import pytest
from msgspec.structs import replace

from schemas import commands as cmd
from schemas import events as ev
from schemas import refusals as no
from schemas.plans import WindowTerms
from schemas.replies import GroupDecided, JobEndedAnswer, Refused
from tests.specification.given import T0, World, accepted, failed, outcome, plan, released, result_of, submit, terms


def group(*names: str, model: str = "echo", **changes: object) -> cmd.SubmitGroup:
    """A group of jobs of one model."""
    jobs = tuple(cmd.GroupedJob(name, model, {}) for name in names)
    return cmd.SubmitGroup("group_1", jobs, **changes)  # type: ignore[arg-type]


def test_a_group_is_accepted_together() -> None:
    world = World(plan()).given(cmd.OpenAccount())
    then = world.when(group("job_1", "job_2", "job_3"), reply="r")
    reply = cmd.ReplyAddress("gw_1", "r")
    expected: list[ev.AnyEvent] = [ev.GroupAccepted("group_1", ("job_1", "job_2", "job_3"), (1, 1, 1), 3, 7, 1, None)]
    for number, name in enumerate(("job_1", "job_2", "job_3")):
        balance = 9 - number
        expected.append(accepted(name, balance, reply=reply, group="group_1", queue_number=number))
        expected.append(ev.CreditsReserved(name, 1, (), 1, balance))
    assert then.events == [*expected, released("job_1"), released("job_2")]
    assert then.answers == [("r", GroupDecided("group_1", ("job_1", "job_2", "job_3"), (1, 1, 1), 7, T0))]


def test_each_job_of_a_group_ends_by_itself() -> None:
    world = World(plan(terms(in_flight_jobs_max=3))).given(group("job_1", "job_2", "job_3"), reply="r")
    one = world.when(outcome("job_1"))
    two = world.when(outcome("job_2", 1, failed()))
    made = JobEndedAnswer("job_1", "succeeded", 1, 7, "asset_1", result_of("job_1"))
    assert one.answers == [("r", replace(made, number=1, model_ms=25, ended_ms=T0))]
    broken = JobEndedAnswer("job_2", "failed", 0, 8, reason="model-error", detail="It broke.", ended_ms=T0)
    assert two.answers[0][1] == broken
    world.given(cmd.CancelJob("job_3"))
    header = world.header()
    assert (header.captured, header.reserved, header.available) == (1, 0, 9)


@pytest.mark.parametrize(
    ("jobs", "account_terms", "refusal"),
    [
        (group("job_1", "job_2", model="dear"), terms(), no.InsufficientCredits(14, 10)),
        (group("job_1", "job_2", model="unheard-of"), terms(), no.ModelUnknown("unheard-of")),
        (group("job_1", "job_2", "job_3"), terms(queued_jobs_max=2), no.QueueFull(2)),
        (group("job_1", model="upscale"), terms(), no.InputRequired("upscale")),
    ],
)
def test_one_job_too_much_refuses_all(jobs: cmd.SubmitGroup, account_terms: object, refusal: no.AnyRefusal) -> None:
    world = World(plan(account_terms)).given(cmd.OpenAccount())  # type: ignore[arg-type]
    then = world.when(jobs, reply="r")
    assert then.events == [ev.CommandRefused("submit-group", refusal, "group_1")]
    assert then.answers == [("r", Refused(refusal))]
    assert world.header().reserved == 0


def test_a_window_counts_every_job_of_a_group() -> None:
    metered = terms(windows=(WindowTerms("day", 3),), uses_balance=False)
    world = World(plan(metered)).given(submit("job_0"))
    then = world.when(group("job_1", "job_2", "job_3"))
    (refused,) = then.events
    assert isinstance(refused, ev.CommandRefused)
    assert isinstance(refused.refusal, no.QuotaExceeded)
    assert (refused.refusal.used, refused.refusal.limit) == (1, 3)
    assert world.when(group("job_1", "job_2")).types[0] == "group-accepted"


def test_a_repeated_group_is_answered_again_and_costs_once() -> None:
    world = World(plan()).given(group("job_1", "job_2"), key=("k", "f"), reply="r")
    then = world.when(group("job_3", "job_4"), key=("k", "f"), reply="s", at=5_000)
    assert then.types == ["command-duplicate"]
    assert then.answers == [("s", GroupDecided("group_1", ("job_1", "job_2"), (1, 1), 8, T0))]
    assert world.header().available == 8


def test_a_bulk_group_goes_by_the_lane_of_batches() -> None:
    then = World(plan()).when(group("job_1", bulk=True))
    assert [item.lane for item in then.work] == ["batch"]


def test_sealed_parts_in_the_object_store_travel_to_the_dispatcher() -> None:
    part = cmd.SealedPart("acct_anna/group_1/sealed", 10, 20)
    jobs = (cmd.GroupedJob("job_1", "echo", {}, sealed_at=part),)
    then = World(plan()).when(cmd.SubmitGroup("group_1", jobs))
    assert then.work[0].sealed_at == part


def test_a_group_that_names_a_job_twice_changes_nothing() -> None:
    then = World(plan()).given(cmd.OpenAccount()).when(group("job_1", "job_1"))
    assert then.events == [ev.CommandIgnored("submit-group", "job-exists", "group_1")]

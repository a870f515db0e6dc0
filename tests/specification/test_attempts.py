"""Attempts: start, renewal, outcome, cancel."""

import pytest
from msgspec.structs import replace

from processors.jobs.state import Backoff, Ending, Released, Running, Waiting
from schemas import commands as cmd
from schemas import events as ev
from schemas import refusals as no
from schemas.plans import WindowTerms
from schemas.replies import JobCancelAccepted, JobEndedAnswer, Refused
from tests.specification.given import (
    ANNA,
    BEN,
    HOUR,
    RENEWED,
    RESULT,
    RUN,
    RUNNING_LEASE,
    SECOND,
    START_LEASE,
    STARTED,
    STREAM,
    T0,
    World,
    failed,
    outcome,
    plan,
    released,
    submit,
    submitted,
    terms,
)

LATE = ev.CommandIgnored("record-outcome", "outcome-of-no-live-attempt", "job_1")


def ended(status: str, reason: str | None = None, detail: str | None = None, at: int = 0) -> JobEndedAnswer:
    """The answer about job_1 when it ended without a result, `at` ms after T0."""
    return JobEndedAnswer("job_1", status, 0, 10, reason=reason, detail=detail, ended_ms=T0 + at)


def test_a_start_moves_the_job_to_running_under_the_running_lease() -> None:
    world = submitted()
    then = world.when(STARTED, at=3 * SECOND)
    assert then.events == [ev.JobStarted("job_1", 1, "dispatcher-0", T0 + 3 * SECOND + RUNNING_LEASE)]
    job = world.job("job_1")
    assert job is not None
    assert job.phase == Running(T0 + 18 * SECOND, T0 + START_LEASE + RUN)
    assert job.status == "running"


@pytest.mark.parametrize(("says", "ran"), [(40, 40), (3 * SECOND, 3 * SECOND), (4 * SECOND, 3 * SECOND), (-1, 0)])
def test_no_dispatchers_clock_puts_a_start_before_its_release(says: int, ran: int) -> None:
    then = submitted().when(cmd.AttemptStarted("job_1", 1, "dispatcher-0", says), at=3 * SECOND)
    assert then.events == [ev.JobStarted("job_1", 1, "dispatcher-0", T0 + 3 * SECOND + RUNNING_LEASE, ran)]


@pytest.mark.parametrize(
    "command",
    [cmd.AttemptStarted("job_1", 2, "d"), cmd.AttemptStarted("job_x", 1, "d")],
)
def test_a_start_that_nobody_awaits_is_ignored(command: cmd.AttemptStarted) -> None:
    then = submitted().when(command)
    assert then.events == [ev.CommandIgnored("attempt-started", "attempt-not-awaited", command.job)]


def test_a_second_start_is_ignored() -> None:
    assert submitted().given(STARTED).when(STARTED).types == ["command-ignored"]


def test_what_a_dispatcher_says_of_an_unknown_account_stands_in_the_partitions_stream() -> None:
    then = World(plan()).when(STARTED)
    assert then.all_events == [(STREAM, ev.CommandIgnored("attempt-started", "attempt-not-awaited", "job_1"))]


def test_a_renewal_moves_the_lease_but_never_the_run_deadline() -> None:
    world = submitted().given(STARTED)
    then = world.when(RENEWED, at=10 * SECOND)
    assert then.events == [ev.LeaseRenewed("job_1", 1, T0 + 25 * SECOND)]
    world.given(RENEWED, at=START_LEASE + RUN - 1)
    then = world.tick(START_LEASE + RUN)
    assert then.all_events == [(ANNA, ev.AttemptEnded("job_1", 1, "run-deadline", True, T0 + START_LEASE + RUN + 1000))]


def test_a_renewal_of_no_live_attempt_is_ignored() -> None:
    then = submitted().given(outcome("job_1")).when(RENEWED)
    assert then.events == [ev.CommandIgnored("renew-lease", "attempt-not-live", "job_1")]
    assert submitted().when(cmd.RenewLease("job_1", 2)).types == ["command-ignored"]


@pytest.mark.parametrize("before", [(), (STARTED,)])
def test_a_success_charges_once_and_makes_an_asset(before: tuple[cmd.AnyCommand, ...]) -> None:
    world = submitted().given(*before)
    then = world.when(outcome("job_1"), at=5 * SECOND)
    assert then.events == [
        ev.JobSucceeded("job_1", 1, "asset_1", 1, RESULT, 25),
        ev.CreditsCaptured("job_1", 1, 1, 9),
    ]
    made = JobEndedAnswer("job_1", "succeeded", 1, 9, "asset_1", RESULT)
    told = replace(made, number=1, model_ms=25, ended_ms=T0 + 5 * SECOND)
    assert then.answers == [("r", told)]
    assert world.job("job_1") is None
    assert world.when(submit("job_2", input="asset_1")).types[0] == "job-accepted"


def test_the_first_outcome_counts_and_every_other_is_ignored() -> None:
    world = submitted().given(outcome("job_1"))
    for late in (outcome("job_1"), outcome("job_1", 1, failed())):
        then = world.when(late)
        assert then.events == [LATE]
        assert then.answers == []
    assert world.header().captured == 1


def test_an_outcome_of_another_attempt_is_ignored_and_its_bytes_are_purged() -> None:
    then = submitted().when(outcome("job_1", 2))
    assert then.events[0] == LATE
    assert [(item.account, item.keys) for item in then.purges] == [(ANNA, ("acct_anna/job_1/2",))]


def test_the_bytes_of_the_outcome_that_counts_are_never_purged() -> None:
    world = submitted().given(outcome("job_1"))
    assert world.when(outcome("job_1")).purges == []
    assert world.when(outcome("job_1", 2)).purges[0].keys == ("acct_anna/job_1/2",)


def test_a_permanent_failure_ends_the_job_and_gives_everything_back() -> None:
    world = submitted(account_terms=terms(windows=(WindowTerms("day", 1),)))
    window = (ev.WindowUse("day", T0 - 8 * HOUR, 1),)
    then = world.when(outcome("job_1", 1, failed()))
    assert then.events == [
        ev.JobFailed("job_1", 1, "model-error", "It broke."),
        ev.CreditsReleased("job_1", 1, window, "failed", 10),
    ]
    assert then.answers == [("r", ended("failed", "model-error", "It broke."))]
    assert world.when(submit("job_2")).types[0] == "job-accepted"


def test_units_go_back_to_the_window_they_came_from_only() -> None:
    world = submitted(account_terms=terms(windows=(WindowTerms("day", 5),)))
    world.given(submit("job_2"), at=20 * HOUR)
    world.given(outcome("job_1", 1, failed()))
    assert world.header().windows == (ev.WindowUse("day", T0 + 16 * HOUR, 1),)


def test_transient_failures_are_tried_again_after_growing_pauses_until_none_is_left() -> None:
    world = submitted()
    broke = failed("transient", "model-busy", "Try later.")
    now = 0
    for attempt, pause in ((1, 1 * SECOND), (2, 2 * SECOND)):
        then = world.when(outcome("job_1", attempt, broke), at=now)
        assert then.events == [ev.AttemptEnded("job_1", attempt, "model-busy", True, T0 + now + pause)]
        assert then.answers == []
        assert world.tick(now + pause - 1).all_events == [(STREAM, ev.CommandIgnored("tick", "nothing-due"))]
        now += pause
        assert world.tick(now).types == ["job-requeued", "attempt-released"]
        job = world.job("job_1")
        assert job is not None
        assert job.attempt == attempt + 1
    then = world.when(outcome("job_1", 3, broke))
    assert then.events == [
        ev.JobFailed("job_1", 3, "model-busy", "Try later."),
        ev.CreditsReleased("job_1", 1, (), "failed", 10),
    ]
    assert then.answers == [("r", ended("failed", "model-busy", "Try later.", 3 * SECOND))]


def test_a_pause_that_is_over_puts_the_job_back_into_the_queue() -> None:
    world = submitted().given(outcome("job_1", 1, failed("transient")))
    then = world.tick(1 * SECOND)
    assert then.all_events == [(ANNA, ev.JobRequeued("job_1", 1)), (ANNA, released("job_1", 2, at=1 * SECOND))]
    assert then.work[0].output_key == "acct_anna/job_1/2"


def test_a_pause_frees_the_slot_for_others() -> None:
    world = submitted(account_terms=terms(in_flight_jobs_max=1)).given(submit("job_2"))
    then = world.when(outcome("job_1", 1, failed("transient")))
    assert then.types == ["attempt-ended", "attempt-released"]
    assert world.tick(1 * SECOND).types == ["job-requeued"]
    assert world.when(outcome("job_2")).events[-1] == released("job_1", 2, at=1 * SECOND)


def test_an_engine_that_is_away_is_no_attempt_of_the_job() -> None:
    world = submitted("once")
    now = 0
    for attempt in range(1, 30):
        then = world.when(outcome("job_1", attempt, failed("engine-unavailable")), at=now)
        assert then.events == [ev.AttemptEnded("job_1", attempt, "engine-unavailable", False, T0 + now + 2 * SECOND)]
        now += 2 * SECOND
        assert world.tick(now).types == ["job-requeued", "attempt-released"]


def test_a_client_that_waits_hears_of_an_engine_that_stays_away_after_20_seconds() -> None:
    world = submitted(client_waits_until_ms=T0 + 30 * SECOND)
    away = failed("engine-unavailable", "connection", "No engine answers.")
    for attempt in range(1, 11):
        now = (attempt - 1) * 2 * SECOND
        assert world.when(outcome("job_1", attempt, away), at=now).types == ["attempt-ended"]
        world.tick(now + 2 * SECOND)
    then = world.when(outcome("job_1", 11, away), at=20 * SECOND)
    assert then.events == [
        ev.JobFailed("job_1", 11, "engine-unavailable", "No engine answers."),
        ev.CreditsReleased("job_1", 1, (), "failed", 10),
    ]
    assert then.answers == [("r", ended("failed", "engine-unavailable", "No engine answers.", 20 * SECOND))]


@pytest.mark.parametrize(
    ("before", "phase", "slot_taken"),
    [
        ((), Released, True),
        ((STARTED,), Running, True),
        ((outcome("job_1", 1, failed("transient")),), Backoff, False),
    ],
)
def test_a_cancel_ends_the_job_and_its_money_at_once(
    before: tuple[cmd.AnyCommand, ...], phase: type, slot_taken: bool
) -> None:
    world = submitted().given(*before)
    job = world.job("job_1")
    assert job is not None
    assert isinstance(job.phase, phase)
    then = world.when(cmd.CancelJob("job_1"), reply="c")
    assert then.events == [ev.JobCanceled("job_1", 10, None), ev.CreditsReleased("job_1", 1, (), "canceled", 10)]
    accepted = JobCancelAccepted("job_1", 10, T0 + world.now)
    assert then.answers == [("r", ended("canceled", at=world.now)), ("c", accepted)]
    assert (world.job("job_1") is not None) == slot_taken
    assert world.lane().running == int(slot_taken)


def test_a_cancel_of_a_waiting_job_takes_it_out_of_the_queue() -> None:
    world = submitted(account_terms=terms(in_flight_jobs_max=1)).given(submit("job_2"), submit("job_3"))
    job = world.job("job_2")
    assert job is not None
    assert isinstance(job.phase, Waiting)
    assert world.when(cmd.CancelJob("job_2")).types == ["job-canceled", "credits-released"]
    assert world.job("job_2") is None
    assert world.when(outcome("job_1")).events[-1] == released("job_3")


def test_a_slot_stays_taken_until_the_canceled_attempt_ends() -> None:
    world = submitted(account_terms=terms(in_flight_jobs_max=1)).given(submit("job_2"), cmd.CancelJob("job_1"))
    job = world.job("job_1")
    assert job is not None
    assert isinstance(job.phase, Ending)
    assert job.status == "canceled"
    then = world.when(outcome("job_1"))
    ended = ev.AttemptEnded("job_1", 1, "outcome-after-cancel", False, None)
    assert [event for event in then.events if not isinstance(event, ev.PurgeReleased)] == [ended, released("job_2")]
    assert then.purges[0].keys == ("acct_anna/job_1/1",)
    assert then.answers == []
    assert world.header().captured == 0
    assert world.when(outcome("job_1")).events[0] == LATE


def test_a_canceled_attempt_that_falls_silent_frees_its_slot() -> None:
    world = submitted(account_terms=terms(in_flight_jobs_max=1)).given(submit("job_2"), cmd.CancelJob("job_1"))
    assert world.when(RENEWED, at=50 * SECOND).events == [ev.LeaseRenewed("job_1", 1, T0 + 65 * SECOND)]
    then = world.tick(65 * SECOND)
    assert then.all_events == [
        (ANNA, ev.AttemptEnded("job_1", 1, "lease-lost-after-cancel", False, None)),
        (ANNA, released("job_2", at=65 * SECOND)),
    ]


def test_a_cancel_comes_too_late_or_for_nothing() -> None:
    world = submitted().given(cmd.CancelJob("job_1"))
    then = world.when(cmd.CancelJob("job_1"), reply="c")
    assert then.events == [ev.CommandRefused("cancel-job", no.JobEnded("job_1", "canceled"))]
    assert then.answers == [("c", Refused(no.JobEnded("job_1", "canceled")))]
    unknown = ev.CommandRefused("cancel-job", no.JobUnknown("job_9"))
    assert world.when(cmd.CancelJob("job_9")).events == [unknown]
    assert world.when(cmd.CancelJob("job_9"), account=BEN).all_events == [(STREAM, unknown)]
    gone = submitted().given(outcome("job_1")).when(cmd.CancelJob("job_1"))
    assert gone.events == [ev.CommandRefused("cancel-job", no.JobUnknown("job_1"))]


def test_a_cancel_under_a_key_gives_the_same_answer_again() -> None:
    world = submitted().given(cmd.CancelJob("job_1"), key=("c", "f"), reply="c1")
    canceled_ms = T0 + world.now
    then = world.when(cmd.CancelJob("job_1"), at=5 * SECOND, key=("c", "f"), reply="c2")
    assert then.types == ["command-duplicate"]
    assert then.answers == [("c2", JobCancelAccepted("job_1", 10, canceled_ms))]
    assert world.when(cmd.CancelJob("job_2"), key=("c", "g")).types == ["command-refused"]

"""Hiding a job: out of the histories, its money and its statistics as they are; what lives is canceled first."""

from typing import Any

import pytest

from processors.jobs.state import Ending
from schemas import commands as cmd
from schemas import events as ev
from schemas import refusals as no
from schemas.plans import WindowTerms
from schemas.replies import JobCancelAccepted, JobEndedAnswer, JobHiddenAnswer, Refused
from tests.specification.given import (
    ANNA,
    BEN,
    HOUR,
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

HIDE = cmd.HideJob("job_1")


@pytest.mark.parametrize(
    ("end", "balance"),
    [(outcome("job_1"), 9), (outcome("job_1", 1, failed()), 10), (cmd.CancelJob("job_1"), 10)],
)
def test_an_ended_job_is_hidden_and_nothing_is_booked(end: cmd.AnyCommand, balance: int) -> None:
    world = submitted().given(STARTED, end)
    before = world.header()
    then = world.when(HIDE, reply="h")
    assert then.all_events == [(ANNA, ev.JobHidden("job_1", False, balance, None))]
    assert then.answers == [("h", JobHiddenAnswer("job_1", False, balance))]
    after = world.header()
    assert (after.captured, after.reserved, after.assets) == (before.captured, before.reserved, before.assets)


@pytest.mark.parametrize(("before", "slot_taken"), [((), True), ((STARTED,), True)])
def test_a_live_job_is_canceled_first_exactly_as_by_a_cancel(
    before: tuple[cmd.AnyCommand, ...], slot_taken: bool
) -> None:
    account_terms = terms(windows=(WindowTerms("day", 5),), in_flight_jobs_max=1)
    canceled = submitted(account_terms=account_terms).given(*before, submit("job_2"))
    world = submitted(account_terms=account_terms).given(*before, submit("job_2"))
    cancel, then = canceled.when(cmd.CancelJob("job_1"), reply="h"), world.when(HIDE, reply="h")
    assert then.events == [*cancel.events, ev.JobHidden("job_1", True, 9, None)]
    assert then.answers[:-1] == cancel.answers[:-1]
    assert then.answers[-1] == ("h", JobHiddenAnswer("job_1", True, 9))
    assert cancel.answers[-1] == ("h", JobCancelAccepted("job_1", 9, T0 + world.now))
    assert (world.header().available, world.header().reserved, world.header().windows) == (
        canceled.header().available,
        canceled.header().reserved,
        canceled.header().windows,
    )
    job = world.job("job_1")
    assert isinstance(job.phase if job else None, Ending) == slot_taken
    assert world.when(outcome("job_1")).events[-1] == released("job_2")


def test_whoever_waits_for_the_job_hears_of_its_end() -> None:
    then = submitted().when(HIDE, reply="h", at=HOUR // 100)
    ended = JobEndedAnswer("job_1", "canceled", 0, 10, ended_ms=T0 + HOUR // 100)
    assert then.answers == [("r", ended), ("h", JobHiddenAnswer("job_1", True, 10))]


def test_a_waiting_job_leaves_its_queue() -> None:
    world = submitted(account_terms=terms(in_flight_jobs_max=1)).given(submit("job_2"), submit("job_3"))
    assert world.when(cmd.HideJob("job_2")).types == ["job-canceled", "credits-released", "job-hidden"]
    assert world.job("job_2") is None
    assert world.when(outcome("job_1")).events[-1] == released("job_3")


def test_hiding_again_is_harmless() -> None:
    world = submitted().given(HIDE)
    for _ in range(2):
        assert world.when(HIDE).events == [ev.JobHidden("job_1", False, 10, None)]
    assert world.header().available == 10


def test_a_hide_under_a_key_gives_the_same_answer_again() -> None:
    world = submitted().given(HIDE, key=("h", "f"), reply="h1")
    then = world.when(HIDE, key=("h", "f"), reply="h2")
    assert then.types == ["command-duplicate"]
    assert then.answers == [("h2", JobHiddenAnswer("job_1", True, 10))]
    other = world.when(cmd.HideJob("job_2"), key=("h", "g"), reply="h3")
    assert other.answers == [("h3", Refused(no.IdempotencyMismatch("job_1")))]


def test_a_lot_whose_time_is_over_is_no_balance() -> None:
    grant = cmd.GrantCredits(5, "gift", expires_ms=T0 + HOUR)
    then = submitted().given(outcome("job_1"), grant).when(HIDE, at=2 * HOUR)
    assert then.types == ["credits-expired", "job-hidden"]
    (_, hidden) = then.events
    assert isinstance(hidden, ev.JobHidden)
    assert hidden.balance == 9


@pytest.mark.parametrize("given", [{}, {"account": BEN}])
def test_an_account_that_is_not_open_has_no_jobs(given: dict[str, Any]) -> None:
    world = World(plan()) if not given else submitted()
    then = world.when(HIDE, reply="h", **given)
    assert then.all_events == [(STREAM, ev.CommandRefused("hide-job", no.JobUnknown("job_1")))]
    assert then.answers == [("h", Refused(no.JobUnknown("job_1")))]

"""What a tick finds due, and what it leaves alone."""

from processors.jobs.timers import TICK_ITEMS_MAX
from schemas import commands as cmd
from schemas import events as ev
from schemas import refusals as no
from schemas.replies import JobEndedAnswer
from tests.specification.given import (
    ANNA,
    BEN,
    DAY,
    MINUTE,
    RENEWED,
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
    submit,
    submitted,
    terms,
)


def test_an_attempt_that_nobody_took_up_does_not_count() -> None:
    world = submitted("once")
    then = world.tick(START_LEASE)
    assert then.all_events == [(ANNA, ev.AttemptEnded("job_1", 1, "lease-lost", False, T0 + START_LEASE))]
    assert world.tick(START_LEASE + 1).types == ["job-requeued", "attempt-released"]


def test_an_attempt_that_fell_silent_counts() -> None:
    world = submitted().given(STARTED)
    then = world.tick(RUNNING_LEASE)
    retry_at_ms = T0 + RUNNING_LEASE + 1 * SECOND
    assert then.all_events == [(ANNA, ev.AttemptEnded("job_1", 1, "lease-lost", True, retry_at_ms))]
    once = submitted("once").given(STARTED)
    assert once.tick(RUNNING_LEASE).types == ["job-failed", "credits-released"]


def test_a_job_expires_in_the_queue() -> None:
    world = submitted(account_terms=terms(in_flight_jobs_max=1, queue_ttl_ms=MINUTE)).given(STARTED)
    world.given(submit("job_2"), reply="r2")
    for second in range(10, 60, 10):
        world.given(RENEWED, at=second * SECOND)
    then = world.tick(MINUTE)
    assert then.all_events == [
        (ANNA, ev.JobExpired("job_2")),
        (ANNA, ev.CreditsReleased("job_2", 1, (), "expired", 9)),
    ]
    expired = JobEndedAnswer("job_2", "expired", 0, 9, reason="queue-deadline", ended_ms=T0 + MINUTE)
    assert then.answers == [("r2", expired)]


def test_a_job_expires_between_two_attempts() -> None:
    world = submitted(account_terms=terms(queue_ttl_ms=MINUTE))
    world.given(STARTED, at=50 * SECOND)
    world.given(outcome("job_1", 1, failed("transient")), at=MINUTE - 1)
    assert world.tick(MINUTE).types == ["job-expired", "credits-released"]


def test_keys_are_forgotten_together() -> None:
    world = World(plan()).given(cmd.GrantCredits(1, "gift"), key=("k1", "f"))
    world.given(cmd.GrantCredits(1, "gift"), key=("k2", "f")).given(
        cmd.GrantCredits(1, "g"), key=("k", "f"), account=BEN
    )
    assert world.tick(7 * DAY - 1).all_events == [(STREAM, ev.CommandIgnored("tick", "nothing-due"))]
    assert world.tick(7 * DAY).all_events == [
        (ANNA, ev.IdempotencyForgotten(("k1", "k2"))),
        (BEN, ev.IdempotencyForgotten(("k",))),
    ]
    assert world.store.next_due_ms() is None


def test_a_tick_handles_five_hundred_and_the_next_one_follows() -> None:
    many = terms(opening_credits=1000, in_flight_jobs_max=1, queue_ttl_ms=MINUTE)
    world = World(plan(many)).given(STARTED)
    for number in range(TICK_ITEMS_MAX + 2):
        world.given(submit(f"job_{number}"))
    assert world.tick(MINUTE - 1).types == ["command-ignored"]
    assert world.tick(MINUTE).types.count("job-expired") + 1 >= TICK_ITEMS_MAX - 1
    rest = world.tick(MINUTE)
    assert rest.types.count("job-expired") in (1, 2)
    assert world.tick(MINUTE).all_events == [(STREAM, ev.CommandIgnored("tick", "nothing-due"))]


def test_a_tick_twice_changes_nothing_more() -> None:
    world = submitted().given(STARTED)
    assert world.tick(RUNNING_LEASE).types == ["attempt-ended"]
    assert world.tick(RUNNING_LEASE).types == ["command-ignored"]


def test_past_events_alone_are_enough_to_decide_by() -> None:
    world = World().given_event(STREAM, ev.PlanPublished(plan()))
    world.given_event(ANNA, ev.AccountOpened("default", 1, None))
    world.given_event(ANNA, ev.CreditsGranted(1, "gift", 1, None))
    assert world.when(submit("job_1")).types == ["job-accepted", "credits-reserved", "attempt-released"]
    assert world.when(submit("job_2")).events == [
        ev.CommandRefused("submit-job", no.InsufficientCredits(1, 0), "job_2")
    ]

"""How attempts and jobs end: with a result, another attempt, a failure, an expiry; and their money with them."""

from processors.accounts.state import Reservation, reservation_key
from processors.draft import Draft
from processors.jobs.state import Job, job_key
from processors.overlay import typed
from schemas import commands as cmd
from schemas import events as ev
from schemas.replies import JobEndedAnswer


def live_job(draft: Draft, account: str, job: str) -> Job | None:
    """The record of a live job, None where it has ended or never was."""
    return typed(draft.get(job_key(account, job)), Job)


def retry(draft: Draft, account: str, name: str, job: Job, reason: str, detail: str, *, counted: bool) -> None:
    """End the attempt; the job goes on after a pause, or fails when it has no attempt left or its client no time."""
    plan = draft.plan()
    assert plan is not None
    leases = plan.leases
    if job.failures + counted >= job.attempts_max:
        fail(draft, account, name, job, job.attempt, reason, detail)
        return
    pause_ms = leases.retry_backoff_ms << min(job.failures, 10) if counted else 0
    if reason == "engine-unavailable":
        away_since_ms = job.unavailable_since_ms or draft.time_ms
        waits = job.client_waits_until_ms is not None
        if waits and draft.time_ms - away_since_ms >= leases.engine_unavailable_waiting_max_ms:
            fail(draft, account, name, job, job.attempt, reason, detail)
            return
        pause_ms = leases.engine_unavailable_retry_ms
    draft.emit(account, ev.AttemptEnded(name, job.attempt, reason, counted, draft.time_ms + pause_ms))


def succeed(draft: Draft, command: cmd.RecordOutcome, job: Job, outcome: cmd.Succeeded) -> None:
    """The result becomes an asset, the reservation a charge."""
    account, name = draft.envelope.account, command.job
    header = draft.header(account)
    asset = "asset_" + name.partition("_")[2]
    number = header.assets + 1
    succeeded = ev.JobSucceeded(name, command.attempt, asset, number, outcome.result, outcome.model_ms)
    draft.emit(account, succeeded)
    reservation = reservation_of(draft, account, name)
    balance = header.available
    draft.emit(account, ev.CreditsCaptured(name, reservation.units, reservation.plan_version, balance))
    answer = JobEndedAnswer(name, "succeeded", reservation.units, balance, asset, outcome.result)
    tell(draft, account, job, answer)


def fail(draft: Draft, account: str, name: str, job: Job, attempt: int | None, reason: str, detail: str) -> None:
    """End the job without a result; `attempt` is the one that held its slot, if any."""
    draft.emit(account, ev.JobFailed(name, attempt, reason, detail))
    balance = release(draft, account, name, "failed")
    tell(draft, account, job, JobEndedAnswer(name, "failed", 0, balance, reason=reason, detail=detail))


def expire(draft: Draft, account: str, name: str, job: Job) -> None:
    """End a job that waited longer than its plan lets it."""
    draft.emit(account, ev.JobExpired(name))
    balance = release(draft, account, name, "expired")
    tell(draft, account, job, JobEndedAnswer(name, "expired", 0, balance, reason="queue-deadline"))


def release(draft: Draft, account: str, name: str, reason: str) -> int:
    """End the job's reservation without a charge; the balance after it."""
    reservation = reservation_of(draft, account, name)
    balance = draft.header(account).available + reservation.units
    draft.emit(account, ev.CreditsReleased(name, reservation.units, reservation.windows, reason, balance))
    return balance


def tell(draft: Draft, account: str, job: Job, answer: JobEndedAnswer) -> None:
    """Answer everyone who waits for the job's end."""
    for address in job.replies:
        draft.answer(address, account, answer)


def reservation_of(draft: Draft, account: str, job: str) -> Reservation:
    """The reservation of a job whose money has not ended; it is a bug to ask for one that has."""
    reservation = typed(draft.get(reservation_key(account, job)), Reservation)
    assert reservation is not None, f"the reservation of {job} has ended before"
    return reservation

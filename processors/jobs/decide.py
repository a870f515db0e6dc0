"""Decisions about jobs: attempts and their leases, outcomes, cancel, hide. What a tick finds due is in `timers`.

Theory of operation. A job is delivered by leases, not by acknowledgements: releasing an attempt takes a slot of the
account and of the partition and starts a lease; a dispatcher that begins or renews moves the lease; one that falls
silent loses it, and the next attempt goes out. The first outcome that fits the live attempt decides the job, every
other is ignored by name. Money ends exactly once: with success it is captured, with failure, cancel or expiry it is
released in the same decision. A slot, though, stays taken until its attempt ends (design section 2, points 15 to 17).
"""

from processors.accounts.entry import answered_before, idempotency_use, ignore_late, refuse
from processors.accounts.money import expire_lots
from processors.assets.purges import live_asset, purge_unused_result
from processors.assets.state import result_asset
from processors.draft import Draft
from processors.jobs.endings import cancel, crash, fail, retry, succeed
from processors.jobs.round import draw, live_job
from processors.jobs.state import Attempted, Ending, Released
from schemas import commands as cmd
from schemas import events as ev
from schemas import refusals as no
from schemas.plans import AccountTerms
from schemas.replies import JobCancelAccepted, JobHiddenAnswer


def attempt_started(draft: Draft, command: cmd.AttemptStarted) -> None:
    """The attempt runs from now on under the running lease; no dispatcher's clock puts its start before its release."""
    account = draft.envelope.account
    job = live_job(draft, account, command.job)
    if job is None or job.attempt != command.attempt or not isinstance(job.phase, Released):
        ignore_late(draft, "attempt-not-awaited", command.job)
        return
    plan = draft.plan()
    assert plan is not None
    lease_until_ms = draft.time_ms + plan.leases.running_ms
    released_ms = job.phase.run_until_ms - job.run_deadline_ms - plan.leases.start_ms
    ran_ms = max(0, min(command.ran_ms, draft.time_ms - released_ms))
    draft.emit(account, ev.JobStarted(command.job, command.attempt, command.dispatcher, lease_until_ms, ran_ms))


def renew_lease(draft: Draft, command: cmd.RenewLease) -> None:
    """The attempt lives: its lease counts from now, never past its run time."""
    account = draft.envelope.account
    job = live_job(draft, account, command.job)
    live = job is not None and job.attempt == command.attempt and isinstance(job.phase, Attempted)
    if not live:
        ignore_late(draft, "attempt-not-live", command.job)
        return
    plan = draft.plan()
    assert plan is not None
    draft.emit(account, ev.LeaseRenewed(command.job, command.attempt, draft.time_ms + plan.leases.running_ms))


def record_outcome(draft: Draft, command: cmd.RecordOutcome) -> None:
    """The first outcome that fits the live attempt counts; the bytes of every other are purged."""
    account, name = draft.envelope.account, command.job
    job = live_job(draft, account, name)
    if job is None or job.attempt != command.attempt or not isinstance(job.phase, Attempted):
        ignore_late(draft, "outcome-of-no-live-attempt", name)
        _purge_unused(draft, command)
        return
    if isinstance(job.phase, Ending):
        draft.emit(account, ev.AttemptEnded(name, command.attempt, "outcome-after-cancel", False, None))
        _purge_unused(draft, command)
        draw(draft, job.lane)
        return
    match command.outcome:
        case cmd.Succeeded() as outcome:
            succeed(draft, command, job, outcome)
        case cmd.Failed(cause="permanent") as outcome:
            fail(draft, account, name, job, command.attempt, outcome.reason, outcome.detail, outcome.run)
        case cmd.Failed(cause="transient") as outcome:
            retry(draft, account, name, job, outcome.reason, outcome.detail, counted=True, run=outcome.run)
        case cmd.Failed(cause="engine-crashed") as outcome:
            crash(draft, account, name, job, outcome)
        case cmd.Failed() as outcome:
            retry(draft, account, name, job, "engine-unavailable", outcome.detail, counted=False, run=outcome.run)
    draw(draft, job.lane)


def _purge_unused(draft: Draft, command: cmd.RecordOutcome) -> None:
    if isinstance(command.outcome, cmd.Succeeded):
        purge_unused_result(draft, draft.envelope.account, result_asset(command.job), command.outcome)


def cancel_job(draft: Draft, command: cmd.CancelJob) -> None:
    """End the job now; its money is back at once, a slot that an attempt holds is not."""
    account, terms = draft.envelope.account, _terms(draft, command.job)
    if terms is None or answered_before(draft):
        return
    job = live_job(draft, account, command.job)
    if job is None:
        refuse(draft, account, no.JobUnknown(command.job))
        return
    if isinstance(job.phase, Ending):
        refuse(draft, account, no.JobEnded(command.job, "canceled"))
        return
    balance = cancel(draft, account, command.job, job, idempotency_use(draft, terms))
    draft.answer(draft.envelope.reply, account, JobCancelAccepted(command.job, balance, draft.time_ms))


def hide_job(draft: Draft, command: cmd.HideJob) -> None:
    """Take the job out of its account's histories, after a cancel where it lives; saying it again is harmless.

    What has ended has no record here, so whose it was the sender has to have seen.
    """
    account, terms = draft.envelope.account, _terms(draft, command.job)
    if terms is None or answered_before(draft):
        return
    job = live_job(draft, account, command.job)
    lives = job is not None and not isinstance(job.phase, Ending)
    if job is not None and lives:
        cancel(draft, account, command.job, job, None)
    else:
        expire_lots(draft, account)
    balance = draft.header(account).available
    draft.emit(account, ev.JobHidden(command.job, lives, balance, idempotency_use(draft, terms)))
    draft.answer(draft.envelope.reply, account, JobHiddenAnswer(command.job, lives, balance))


def _terms(draft: Draft, job: str) -> AccountTerms | None:
    """The terms of an account that is open; None after a refusal: one that is not has no jobs."""
    account, plan = draft.envelope.account, draft.plan()
    header = draft.account(account)
    terms = plan.terms(header.product, header.plan) if header and plan else None
    if terms is None:
        refuse(draft, account if header else draft.stream, no.JobUnknown(job))
    return terms


def stored_object(draft: Draft, account: str, asset: str | None) -> cmd.StoredObject | None:
    """The bytes that stand behind a live asset, None where there is none."""
    record = live_asset(draft, account, asset) if asset is not None else None
    return record.object if record else None

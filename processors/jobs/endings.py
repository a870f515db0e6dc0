"""How attempts and jobs end: with a result, another attempt, a failure, an expiry; and their money with them."""

from processors.accounts.money import expire_late_returns, expire_lots
from processors.accounts.state import Reservation, reservation_key
from processors.assets.purges import end_asset, live_asset, purge_unused_result
from processors.assets.state import result_asset
from processors.draft import Draft
from processors.jobs.round import draw
from processors.jobs.state import Job
from processors.overlay import typed
from schemas import commands as cmd
from schemas import events as ev
from schemas.plans import AccountTerms
from schemas.replies import JobEndedAnswer


def retry(
    draft: Draft,
    account: str,
    name: str,
    job: Job,
    reason: str,
    detail: str,
    *,
    counted: bool,
    run: cmd.EngineRun | None = None,
) -> None:
    """End the attempt; the job goes on after a pause, or fails when it has no attempt left or its client no time."""
    plan = draft.plan()
    assert plan is not None
    leases = plan.leases
    if job.failures + counted >= job.attempts_max:
        fail(draft, account, name, job, job.attempt, reason, detail, run)
        return
    pause_ms = leases.retry_backoff_ms << min(job.failures, 10) if counted else 0
    if reason == "engine-unavailable":
        away_since_ms = job.unavailable_since_ms or draft.time_ms
        waits = job.client_waits_until_ms is not None
        if waits and draft.time_ms - away_since_ms >= leases.engine_unavailable_waiting_max_ms:
            fail(draft, account, name, job, job.attempt, reason, detail, run)
            return
        pause_ms = leases.engine_unavailable_retry_ms
    draft.emit(account, ev.AttemptEnded(name, job.attempt, reason, counted, draft.time_ms + pause_ms, run))


def crash(draft: Draft, account: str, name: str, job: Job, outcome: cmd.Failed) -> None:
    """The engine died with the job in it: suspicion, and no attempt lost; alone in it, the job was what killed it."""
    if job.is_suspect:
        fail(draft, account, name, job, job.attempt, "crashes-engine", outcome.detail, outcome.run)
        return
    plan = draft.plan()
    assert plan is not None
    retry_at_ms = draft.time_ms + plan.leases.engine_unavailable_retry_ms
    draft.emit(account, ev.AttemptEnded(name, job.attempt, "engine-crashed", False, retry_at_ms, outcome.run))


def succeed(draft: Draft, command: cmd.RecordOutcome, job: Job, outcome: cmd.Succeeded) -> None:
    """The result becomes an asset, the reservation a charge; unless the account was erased meanwhile."""
    account, name = draft.envelope.account, command.job
    header = draft.header(account)
    if job.erasures != header.erasures:
        fail(draft, account, name, job, command.attempt, "erased", "The account was erased meanwhile.", outcome.run)
        purge_unused_result(draft, account, result_asset(name), outcome)
        return
    terms = _terms(draft, account)
    expires_ms = None if terms is None or terms.results_ttl_ms is None else draft.time_ms + terms.results_ttl_ms
    is_own = outcome.run is None or (outcome.run.engine, outcome.run.engine_version) == (job.engine, job.engine_version)
    succeeded = ev.JobSucceeded(
        job=name,
        attempt=command.attempt,
        asset=result_asset(name),
        number=header.assets + 1,
        result=outcome.result,
        model_ms=outcome.model_ms,
        thumbnail=outcome.thumbnail,
        run=outcome.run,
        expires_ms=expires_ms,
        reuse_until_ms=draft.time_ms + terms.reuse_ttl_ms if job.reuse and terms and is_own else None,
    )
    draft.emit(account, succeeded)
    reservation = reservation_of(draft, account, name)
    balance = header.available
    draft.emit(account, ev.CreditsCaptured(name, reservation.units, reservation.plan_version, balance))
    _purge_original(draft, account, job)
    answer = JobEndedAnswer(
        name,
        "succeeded",
        reservation.units,
        balance,
        succeeded.asset,
        outcome.result,
        thumbnail=outcome.thumbnail,
        run=outcome.run,
        number=succeeded.number,
        model_ms=outcome.model_ms,
        ended_ms=draft.time_ms,
    )
    tell(draft, account, job, answer)


def fail(
    draft: Draft,
    account: str,
    name: str,
    job: Job,
    attempt: int | None,
    reason: str,
    detail: str,
    run: cmd.EngineRun | None = None,
) -> None:
    """End the job without a result; `attempt` is the one that held its slot, if any."""
    draft.emit(account, ev.JobFailed(name, attempt, reason, detail, run))
    balance = release(draft, account, name, "failed")
    _purge_original(draft, account, job)
    answer = JobEndedAnswer(name, "failed", 0, balance, reason=reason, detail=detail, run=run, ended_ms=draft.time_ms)
    tell(draft, account, job, answer)


def expire(draft: Draft, account: str, name: str, job: Job) -> None:
    """End a job that waited longer than its plan lets it."""
    draft.emit(account, ev.JobExpired(name))
    balance = release(draft, account, name, "expired")
    _purge_original(draft, account, job)
    answer = JobEndedAnswer(name, "expired", 0, balance, reason="queue-deadline", ended_ms=draft.time_ms)
    tell(draft, account, job, answer)


def cancel(draft: Draft, account: str, name: str, job: Job, idempotency: ev.IdempotencyUse | None) -> int:
    """End a job that has not ended; the balance after it."""
    expire_lots(draft, account)
    reservation = reservation_of(draft, account, name)
    balance = draft.header(account).available + reservation.units - sum(use.units for use in _late(draft, reservation))
    draft.emit(account, ev.JobCanceled(name, balance, idempotency))
    release(draft, account, name, "canceled")
    _purge_original(draft, account, job)
    tell(draft, account, job, JobEndedAnswer(name, "canceled", 0, balance, ended_ms=draft.time_ms))
    draw(draft, job.lane)
    return balance


def release(draft: Draft, account: str, name: str, reason: str) -> int:
    """End the job's reservation without a charge; the balance after it. What came from a lot that is over is gone."""
    expire_lots(draft, account)
    reservation = reservation_of(draft, account, name)
    late = _late(draft, reservation)
    back = tuple(use for use in reservation.lots if use not in late)
    balance = draft.header(account).available + reservation.units
    windows = reservation.windows
    draft.emit(account, ev.CreditsReleased(name, reservation.units, windows, reason, balance, back))
    expire_late_returns(draft, account, late)
    return draft.header(account).available


def _late(draft: Draft, reservation: Reservation) -> tuple[ev.LotUse, ...]:
    """What the reservation took from lots whose time is over by now, and that ended with it."""
    if not reservation.lots:
        return ()
    return tuple(use for use in reservation.lots if use.expires_ms is not None and use.expires_ms <= draft.time_ms)


def tell(draft: Draft, account: str, job: Job, answer: JobEndedAnswer) -> None:
    """Answer everyone who waits for the job's end."""
    for address in job.replies:
        draft.answer(address, account, answer)


def reservation_of(draft: Draft, account: str, job: str) -> Reservation:
    """The reservation of a job whose money has not ended; it is a bug to ask for one that has."""
    reservation = typed(draft.get(reservation_key(account, job)), Reservation)
    assert reservation is not None, f"the reservation of {job} has ended before"
    return reservation


def _terms(draft: Draft, account: str) -> AccountTerms | None:
    header, plan = draft.header(account), draft.plan()
    return plan.terms(header.product, header.plan) if plan else None


def _purge_original(draft: Draft, account: str, job: Job) -> None:
    """The plan wants originals deleted once their job has ended."""
    original = live_asset(draft, account, job.input) if job.original_purged and job.input is not None else None
    if original is not None and job.input is not None:
        end_asset(draft, account, job.input, original, "original-processed")

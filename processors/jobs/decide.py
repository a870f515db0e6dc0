"""Decisions about jobs: submit, attempts and their leases, outcomes, cancel. What a tick finds due is in `timers`.

Theory of operation. A job is delivered by leases, not by acknowledgements: releasing an attempt takes a slot of the
account and of the partition and starts a lease; a dispatcher that begins or renews moves the lease; one that falls
silent loses it, and the next attempt goes out. The first outcome that fits the live attempt decides the job, every
other is ignored by name. Money ends exactly once: with success it is captured, with failure, cancel or expiry it is
released in the same decision. A slot, though, stays taken until its attempt ends (design section 2, points 15 to 17).
"""

from processors.accounts import ledger
from processors.accounts.decide import answered_before, idempotency_use, ignore, opened_account, refuse
from processors.accounts.state import (
    Account,
    Asset,
    Queued,
    RingEntry,
    asset_key,
    queued_key,
    ring_key,
)
from processors.draft import Draft
from processors.jobs.endings import fail, live_job, release, reservation_of, retry, succeed, tell
from processors.jobs.state import Backoff, Ending, Released, Running, Waiting
from processors.overlay import typed
from schemas import commands as cmd
from schemas import events as ev
from schemas import refusals as no
from schemas.plans import AccountTerms, ModelTerms, Plan
from schemas.replies import JobCancelAccepted, JobDecided, JobEndedAnswer

LANE_RELEASED_JOBS_MAX = 64


def submit_job(draft: Draft, command: cmd.SubmitJob) -> None:
    """Accept the job, reserve its price and release it if a slot is free; or refuse, and charge nothing."""
    account = draft.envelope.account
    opened = opened_account(draft)
    if opened is None or answered_before(draft):
        return
    header, terms, plan = opened
    live = live_job(draft, account, command.job)
    if live is not None:
        ignore(draft, account, "job-exists", command.job)
        draft.answer(draft.envelope.reply, account, JobDecided(command.job, "accepted", live.cost, header.available))
        return
    model = plan.models.get(command.model)
    refusal = _refusal(draft, command, header, terms, model)
    if refusal is not None:
        refuse(draft, account, refusal)
        return
    assert model is not None
    cost = model.cost.price(command.params)
    _accept(draft, command, header, terms, plan, model, cost)
    draw(draft, model.lane)
    balance = draft.header(account).available
    draft.answer(draft.envelope.reply, account, JobDecided(command.job, "accepted", cost, balance))


def _refusal(
    draft: Draft, command: cmd.SubmitJob, header: Account, terms: AccountTerms, model: ModelTerms | None
) -> no.AnyRefusal | None:
    if model is None:
        return no.ModelUnknown(command.model)
    if model.takes_input and command.input is None:
        return no.InputRequired(command.model)
    if command.input is not None and draft.get(asset_key(draft.envelope.account, command.input)) is None:
        return no.AssetUnknown(command.input)
    use = header.lane(model.lane)
    if use is not None and use.queued >= terms.queued_jobs_max:
        return no.QueueFull(terms.queued_jobs_max)
    return ledger.refuse_reservation(header, terms, model.cost.price(command.params), draft.time_ms)


def _accept(
    draft: Draft,
    command: cmd.SubmitJob,
    header: Account,
    terms: AccountTerms,
    plan: Plan,
    model: ModelTerms,
    cost: int,
) -> None:
    account, use = draft.envelope.account, header.lane(model.lane)
    units = cost if terms.uses_balance else 0
    balance = header.available - units
    draft.emit(
        account,
        ev.JobAccepted(
            job=command.job,
            model=command.model,
            engine=model.engine,
            engine_version=model.engine_version,
            lane=model.lane,
            params=command.params,
            input=command.input,
            sealed=command.sealed,
            cost=cost,
            plan=header.plan,
            plan_version=plan.version,
            attempts_max=model.attempts_max,
            run_deadline_ms=model.run_deadline_ms,
            in_flight_jobs_max=terms.in_flight_jobs_max,
            queue_number=use.tail if use else 0,
            queue_until_ms=draft.time_ms + terms.queue_ttl_ms,
            client_waits_until_ms=command.client_waits_until_ms,
            balance=balance,
            reply=draft.envelope.reply,
            idempotency=idempotency_use(draft, terms),
        ),
    )
    windows = ledger.windows_of(terms, draft.time_ms)
    draft.emit(account, ev.CreditsReserved(command.job, units, windows, plan.version, balance))


def draw(draft: Draft, lane: str) -> None:
    """Release waiting jobs while the partition has slots: one for each account of the round in turn."""
    plan = draft.plan()
    assert plan is not None
    released_max = plan.lane_released_jobs_max.get(lane, LANE_RELEASED_JOBS_MAX)
    while (share := draft.share(lane)).waiting and share.released < released_max:
        entry = typed(draft.get(ring_key(draft.stream, lane, share.head)), RingEntry)
        assert entry is not None, "the head of the round is always taken"
        use = draft.header(entry.account).lane(lane)
        assert use is not None
        queued = typed(draft.get(queued_key(entry.account, lane, use.head)), Queued)
        assert queued is not None, "the head of a queue is always taken"
        job = live_job(draft, entry.account, queued.job)
        assert job is not None
        lease_until_ms = draft.time_ms + plan.leases.start_ms
        run_until_ms = draft.time_ms + plan.leases.start_ms + job.run_deadline_ms
        released = ev.AttemptReleased(queued.job, job.attempt + 1, lease_until_ms, run_until_ms)
        draft.emit(entry.account, released)


def attempt_started(draft: Draft, command: cmd.AttemptStarted) -> None:
    """The attempt runs from now on under the running lease."""
    account = draft.envelope.account
    job = live_job(draft, account, command.job)
    if job is None or job.attempt != command.attempt or not isinstance(job.phase, Released):
        _ignore_late(draft, command.job, "attempt-not-awaited")
        return
    plan = draft.plan()
    assert plan is not None
    lease_until_ms = draft.time_ms + plan.leases.running_ms
    draft.emit(account, ev.JobStarted(command.job, command.attempt, command.dispatcher, lease_until_ms))


def renew_lease(draft: Draft, command: cmd.RenewLease) -> None:
    """The attempt lives: its lease counts from now, never past its run time."""
    account = draft.envelope.account
    job = live_job(draft, account, command.job)
    live = job is not None and job.attempt == command.attempt and isinstance(job.phase, Released | Running | Ending)
    if not live:
        _ignore_late(draft, command.job, "attempt-not-live")
        return
    plan = draft.plan()
    assert plan is not None
    draft.emit(account, ev.LeaseRenewed(command.job, command.attempt, draft.time_ms + plan.leases.running_ms))


def record_outcome(draft: Draft, command: cmd.RecordOutcome) -> None:
    """The first outcome that fits the live attempt counts."""
    account, name = draft.envelope.account, command.job
    job = live_job(draft, account, name)
    if job is None or job.attempt != command.attempt or isinstance(job.phase, Waiting | Backoff):
        _ignore_late(draft, name, "outcome-of-no-live-attempt")
        return
    if isinstance(job.phase, Ending):
        draft.emit(account, ev.AttemptEnded(name, command.attempt, "outcome-after-cancel", False, None))
        draw(draft, job.lane)
        return
    match command.outcome:
        case cmd.Succeeded() as outcome:
            succeed(draft, command, job, outcome)
        case cmd.Failed(cause="permanent") as outcome:
            fail(draft, account, name, job, command.attempt, outcome.reason, outcome.detail)
        case cmd.Failed(cause="transient") as outcome:
            retry(draft, account, name, job, outcome.reason, outcome.detail, counted=True)
        case cmd.Failed() as outcome:
            retry(draft, account, name, job, "engine-unavailable", outcome.detail, counted=False)
    draw(draft, job.lane)


def cancel_job(draft: Draft, command: cmd.CancelJob) -> None:
    """End the job now; its money is back at once, a slot that an attempt holds is not."""
    account = draft.envelope.account
    header, plan = draft.account(account), draft.plan()
    terms = plan.terms(header.product, header.plan) if header and plan else None
    if header is None or terms is None:
        refuse(draft, account if header else draft.stream, no.JobUnknown(command.job))
        return
    if answered_before(draft):
        return
    job = live_job(draft, account, command.job)
    if job is None:
        refuse(draft, account, no.JobUnknown(command.job))
        return
    if isinstance(job.phase, Ending):
        refuse(draft, account, no.JobEnded(command.job, "canceled"))
        return
    balance = header.available + reservation_of(draft, account, command.job).units
    draft.emit(account, ev.JobCanceled(command.job, balance, idempotency_use(draft, terms)))
    release(draft, account, command.job, "canceled")
    tell(draft, account, job, JobEndedAnswer(command.job, "canceled", 0, balance))
    draw(draft, job.lane)
    draft.answer(draft.envelope.reply, account, JobCancelAccepted(command.job, balance))


def _ignore_late(draft: Draft, job: str, reason: str) -> None:
    account = draft.envelope.account
    ignore(draft, account if draft.account(account) else draft.stream, reason, job)


def input_object(draft: Draft, account: str, asset: str | None) -> cmd.StoredObject | None:
    """The bytes that stand behind an asset id, None where there is none."""
    record = typed(draft.get(asset_key(account, asset)), Asset) if asset is not None else None
    return record.object if record else None

"""Decisions about jobs: submit, attempts and their leases, outcomes, cancel, and what a tick finds due.

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
    Idempotency,
    Queued,
    Reservation,
    RingEntry,
    asset_key,
    queued_key,
    reservation_key,
    ring_key,
)
from processors.draft import Draft
from processors.jobs.state import Backoff, Ending, Job, Released, Running, Waiting, job_key
from processors.overlay import typed
from schemas import commands as cmd
from schemas import events as ev
from schemas import refusals as no
from schemas.plans import AccountTerms, ModelTerms, Plan
from schemas.replies import JobCancelAccepted, JobDecided, JobEndedAnswer

LANE_RELEASED_JOBS_MAX = 64
TICK_ITEMS_MAX = 500


def submit_job(draft: Draft, command: cmd.SubmitJob) -> None:
    """Accept the job, reserve its price and release it if a slot is free; or refuse, and charge nothing."""
    account = draft.envelope.account
    opened = opened_account(draft)
    if opened is None or answered_before(draft):
        return
    header, terms, plan = opened
    live = _live(draft, account, command.job)
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
        job = _live(draft, entry.account, queued.job)
        assert job is not None
        lease_until_ms = draft.time_ms + plan.leases.start_ms
        run_until_ms = draft.time_ms + plan.leases.start_ms + job.run_deadline_ms
        released = ev.AttemptReleased(queued.job, job.attempt + 1, lease_until_ms, run_until_ms)
        draft.emit(entry.account, released)


def attempt_started(draft: Draft, command: cmd.AttemptStarted) -> None:
    """The attempt runs from now on under the running lease."""
    account = draft.envelope.account
    job = _live(draft, account, command.job)
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
    job = _live(draft, account, command.job)
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
    job = _live(draft, account, name)
    if job is None or job.attempt != command.attempt or isinstance(job.phase, Waiting | Backoff):
        _ignore_late(draft, name, "outcome-of-no-live-attempt")
        return
    if isinstance(job.phase, Ending):
        draft.emit(account, ev.AttemptEnded(name, command.attempt, "outcome-after-cancel", False, None))
        draw(draft, job.lane)
        return
    match command.outcome:
        case cmd.Succeeded() as outcome:
            _succeed(draft, command, job, outcome)
        case cmd.Failed(cause="permanent") as outcome:
            _fail(draft, account, name, job, command.attempt, outcome.reason, outcome.detail)
        case cmd.Failed(cause="transient") as outcome:
            _retry(draft, account, name, job, outcome.reason, outcome.detail, counted=True)
        case cmd.Failed() as outcome:
            _retry(draft, account, name, job, "engine-unavailable", outcome.detail, counted=False)
    draw(draft, job.lane)


def cancel_job(draft: Draft, command: cmd.CancelJob) -> None:
    """End the job now; its money is back at once, a slot that an attempt holds is not."""
    account = draft.envelope.account
    job = _live(draft, account, command.job)
    header = draft.account(account)
    if job is None or header is None:
        refuse(draft, account if header else draft.stream, no.JobUnknown(command.job))
        return
    if isinstance(job.phase, Ending):
        refuse(draft, account, no.JobEnded(command.job, "canceled"))
        return
    draft.emit(account, ev.JobCanceled(command.job))
    balance = _release(draft, account, command.job, "canceled")
    _tell(draft, account, job, JobEndedAnswer(command.job, "canceled", 0, balance))
    draw(draft, job.lane)
    draft.answer(draft.envelope.reply, account, JobCancelAccepted(command.job, balance))


def tick(draft: Draft, due: tuple[str, ...]) -> None:
    """Handle what is due: `due` names state records in the order of their due times, at most TICK_ITEMS_MAX."""
    forgotten: dict[str, list[str]] = {}
    lanes: list[str] = []
    for key in due:
        stream, _kind, name = key.split("|", 2)
        record = draft.get(key)
        if isinstance(record, Idempotency) and record.expires_ms <= draft.time_ms:
            forgotten.setdefault(stream, []).append(name)
        elif isinstance(record, Job) and record.due_ms <= draft.time_ms:
            _job_due(draft, stream, name, record)
            if record.lane not in lanes:
                lanes.append(record.lane)
    for account, keys in forgotten.items():
        draft.emit(account, ev.IdempotencyForgotten(tuple(keys)))
    for lane in lanes:
        draw(draft, lane)
    if not draft.events:
        ignore(draft, draft.stream, "nothing-due")


def _job_due(draft: Draft, account: str, name: str, job: Job) -> None:
    now = draft.time_ms
    match job.phase:
        case Waiting():
            _expire(draft, account, name, job)
        case Backoff(retry_at_ms):
            if job.queue_until_ms <= now:
                _expire(draft, account, name, job)
            elif retry_at_ms <= now:
                use = draft.header(account).lane(job.lane)
                assert use is not None
                draft.emit(account, ev.JobRequeued(name, use.tail))
        case Released(_, run_until_ms):
            # Nobody has begun: no failure of the job, unless its run time is over as well.
            _retry(draft, account, name, job, "lease-lost", "no dispatcher took it up", counted=run_until_ms <= now)
        case Running(_, run_until_ms):
            reason = "run-deadline" if run_until_ms <= now else "lease-lost"
            _retry(draft, account, name, job, reason, "the attempt fell silent or ran too long", counted=True)
        case Ending():
            draft.emit(account, ev.AttemptEnded(name, job.attempt, "lease-lost-after-cancel", False, None))


def _retry(draft: Draft, account: str, name: str, job: Job, reason: str, detail: str, *, counted: bool) -> None:
    """End the attempt; the job goes on after a pause, or fails when it has no attempt left or its client no time."""
    plan = draft.plan()
    assert plan is not None
    leases = plan.leases
    if job.failures + counted >= job.attempts_max:
        _fail(draft, account, name, job, job.attempt, reason, detail)
        return
    pause_ms = leases.retry_backoff_ms << min(job.failures, 10) if counted else 0
    if reason == "engine-unavailable":
        away_since_ms = job.unavailable_since_ms or draft.time_ms
        waits = job.client_waits_until_ms is not None
        if waits and draft.time_ms - away_since_ms >= leases.engine_unavailable_waiting_max_ms:
            _fail(draft, account, name, job, job.attempt, reason, detail)
            return
        pause_ms = leases.engine_unavailable_retry_ms
    draft.emit(account, ev.AttemptEnded(name, job.attempt, reason, counted, draft.time_ms + pause_ms))


def _succeed(draft: Draft, command: cmd.RecordOutcome, job: Job, outcome: cmd.Succeeded) -> None:
    account, name = draft.envelope.account, command.job
    header = draft.header(account)
    asset = "asset_" + name.partition("_")[2]
    number = header.assets + 1
    succeeded = ev.JobSucceeded(name, command.attempt, asset, number, outcome.result, outcome.model_ms)
    draft.emit(account, succeeded)
    reservation = _reservation(draft, account, name)
    balance = header.available
    draft.emit(account, ev.CreditsCaptured(name, reservation.units, reservation.plan_version, balance))
    answer = JobEndedAnswer(name, "succeeded", reservation.units, balance, asset, outcome.result)
    _tell(draft, account, job, answer)


def _fail(draft: Draft, account: str, name: str, job: Job, attempt: int | None, reason: str, detail: str) -> None:
    draft.emit(account, ev.JobFailed(name, attempt, reason, detail))
    balance = _release(draft, account, name, "failed")
    _tell(draft, account, job, JobEndedAnswer(name, "failed", 0, balance, reason=reason, detail=detail))


def _expire(draft: Draft, account: str, name: str, job: Job) -> None:
    draft.emit(account, ev.JobExpired(name))
    balance = _release(draft, account, name, "expired")
    _tell(draft, account, job, JobEndedAnswer(name, "expired", 0, balance, reason="queue-deadline"))


def _release(draft: Draft, account: str, name: str, reason: str) -> int:
    """End the job's reservation without a charge; the balance after it."""
    reservation = _reservation(draft, account, name)
    balance = draft.header(account).available + reservation.units
    draft.emit(account, ev.CreditsReleased(name, reservation.units, reservation.windows, reason, balance))
    return balance


def _tell(draft: Draft, account: str, job: Job, answer: JobEndedAnswer) -> None:
    for address in job.replies:
        draft.answer(address, account, answer)


def _ignore_late(draft: Draft, job: str, reason: str) -> None:
    account = draft.envelope.account
    ignore(draft, account if draft.account(account) else draft.stream, reason, job)


def _live(draft: Draft, account: str, job: str) -> Job | None:
    return typed(draft.get(job_key(account, job)), Job)


def _reservation(draft: Draft, account: str, job: str) -> Reservation:
    reservation = typed(draft.get(reservation_key(account, job)), Reservation)
    assert reservation is not None, f"the reservation of {job} has ended before"
    return reservation


def input_object(draft: Draft, account: str, asset: str | None) -> cmd.StoredObject | None:
    """The bytes that stand behind an asset id, None where there is none."""
    record = typed(draft.get(asset_key(account, asset)), Asset) if asset is not None else None
    return record.object if record else None

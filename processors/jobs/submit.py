"""Accepting jobs: one, a group, or one that an earlier result already answers. Pure."""

import hashlib
from collections.abc import Iterable

import msgspec

from processors.accounts import ledger
from processors.accounts.entry import admitted, idempotency_use, ignore, refuse
from processors.accounts.state import Account
from processors.assets.purges import end_asset, live_asset
from processors.assets.state import Reuse, result_asset, reuse_key
from processors.draft import Draft
from processors.jobs.round import draw, live_job
from processors.overlay import typed
from schemas import commands as cmd
from schemas import events as ev
from schemas import refusals as no
from schemas.plans import AccountTerms, ModelTerms, Plan
from schemas.replies import GroupDecided, JobDecided, JobEndedAnswer

BULK_LANE = "batch"
STANDARD_LANE = "standard"
_encoder = msgspec.json.Encoder(order="deterministic")


class Priced(msgspec.Struct, frozen=True, gc=False):
    """A job that may be accepted: its model, lane and cost."""

    job: cmd.SubmitJob | cmd.GroupedJob
    model: ModelTerms
    lane: str
    cost: int


def submit_job(draft: Draft, command: cmd.SubmitJob) -> None:
    """Accept the job, reserve its price and release it if a slot is free; or refuse, and charge nothing."""
    account = draft.envelope.account
    opened = admitted(draft)
    if opened is None:
        return
    header, terms, plan = opened
    live = live_job(draft, account, command.job)
    if live is not None:
        ignore(draft, account, "job-exists", command.job)
        draft.answer(draft.envelope.reply, account, JobDecided(command.job, "accepted", live.cost, header.available))
        return
    priced = _priced(draft, command, terms, plan, bulk=command.bulk)
    if not isinstance(priced, Priced):
        refuse(draft, account, priced)
        return
    reuse = _content(draft, priced) if terms.reuse_ttl_ms else None
    if reuse is not None and _reused(draft, priced, reuse, terms, plan):
        return
    refusal = _full(header, terms, (priced,)) or ledger.refuse_reservation(header, terms, priced.cost, draft.time_ms)
    if refusal is not None:
        refuse(draft, account, refusal)
        return
    _accept(draft, priced, terms, plan, None, command.client_waits_until_ms, reuse)
    draw(draft, priced.lane)
    _answer(draft, command.job, "accepted", priced.cost, terms, plan)


def submit_group(draft: Draft, command: cmd.SubmitGroup) -> None:
    """Accept every job of the group or none; a refusal is that of the first job that cannot be accepted."""
    account = draft.envelope.account
    opened = admitted(draft)
    if opened is None:
        return
    header, terms, plan = opened
    jobs: list[Priced] = []
    for job in command.jobs:
        priced = _priced(draft, job, terms, plan, bulk=command.bulk)
        if not isinstance(priced, Priced):
            refuse(draft, account, priced)
            return
        jobs.append(priced)
    names = tuple(job.job for job in command.jobs)
    if len(set(names)) < len(names) or any(live_job(draft, account, name) is not None for name in names):
        ignore(draft, account, "job-exists", command.group)
        return
    cost = sum(priced.cost for priced in jobs)
    refusal = _full(header, terms, jobs) or ledger.refuse_reservation(header, terms, cost, draft.time_ms, len(jobs))
    if refusal is not None:
        refuse(draft, account, refusal)
        return
    costs = tuple(priced.cost for priced in jobs)
    balance = header.available - (cost if terms.uses_balance else 0)
    use = idempotency_use(draft, terms)
    draft.emit(account, ev.GroupAccepted(command.group, names, costs, cost, balance, plan.version, use))
    for priced in jobs:
        _accept(draft, priced, terms, plan, command.group, command.client_waits_until_ms, None)
    for lane in dict.fromkeys(priced.lane for priced in jobs):
        draw(draft, lane)
    answer = GroupDecided(command.group, names, costs, balance, draft.time_ms)
    draft.answer(draft.envelope.reply, account, answer)


def _answer(draft: Draft, job: str, status: str, cost: int, terms: AccountTerms, plan: Plan) -> None:
    """Tell what the account has after the job, and by which plan, so that nobody has to ask the read models."""
    account = draft.envelope.account
    header = draft.header(account)
    windows = ledger.used_windows(header, terms, draft.time_ms)
    balance, time_ms = header.available, draft.time_ms
    decided = JobDecided(job, status, cost, balance, time_ms, windows, header.plan, plan.version)
    draft.answer(draft.envelope.reply, account, decided)


def _priced(
    draft: Draft, job: cmd.SubmitJob | cmd.GroupedJob, terms: AccountTerms, plan: Plan, *, bulk: bool
) -> Priced | no.AnyRefusal:
    """The job with its price, or why it cannot be accepted whatever the account holds."""
    model = plan.models.get(job.model)
    if model is None or (model.products and draft.envelope.product not in model.products):
        return no.ModelUnknown(job.model)
    if job.model in terms.models_denied:
        return no.NotEntitled(job.model, None)
    for name, limit in terms.param_limits.items():
        value = job.params.get(name)
        if isinstance(value, int) and value > limit:
            return no.NotEntitled(name, limit)
    if model.takes_input and job.input is None:
        return no.InputRequired(job.model)
    if model.takes_mask and job.mask is None:
        return no.MaskRequired(job.model)
    for asset in (job.input, job.mask):
        if asset is not None and live_asset(draft, draft.envelope.account, asset) is None:
            return no.AssetUnknown(asset)
    return Priced(job, model, _lane(model, terms, bulk=bulk), model.cost.price(job.params))


def _lane(model: ModelTerms, terms: AccountTerms, *, bulk: bool) -> str:
    """A model of a lane of its own stays there; a plan may lift the rest, and batches step aside."""
    if model.lane != STANDARD_LANE:
        return model.lane
    return BULK_LANE if bulk else terms.lane or STANDARD_LANE


def _full(header: Account, terms: AccountTerms, jobs: Iterable[Priced]) -> no.QueueFull | None:
    queued: dict[str, int] = {}
    for priced in jobs:
        if priced.lane not in queued:
            use = header.lane(priced.lane)
            queued[priced.lane] = use.queued if use else 0
        queued[priced.lane] += 1
        if queued[priced.lane] > terms.queued_jobs_max:
            return no.QueueFull(terms.queued_jobs_max)
    return None


def _accept(
    draft: Draft,
    priced: Priced,
    terms: AccountTerms,
    plan: Plan,
    group: str | None,
    client_waits_until_ms: int | None,
    reuse: str | None,
) -> None:
    account, job, model = draft.envelope.account, priced.job, priced.model
    header = draft.header(account)
    use = header.lane(priced.lane)
    units = priced.cost if terms.uses_balance else 0
    balance = header.available - units
    draft.emit(
        account,
        ev.JobAccepted(
            job=job.job,
            model=job.model,
            engine=model.engine,
            engine_version=model.engine_version,
            lane=priced.lane,
            params=job.params,
            input=job.input,
            sealed=job.sealed,
            cost=priced.cost,
            plan=header.plan,
            plan_version=plan.version,
            attempts_max=model.attempts_max,
            run_deadline_ms=model.run_deadline_ms,
            in_flight_jobs_max=terms.lane_in_flight_jobs_max.get(priced.lane, terms.in_flight_jobs_max),
            queue_number=use.tail if use else 0,
            queue_until_ms=draft.time_ms + terms.queue_ttl_ms,
            client_waits_until_ms=client_waits_until_ms,
            balance=balance,
            reply=draft.envelope.reply,
            idempotency=idempotency_use(draft, terms) if group is None else None,
            mask=job.mask,
            sealed_at=job.sealed_at if isinstance(job, cmd.GroupedJob) else None,
            group=group,
            weight=terms.weight,
            reuse=reuse,
            original_purged=terms.originals == "purge" and job.input is not None,
        ),
    )
    windows = ledger.windows_of(terms, draft.time_ms)
    lots = ledger.lots_for(header, units)
    draft.emit(account, ev.CreditsReserved(job.job, units, windows, plan.version, balance, lots))
    if terms.thresholds:
        for reached in ledger.thresholds_reached(header, draft.header(account), terms, draft.time_ms):
            draft.emit(account, reached)


def _content(draft: Draft, priced: Priced) -> str | None:
    """What makes two jobs of an account identical: bytes, model and version, parameters, personal parts."""
    job, account = priced.job, draft.envelope.account
    hashes = []
    for asset in (job.input, job.mask):
        record = live_asset(draft, account, asset) if asset is not None else None
        hashes.append(record.object.sha256 if record else None)
    model = priced.model
    parts = [job.model, model.engine, model.engine_version, job.params, *hashes, job.content]
    return hashlib.sha256(_encoder.encode(parts)).hexdigest()[:40]


def _reused(draft: Draft, priced: Priced, reuse: str, terms: AccountTerms, plan: Plan) -> bool:
    """Answer with an identical job's result, where one is still there."""
    account, job, model = draft.envelope.account, priced.job, priced.model
    entry = typed(draft.get(reuse_key(account, reuse)), Reuse)
    if entry is None or entry.until_ms <= draft.time_ms:
        return False
    earlier = live_asset(draft, account, entry.asset)
    if earlier is None:
        return False
    header = draft.header(account)
    reused = ev.JobReused(
        job=job.job,
        model=job.model,
        engine=model.engine,
        engine_version=model.engine_version,
        lane=priced.lane,
        params=job.params,
        input=job.input,
        sealed=job.sealed,
        plan=header.plan,
        plan_version=plan.version,
        of=entry.job,
        asset=result_asset(job.job),
        number=header.assets + 1,
        result=earlier.object,
        balance=header.available,
        idempotency=idempotency_use(draft, terms),
        mask=job.mask,
        thumbnail=earlier.thumbnail,
        expires_ms=None if terms.results_ttl_ms is None else draft.time_ms + terms.results_ttl_ms,
    )
    draft.emit(account, reused)
    _answer(draft, job.job, "succeeded", 0, terms, plan)
    original = live_asset(draft, account, job.input) if job.input is not None else None
    if terms.originals == "purge" and job.input is not None and original is not None:
        end_asset(draft, account, job.input, original, "original-processed")
    ended = JobEndedAnswer(
        job.job,
        "succeeded",
        0,
        header.available,
        reused.asset,
        reused.result,
        thumbnail=reused.thumbnail,
        number=reused.number,
        ended_ms=draft.time_ms,
        reused_of=reused.of,
    )
    draft.answer(draft.envelope.reply, account, ended)
    return True

"""Whether jobs would be accepted: the decider's questions, in its order, over what the read models say. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from infra.postgres.spending import Spending
from ingest.jobs import CheckedJob
from ingest.ports import Size
from schemas import refusals as no
from schemas.amounts import window_end_ms, window_start_ms
from schemas.plans import AccountTerms, Plan
from schemas.spendable import spendable_units

_BULK_LANE, _STANDARD_LANE = "batch", "standard"


class Standing(msgspec.Struct, frozen=True):
    """What the account has at the time of the answer."""

    terms: AccountTerms
    plan: Plan
    spendable: int
    used: Mapping[tuple[str, int], int]
    waiting: Mapping[str, int]
    time_ms: int


def standing_at(spending: Spending, terms: AccountTerms, time_ms: int) -> Standing:
    """What the account has at that time: with what has been regenerated, without what has expired."""
    spendable = terms.opening_credits
    if spending.available is not None:
        spendable = spendable_units(
            available=spending.available,
            regeneration=terms.regeneration,
            since_ms=spending.since_ms,
            lots=spending.lots,
            time_ms=time_ms,
        )
    used = {(kind, start_ms): units for kind, start_ms, units in spending.windows}
    return Standing(terms, spending.plan, spendable, used, spending.waiting, time_ms)


def job_refusal(job: CheckedJob, product: str, standing: Standing, sizes: Mapping[str, Size]) -> no.AnyRefusal | None:
    """Why the job alone would be refused by the plan in force, or None."""
    terms, model = standing.terms, standing.plan.models.get(job.model)
    if model is None or (model.products and product not in model.products):
        return no.ModelUnknown(job.model)
    if job.model in terms.models_denied:
        return no.NotEntitled(job.model, None)
    for name, limit in terms.param_limits.items():
        value = job.params.values.get(name)
        if isinstance(value, int) and value > limit:
            return no.NotEntitled(name, limit)
    for asset in job.assets:
        if asset and asset not in sizes:
            return no.AssetUnknown(asset)
    return None


def refusal_of_all(cost: int, lanes: Sequence[str], standing: Standing) -> no.AnyRefusal | None:
    """Why jobs of these lanes that cost so much together would be refused, or None."""
    terms = standing.terms
    for lane in dict.fromkeys(lanes):
        if standing.waiting.get(lane, 0) + lanes.count(lane) > terms.queued_jobs_max:
            return no.QueueFull(terms.queued_jobs_max)
    for window in terms.windows:
        used = standing.used.get((window.kind, window_start_ms(window.kind, standing.time_ms)), 0)
        if used + len(lanes) > window.limit:
            return no.QuotaExceeded(window.kind, window.limit, used, window_end_ms(window.kind, standing.time_ms))
    if terms.uses_balance and cost > standing.spendable:
        return no.InsufficientCredits(cost, standing.spendable)
    return None


def lane_of(slug: str, standing: Standing, *, bulk: bool) -> str:
    """The lane that a job with this model would go by."""
    lane = standing.plan.models[slug].lane
    if lane != _STANDARD_LANE:
        return lane
    return _BULK_LANE if bulk else standing.terms.lane or _STANDARD_LANE

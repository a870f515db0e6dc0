"""POST /v1/estimate: what jobs would cost and whether they would be accepted, without writing anything.

What is asked is what the decider asks, in its order, over the read models instead of its state; so the answer may be
outrun by other requests, and by an earlier result that is used again for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from infra.http.answers import JsonAnswer
from infra.http.auth import caller_of
from infra.http.problems import Problem, bad_field
from infra.http.refusals import problem_of, rfc3339
from infra.http.requests import decode_json, json_bytes
from infra.http.routing import port_of
from ingest.envelopes import unavailable
from ingest.estimates import Standing, job_refusal, lane_of, refusal_of_all, standing_at
from ingest.intake import Intake, Who, caller_as_who
from ingest.jobs import CheckedJob, input_problem
from ingest.ports import Size
from ingest.shapes import JobRequest, job_decoder
from schemas import refusals as no
from schemas.amounts import WindowKind, window_end_ms, window_start_ms
from schemas.identifiers import partition_of

ESTIMATE_JOBS_MAX = 1_000


class _Asked(msgspec.Struct, frozen=True):
    jobs: list[msgspec.Raw] | None = None


_asked_decoder = msgspec.json.Decoder(_Asked)


async def estimate(request: Request) -> Response:
    """POST /v1/estimate: 200, also for jobs that would be refused."""
    intake = port_of(request, Intake)
    who = caller_as_who(caller_of(request))
    body = await json_bytes(request)
    items = decode_json(body, _asked_decoder).jobs
    several = items is not None
    jobs = [_checked(intake, who, item) for item in (items if items is not None else [msgspec.Raw(body)])]
    if not 1 <= len(jobs) <= ESTIMATE_JOBS_MAX:
        raise bad_field("jobs", f"Send 1 to {ESTIMATE_JOBS_MAX} jobs at a time, not {len(jobs)}.")
    standing = await _standing(intake, who)
    assets = {asset for job in jobs if isinstance(job, CheckedJob) for asset in job.assets}
    sizes = await intake.sizes.of(who.account, assets) if assets else {}
    priced = [_priced(job, who.product, standing, sizes) for job in jobs]
    return JsonAnswer(200, _document(jobs, priced, standing, bulk=several))


def _checked(intake: Intake, who: Who, item: msgspec.Raw) -> CheckedJob | Problem:
    try:
        body: JobRequest = decode_json(item, job_decoder)
        return intake.params.job(body, who.product)
    except Problem as problem:
        return problem


async def _standing(intake: Intake, who: Who) -> Standing:
    """As of the account's last write through this gateway. Raises Problem 503 where the read models do not say."""
    last = intake.ports.last_positions.of(who.account)
    if last is not None and not await intake.caught_up(last):
        raise unavailable("The read models are behind; try again.", code="behind")
    partition = partition_of(who.account, intake.ports.partitions)
    spending = await intake.ports.read_side.spending(who.account, partition)
    if spending is None:
        raise unavailable("The read models do not answer now; try again.")
    terms = spending.plan.terms(who.product, spending.plan_name or who.plan)
    if terms is None:
        raise problem_of(no.PlanMissing(who.product), 0)
    return standing_at(spending, terms, intake.ports.clock.now_ms())


def _priced(job: CheckedJob | Problem, product: str, standing: Standing, sizes: Mapping[str, Size]) -> int | Problem:
    """The job's price, or why it cannot be accepted whatever the account holds."""
    if isinstance(job, Problem):
        return job
    refusal = job_refusal(job, product, standing, sizes)
    if refusal is not None:
        return problem_of(refusal, standing.time_ms)
    wrong = input_problem(job, sizes)
    return wrong if wrong is not None else standing.plan.models[job.model].cost.price(job.params.values)


def _document(
    jobs: Sequence[CheckedJob | Problem], priced: Sequence[int | Problem], standing: Standing, *, bulk: bool
) -> dict[str, Any]:
    cost, lanes, wrong = 0, [], None
    for job, price in zip(jobs, priced, strict=True):
        if isinstance(price, Problem):
            wrong = wrong or price
        elif isinstance(job, CheckedJob):
            cost += price
            lanes.append(lane_of(job.model, standing, bulk=bulk))
    refusal = refusal_of_all(cost, lanes, standing)
    if wrong is None and refusal is not None:
        wrong = problem_of(refusal, standing.time_ms)
    return {
        "cost": cost,
        "jobs": [_estimated(price) for price in priced],
        "balance": standing.spendable if standing.terms.uses_balance else None,
        "quota": [_remaining(window.kind, window.limit, standing) for window in standing.terms.windows],
        "accepted": wrong is None,
        "problem": None if wrong is None else wrong.document(None),
    }


def _estimated(price: int | Problem) -> dict[str, Any]:
    if isinstance(price, Problem):
        return {"cost": None, "problem": price.document(None)}
    return {"cost": price, "problem": None}


def _remaining(kind: WindowKind, limit: int, standing: Standing) -> dict[str, Any]:
    used = standing.used.get((kind, window_start_ms(kind, standing.time_ms)), 0)
    return {
        "window": kind,
        "limit": limit,
        "used": used,
        "remaining": max(0, limit - used),
        "resets_at": rfc3339(window_end_ms(kind, standing.time_ms)),
    }

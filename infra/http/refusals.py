"""Refusals of the decider as problem documents of the native surface: one table, complete by test.

Whoever writes shows them at once; whoever reads shows them for a command that was refused after its 202.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any

from infra.http.problems import FieldError, Problem, bad_field
from schemas import refusals as no

_QUEUE_FULL_RETRY_S = 10
_PLAN_MISSING_RETRY_S = 5


def problem_of(refusal: no.AnyRefusal, now_ms: int) -> Problem:
    """The answer to a refused command; `now_ms` is what Retry-After counts from."""
    problem = REFUSALS[type(refusal)](refusal, now_ms)
    problem.refusal = refusal
    return problem


def _insufficient_credits(refusal: no.InsufficientCredits, _: int) -> Problem:
    detail = f"This costs {refusal.required} and {refusal.available} can be spent; nothing was charged."
    extra = {"required": refusal.required, "available": refusal.available}
    return Problem(402, "insufficient-credits", detail, extra=extra)


def _quota_exceeded(refusal: no.QuotaExceeded, now_ms: int) -> Problem:
    resets_at = rfc3339(refusal.resets_ms)
    detail = f"The plan allows {refusal.limit} a {refusal.window}; the next {refusal.window} begins at {resets_at}."
    extra = {"window": refusal.window, "limit": refusal.limit, "used": refusal.used, "resets_at": resets_at}
    retry_s = max(1, -(-(refusal.resets_ms - now_ms) // 1000))
    return Problem(429, "quota-exceeded", detail, headers={"Retry-After": str(retry_s)}, extra=extra)


def _queue_full(refusal: no.QueueFull, _: int) -> Problem:
    detail = f"{refusal.limit} jobs of the account wait already; try again when some have ended."
    headers = {"Retry-After": str(_QUEUE_FULL_RETRY_S)}
    return Problem(429, "queue-full", detail, headers=headers, extra={"limit": refusal.limit})


def _idempotency_mismatch(refusal: no.IdempotencyMismatch, _: int) -> Problem:
    message = "This key was used with other content; use a new one."
    detail = f"The Idempotency-Key was used with other content, which made {refusal.made}; use a new key."
    errors = [FieldError("Idempotency-Key", message)]
    return Problem(422, "idempotency-mismatch", detail, errors=errors, extra={"made": refusal.made})


def _model_unknown(refusal: no.ModelUnknown, _: int) -> Problem:
    return bad_field("model", f"There is no model {refusal.model}; GET /v1/models lists all.", code="model-unknown")


def _asset_unknown(refusal: no.AssetUnknown, _: int) -> Problem:
    message = f"The account has no asset {refusal.asset}; upload it to /v1/assets first."
    return bad_field("input.asset", message, code="asset-unknown")


def _input_required(refusal: no.InputRequired, _: int) -> Problem:
    return bad_field("input", f"{refusal.model} works on a picture; name one of your assets.", code="input-required")


def _mask_required(refusal: no.MaskRequired, _: int) -> Problem:
    message = f"{refusal.model} needs a mask; name one of your assets."
    return bad_field("input.mask", message, code="mask-required")


def _not_entitled(refusal: no.NotEntitled, _: int) -> Problem:
    at_most = "" if refusal.limit is None else f" above {refusal.limit}"
    detail = f"The account's plan does not include {refusal.what}{at_most}; another plan may."
    return Problem(403, "not-entitled", detail, extra={"what": refusal.what, "limit": refusal.limit})


def _album_unknown(refusal: no.AlbumUnknown, _: int) -> Problem:
    return Problem(404, "album-unknown", f"The account has no album {refusal.album}.")


def _albums_full(refusal: no.AlbumsFull, _: int) -> Problem:
    detail = f"The plan allows {refusal.limit} albums; delete one first."
    return Problem(409, "albums-full", detail, extra={"limit": refusal.limit})


def _plan_unknown(refusal: no.PlanUnknown, _: int) -> Problem:
    return bad_field("plan", f"The account's product has no plan {refusal.plan}.", code="plan-unknown")


def _job_unknown(refusal: no.JobUnknown, _: int) -> Problem:
    return Problem(404, "job-unknown", f"The account has no job {refusal.job}.")


def _job_ended(refusal: no.JobEnded, _: int) -> Problem:
    detail = f"The job {refusal.job} has ended ({refusal.status}) and cannot be canceled."
    return Problem(409, "job-ended", detail, extra={"job_status": refusal.status})


def _charge_unknown(refusal: no.ChargeUnknown, _: int) -> Problem:
    detail = f"No charge of the job {refusal.job} is known: it has not succeeded, or too long ago; a grant can make up."
    return Problem(404, "charge-unknown", detail)


def _nothing_charged(refusal: no.NothingCharged, _: int) -> Problem:
    return Problem(409, "nothing-charged", f"The job {refusal.job} cost nothing, so nothing can be given back.")


def _already_refunded(refusal: no.AlreadyRefunded, _: int) -> Problem:
    return Problem(409, "already-refunded", f"The charge of the job {refusal.job} was given back before.")


def _grant_below_zero(refusal: no.GrantBelowZero, _: int) -> Problem:
    message = f"{refusal.available} can be spent, so no more than that can be taken back."
    return bad_field("amount", message, code="grant-below-zero")


def _grant_expired(refusal: no.GrantExpired, _: int) -> Problem:
    message = f"A grant that expires adds units and expires in the future, not at {rfc3339(refusal.expires_ms)}."
    return bad_field("expires_at", message, code="grant-expired")


def _grants_full(refusal: no.GrantsFull, _: int) -> Problem:
    detail = f"The account holds {refusal.limit} grants with an expiry or a priority already; no more are possible."
    return Problem(409, "grants-full", detail, extra={"limit": refusal.limit})


def _grant_too_large(refusal: no.GrantTooLarge, _: int) -> Problem:
    return bad_field("amount", f"An account holds at most {refusal.balance_max} units.", code="grant-too-large")


def _plan_version_reused(refusal: no.PlanVersionReused, _: int) -> Problem:
    detail = f"A plan of version {refusal.version} with other content is in force; raise the version."
    return Problem(409, "plan-version-reused", detail)


def _plan_missing(refusal: no.PlanMissing, _: int) -> Problem:
    detail = f"No plan for {refusal.product} has been published yet; try again, or tell the operator."
    return Problem(503, "plan-missing", detail, headers={"Retry-After": str(_PLAN_MISSING_RETRY_S)})


REFUSALS: Mapping[type[Any], Callable[[Any, int], Problem]] = {
    no.InsufficientCredits: _insufficient_credits,
    no.QuotaExceeded: _quota_exceeded,
    no.QueueFull: _queue_full,
    no.IdempotencyMismatch: _idempotency_mismatch,
    no.ModelUnknown: _model_unknown,
    no.AssetUnknown: _asset_unknown,
    no.InputRequired: _input_required,
    no.MaskRequired: _mask_required,
    no.NotEntitled: _not_entitled,
    no.AlbumUnknown: _album_unknown,
    no.AlbumsFull: _albums_full,
    no.PlanUnknown: _plan_unknown,
    no.JobUnknown: _job_unknown,
    no.JobEnded: _job_ended,
    no.ChargeUnknown: _charge_unknown,
    no.NothingCharged: _nothing_charged,
    no.AlreadyRefunded: _already_refunded,
    no.GrantBelowZero: _grant_below_zero,
    no.GrantExpired: _grant_expired,
    no.GrantsFull: _grants_full,
    no.GrantTooLarge: _grant_too_large,
    no.PlanVersionReused: _plan_version_reused,
    no.PlanMissing: _plan_missing,
}


def rfc3339(time_ms: int) -> str:
    """The second of a time, as `2026-01-31T12:00:00Z`."""
    moment = datetime.datetime.fromtimestamp(time_ms / 1000, tz=datetime.UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")

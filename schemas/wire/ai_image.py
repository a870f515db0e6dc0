"""Document 000, ai-image: its words and answers, and what its surface is. Pure.

What is beside it: `ai_image_request`, the form of a job, and `ai_image_errors`, all that can go wrong, in German.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from schemas.amounts import WindowKind, window_end_ms, window_start_ms
from schemas.cloudevents import rfc3339
from schemas.plans import AccountTerms, Plan
from schemas.wire.ai_image_errors import ErrorAnswer, Exact, fault
from schemas.wire.ai_image_request import FORM, JobsQuery, Status
from schemas.wire.surface import MULTIPART, Described, Limit, Surface

PRODUCT, GUEST = "ai-image", "guest"
STATUSES: Mapping[Status, tuple[str, ...]] = {
    "queued": ("accepted", "queued"),
    "processing": ("running",),
    "succeeded": ("succeeded",),
    "failed": ("failed", "expired"),
    "canceled": ("canceled",),
}
"""The document's words, and the core's that they stand for."""
_WORDS: Mapping[str, Status] = {core: word for word, cores in STATUSES.items() for core in cores}
_JOB_ID = re.compile("job_[a-z2-7]{26}")


def status_word(core: str) -> Status:
    """The document's word for a status of the core; what is not decided yet waits too."""
    return _WORDS.get(core, "queued")


def is_job_id(text: str) -> bool:
    """Whether this can be the id of a job; the document's ids are those of the core."""
    return _JOB_ID.fullmatch(text) is not None


def owner_type(plan: str) -> Literal["user", "guest"]:
    """Whether the caller under this plan is a user or a guest."""
    return "guest" if plan == GUEST else "user"


def owner_header(plan: str) -> tuple[bytes, bytes]:
    """The header by which every answer says so."""
    return b"x-usage-ownertype", owner_type(plan).encode()


def usage_document(terms: AccountTerms, windows: Iterable[tuple[str, int, int]], time_ms: int) -> dict[str, Any]:
    """The document of `Usage`: the plan's first window, or else the first that is used up, with its end."""
    used = {(kind, start_ms): units for kind, start_ms, units in windows}
    shown: list[dict[str, Any]] = []
    for window in terms.windows:
        units = used.get((window.kind, window_start_ms(window.kind, time_ms)), 0)
        resets_at = rfc3339(window_end_ms(window.kind, time_ms)) if units >= window.limit else None
        shown.append({"used": units, "limit": window.limit, "resetAt": resets_at})
    return next((one for one in shown if one["resetAt"]), shown[0] if shown else unknown_usage(terms))


def unknown_usage(terms: AccountTerms) -> dict[str, Any]:
    """The document of `Usage` where nobody says what is used."""
    return {"used": None, "limit": terms.windows[0].limit if terms.windows else None, "resetAt": None}


def limits_document(plan: Plan) -> dict[str, Any]:
    """The document of `Limits`: what is free a day."""
    named = {"user": plan.terms(PRODUCT, "default"), "guest": plan.terms(PRODUCT, GUEST)}
    return {owner: None if terms is None else _limit(terms, "day") for owner, terms in named.items()}


def entitlements_document(terms: AccountTerms) -> dict[str, Any]:
    """The document of `Entitlements`."""
    return {
        "dailyBurstCap": _limit(terms, "day"),
        "monthlyImages": _limit(terms, "month"),
        "maxUpscale": terms.param_limits.get("scale", 4),
        "faceEnhance": terms.param_limits.get("face_enhance", 1) > 0,
    }


def _limit(terms: AccountTerms, kind: WindowKind) -> int | None:
    return next((window.limit for window in terms.windows if window.kind == kind), None)


def time_or_none(time_ms: int | None) -> str | None:
    """A time as `2025-01-15T10:30:00.000Z`."""
    return None if time_ms is None else rfc3339(time_ms)


class Usage(Exact):
    """What the owner has used; `resetAt` is there while a window is used up. `used` is null where nobody knows it."""

    used: int | None
    limit: int | None
    resetAt: str | None


class Limits(Exact):
    """Free jobs a day, by type of owner."""

    user: int | None
    guest: int | None


class Entitlements(Exact):
    """What the owner's plan includes; null: no limit of that kind."""

    dailyBurstCap: int | None
    monthlyImages: int | None
    maxUpscale: int
    faceEnhance: bool


class Charge(Exact):
    """`reused`: an identical earlier job's result, which counts in no window."""

    type: Literal["free", "reused"]
    amount: Literal[0]


class _Submitted(Exact):
    jobId: str
    model: str
    originalUrl: str
    usage: Usage
    limits: Limits
    entitlements: Entitlements
    charge: Charge


class Generated(_Submitted):
    """A finished job."""

    imageUrl: str


class Pending(_Submitted):
    """A job that goes on; GET /api/ai-image/jobs/{id} tells its end."""

    imageUrl: None
    status: Literal["queued", "processing"]


class GenerateAnswer(Exact):
    """The picture is there."""

    success: Literal[True]
    data: Generated


class PendingAnswer(Exact):
    """The picture is not there yet."""

    success: Literal[True]
    data: Pending


class UsageData(Exact):
    """How the caller stands."""

    ownerType: Literal["user", "guest"]
    usage: Usage
    limits: Limits


class UsageAnswer(Exact):
    """Answer of GET usage."""

    success: Literal[True]
    data: UsageData


class JobRow(Exact):
    """A job in the list."""

    id: str
    status: Status
    model: str
    createdAt: str
    completedAt: str | None
    imageUrl: str | None
    originalUrl: str | None


class Jobs(Exact):
    """A page of jobs, newest first; `total` counts all that the filter takes."""

    jobs: list[JobRow]
    total: int
    hasMore: bool


class JobsAnswer(Exact):
    """Answer of GET jobs."""

    success: Literal[True]
    data: Jobs


class Job(JobRow):
    """All of a job. `provider` is the engine that served it, `providerJobId` its request there, sizes are in bytes."""

    scale: int | None
    faceEnhance: bool
    prompt: str | None
    startedAt: str | None
    errorMessage: str | None
    provider: str | None
    providerJobId: str | None
    inputSize: int | None
    outputSize: int | None


class JobAnswer(Exact):
    """Answer of GET jobs/{id}."""

    success: Literal[True]
    data: Job


class Canceled(Exact):
    """A canceled job; `canceledAt` is null where the decision is still under way."""

    id: str
    status: Status
    canceledAt: str | None


class CancelAnswer(Exact):
    """Answer of POST jobs/{id}/cancel."""

    success: Literal[True]
    data: Canceled


SURFACE = Surface(
    product=PRODUCT,
    title="Document 000: ai-image",
    summary="Upscaling, faces and image to image, for users and guests. Messages are German.",
    prefixes=("/api/ai-image",),
    fault=fault,
    error_model=ErrorAnswer,
    guest_cookie="guest_id",
    csrf="double-submit",
)
_ERRORS = (400, 401, 403, 429, 500, 503)
_JOB = {"id": "The job, `job_…`."}
GENERATE = Described(
    name="ai-image-generate",
    summary="Enhance a picture",
    description="Waits up to 30 s for the result (`Prefer: wait=N` and `respond-async` change that), then answers 202. "
    "`scale` is for real-esrgan (2 without it), `face_enhance` for gfpgan and codeformer, the rest for img2img models; "
    "others check and ignore those.",
    answers={200: GenerateAnswer, 202: PendingAnswer},
    errors=(*_ERRORS, 408, 409, 410),
    body=FORM,
    media=MULTIPART,
    limits=(
        Limit("ai-image-generate", 15, 60, "account"),
        Limit("guest-jobs-a-day", 30, 86_400, "guest-address"),
    ),
)
USAGE = Described(
    name="ai-image-usage",
    summary="What is used and what is free",
    answers={200: UsageAnswer},
    errors=_ERRORS,
)
JOBS = Described(
    name="ai-image-jobs",
    summary="The caller's jobs, newest first",
    answers={200: JobsAnswer},
    errors=_ERRORS,
    query=JobsQuery,
)
JOB = Described(
    name="ai-image-job",
    summary="One job",
    answers={200: JobAnswer},
    errors=(*_ERRORS, 404),
    path=_JOB,
)
CANCEL = Described(
    name="ai-image-cancel",
    summary="Cancel a job that has not ended",
    description="Its unit of the quota comes back.",
    answers={200: CancelAnswer, 202: CancelAnswer},
    errors=(*_ERRORS, 404, 409),
    path=_JOB,
)

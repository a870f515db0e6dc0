"""Document 003, workspace-images: the answers, errors, limits and words of POST /api/ai/images. Pure.

Each picture is a generation record; its money comes from the core and is only shown here, in credits. The document
shows no bodies: the shapes are ours (design section 11). `schemas.wire.workspace_images_request` has the request.
"""

import uuid
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

from msgspec.structs import asdict
from pydantic import BaseModel, ConfigDict, Field

from schemas import refusals as no
from schemas.cloudevents import rfc3339
from schemas.wire.surface import HOUR_S, MINUTE_S, Described, Fault, FieldFault, Limit, Surface, WireAnswer
from schemas.wire.workspace_images_request import ImagesHeaders, ImagesRequest, Wanted, Wrong, told

Status = Literal["PENDING", "COMPLETED", "FAILED"]
_NAMES = uuid.UUID("6f0c3a9e-6d0b-5b7e-9a53-7f1f5f0f2f51")  # the namespace of records' and users' ids
_RETRY_S = 20  # after engines were away for that long


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")


class GenerationRecord(_Document):
    """The record of one picture. `result` is its URL, `credits` what was charged for it."""

    id: uuid.UUID
    workspaceId: uuid.UUID
    userId: uuid.UUID
    type: Literal["IMAGE"]
    model: Literal["dall-e-3", "dall-e-2", "imagen-3"]
    provider: Literal["openai", "google"]
    prompt: str
    result: str | None
    tokens: int
    credits: int
    status: Status
    error: str | None
    createdAt: str
    completedAt: str | None


class GeneratedImage(_Document):
    """A picture that is ready."""

    url: str
    generationId: uuid.UUID


class FailedGeneration(_Document):
    """A picture that could not be made; nothing is charged for it."""

    generationId: uuid.UUID
    code: str
    message: str


class ImagesData(_Document):
    """All records of the request; `errors` is there where some failed. Without a decision nobody knows the credits."""

    generations: list[GenerationRecord] = Field(min_length=1)
    images: list[GeneratedImage]
    creditsUsed: int
    creditsRemaining: int | None
    errors: list[FailedGeneration] = Field(default_factory=list, min_length=1)


class ImagesAnswer(_Document):
    """200: everything has ended. 202: the same shape while some are PENDING; a repeat under the key tells the rest."""

    success: Literal[True]
    data: ImagesData


class ImagesFieldError(_Document):
    """What is wrong with one field or header."""

    field: str
    message: str


class ImagesError(_Document):
    """What went wrong; `required` and `available` credits stand in 402 alone."""

    code: str
    message: str
    details: list[ImagesFieldError]
    required: int = 0
    available: int = 0


class ImagesErrorAnswer(_Document):
    """Every answer that is no success."""

    error: ImagesError


def generation(
    asked: Wanted,
    *,
    job: str,
    user: str,
    status: Status,
    created_ms: int,
    ended_ms: int | None = None,
    url: str | None = None,
    charged: int = 0,
    message: str | None = None,
) -> dict[str, Any]:
    """The document of `GenerationRecord`; the same job and user have the same ids at all times."""
    return {
        "id": record_id(job),
        "workspaceId": asked.workspace,
        "userId": _user_id(user),
        "type": "IMAGE",
        "model": asked.model,
        "provider": asked.provider,
        "prompt": asked.prompt,
        "result": url,
        "tokens": 0,
        "credits": charged,
        "status": status,
        "error": message,
        "createdAt": rfc3339(created_ms),
        "completedAt": None if ended_ms is None else rfc3339(ended_ms),
    }


def record_id(job: str) -> str:
    """The UUID of a job's generation record."""
    return str(uuid.uuid5(_NAMES, f"generation {job}"))


@lru_cache(maxsize=4_096)
def _user_id(user: str) -> str:
    return str(uuid.uuid5(_NAMES, f"user {user}"))


def failure(reason: str) -> tuple[str, str]:
    """(code, message) of a picture that was not made, by the core's word for why, or for how the job ended."""
    return _FAILURES.get(reason, ("INTERNAL_ERROR", "The image could not be generated; nothing was charged."))


def all_failed(reasons: Sequence[str]) -> WireAnswer:
    """The answer where no picture was made: 503 where no engine could serve, 409 where all were canceled, else 500."""
    if "engine-unavailable" in reasons:
        answer = error(503, *failure("engine-unavailable"))
        return WireAnswer(status=503, document=answer.document, headers=(("retry-after", str(_RETRY_S)),))
    if set(reasons) == {"canceled"}:
        return error(409, *failure("canceled"))
    return error(500, *failure(""))


_FAILURES: Mapping[str, tuple[str, str]] = {
    "engine-unavailable": ("PROVIDER_UNAVAILABLE", "The provider is not available at the moment; nothing was charged."),
    "canceled": ("CANCELED", "The generation was canceled; nothing was charged."),
    "expired": ("TIMEOUT", "The generation waited too long and was ended; nothing was charged."),
}


def error(status: int, code: str, message: str, fields: Sequence[FieldFault] = (), **more: int) -> WireAnswer:
    """An error in the shape of `ImagesErrorAnswer`."""
    details = [{"field": field.field, "message": field.message} for field in fields]
    return WireAnswer(status=status, document={"error": {"code": code, "message": message, "details": details, **more}})


def invalid(wrong: Wrong) -> WireAnswer:
    """400 for a request that is wrong."""
    return error(400, wrong.code, wrong.message, wrong.fields)


def no_workspace() -> WireAnswer:
    """404 for a workspace that is not there, or not the caller's: nobody learns which."""
    return error(404, "NOT_FOUND", "There is no such workspace.")


def fault(found: Fault) -> WireAnswer:
    """Whatever else goes wrong, in the contract's shape and words."""
    if found.refusal is not None:
        return _refused(found.refusal)
    status = 400 if found.status == 422 else found.status
    code, message = _STATUSES.get(status) or _STATUSES[400 if status < 500 else 503]
    fields = [FieldFault(field.field.removeprefix("params."), field.message) for field in found.fields]
    if fields:
        message = told(fields)
    elif status == 401:
        message = found.detail
    elif status == 429:
        message = f"Rate limit exceeded; try again in {found.retry_after_s or 1} s."
    return error(status, code, _CODES.get(found.code, message), fields)


def _refused(refusal: no.AnyRefusal) -> WireAnswer:
    status, code, template, field = _REFUSALS[type(refusal)]
    values = asdict(refusal)
    message = template.format(**values)
    more = values if isinstance(refusal, no.InsufficientCredits) else {}
    return error(status, code, message, [FieldFault(field, message)] if field else (), **more)


_CODES: Mapping[str, str] = {
    "outcome-unknown": "It is not known whether this was accepted; repeat it with the Idempotency-Key of this answer.",
    "overloaded": "Too many requests are under way; try again.",
}
_STATUSES: Mapping[int, tuple[str, str]] = {
    400: ("VALIDATION_ERROR", "The request is not valid."),
    401: ("UNAUTHORIZED", "Send a token as Authorization: Bearer."),
    403: ("FORBIDDEN", "This is not allowed."),
    404: ("NOT_FOUND", "There is nothing here."),
    405: ("METHOD_NOT_ALLOWED", "This method is not possible here; Allow lists what is."),
    408: ("REQUEST_TIMEOUT", "The request did not come in time."),
    409: ("CONFLICT", "The request does not fit what is there."),
    410: ("GONE", "This is no longer here."),
    411: ("LENGTH_REQUIRED", "Say how long the body is."),
    413: ("PAYLOAD_TOO_LARGE", "The body is too large."),
    414: ("URI_TOO_LONG", "The address is too long."),
    415: ("UNSUPPORTED_MEDIA_TYPE", "Send the body as Content-Type: application/json."),
    429: ("RATE_LIMIT_EXCEEDED", "Rate limit exceeded."),
    431: ("HEADERS_TOO_LARGE", "The headers are too large."),
    500: ("INTERNAL_ERROR", "The request failed on our side; a repeat with its Idempotency-Key is charged once."),
    503: ("SERVICE_UNAVAILABLE", "The service is not available at the moment; try again."),
}

_CONFLICT, _NOT_FOUND, _INVALID = (409, "CONFLICT"), (404, "NOT_FOUND"), (400, "VALIDATION_ERROR")
_REFUSALS: Mapping[type[Any], tuple[int, str, str, str]] = {  # status, code, message, and the field that is wrong
    no.InsufficientCredits: (
        402,
        "INSUFFICIENT_CREDITS",
        "Insufficient credits: {required} are required and {available} available; nothing was charged.",
        "",
    ),
    no.QuotaExceeded: (429, "RATE_LIMIT_EXCEEDED", "The workspace may have {limit} images a {window}.", ""),
    no.QueueFull: (429, "RATE_LIMIT_EXCEEDED", "{limit} images of the workspace wait already; try again later.", ""),
    no.IdempotencyMismatch: (*_CONFLICT, "This key was used with another request; use a new one.", "Idempotency-Key"),
    no.ModelUnknown: (*_INVALID, "The model {model} is not offered here.", "model"),
    no.NotEntitled: (403, "FORBIDDEN", "The workspace's plan does not include {what}.", ""),
    no.PlanMissing: (503, "SERVICE_UNAVAILABLE", "The service is not ready; try again.", ""),
    no.InputRequired: (*_INVALID, "The model {model} needs a picture, which cannot be sent here.", "model"),
    no.MaskRequired: (*_INVALID, "The model {model} needs a mask, which cannot be sent here.", "model"),
    no.PlanUnknown: (*_INVALID, "There is no plan {plan}.", "plan"),
    no.GrantBelowZero: (*_INVALID, "No more than {available} credits can be taken back.", "amount"),
    no.GrantExpired: (*_INVALID, "Credits that expire have to expire in the future.", "expires_at"),
    no.GrantTooLarge: (*_INVALID, "A workspace holds at most {balance_max} credits.", "amount"),
    no.AssetUnknown: (*_NOT_FOUND, "There is no such image.", ""),
    no.AlbumUnknown: (*_NOT_FOUND, "There is no such album.", ""),
    no.JobUnknown: (*_NOT_FOUND, "There is no such generation.", ""),
    no.ChargeUnknown: (*_NOT_FOUND, "No charge of this generation is known.", ""),
    no.JobEnded: (*_CONFLICT, "The generation has ended.", ""),
    no.AlbumsFull: (*_CONFLICT, "The workspace has {limit} albums already.", ""),
    no.NothingCharged: (*_CONFLICT, "Nothing was charged for this generation.", ""),
    no.AlreadyRefunded: (*_CONFLICT, "The charge of this generation was given back before.", ""),
    no.GrantsFull: (*_CONFLICT, "The workspace holds {limit} grants already.", ""),
    no.PlanVersionReused: (*_CONFLICT, "The plan's version {version} is in force with other content.", ""),
}

SURFACE = Surface(
    product="workspace-images",
    title="Document 003: workspace images",
    summary="Images from text prompts for a workspace, paid by its credits.",
    prefixes=("/api/ai/images",),
    fault=fault,
    error_model=ImagesErrorAnswer,
    rate_headers=("limit", "remaining", "reset"),
)
LIMITS = (
    Limit("workspace-images-user", 60, MINUTE_S, "user"),
    Limit("workspace-images-workspace", 1000, HOUR_S, "account"),
    Limit("workspace-images-address", 100, MINUTE_S, "address"),
)
GENERATE = Described(
    name="workspace-images-generate",
    summary="Generate images from a prompt",
    description="n images are reserved together, made side by side, and charged each by itself once it is there.",
    answers={200: ImagesAnswer, 202: ImagesAnswer},
    errors=(400, 401, 402, 403, 404, 408, 409, 413, 415, 429, 500, 503),
    body=ImagesRequest,
    example={"prompt": "A lighthouse at sunset", "size": "1792x1024", "style": "vivid", "n": 2},
    headers=ImagesHeaders,
    limits=LIMITS,
)

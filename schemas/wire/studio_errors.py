"""Document 004, studio: everything that can go wrong, in its words and codes, in three shapes. Pure.

The document shows `{"error"}`, where an answer says `success` also `{"success": false, "error"}`, and at the login
`{"success": false, "message"}`. Its codes are 400, 401, 404, 500 and 502; what the core tells with a neighbour of those
gets them (413, 415 and 422: 400; 410: 404), and what has none keeps its own (403, 409, 429, 503 …). Every refusal of
the decider has a row in `REFUSALS`, which a test keeps complete.
"""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec.structs import asdict
from pydantic import BaseModel, ConfigDict, Field

from schemas import refusals as no
from schemas.wire.surface import Fault, FieldFault, WireAnswer

PROMPT_CHARS_MAX = 4000
INVALID_MODEL = "Invalid model selected"
INVALID_MODEL_ID = "Invalid model ID"
FAILED = "Generation likely failed or timed out"
ASSET_NOT_FOUND = "Asset not found"
IMAGE_NOT_FOUND = "Image not found"
MEDIA_NOT_FOUND = "File not found"
GENERATION_NOT_FOUND = "Generation not found"
INVALID_CREDENTIALS = "Invalid credentials"
NO_CREDENTIALS = "Send a credential of Google, or username and password"
GOOGLE_AWAY = "Google cannot be asked right now; try again in a moment"
TOO_MANY_LOGINS = "Too many people are logging in; try again in a moment"
NO_GOOGLE = "Google login is not set up on this server; log in as the administrator"
INVALID_URL = "Invalid image URL"
IMAGE_BROKEN = "The image cannot be read"
PROMPT_REQUIRED = "Prompt is required for this model"
IMAGE_REQUIRED = "Image is required for this model"
MASK_REQUIRED = "Mask is required for this model"


class Exact(BaseModel):
    """Base of what this document shows: the members that are named and no others."""

    model_config = ConfigDict(extra="forbid")


def _without_default(schema: dict[str, Any]) -> None:
    del schema["default"]


class ErrorAnswer(Exact):
    """What went wrong, in one sentence. A generation that was accepted and failed is named by `request_id`."""

    error: str
    request_id: str = Field(default="", json_schema_extra=_without_default)


class ChangeErrorAnswer(Exact):
    """What went wrong with a change whose success says `success`."""

    success: Literal[False]
    error: str


class LoginErrorAnswer(Exact):
    """Why nobody was logged in."""

    success: Literal[False]
    message: str


def error(status: int, message: str, **more: str) -> WireAnswer:
    """An error in the shape of `ErrorAnswer`."""
    return WireAnswer(status=status, document={"error": message, **more})


def change_error(status: int, message: str) -> WireAnswer:
    """An error in the shape of `ChangeErrorAnswer`."""
    return WireAnswer(status=status, document={"success": False, "error": message})


def login_error(status: int, message: str, retry_after_s: int | None = None) -> WireAnswer:
    """An error in the shape of `LoginErrorAnswer`."""
    headers = () if retry_after_s is None else (("retry-after", str(retry_after_s)),)
    return WireAnswer(status=status, document={"success": False, "message": message}, headers=headers)


def fault(found: Fault) -> WireAnswer:
    """Whatever goes wrong, as `ErrorAnswer`."""
    return error(*told(found))


def change_fault(found: Fault) -> WireAnswer:
    """Whatever goes wrong, as `ChangeErrorAnswer`."""
    return change_error(*told(found))


def login_fault(found: Fault) -> WireAnswer:
    """Whatever goes wrong, as `LoginErrorAnswer`."""
    return login_error(*told(found))


def failure(request: str, reason: str | None) -> WireAnswer:
    """The answer to a generation that has ended without a result, by the core's word for why; nothing was charged."""
    if reason == "input-undecodable":
        return error(400, IMAGE_BROKEN, request_id=request)
    return error(502, FAILED, request_id=request)


def told(found: Fault) -> tuple[int, str]:
    """(status, sentence) of a fault; pages show the same."""
    if found.refusal is not None:
        status, template = REFUSALS[type(found.refusal)]
        return status, template.format(**asdict(found.refusal))
    status, message = _STATUSES.get(found.status) or (found.status, _STATUSES[400 if found.status < 500 else 500][1])
    if found.status == 429:
        return status, f"Too many requests; try again in {found.retry_after_s or 1} seconds"
    if found.code == "token-invalid":
        return status, found.detail
    field = found.fields[0] if found.fields else None
    if found.code in _CODES and (field is not None or found.code not in _OF_FILES):
        return status, _CODES[found.code].format(what=_name(field).capitalize() if field else "")
    return status, message if field is None else _field_told(field)


def _field_told(field: FieldFault) -> str:
    return f"{_name(field)}: {field.message}"


def _name(field: FieldFault) -> str:
    """The field as this document calls it."""
    named = field.field.removeprefix("params.")
    return {"input": "image", "input.asset": "image", "input.mask": "mask"}.get(named, named[:64])


_OF_FILES = ("content-too-large", "unsupported-picture", "unreadable-picture", "picture-too-large")
_CODES: Mapping[str, str] = {
    "content-too-large": "{what} is too large: images are limited to 10MB",
    "unsupported-picture": "{what} must be a JPEG, PNG, WebP or HEIC image",
    "unreadable-picture": "{what} cannot be read",
    "picture-too-large": "{what} has too many pixels: at most 64 megapixels",
    "foreign-origin": "The request comes from a page of another site",
    "outcome-unknown": "It is not known whether this was accepted; repeat it with the Idempotency-Key of this answer",
    "overloaded": "The service is busy; try again",
}
"""By the core's code; those of files only where a file's field is named."""
_STATUSES: Mapping[int, tuple[int, str]] = {
    400: (400, "The request is not valid"),
    401: (401, "Not logged in"),
    403: (403, "This is not allowed"),
    404: (404, "Not found"),
    405: (405, "This method is not possible here"),
    408: (408, "The upload took too long"),
    409: (409, "The request does not fit what is there"),
    410: (404, "Not found"),
    413: (400, "The request is too large: images are limited to 10MB, videos to 50MB"),
    415: (400, "The Content-Type is not the one that is expected here"),
    416: (416, "There is no such range of bytes"),
    422: (400, "The request is not valid"),
    500: (500, "Internal server error"),
    502: (502, FAILED),
    503: (503, "The service is not available at the moment; try again"),
    504: (503, "The service is not available at the moment; try again"),
}

REFUSALS: Mapping[type[Any], tuple[int, str]] = {
    no.InsufficientCredits: (403, "This needs {required} credits and {available} are available"),
    no.QuotaExceeded: (429, "Maximum {limit} generations per {window} reached; try again later"),
    no.QueueFull: (429, "{limit} generations wait already; try again later"),
    no.IdempotencyMismatch: (409, "This Idempotency-Key was used with another request; use a new one"),
    no.ModelUnknown: (400, INVALID_MODEL),
    no.AssetUnknown: (404, ASSET_NOT_FOUND),
    no.InputRequired: (400, IMAGE_REQUIRED),
    no.MaskRequired: (400, MASK_REQUIRED),
    no.NotEntitled: (403, "Your plan does not include {what}"),
    no.AlbumUnknown: (404, "Album not found"),
    no.AlbumsFull: (409, "There are {limit} albums already"),
    no.PlanUnknown: (400, "There is no plan {plan}"),
    no.JobUnknown: (404, GENERATION_NOT_FOUND),
    no.JobEnded: (409, "The generation has ended already"),
    no.ChargeUnknown: (404, "No charge of this generation is known"),
    no.NothingCharged: (409, "Nothing was charged for this generation"),
    no.AlreadyRefunded: (409, "The charge of this generation was given back before"),
    no.GrantBelowZero: (400, "No more than {available} credits can be taken back"),
    no.GrantExpired: (400, "Credits that expire have to expire in the future"),
    no.GrantsFull: (409, "There are {limit} grants already"),
    no.GrantTooLarge: (400, "At most {balance_max} credits are possible"),
    no.PlanVersionReused: (409, "Version {version} of the plan has other content"),
    no.PlanMissing: (503, "The service is starting; try again"),
}
"""(status, sentence) of each refusal; a sentence names its fields in braces."""

"""Document 002, spike-land: everything that can go wrong, in the document's shape, words and eight codes. Pure.

Every refusal of the decider has a row in `REFUSALS`, which a test keeps complete; every other fault is told by its
code, else by its status. What is wrong with a file is worded by itself (`file_told`), because a batch tells it of each
file. Statuses outside the document's table (405, 408, 409, 503) carry the nearest of the eight codes.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from schemas import refusals as no
from schemas.wire.surface import Fault, WireAnswer

Code = Literal[
    "UNAUTHORIZED",
    "FORBIDDEN",
    "NOT_FOUND",
    "INVALID_INPUT",
    "FILE_TOO_LARGE",
    "RATE_LIMIT",
    "INSUFFICIENT_TOKENS",
    "INTERNAL_ERROR",
]
FILES_MAX = 20
UPLOAD, BATCH_UPLOAD = "spike-land-upload", "spike-land-batch-upload"
ENHANCE, PARALLEL_ENHANCE = "spike-land-enhance", "spike-land-parallel-enhance"
MOVE, GET_IMAGE, DELETE_IMAGE = "spike-land-move-to-album", "spike-land-get-image", "spike-land-delete-image"
LATER = "Please try again later"


class Exact(BaseModel):
    """Base of what this document shows: the members that are named and no others."""

    model_config = ConfigDict(extra="forbid")


def without_default(schema: dict[str, Any]) -> None:
    """Let the schema say that the member may be missing, not what it is then."""
    del schema["default"]


class ErrorAnswer(Exact):
    """Every answer from 400 on. `required` comes with 402, `retryAfter` (seconds) with 429."""

    error: str
    title: str
    suggestion: str
    code: Code
    required: int = Field(default=0, json_schema_extra=without_default)
    retryAfter: int = Field(default=0, json_schema_extra=without_default)


class Told(NamedTuple):
    """An error before it has its shape."""

    status: int
    code: Code
    error: str
    title: str
    suggestion: str

    def answer(self, **more: int) -> WireAnswer:
        """The error as it goes out."""
        document = {"error": self.error, "title": self.title, "suggestion": self.suggestion, "code": self.code, **more}
        return WireAnswer(status=self.status, document=document)


def invalid(suggestion: str, error: str = "Invalid input", title: str = "Bad Request") -> Told:
    """400 for a request that is not as the document says."""
    return Told(400, "INVALID_INPUT", error, title, suggestion)


_LOGIN = Told(
    *(401, "UNAUTHORIZED", "You must be logged in to access this resource", "Authentication Required"),
    "Please log in and try again",
)
_FORBIDDEN = Told(
    *(403, "FORBIDDEN", "You do not have permission to access this resource", "Permission Denied"),
    "Please use an account that may do this",
)
NOT_YOUR_IMAGE = Told(
    *(403, "FORBIDDEN", "You do not have permission to change this image", "Permission Denied"),
    "Please use an image of your own",
)
_LIMITED = Told(
    *(429, "RATE_LIMIT", "You've exceeded the rate limit", "Rate Limited"),
    "Please wait before making more requests",
)
_QUEUE_FULL = _LIMITED._replace(
    error="Too many enhancements are waiting", suggestion="Please wait until some of them have finished"
)
_QUOTA = _LIMITED._replace(error="You've used up your plan for now", suggestion="Please wait until it starts again")
_LOW_BALANCE = Told(
    *(402, "INSUFFICIENT_TOKENS", "Insufficient tokens for this operation", "Low Balance"),
    "Purchase more tokens to continue",
)
_NO_IMAGE = Told(404, "NOT_FOUND", "Image not found", "Not Found", "Please check the image ID and try again")
_NO_ALBUM = Told(404, "NOT_FOUND", "Album not found", "Not Found", "Please check the album ID and try again")
_NO_JOB = Told(404, "NOT_FOUND", "Enhancement job not found", "Not Found", "Please check the job ID and try again")
_NOTHING = Told(404, "NOT_FOUND", "Resource not found", "Not Found", "Please check the URL and try again")
_CONFLICT = Told(
    *(409, "INVALID_INPUT", "This Idempotency-Key was used for another request", "Conflict"),
    "Please use a new Idempotency-Key",
)
_MISTAKEN = invalid("Please check the request and try again")
_AWAY = Told(503, "INTERNAL_ERROR", "The service is temporarily unavailable", "Server Error", LATER)

REFUSALS: Mapping[type[Any], Told] = {
    no.InsufficientCredits: _LOW_BALANCE,
    no.QuotaExceeded: _QUOTA,
    no.QueueFull: _QUEUE_FULL,
    no.IdempotencyMismatch: _CONFLICT,
    no.ModelUnknown: invalid("Please use a tier that is offered", "Enhancement is not offered"),
    no.AssetUnknown: _NO_IMAGE,
    no.InputRequired: invalid("Please provide an imageId", "An image is required"),
    no.MaskRequired: invalid("Please provide a mask", "A mask is required"),
    no.NotEntitled: _FORBIDDEN._replace(
        error="Your plan has no such operation", suggestion="Please choose another plan"
    ),
    no.AlbumUnknown: _NO_ALBUM,
    no.AlbumsFull: invalid("Please delete an album first", "You have as many albums as are possible"),
    no.PlanUnknown: invalid("Please choose another plan", "There is no such plan"),
    no.JobUnknown: _NO_JOB,
    no.JobEnded: invalid("Please start a new enhancement", "The enhancement has finished already"),
    no.ChargeUnknown: _NO_JOB._replace(error="No charge of this job is known"),
    no.NothingCharged: invalid("Please check the job ID", "This job cost nothing"),
    no.AlreadyRefunded: invalid("Please check the job ID", "The tokens of this job were given back before"),
    no.GrantBelowZero: invalid("Please take back fewer tokens", "A balance cannot fall below zero"),
    no.GrantExpired: invalid("Please choose a time in the future", "The tokens would have expired already"),
    no.GrantsFull: invalid("Please wait until some have expired", "The account holds as many grants as are possible"),
    no.GrantTooLarge: invalid("Please grant fewer tokens", "An account cannot hold so many tokens"),
    no.PlanVersionReused: invalid("Please raise the version", "A plan of this version is in force"),
    no.PlanMissing: _AWAY._replace(error="The service is not ready yet"),
}

_UPLOADS = (UPLOAD, BATCH_UPLOAD)
_FORMATS = "JPEG, PNG, WebP or HEIC"
_NEEDED: Mapping[str, str] = {
    UPLOAD: f"Please provide one {_FORMATS} image in the field file",
    BATCH_UPLOAD: f"Please provide 1 to {FILES_MAX} {_FORMATS} images in the field files",
    ENHANCE: "Please provide both imageId and tier",
    PARALLEL_ENHANCE: "Please provide both imageId and tiers",
    MOVE: "Please provide both imageIds and targetAlbumId",
}
_FAILED: Mapping[str, str] = {
    UPLOAD: "Upload processing failed",
    BATCH_UPLOAD: "Upload processing failed",
    ENHANCE: "Enhancement processing failed",
    PARALLEL_ENHANCE: "Enhancement processing failed",
}
UPLOAD_FAILED = _FAILED[UPLOAD]
_FILE = "Invalid File"
_FILES: Mapping[str, Told] = {
    "content-too-large": Told(
        *(400, "FILE_TOO_LARGE", "File exceeds maximum size of 10MB", _FILE, "Please upload a file smaller than 10MB"),
    ),
    "unsupported-picture": invalid(f"Please upload a {_FORMATS} image", "File type is not supported", _FILE),
    "unreadable-picture": invalid("Please upload an undamaged image", "File cannot be read as an image", _FILE),
    "picture-too-large": invalid("Please upload a smaller image", "Image exceeds maximum of 64 megapixels", _FILE),
}
_BATCH_TOO_LARGE = Told(
    *(
        400,
        "FILE_TOO_LARGE",
        "Batch exceeds maximum size of 50MB",
        _FILE,
        "Please upload fewer or smaller files at once",
    ),
)
_BY_CODE: Mapping[str, Told] = {
    "foreign-origin": _FORBIDDEN._replace(
        error="The request comes from a page of another origin", suggestion="Please use a page of this site"
    ),
    "not-entitled": REFUSALS[no.NotEntitled],
    "idempotency-mismatch": _CONFLICT,
    "album-unknown": _NO_ALBUM,
    "unsupported-media-type": invalid("Please check the Content-Type", "The Content-Type is not supported"),
    "invalid-json": invalid("Please send valid JSON in UTF-8"),
    "outcome-unknown": _AWAY._replace(
        error="It is not known whether the request was accepted",
        suggestion="Please repeat it with the Idempotency-Key of this answer",
    ),
    "overloaded": _AWAY._replace(error="Too many requests are under way"),
}
_BY_STATUS: Mapping[int, Told] = {
    401: _LOGIN,
    402: _LOW_BALANCE,
    403: _FORBIDDEN,
    405: Told(405, "INVALID_INPUT", "Method not allowed", "Bad Request", "Please use a method that Allow names"),
    408: Told(408, "INVALID_INPUT", "The request took too long", "Bad Request", "Please use a faster connection"),
    409: Told(409, "INVALID_INPUT", "The request does not fit the current state", "Conflict", "Please try again"),
    413: Told(400, "FILE_TOO_LARGE", "The request is too large", "Bad Request", "Please send less at once"),
    429: _LIMITED,
    503: _AWAY,
}
_NAMES: Mapping[str, str] = {"params.tier": "tier", "input": "imageId", "input.asset": "imageId"}


def file_told(code: str, message: str, operation: str = UPLOAD) -> Told:
    """What is wrong with a file, by the core's code, or else in the core's sentence."""
    return _FILES.get(code) or invalid(_NEEDED[operation], message.rstrip("."), _FILE)


def fault(fault: Fault) -> WireAnswer:
    """Any fault as this document tells it. Of several bad fields the first is named."""
    told = _told(fault)
    if isinstance(fault.refusal, no.InsufficientCredits):
        return told.answer(required=fault.refusal.required)
    return told.answer(retryAfter=fault.retry_after_s or 1) if told.status == 429 else told.answer()


def _told(fault: Fault) -> Told:
    if fault.refusal is not None:
        return REFUSALS[type(fault.refusal)]
    if fault.operation in _UPLOADS and fault.status in (400, 413, 415) and fault.code != "unsupported-media-type":
        return _upload(fault)
    if fault.code in _BY_CODE:
        return _BY_CODE[fault.code]
    if fault.status in (404, 410):
        return _NO_IMAGE if fault.operation else _NOTHING
    if fault.status in _BY_STATUS:
        return _BY_STATUS[fault.status]
    if fault.status < 500:
        return _invalid(fault)
    return Told(500, "INTERNAL_ERROR", _FAILED.get(fault.operation, "Request processing failed"), "Server Error", LATER)


def _upload(fault: Fault) -> Told:
    field = fault.fields[0] if fault.fields else None
    if field is None or field.field == "body":
        too_large = fault.code == "content-too-large"
        return _BATCH_TOO_LARGE if too_large else invalid(_NEEDED[fault.operation], "The form cannot be read", _FILE)
    if field.field in ("file", "files"):
        return file_told(fault.code, field.message, fault.operation)
    return _invalid(fault)


def _invalid(fault: Fault) -> Told:
    if not fault.fields:
        return _MISTAKEN
    field = fault.fields[0]
    path = field.field.rpartition("].")[2] if field.field.startswith("jobs[") else field.field
    if field.message.endswith("is required.") and fault.operation in _NEEDED:
        return invalid(_NEEDED[fault.operation])
    return invalid(f"Please correct {_NAMES.get(path, path)}: {field.message.rstrip('.')}")

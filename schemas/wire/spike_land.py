"""Document 002, spike-land: its words and answers, and what its surface is. Pure.

What is beside it: `spike_land_requests`, ids and what is asked, and `spike_land_errors`, all that can go wrong. An
image is an asset of the account, an enhancement a job of the model `enhance`.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from schemas.cloudevents import rfc3339
from schemas.wire import spike_land_errors as errors
from schemas.wire.spike_land_errors import FILES_MAX, ErrorAnswer, Exact, fault, without_default
from schemas.wire.spike_land_requests import ID_CHARS_MAX, EnhanceRequest, MoveRequest, ParallelRequest, Tier
from schemas.wire.surface import FILE, MINUTE_S, MULTIPART, Described, Limit, Surface, files_schema

PRODUCT, MODEL = "spike-land", "enhance"
BATCH_BYTES_MAX = 50 << 20
JOBS_SHOWN_MAX = 1_000
DELETED, DELETING = "Image deleted successfully", "Image deletion has begun"
NOT_MOVED = "Image not found, or it is in too many albums"
_EXPIRED = "The enhancement did not start in time; your tokens were given back"
Format = Literal["JPEG", "PNG", "WEBP", "HEIC"]
Status = Literal["PENDING", "PROCESSING", "COMPLETED", "FAILED", "REFUNDED", "CANCELLED"]
_STATUSES: Mapping[str, Status] = {
    "accepted": "PENDING",
    "queued": "PENDING",
    "running": "PROCESSING",
    "succeeded": "COMPLETED",
    "failed": "FAILED",
    "expired": "FAILED",
    "canceled": "CANCELLED",
}


def moment(time_ms: int) -> str:
    """A time to the second, as `2025-12-12T10:30:00Z`."""
    return rfc3339(time_ms)[:-5] + "Z"


def moment_or_none(time_ms: int | None) -> str | None:
    """The same for a time that may be missing."""
    return None if time_ms is None else moment(time_ms)


def status_of(core: str, refunded: int) -> Status:
    """The document's word for how a job stands; one whose tokens an operator gave back is refunded."""
    return "REFUNDED" if refunded else _STATUSES[core]


def error_message(core: str, detail: str | None) -> str | None:
    """Why a job has no result; None where nothing went wrong."""
    if core == "expired":
        return _EXPIRED
    return (detail or "The enhancement failed") if core == "failed" else None


def format_word(core: str) -> str:
    """The document's word for a format: JPEG, PNG, WEBP, HEIC."""
    return core.upper()


def unnamed(image: str, format_: str) -> str:
    """The name of an image whose file came without one, or whose name is not for everybody."""
    return f"{image}.{'jpg' if format_ == 'jpeg' else format_}"


class UploadedImage(Exact):
    """An image; `size` in bytes as uploaded, `url` a link that works for a day without a login."""

    id: str
    name: str
    url: str
    width: int
    height: int
    size: int
    format: Format
    isPublic: bool
    viewCount: int
    createdAt: str


class UploadAnswer(Exact):
    """The image can be used."""

    success: Literal[True]
    image: UploadedImage


class StoredFile(Exact):
    """A file of a batch that became an image."""

    success: Literal[True]
    filename: str
    imageId: str
    url: str
    width: int
    height: int
    size: int
    format: Format


class FailedFile(Exact):
    """A file of a batch that did not: it cannot be taken (`validation`), or could not be kept (`database`)."""

    success: Literal[False]
    filename: str
    error: str
    errorType: Literal["validation", "database"]


class Summary(Exact):
    """How many files there were, became images, and did not."""

    total: int
    successful: int
    failed: int


class BatchAnswer(Exact):
    """What became of each file, in the order of the form."""

    success: Literal[True]
    results: list[StoredFile | FailedFile]
    summary: Summary


class EnhanceAnswer(Exact):
    """The job has begun; `newBalance` is null where its decision is still under way."""

    success: Literal[True]
    jobId: str
    tokenCost: int
    newBalance: int | None


class StartedJob(Exact):
    """One of several jobs."""

    jobId: str
    tier: Tier
    tokenCost: int
    status: Literal["PROCESSING"]


class ParallelAnswer(Exact):
    """All jobs have begun; `newBalance` is null where their decision is still under way."""

    success: Literal[True]
    jobs: list[StartedJob]
    totalCost: int
    newBalance: int | None


class Job(Exact):
    """An enhancement of an image."""

    id: str
    tier: Tier
    status: Status
    tokensCost: int
    enhancedUrl: str | None
    enhancedWidth: int | None
    enhancedHeight: int | None
    enhancedSizeBytes: int | None
    errorMessage: str | None
    createdAt: str
    processingStartedAt: str | None
    processingCompletedAt: str | None


class ImageWithJobs(UploadedImage):
    """An image and its enhancements, newest first; to others than its owner a public image shows none."""

    description: str | None
    updatedAt: str
    jobs: list[Job]


class ImageAnswer(Exact):
    """Answer of GET an image."""

    success: Literal[True]
    image: ImageWithJobs


class MoveResult(Exact):
    """What became of one image; `error` is there where it was not moved."""

    imageId: str
    success: bool
    error: str = Field(default="", json_schema_extra=without_default)


class MoveAnswer(Exact):
    """Each image has its result, in the order of the request; the numbers are null while nothing is decided."""

    success: Literal[True]
    moved: int | None
    failed: int | None
    alreadyInAlbum: int | None
    results: list[MoveResult]


class DeleteAnswer(Exact):
    """The image is gone."""

    success: Literal[True]
    message: str


SURFACE = Surface(
    product=PRODUCT,
    title="Document 002: spike-land",
    summary="Images, enhancement in three tiers for tokens that grow back, and albums.",
    prefixes=("/api/images",),
    fault=fault,
    error_model=ErrorAnswer,
    cookie="next-auth.session-token",
    csrf="same-origin",
    rate_headers=("remaining", "reset"),
)
_ERRORS, _IMAGE = (400, 401, 403, 429, 500, 503), {"id": "The image, `img_…`."}


def _limit(name: str, amount: int) -> tuple[Limit, ...]:
    return (Limit(name, amount, 15 * MINUTE_S),)


UPLOAD = Described(
    name=errors.UPLOAD,
    summary="Upload an image",
    description="JPEG, PNG, WebP or HEIC, up to 10 MiB and 64 megapixels.",
    answers={200: UploadAnswer, 202: UploadAnswer},
    errors=(*_ERRORS, 404, 408, 409),
    body=files_schema(("file",), file=FILE, albumId={"type": "string", "maxLength": ID_CHARS_MAX}),
    media=MULTIPART,
    limits=_limit(errors.UPLOAD, 30),
)
BATCH = Described(
    name=errors.BATCH_UPLOAD,
    summary="Upload up to 20 images",
    description="10 MiB each, 50 MiB together; a file that cannot be taken leaves the others.",
    answers={200: BatchAnswer, 202: BatchAnswer},
    errors=(*_ERRORS, 408, 409),
    body=files_schema(("files",), files={"type": "array", "items": FILE, "minItems": 1, "maxItems": FILES_MAX}),
    media=MULTIPART,
    limits=_limit(errors.BATCH_UPLOAD, 30),
)
ENHANCE = Described(
    name=errors.ENHANCE,
    summary="Enhance an image",
    description="2, 5 or 10 tokens; the result's long edge is 1024, 2048 or 4096 pixels, or the image's own. Answers "
    "once it is decided; GET the image tells the rest.",
    answers={200: EnhanceAnswer, 202: EnhanceAnswer},
    errors=(*_ERRORS, 402, 404, 409),
    body=EnhanceRequest,
    example={"imageId": "img_…", "tier": "TIER_2K"},
    limits=_limit(errors.ENHANCE, 50),
)
TIERS = Described(
    name=errors.PARALLEL_ENHANCE,
    summary="Enhance an image in several tiers",
    description="All tokens are taken together, or none.",
    answers={200: ParallelAnswer, 202: ParallelAnswer},
    errors=(*_ERRORS, 402, 404, 409),
    body=ParallelRequest,
    example={"imageId": "img_…", "tiers": ["TIER_1K", "TIER_2K", "TIER_4K"]},
    limits=_limit(errors.PARALLEL_ENHANCE, 50),
)
MOVE = Described(
    name=errors.MOVE,
    summary="Move images into an album",
    description="Up to 100, out of `removeFromSourceAlbum` where it is given. `POST /v1/albums` makes albums.",
    answers={200: MoveAnswer, 202: MoveAnswer},
    errors=(*_ERRORS, 404, 409),
    body=MoveRequest,
    example={"imageIds": ["img_…"], "targetAlbumId": "album_…"},
    limits=_limit(errors.MOVE, 50),
)
GET = Described(
    name=errors.GET_IMAGE,
    summary="Get an image with its jobs",
    description="One's own, or a public one of somebody else, which counts a view.",
    answers={200: ImageAnswer},
    errors=(*_ERRORS, 404),
    path=_IMAGE,
    limits=_limit(errors.GET_IMAGE, 100),
)
DELETE = Described(
    name=errors.DELETE_IMAGE,
    summary="Delete an image",
    description="Running jobs are cancelled and their tokens given back; the image and all its results go.",
    answers={200: DeleteAnswer, 202: DeleteAnswer},
    errors=(*_ERRORS, 404, 409),
    path=_IMAGE,
    limits=_limit(errors.DELETE_IMAGE, 100),
)

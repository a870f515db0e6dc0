"""Document 001, pix-loom: its answers as models, and what its surface is. Pure.

What is beside it: `pix_loom_request`, what requests ask for, `pix_loom_documents`, what answers are made of, and
`pix_loom_errors`, all that can go wrong, in Chinese.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.wire.pix_loom_documents import OperationType, Status
from schemas.wire.pix_loom_errors import METADATA_BYTES_MAX, OFFSET_MAX, URL_CHARS_MAX, ErrorAnswer, fault
from schemas.wire.pix_loom_request import LIMIT_DEFAULT, LIMIT_MAX
from schemas.wire.surface import MINUTE_S, Described, Limit, Surface

PRODUCT = "pix-loom"


class _Exact(BaseModel):
    model_config = ConfigDict(extra="forbid")


class GenerateBody(BaseModel):
    """Body of POST generate; what has no name here is ignored."""

    originalImageUrl: str | None = Field(
        None,
        min_length=1,
        max_length=URL_CHARS_MAX,
        description="A picture on a public server, or one of your own media URLs; without it a sample picture.",
    )
    operationType: OperationType
    metadata: dict[str, Any] | None = Field(
        None, description=f"Yours, up to {METADATA_BYTES_MAX} bytes as JSON; kept sealed and given back."
    )


class _Submitted(_Exact):
    generationId: str
    originalImageUrl: str
    operationType: OperationType
    message: str


class Completed(_Submitted):
    """A completed generation; `processingTimeMs` is null where nobody remembers the acceptance."""

    generatedImageUrl: str
    processingTimeMs: int | None
    creditsConsumed: int
    newBalance: int
    status: Literal["completed"]


class Unfinished(_Submitted):
    """A generation that goes on; credits and balance are null while it is not decided."""

    generatedImageUrl: None
    processingTimeMs: None
    creditsConsumed: int | None
    newBalance: int | None
    status: Literal["pending", "processing"]


class CompletedAnswer(_Exact):
    """The picture is there."""

    success: Literal[True]
    data: Completed


class UnfinishedAnswer(_Exact):
    """The picture is not there yet; GET generation/{id} tells the end."""

    success: Literal[True]
    data: Unfinished


class Summary(_Exact):
    """A generation in the history; `creditsConsumed` is its price while it lives, 0 after a failure."""

    id: str
    originalImageUrl: str | None
    generatedImageUrl: str | None
    operationType: OperationType
    status: Status
    creditsConsumed: int
    processingTimeMs: int | None
    createdAt: str


class Detail(Summary):
    """All of a generation."""

    errorMessage: str | None
    metadata: dict[str, Any] | None
    updatedAt: str


class DetailAnswer(_Exact):
    """Answer of GET generation/{id}."""

    success: Literal[True]
    data: Detail


class Pagination(_Exact):
    """Where the page lies."""

    total: int
    limit: int
    offset: int
    hasMore: bool


class Statistics(_Exact):
    """All time, deleted generations too. `totalCreditsSpent` is the sum of `creditsConsumed`."""

    totalGenerations: int
    completedGenerations: int
    totalCreditsSpent: int
    successRate: float


class History(_Exact):
    """A page of generations, the newest first."""

    generations: list[Summary]
    pagination: Pagination
    statistics: Statistics


class HistoryAnswer(_Exact):
    """Answer of GET history."""

    success: Literal[True]
    data: History


class RecentStatistics(Statistics):
    """`recentActivity`: how many generations were asked for within `period`."""

    recentActivity: int
    period: Literal["30 天"]


class StatsAnswer(_Exact):
    """Answer of GET stats."""

    success: Literal[True]
    data: RecentStatistics


class Deleted(_Exact):
    """What was deleted."""

    message: Literal["生成记录删除成功"]
    deletedId: str


class DeletedAnswer(_Exact):
    """Answer of DELETE generation/{id}."""

    success: Literal[True]
    data: Deleted


class HistoryQuery(BaseModel):
    """Parameters of GET history; what has no name here is ignored."""

    limit: int = Field(LIMIT_DEFAULT, ge=1, le=LIMIT_MAX, description="Generations a page.")
    offset: int = Field(0, ge=0, le=OFFSET_MAX, description="How many of the newest are passed over.")
    operationType: OperationType | None = Field(None, description="Only this operation.")


SURFACE = Surface(
    product=PRODUCT,
    title="Document 001: pix-loom",
    summary="Colouring, restoring, enhancing and restyling for holders of a DID. Messages are Chinese.",
    prefixes=("/api/ai",),
    fault=fault,
    error_model=ErrorAnswer,
    did=True,
)
_GENERATION = {"id": "The generation, `gen_…`."}
_STATUS = (Limit("pix-loom-status", 100, MINUTE_S),)
GENERATE = Described(
    name="pix-loom-generate",
    summary="Process a picture",
    description="Waits up to 30 s for the result (`Prefer: wait=N` and `respond-async` change that), then answers 202. "
    "A generation that fails costs nothing.",
    answers={200: CompletedAnswer, 202: UnfinishedAnswer},
    errors=(400, 401, 403, 408, 409, 413, 415, 429, 500, 503),
    body=GenerateBody,
    example={
        "originalImageUrl": "https://example.com/original.jpg",
        "operationType": "colorization",
        "metadata": {"filename": "vintage_photo.jpg"},
    },
    limits=(Limit("pix-loom-generate", 10, MINUTE_S),),
)
STATUS = Described(
    name="pix-loom-generation",
    summary="Get a generation",
    answers={200: DetailAnswer},
    errors=(400, 401, 404, 429, 500, 503),
    path=_GENERATION,
    limits=_STATUS,
)
DELETE = Described(
    name="pix-loom-delete-generation",
    summary="Delete a generation",
    description="Takes it out of the history and removes its pictures, after a cancel where it is not finished; the "
    "statistics go on counting it. A picture that another generation shows goes with the last of them.",
    answers={200: DeletedAnswer},
    errors=(400, 401, 404, 409, 429, 500, 503),
    path=_GENERATION,
    limits=_STATUS,
)
HISTORY = Described(
    name="pix-loom-history",
    summary="List generations",
    answers={200: HistoryAnswer},
    errors=(400, 401, 429, 500, 503),
    query=HistoryQuery,
    limits=(Limit("pix-loom-history", 50, MINUTE_S),),
)
STATS = Described(
    name="pix-loom-stats",
    summary="Get the caller's statistics",
    answers={200: StatsAnswer},
    errors=(400, 401, 429, 500, 503),
    limits=(Limit("pix-loom-stats", 20, MINUTE_S),),
)

"""Shapes that all reads share, and those of jobs: parameters, checked as they are read, and what answers look like."""

from __future__ import annotations

import datetime
import re
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from infra.http.documents import JobModel

LIMIT_DEFAULT = 50
LIMIT_MAX = 1000

Status = Literal["accepted", "queued", "running", "succeeded", "failed", "canceled", "expired"]
LIMIT: Any = Field(LIMIT_DEFAULT, ge=1, le=LIMIT_MAX, description=f"Rows a page, 1 to {LIMIT_MAX}.")
CURSOR: Any = Field(
    None, max_length=400, description="`next_cursor` of the page before, under the same filters and sort."
)
SORT: Any = Field("-created_at", description="`-` puts the newest first.")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
AFTER: Any = Field(None, description="RFC 3339; later than this.")
BEFORE: Any = Field(None, description="RFC 3339; earlier than this.")


def _plain(text: str) -> str:
    if "\0" in text:
        raise ValueError("This must not hold U+0000.")
    return text


def _written_out(text: Any) -> Any:
    """A number is no moment, although it could be read as seconds."""
    if isinstance(text, str) and not _DATE.match(text):
        raise ValueError("This must be a time with its zone, as in 2026-01-31T12:00:00Z.")
    return text


def _with_zone(moment: datetime.datetime) -> datetime.datetime:
    if moment.tzinfo is None:
        raise ValueError("Write the time with its zone, as in 2026-01-31T12:00:00Z.")
    return moment


def _statuses(text: Any) -> Any:
    words = tuple(text.split(",")) if isinstance(text, str) else text
    if not set(words) <= set(get_args(Status)):
        raise ValueError(f"This must be some of {', '.join(get_args(Status))}, with commas between them.")
    return words


Text = Annotated[str, Field(max_length=100), AfterValidator(_plain)]
Moment = Annotated[datetime.datetime, BeforeValidator(_written_out), AfterValidator(_with_zone)]
Sort = Literal["-created_at", "created_at"]
Statuses = Annotated[tuple[Status, ...], BeforeValidator(_statuses)]


class Query(BaseModel):
    """Base of all query parameters: an unknown name is refused."""

    model_config = ConfigDict(extra="forbid")


class JobsQuery(Query):
    """Parameters of GET /v1/jobs."""

    status: Statuses = Field((), max_length=7, description="One status, or several with commas between them.")
    model: Text | None = Field(None, description="Slug of a model.")
    lane: Text | None = Field(None, description="priority, standard, batch or video.")
    group: Text | None = Field(None, description="Jobs of one group.")
    input: Text | None = Field(None, description="Jobs that work on this asset.")
    result: Text | None = Field(None, description="The job that made this asset.")
    has_result: bool | None = Field(None, description="Whether a result is there, and still is.")
    hidden: bool | None = Field(None, description="Only jobs that were hidden from histories, or only all others.")
    created_after: Moment | None = AFTER
    created_before: Moment | None = BEFORE
    ended_after: Moment | None = AFTER
    ended_before: Moment | None = BEFORE
    sort: Sort = SORT
    limit: int = LIMIT
    cursor: str | None = CURSOR


class PageQuery(Query):
    """Parameters of a list in its own order."""

    limit: int = LIMIT
    cursor: str | None = CURSOR


class SignedQuery(Query):
    """Parameters of a signed link to a picture."""

    expires: int = Field(ge=0, le=1 << 53, description="Seconds since 1970; the link works until then.")
    signature: str = Field(max_length=100, description="What makes the link genuine.")


class PositionHeaders(BaseModel):
    """Headers of every read."""

    position: str | None = Field(
        None,
        alias="Darkroom-Position",
        description="A position out of an answer: the read waits up to 1 s until it shows at least that much.",
    )


class MediaHeaders(PositionHeaders):
    """Headers of reading bytes."""

    range: str | None = Field(None, alias="Range", description="One range of bytes (RFC 9110).")
    if_none_match: str | None = Field(None, alias="If-None-Match", description="Known ETags; 304 for one of them.")
    if_range: str | None = Field(None, alias="If-Range", description="The range only of these bytes (ETag).")


class JobSourceModel(BaseModel):
    """What a job works on."""

    asset: str
    mask: str | None = Field(None, description="Where the model repaints, for those that take one.")


class PassedOverModel(BaseModel):
    """An engine that was to serve the job and did not."""

    engine: str
    engine_version: str
    reason: str


class RunModel(BaseModel):
    """Which engine really served the job, with its own id of the request."""

    engine: str
    engine_version: str
    request: str | None
    passed_over: list[PassedOverModel]


class JobDetailModel(JobModel):
    """A job with all that is known of it."""

    product: str
    lane: str
    group: str | None
    engine: str = Field(description="The engine that the job was accepted for; `run` names the one that served it.")
    engine_version: str
    run: RunModel | None
    params: dict[str, Any] = Field(description="With defaults; without free texts once the account was erased.")
    input: JobSourceModel | None
    metadata: dict[str, Any] | None = Field(description="Yours; null where none was given or the account was erased.")
    charged: int = Field(description="Units charged; 0 unless the job succeeded.")
    refunded: int = Field(description="Units that an operator gave back.")
    reused_of: str | None = Field(description="The identical earlier job whose result this one got for nothing.")
    result_gone: str | None = Field(description="Why the result can no longer be read: deleted, expired or erased.")
    attempts: int
    model_ms: int | None = Field(description="How long the engine took.")
    plan: str
    plan_version: int
    created_at: str
    times: dict[str, str] = Field(description="When the job last came to each status, RFC 3339.")


class JobPage(BaseModel):
    """A page of jobs."""

    data: list[JobDetailModel]
    next_cursor: str | None


class GroupModel(BaseModel):
    """Jobs that were accepted together; each is charged or released by itself."""

    id: str
    created_at: str
    position: str
    cost: int = Field(description="What was reserved for all of them.")
    charged: int
    refunded: int
    counts: dict[str, int] = Field(description="Jobs by status.")
    ended: bool = Field(description="Whether none of them can change any more.")
    jobs: list[JobDetailModel]


class CloudEventModel(BaseModel):
    """An event in CloudEvents 1.0 structured JSON; `id` is its position."""

    model_config = ConfigDict(extra="allow")

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str
    data: dict[str, Any]


class EventPage(BaseModel):
    """The events of a job in order."""

    data: list[CloudEventModel]
    next_cursor: str | None

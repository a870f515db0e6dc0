"""Shapes of the query side: parameters, checked as they are read, and the models that document answers."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from infra.http.documents import AssetModel, JobModel

LIMIT_DEFAULT = 50
LIMIT_MAX = 1000

Status = Literal["accepted", "queued", "running", "succeeded", "failed", "canceled", "expired"]
LineKind = Literal["granted", "regenerated", "reserved", "captured", "released"]
_LIMIT = Field(LIMIT_DEFAULT, ge=1, le=LIMIT_MAX, description=f"Rows a page, 1 to {LIMIT_MAX}.")
_CURSOR = Field(None, max_length=400, description="`next_cursor` of the page before, under the same filters and sort.")


def _plain(text: str) -> str:
    if "\0" in text:
        raise ValueError("This must not hold U+0000.")
    return text


def _with_zone(moment: datetime.datetime) -> datetime.datetime:
    if moment.tzinfo is None:
        raise ValueError("Write the time with its zone, as in 2026-01-31T12:00:00Z.")
    return moment


Text = Annotated[str, Field(max_length=100), AfterValidator(_plain)]
Moment = Annotated[datetime.datetime, AfterValidator(_with_zone)]


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid")


class JobsQuery(_Query):
    """Parameters of GET /v1/jobs."""

    status: Status | None = None
    model: Text | None = Field(None, description="Slug of a model.")
    created_after: Moment | None = Field(None, description="RFC 3339; later than this.")
    created_before: Moment | None = Field(None, description="RFC 3339; earlier than this.")
    sort: Literal["-created_at", "created_at"] = Field("-created_at", description="`-` puts the newest first.")
    limit: int = _LIMIT
    cursor: str | None = _CURSOR


class LedgerQuery(_Query):
    """Parameters of GET /v1/ledger."""

    kind: LineKind | None = None
    job: Text | None = Field(None, description="Lines of one job.")
    sort: Literal["-created_at", "created_at"] = Field("-created_at", description="`-` puts the newest first.")
    limit: int = _LIMIT
    cursor: str | None = _CURSOR


class SignedQuery(_Query):
    """Parameters of a signed link to a picture."""

    expires: int = Field(ge=0, le=1 << 53, description="Seconds since 1970; the link works until then.")
    signature: str = Field(max_length=100)


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


class JobInputModel(BaseModel):
    """What a job works on."""

    asset: str


class JobDetailModel(JobModel):
    """A job with all that is known of it."""

    engine: str
    engine_version: str
    params: dict[str, Any] = Field(description="With defaults; without free texts once the account was erased.")
    input: JobInputModel | None
    metadata: dict[str, Any] | None = Field(description="Yours; null where none was given or the account was erased.")
    charged: int = Field(description="Units charged; 0 unless the job succeeded.")
    attempts: int
    plan: str
    plan_version: int
    created_at: str
    times: dict[str, str] = Field(description="When the job last came to each status, RFC 3339.")


class JobPage(BaseModel):
    """A page of jobs."""

    data: list[JobDetailModel]
    next_cursor: str | None


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
    next_cursor: None


class QuotaModel(BaseModel):
    """A window of the plan."""

    window: Literal["day", "month"]
    limit: int
    used: int
    resets_at: str


class AccountModel(BaseModel):
    """An account as of now: regeneration and windows are computed at the time of the answer."""

    account: str
    balance: int | None = Field(description="What can be spent now; null where the plan counts no credits.")
    reserved: int
    quota: list[QuotaModel]
    plan: str
    position: str | None = Field(description="Of the account's last event; null before its first.")


class LedgerLineModel(BaseModel):
    """A booking. `amount` is in units; `change` is what it did to the balance, `balance` what it left."""

    kind: LineKind
    amount: int
    change: int
    balance: int
    job: str | None
    reason: str | None
    plan_version: int | None
    created_at: str
    position: str


class LedgerPage(BaseModel):
    """A page of the ledger."""

    data: list[LedgerLineModel]
    next_cursor: str | None


class ModelModel(BaseModel):
    """A model of the catalogue."""

    id: str
    title: str
    description: str
    task: str
    input: Literal["required", "none"]
    parameters: dict[str, Any]
    cost: dict[str, Any] = Field(description="`base` units, and what values of parameters add.")
    limits: dict[str, int]


class ModelList(BaseModel):
    """All models of this deployment."""

    data: list[ModelModel]
    next_cursor: None
    version: str


class AssetDetailModel(AssetModel):
    """A picture of the account, with what is known of it."""

    number: int
    file_name: str | None
    job: str | None = Field(description="The job that made it; null for an upload.")
    sha256: str
    public: bool = Field(description="Whether everybody may read it, at /v1/media/{id}.")
    created_at: str
    signed_url: str = Field(description="Works without a token for 15 minutes.")

"""Shapes of reads about money, plans and models."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from api.shapes import AFTER, BEFORE, CURSOR, LIMIT, SORT, Moment, Query, Sort, Text

LineKind = Literal["granted", "regenerated", "reserved", "captured", "released", "refunded", "expired"]


class AccountQuery(Query):
    """Parameters of GET /v1/account."""

    as_of: Text | None = Field(None, description="A position out of an answer, or an RFC 3339 time that is over.")
    version: int | None = Field(
        None, ge=1, le=(1 << 53) - 1, description="The account after this many of its events, folded from the archive."
    )


class LedgerQuery(Query):
    """Parameters of GET /v1/ledger."""

    kind: LineKind | None = Field(None, description="Lines of one kind.")
    job: Text | None = Field(None, description="Lines of one job.")
    created_after: Moment | None = AFTER
    created_before: Moment | None = BEFORE
    sort: Sort = SORT
    limit: int = LIMIT
    cursor: str | None = CURSOR


class QuotaModel(BaseModel):
    """A window of the plan."""

    window: Literal["day", "month"]
    limit: int
    used: int
    resets_at: str


class LotModel(BaseModel):
    """Units of one grant that expire, or that are spent before (priority < 0) or after the plain ones."""

    lot: str = Field(description="The position of the grant.")
    units: int
    priority: int
    expires_at: str | None


class AccountModel(BaseModel):
    """An account at a moment: regeneration, expiry and windows are computed for it."""

    account: str
    balance: int | None = Field(description="What can be spent; null where the plan counts no credits.")
    reserved: int
    quota: list[QuotaModel]
    lots: list[LotModel]
    plan: str
    position: str | None = Field(description="Of the account's last event; null before its first.")
    as_of: str | None = Field(None, description="The moment asked for; left out for now.")


class LedgerLineModel(BaseModel):
    """A booking. `amount` is in units; `change` is what it did to the balance, `balance` what it left."""

    kind: LineKind
    amount: int
    change: int
    balance: int
    job: str | None
    reason: str | None
    plan_version: int | None
    lots: list[dict[str, Any]] = Field(description="Units taken from lots, or given back to them.")
    created_at: str
    position: str


class LedgerPage(BaseModel):
    """A page of the ledger."""

    data: list[LedgerLineModel]
    next_cursor: str | None


class PriceModel(BaseModel):
    """The price rule of the plan that the job was accepted under, and what of it applied."""

    base: int
    per: dict[str, dict[str, int]]
    applied: dict[str, int] = Field(description="`base`, and each parameter with a value that adds units.")


class ChargePlanModel(BaseModel):
    """The plan that the job was accepted under, with its terms of then."""

    name: str
    version: int
    terms: dict[str, Any]


class ChargeModel(BaseModel):
    """Why a job was charged, or why not."""

    job: str
    model: str
    status: str
    cost: int
    charged: int
    refunded: int
    reused_of: str | None
    price: PriceModel | None
    plan: ChargePlanModel | None
    windows: list[dict[str, Any]] = Field(description="Units that the reservation took of each window.")
    lots: list[dict[str, Any]] = Field(description="Units that it took of lots; the rest were plain.")
    lines: list[LedgerLineModel] = Field(description="Every booking of the job in order.")


class EntitlementsModel(BaseModel):
    """What the plan lets the account do."""

    lane: str | None
    weight: int
    in_flight_jobs_max: int
    lane_in_flight_jobs_max: dict[str, int]
    queued_jobs_max: int
    models_denied: list[str]
    param_limits: dict[str, int]
    albums_max: int
    originals: Literal["keep", "purge"]
    uploads_ttl_ms: int | None
    results_ttl_ms: int | None
    reuse_ttl_ms: int


class CountsModel(BaseModel):
    """What came to pass in a span."""

    submitted: int
    succeeded: int
    failed: int
    canceled: int
    expired: int
    credits: int = Field(description="Units charged, less those that were refunded.")
    success_rate: float | None = Field(description="Succeeded of succeeded and failed, 0 to 1; null for none.")


class DayModel(CountsModel):
    """A UTC day."""

    date: str


class MonthModel(CountsModel):
    """A UTC month."""

    month: str


class ThresholdModel(BaseModel):
    """A use that came to a share of what is allowed."""

    of: Literal["day", "month", "balance"]
    percent: int
    used: int
    limit: int
    resets_at: str | None
    reached_at: str
    position: str


class UsageModel(BaseModel):
    """What the plan allows and what is used of it."""

    plan: str
    quota: list[QuotaModel]
    entitlements: EntitlementsModel
    today: CountsModel
    days: list[DayModel] = Field(description="The days of this month with any.")
    months: list[MonthModel] = Field(description="The last twelve months with any.")
    thresholds: list[ThresholdModel] = Field(description="Reached in this month, the newest first.")


class PercentilesModel(BaseModel):
    """Durations in ms, out of counts in buckets half an octave wide; null where nothing was counted."""

    p50: int | None
    p90: int | None
    p99: int | None


class ModelStatisticsModel(BaseModel):
    """How one model did: `wait_ms` from acceptance to the start, `run_ms` from there to the end."""

    model: str
    succeeded: int
    failed: int
    canceled: int
    expired: int
    credits: int
    success_rate: float | None
    wait_ms: PercentilesModel
    run_ms: PercentilesModel


class StatisticsQuery(Query):
    """Parameters of GET /v1/statistics."""

    days: int = Field(30, ge=1, le=3660, description="UTC days up to and with today.")


class StatisticsModel(BaseModel):
    """Counts by day and by model."""

    from_date: str
    to_date: str
    totals: CountsModel
    days: list[DayModel] = Field(description="Days with any, in order.")
    models: list[ModelStatisticsModel]


class PlanVersionModel(BaseModel):
    """A version of the plan that came into force."""

    version: int
    published_at: str
    in_force: bool


class PlanTermsModel(BaseModel):
    """A plan of the product, by the version in force."""

    name: str
    terms: dict[str, Any]
    entitlements: EntitlementsModel


class PlansModel(BaseModel):
    """The plans of the caller's product, what models cost, and the versions that came before."""

    product: str
    version: int
    data: list[PlanTermsModel]
    prices: dict[str, Any] = Field(description="By model: `base` units, and what values of parameters add.")
    versions: list[PlanVersionModel]


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

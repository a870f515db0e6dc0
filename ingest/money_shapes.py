"""Request shapes of operators' changes to accounts, and the models that document them."""

from __future__ import annotations

import datetime
from typing import Annotated

import msgspec
from pydantic import BaseModel, ConfigDict, Field

AMOUNT_MAX = (1 << 53) - 1
PRIORITY_MAX = 1_000
_Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class GrantRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Body of POST /v1/accounts/{account}:grant."""

    amount: Annotated[int, msgspec.Meta(ge=-AMOUNT_MAX, le=AMOUNT_MAX)]
    reason: _Reason = "grant"
    expires_at: Annotated[datetime.datetime, msgspec.Meta(tz=True)] | None = None
    priority: Annotated[int, msgspec.Meta(ge=-PRIORITY_MAX, le=PRIORITY_MAX)] = 0


class RefundRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /v1/jobs/{id}:refund."""

    reason: _Reason
    account: Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)] | None = None


class PlanRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /v1/accounts/{account}:plan."""

    plan: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


grant_decoder = msgspec.json.Decoder(GrantRequest)
refund_decoder = msgspec.json.Decoder(RefundRequest)
plan_decoder = msgspec.json.Decoder(PlanRequest)


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")


class GrantRequestModel(_Document):
    """Documents `GrantRequest`."""

    amount: int = Field(description="Units to add; a negative number takes spendable ones back.")
    reason: str = Field("grant", min_length=1, max_length=200)
    expires_at: datetime.datetime | None = Field(None, description="RFC 3339 with a zone; what is left then is gone.")
    priority: int = Field(
        0, ge=-PRIORITY_MAX, le=PRIORITY_MAX, description="Lower ones are spent first, then what expires first."
    )


class RefundRequestModel(_Document):
    """Documents `RefundRequest`."""

    reason: str = Field(min_length=1, max_length=200)
    account: str | None = Field(
        None, description="Whose job it is, an account id or `PRODUCT:SUBJECT`. Without it the read model is searched."
    )


class PlanRequestModel(_Document):
    """Documents `PlanRequest`."""

    plan: str = Field(min_length=1, max_length=100, description="A plan of the account's product.")


class BalanceModel(BaseModel):
    """Documents the answer to a grant."""

    account: str
    balance: int | None
    position: str


class RefundedModel(BalanceModel):
    """Documents the answer to a refund."""

    job: str


class PlanChangedModel(BalanceModel):
    """Documents the answer to a change of plan."""

    plan: str

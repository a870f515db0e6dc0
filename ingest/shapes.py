"""Request shapes of the native surface: records that decode and check at once, and the models that document them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from infra.http.headers import headers_of
from infra.http.problems import bad_field
from infra.remote.fetch import URL_CHARS_MAX

METADATA_BYTES_MAX = 2048
WAIT_MAX_S = 120
AMOUNT_MAX = (1 << 53) - 1
EMPTY = msgspec.Raw(b"{}")
_WAIT = re.compile(r"wait=([0-9]{1,9})")


class JobInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the model works on: one of the account's assets, or the picture behind a URL; and where (`mask`)."""

    asset: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    url: Annotated[str, msgspec.Meta(min_length=1, max_length=URL_CHARS_MAX)] | None = None
    mask: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None


class JobRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /v1/jobs; `params` are decoded by who knows the model."""

    model: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    input: JobInput | None = None
    params: msgspec.Raw = EMPTY
    metadata: dict[str, Any] | None = None


job_decoder = msgspec.json.Decoder(JobRequest)
params_decoder = msgspec.json.Decoder(dict[str, Any])


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")


class JobInputModel(_Document):
    """Documents `JobInput`."""

    asset: str | None = Field(None, description="Id of one of your assets.", min_length=1, max_length=64)
    url: str | None = Field(
        None, description="Or the URL of a picture on a public server.", min_length=1, max_length=URL_CHARS_MAX
    )
    mask: str | None = Field(
        None, description="Id of one of your assets: white where to work.", min_length=1, max_length=64
    )


class JobRequestModel(_Document):
    """Documents `JobRequest`."""

    model: str = Field(description="Slug of a model; GET /v1/models lists them.")
    input: JobInputModel | None = Field(None, description="The picture to work on, for models that take one.")
    params: dict[str, Any] = Field(default_factory=dict, description="Parameters of the model.")
    metadata: dict[str, Any] | None = Field(None, description="Yours, up to 2 KiB as JSON; stored sealed.")


class CanceledModel(BaseModel):
    """Documents the answer to a cancel."""

    id: str
    status: Literal["canceled", "pending"]
    balance: int | None
    position: str


class PreferHeaders(BaseModel):
    """Headers of POST /v1/jobs."""

    prefer: str | None = Field(
        None,
        alias="Prefer",
        description=f"`wait=N` waits up to N seconds (at most {WAIT_MAX_S}) for the result, `respond-async` only for "
        "the decision. `wait=0` waits for neither: the command is on the log, and a repeat with the same "
        "`Idempotency-Key` tells what was decided.",
    )
    idempotency_key: str | None = Field(
        None, alias="Idempotency-Key", description="The same key gives the same answer for 7 days, charged once."
    )


class KeyHeaders(BaseModel):
    """Headers of writes that do not wait."""

    idempotency_key: str | None = Field(
        None, alias="Idempotency-Key", description="The same key gives the same answer for 7 days."
    )


class Preference(NamedTuple):
    """How long a submit waits: `result_s` seconds for the result, after the decision, which `decided` asks for.

    `applied` is what the answer says in `Preference-Applied`.
    """

    result_s: int
    decided: bool
    applied: str | None


_DECIDED = Preference(0, True, None)
_RESPOND_ASYNC = Preference(0, True, "respond-async")


def preference_of(request: Request, default: Preference = _DECIDED) -> Preference:
    """What `Prefer` (RFC 7240) asks for: `respond-async` the decision, `wait=N` the result within N s, `wait=0` only
    that the command is on the log, nothing the `default`, which is the decision.

    Unknown preferences are ignored, as the RFC wants; a wait outside 0 to WAIT_MAX_S raises Problem 400.
    """
    header = headers_of(request.scope).get(b"prefer")
    if header is None:
        return default
    if header == b"respond-async":  # as most write it
        return _RESPOND_ASYNC
    found = default
    for part in header.decode("latin-1").split(","):
        preference = part.split(";")[0].replace(" ", "").replace('"', "").lower()
        if preference == "respond-async":
            return _RESPOND_ASYNC
        if preference.startswith("wait"):
            match = _WAIT.fullmatch(preference)
            if match is None or int(match[1]) > WAIT_MAX_S:
                raise bad_field("Prefer", f"wait must be a number of seconds from 0 to {WAIT_MAX_S}.")
            wait_s = int(match[1])
            found = Preference(wait_s, wait_s > 0, f"wait={wait_s}")
    return found

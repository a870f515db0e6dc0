"""What a documented contract has of its own at the door and in its errors, as plain records and functions.

A surface says who may come in (bearer, cookie, guest), how forgeries are kept out, how often callers may ask, and in
which shape everything that goes wrong is told. It knows nothing of HTTP servers: `infra.http.doors` admits by it,
`infra.http.problems` words faults by it, `infra.http.routing` makes rows of operations of it. Adding or removing a
contract changes nothing in any of them.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
from pydantic import BaseModel

from schemas.refusals import AnyRefusal

JSON = "application/json"
HTML = "text/html"
MINUTE_S, HOUR_S = 60, 3600
Csrf = Literal["none", "double-submit", "same-origin"]
Per = Literal["account", "user", "address", "guest-address"]


class FieldFault(msgspec.Struct, frozen=True):
    """What is wrong with one field: its name as the core knows it (`params.scale`, `input.asset`), one sentence."""

    field: str
    message: str


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Anything that goes wrong, in the core's words, before a contract has put it into its own.

    `status` and `code` are those of the native surface, `detail` is an English sentence that may be shown. A refusal of
    the decider comes as itself in `refusal`; `fields` names what is wrong with a request, `extra` holds members of the
    native problem document. `operation` is the row's name, `now_ms` the gateway's clock. `place` is the path and query
    of a GET, where the client may come again; empty for everything else.
    """

    status: int
    code: str
    detail: str
    now_ms: int
    operation: str = ""
    fields: tuple[FieldFault, ...] = ()
    refusal: AnyRefusal | None = None
    retry_after_s: int | None = None
    extra: Mapping[str, Any] = {}
    place: str = ""


class WireAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as it goes out: a document (JSON), or a text of `media`; header names in lower case."""

    status: int
    document: Mapping[str, Any] | None = None
    text: str = ""
    media: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


class Limit(msgspec.Struct, frozen=True):
    """At most `amount` requests in any `window_s` seconds (a moving window), counted for each of `per`.

    `account`: the account that is charged (a user, a guest, a workspace); `user`: the person, in whatever workspace;
    `address`: the client's address; `guest-address`: the same, guests alone. Equal names share a window; a deployment
    may change the amount of a name.
    """

    name: str
    amount: int
    window_s: int
    per: Per = "account"


class Surface(msgspec.Struct, frozen=True, kw_only=True):
    """One contract. `prefixes` are the paths that are its own, so that what is not there is told in its shape too.

    `cookie` names the one that carries a session token; `guest_cookie` the one that makes a caller a guest under the
    plan `guest`. `csrf` guards changes that come with a cookie: `double-submit` wants the header X-CSRF-Token to equal
    the cookie `csrf_token` and no foreign Origin, `same-origin` no foreign Origin or Sec-Fetch-Site. `did`: bearer
    tokens that a did:key has signed itself count too. `rate_headers` are the members of X-RateLimit-* that the document
    names.
    """

    product: str
    title: str
    summary: str
    prefixes: tuple[str, ...]
    fault: Callable[[Fault], WireAnswer]
    error_model: type[BaseModel] | None
    bearer: bool = True
    did: bool = False
    cookie: str | None = None
    guest_cookie: str | None = None
    csrf: Csrf = "none"
    rate_headers: tuple[Literal["limit", "remaining", "reset"], ...] = ()


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """An operation of a contract as its document describes it, for its row and for the OpenAPI document.

    `answers` maps a success status to a model, or to the media type of what is no JSON; `errors` lists the statuses of
    the contract's error shape; `body` is a model (JSON), or a JSON Schema with the media type `media`.
    """

    name: str
    summary: str
    answers: Mapping[int, type[BaseModel] | str]
    errors: tuple[int, ...] = (400, 401, 429, 500, 503)
    description: str = ""
    body: type[BaseModel] | Mapping[str, Any] | None = None
    media: str = JSON
    example: Any = None
    query: type[BaseModel] | None = None
    headers: type[BaseModel] | None = None
    path: Mapping[str, str] = {}
    limits: tuple[Limit, ...] = ()


def files_schema(required: tuple[str, ...], **fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """The JSON Schema of a multipart body with these fields; `FILE` is one file."""
    return {"type": "object", "properties": dict(fields), "required": list(required)}


FILE: Mapping[str, Any] = {"type": "string", "format": "binary"}
MULTIPART = "multipart/form-data"

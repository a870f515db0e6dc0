"""Errors on the wire: RFC 9457 problem details, for refusals, for bad requests and for faults.

A handler raises `Problem`; whatever else is raised becomes a 500 that says nothing about its cause and logs it. Fields
beside the standard's: `code` (a stable word), `errors` (`field` is a JSON path, or the name of a parameter or header),
`trace_id`, and what a code needs (`required`, `available`, `idempotency_key` …).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import msgspec
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails
from starlette.responses import Response

from infra.http.routing import PROBLEM_JSON
from schemas.refusals import AnyRefusal
from schemas.wire.surface import WireAnswer

_TYPE_PREFIX = "urn:darkroom:problem:"
_encoder = msgspec.json.Encoder()

# Codes of faults that the server layer itself finds; domain codes stand beside their refusals.
_CODES = {
    400: "bad-request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    408: "request-timeout",
    409: "conflict",
    411: "length-required",
    413: "content-too-large",
    414: "uri-too-long",
    415: "unsupported-media-type",
    416: "range-not-satisfiable",
    422: "unprocessable",
    429: "rate-limited",
    431: "headers-too-large",
    500: "internal-error",
    502: "bad-gateway",
    503: "unavailable",
    504: "timeout",
}


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one field, parameter or header."""

    field: str
    message: str


class FieldErrorModel(BaseModel):
    """Documents `FieldError`."""

    field: str
    message: str


class ProblemDocument(BaseModel):
    """Documents the body of every error answer (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldErrorModel] = []
    trace_id: str | None = None


class Problem(Exception):
    """An error answer. `detail` is one clear sentence with the cure; `extra` holds the code's own members.

    `refusal` is what the decider said, where that is the cause: contracts word it in their own way.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, object] | None = None,
        refusal: AnyRefusal | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status, self.code, self.detail = status, code, detail
        self.refusal = refusal
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})

    def document(self, trace_id: str | None) -> dict[str, object]:
        """The members of the problem document."""
        document: dict[str, object] = {
            "type": type_of(self.code),
            "title": title_of(self.code),
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            **self.extra,
        }
        if self.errors:
            document["errors"] = self.errors
        if trace_id is not None:
            document["trace_id"] = trace_id
        return document


class WireProblem(Problem):
    """An error that a contract has worded already; it goes out as it is."""

    def __init__(self, answer: WireAnswer) -> None:
        super().__init__(answer.status, "contract", f"answered as {answer.document}")
        self.answer = answer


def type_of(code: str) -> str:
    """The URI that names a code."""
    return _TYPE_PREFIX + code


def title_of(code: str) -> str:
    """The short text of a code: the same for every occurrence, as RFC 9457 asks."""
    return code.replace("-", " ").capitalize()


def bad_field(field: str, message: str, *, status: int = 400, code: str = "invalid-field") -> Problem:
    """The problem of one bad field."""
    return bad_fields([FieldError(field, message)], status=status, code=code)


def bad_fields(errors: Sequence[FieldError], *, status: int = 400, code: str = "invalid-field") -> Problem:
    """The problem of several bad fields; `detail` speaks of the first."""
    first = errors[0]
    more = "" if len(errors) == 1 else f" ({len(errors)} fields are wrong; `errors` has all of them.)"
    return Problem(status, code, f"{first.field}: {first.message}{more}", errors=errors)


def problem_response(problem: Problem, trace_id: str | None) -> Response:
    """The answer on the wire."""
    body = _encoder.encode(problem.document(trace_id))
    headers = {"cache-control": "no-store", **problem.headers}
    return Response(body, problem.status, headers, media_type=PROBLEM_JSON)


def of_status(status: int, detail: str | None = None, headers: Mapping[str, str] | None = None) -> Problem:
    """The problem for a bare status code."""
    phrase = HTTPStatus(status).description or HTTPStatus(status).phrase
    return Problem(status, _CODES.get(status, "error"), detail or f"{phrase}.", headers=headers)


def from_validation(error: ValidationError, prefix: str = "") -> Problem:
    """Every field that pydantic found wrong."""
    errors = [
        FieldError(prefix + ".".join(str(part) for part in item["loc"]) or "body", _sentence(item))
        for item in error.errors(include_url=False, include_input=False)
    ]
    return bad_fields(errors)


_WORDS = {
    "missing": "This field is required.",
    "extra_forbidden": "There is no such field.",
    "greater_than_equal": "This must be at least {ge}.",
    "less_than_equal": "This must be at most {le}.",
    "string_too_long": "This must have at most {max_length} characters.",
    "literal_error": "This must be one of {expected}.",
    "bool_parsing": "This must be true or false.",
    "int_parsing": "This must be an integer.",
    "datetime_from_date_parsing": "This must be a time with its zone, as in 2026-01-31T12:00:00Z.",
    "datetime_parsing": "This must be a time with its zone, as in 2026-01-31T12:00:00Z.",
    "timezone_aware": "This must be a time with its zone, as in 2026-01-31T12:00:00Z.",
}


def _sentence(item: ErrorDetails) -> str:
    """In the words that bodies' errors have; what has none of ours keeps pydantic's."""
    words = _WORDS.get(item["type"])
    if words is not None:
        return words.format(**item.get("ctx", {})).replace("'", "")
    text = item["msg"].removeprefix("Value error, ")
    return text if text.endswith(".") else text + "."

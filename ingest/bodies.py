"""Bodies that hold many jobs: `{"jobs": […]}`, or NDJSON with a job a line; each item is decoded by itself later."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from starlette.requests import Request

from infra.http.headers import headers_of
from infra.http.problems import Problem, bad_field
from infra.http.requests import decode_json, whole_body

BATCH_BYTES_MAX = 16 << 20
BATCH_JOBS_MAX = 10_000
JSON = "application/json"
NDJSON = "application/x-ndjson"


class _Jobs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    jobs: list[msgspec.Raw]


_jobs_decoder = msgspec.json.Decoder(_Jobs)
_any_decoder = msgspec.json.Decoder()


async def read_jobs(request: Request, jobs_max: int) -> Sequence[bytes | msgspec.Raw]:
    """The items of the body in their order, undecoded.

    Raises Problem 400 for a body that is no JSON at all or holds none or more than `jobs_max`, 413, 415.
    """
    kind = media_type(headers_of(request.scope).get(b"content-type", b""))
    if kind not in (JSON, NDJSON):
        detail = f"Send the jobs as Content-Type: {JSON} or {NDJSON}."
        raise Problem(415, "unsupported-media-type", detail)
    body = await whole_body(request, BATCH_BYTES_MAX)
    items = _lines(body) if kind == NDJSON else decode_json(body, _jobs_decoder).jobs
    if not 1 <= len(items) <= jobs_max:
        raise bad_field("jobs", f"Send 1 to {jobs_max} jobs at a time, not {len(items)}.")
    return items


def wants_ndjson(request: Request) -> bool:
    """Whether the client asks for NDJSON before JSON."""
    accept = headers_of(request.scope).get(b"accept", b"")
    return any(media_type(part) == NDJSON for part in accept.split(b","))


def media_type(header: bytes) -> str:
    """A media type without its parameters, in lower case."""
    return header.split(b";")[0].strip().lower().decode("latin-1")


def _lines(body: bytes) -> Sequence[bytes]:
    """The lines that hold anything. Raises Problem 400 where not a single one is JSON."""
    lines = [line for line in body.split(b"\n") if line.strip()]
    if lines and not any(_is_json(line) for line in lines[:BATCH_JOBS_MAX]):
        raise bad_field("body", "None of the lines is JSON in UTF-8.", code="invalid-json")
    return lines


def _is_json(line: bytes) -> bool:
    try:
        _any_decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True

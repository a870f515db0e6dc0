"""Reads of jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.cursors import FIRST_PIN, Cursor, read_cursor, write_cursor
from api.documents import event_document, job_detail
from api.ports import ApiPorts
from api.secrets import job_secrets
from api.shapes import JobsQuery
from infra.http.auth import caller_of
from infra.http.problems import Problem
from infra.http.requests import query_of
from infra.http.routing import port_of

_encoder = msgspec.json.Encoder()
_HEADERS = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))


async def get_job(request: Request) -> Response:
    """GET /v1/jobs/{id}."""
    ports = port_of(request, ApiPorts)
    account, job = caller_of(request).account, request.path_params["id"]
    await ports.consistency.ready(request, account)
    row = await ports.consistency.found(account, lambda: ports.queries.job(account, job))
    if row is None:
        raise unknown_job(job)
    return answer(await _document(ports, account, row))


async def list_jobs(request: Request) -> Response:
    """GET /v1/jobs."""
    ports, query = port_of(request, ApiPorts), query_of(request, JobsQuery)
    account = caller_of(request).account
    newest_first = query.sort.startswith("-")
    filters = [query.status, query.model, _ms(query.created_after), _ms(query.created_before)]
    scope = f"jobs {account} {query.sort} {_encoder.encode(filters).decode()}"
    cursor = page_start(ports, scope, query.cursor, newest_first)
    await ports.consistency.ready(request, account)
    rows = await ports.queries.jobs(account, newest_first, cursor.pin, cursor.after, filters, query.limit + 1)
    data = [await _document(ports, account, row) for row in rows[: query.limit]]
    return answer({"data": data, "next_cursor": next_cursor(ports, scope, cursor, rows, query.limit)})


async def list_job_events(request: Request) -> Response:
    """GET /v1/jobs/{id}/events."""
    ports = port_of(request, ApiPorts)
    account, job = caller_of(request).account, request.path_params["id"]
    await ports.consistency.ready(request, account)
    events = await ports.consistency.found(account, lambda: ports.queries.job_events(account, job))
    if events is None:
        raise unknown_job(job)
    data = [event_document(value, ports.deployment) for value in events]
    return answer({"data": data, "next_cursor": None})


def unknown_job(job: str) -> Problem:
    """A job that is not there, or not yours: the same answer."""
    return Problem(404, "not-found", f"The account has no job {job[:64]}.")


class _Answer(Response):
    """200 with JSON; its headers are written as they stand, because most of the requests end here."""

    def __init__(self, body: bytes) -> None:
        self.status_code = 200
        self.background = None
        self.body = body
        self.raw_headers = [*_HEADERS, (b"content-length", b"%d" % len(body))]


def answer(document: Mapping[str, Any]) -> Response:
    """200 with the document, which no cache may keep."""
    return _Answer(_encoder.encode(document))


def page_start(ports: ApiPorts, scope: str, cursor: str | None, newest_first: bool) -> Cursor:
    """Where the page begins. Raises Problem 400 for a cursor that is not of this list."""
    if cursor is not None:
        return read_cursor(ports.signer, scope, cursor)
    return Cursor(FIRST_PIN, FIRST_PIN if newest_first else 0)


def next_cursor(ports: ApiPorts, scope: str, cursor: Cursor, rows: Sequence[asyncpg.Record], limit: int) -> str | None:
    """Where the next page begins, None after the last."""
    if len(rows) <= limit:
        return None
    last = rows[limit - 1]
    return write_cursor(ports.signer, scope, Cursor(min(cursor.pin, last["pin"]), last["version"]))


async def _document(ports: ApiPorts, account: str, row: asyncpg.Record) -> dict[str, Any]:
    sealed = row["sealed"]
    if sealed is None:
        return job_detail(ports.base_url, row, None, {})
    secrets = await job_secrets(ports.keys, account, sealed)
    return job_detail(ports.base_url, row, secrets.metadata, secrets.texts)


def _ms(moment: Any) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)

"""Reads of jobs and groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.cursors import Cursor, read_cursor, write_cursor
from api.documents import event_document, group_document, job_detail
from api.lists import answer as answer
from api.lists import milliseconds, next_cursor, page_start, scope_of
from api.ports import ApiPorts
from api.queries import JobFilters
from api.secrets import job_secrets, sealed_parts
from api.shapes import JobsQuery, PageQuery
from infra.http.auth import caller_of
from infra.http.problems import Problem
from infra.http.refusals import problem_of
from infra.http.requests import query_of
from infra.http.routing import port_of
from schemas.commands import SealedPart
from schemas.events import decode_event
from schemas.refusals import AnyRefusal

_part_decoder = msgspec.json.Decoder(SealedPart)
_refusal_decoder = msgspec.json.Decoder(AnyRefusal)


async def get_job(request: Request) -> Response:
    """GET /v1/jobs/{id}."""
    ports = port_of(request, ApiPorts)
    account, job = caller_of(request).account, request.path_params["id"]
    await ports.consistency.ready(request, account)
    return answer(await job_document(ports, account, await job_row(ports, account, job)))


async def job_row(ports: ApiPorts, account: str, job: str) -> asyncpg.Record:
    """The job's row; under an id that a repeat came with, that of the job it repeats.

    Raises Problem 404 for an unknown job, and what a command was refused for whose answer came before its decision.
    """

    async def read() -> asyncpg.Record | None:
        return await ports.queries.job(account, job) or await ports.queries.not_made(account, job)

    row = await ports.consistency.found(account, read)
    if row is not None and "refusal" in row.keys():  # noqa: SIM118 - a record's values are not its keys
        if row["refusal"] is not None:
            raise problem_of(_refusal_decoder.decode(row["refusal"]), ports.clock.now_ms())
        row = await ports.queries.job(account, row["made"])
    if row is None:
        raise unknown_job(job)
    return row


async def list_jobs(request: Request) -> Response:
    """GET /v1/jobs."""
    ports, query = port_of(request, ApiPorts), query_of(request, JobsQuery)
    account = caller_of(request).account
    newest_first = query.sort.startswith("-")
    filters = JobFilters(
        statuses=tuple(sorted(set(query.status))),
        models=() if query.model is None else (query.model,),
        lane=query.lane,
        group=query.group,
        input=query.input,
        result=query.result,
        hidden=query.hidden,
        has_result=query.has_result,
        created_after_ms=milliseconds(query.created_after),
        created_before_ms=milliseconds(query.created_before),
        ended_after_ms=milliseconds(query.ended_after),
        ended_before_ms=milliseconds(query.ended_before),
    )
    scope = scope_of("jobs", account, query.sort, filters)
    cursor = page_start(ports, scope, query.cursor, newest_first)
    await ports.consistency.ready(request, account)
    rows = await ports.queries.jobs(
        account, filters, newest_first=newest_first, pin=cursor.pin, after=cursor.after, limit=query.limit + 1
    )
    data = await job_documents(ports, account, rows[: query.limit])
    return answer({"data": data, "next_cursor": next_cursor(ports, scope, cursor, rows, query.limit)})


async def list_job_events(request: Request) -> Response:
    """GET /v1/jobs/{id}/events."""
    ports, query = port_of(request, ApiPorts), query_of(request, PageQuery)
    account, job = caller_of(request).account, request.path_params["id"]
    scope = scope_of("events", account, job)
    after = 0 if query.cursor is None else read_cursor(ports.signer, scope, query.cursor).after
    await ports.consistency.ready(request, account)
    values = await ports.consistency.found(account, lambda: ports.queries.job_events(account, job))
    if values is None:
        raise unknown_job(job)
    left = [value for value in values if decode_event(value).version > after]
    page, more = left[: query.limit], len(left) > query.limit
    following = None
    if more:
        version = decode_event(page[-1]).version
        following = write_cursor(ports.signer, scope, Cursor(version, version))
    return answer({"data": [event_document(value, ports.deployment) for value in page], "next_cursor": following})


async def get_group(request: Request) -> Response:
    """GET /v1/groups/{id}."""
    ports = port_of(request, ApiPorts)
    account, group = caller_of(request).account, request.path_params["id"]
    await ports.consistency.ready(request, account)

    async def read() -> Any:
        return await ports.queries.group(account, group) or await ports.queries.not_made(account, group)

    found = await ports.consistency.found(account, read)
    if isinstance(found, asyncpg.Record):
        if found["refusal"] is not None:
            raise problem_of(_refusal_decoder.decode(found["refusal"]), ports.clock.now_ms())
        found = await ports.queries.group(account, found["made"])
    if found is None:
        raise Problem(404, "not-found", f"The account has no group {group[:64]}.")
    row, jobs = found
    return answer(group_document(row, await job_documents(ports, account, jobs)))


def unknown_job(job: str) -> Problem:
    """A job that is not there, or not yours: the same answer."""
    return Problem(404, "not-found", f"The account has no job {job[:64]}.")


async def job_documents(ports: ApiPorts, account: str, rows: Sequence[asyncpg.Record]) -> list[dict[str, Any]]:
    """The documents of some jobs, with what was sealed opened."""
    parts = {row["job"]: _part_decoder.decode(row["sealed_at"]) for row in rows if row["sealed_at"] is not None}
    found = await sealed_parts(ports.objects, parts.values()) if parts else {}
    return [
        await _document(ports, account, row, found.get(parts[row["job"]]) if row["job"] in parts else row["sealed"])
        for row in rows
    ]


async def job_document(ports: ApiPorts, account: str, row: asyncpg.Record) -> dict[str, Any]:
    """The document of one job, with what was sealed opened."""
    if row["sealed_at"] is not None:
        return (await job_documents(ports, account, [row]))[0]
    return await _document(ports, account, row, row["sealed"])


async def _document(ports: ApiPorts, account: str, row: asyncpg.Record, sealed: str | None) -> dict[str, Any]:
    if sealed is None:
        return job_detail(ports.base_url, row, None, {})
    secrets = await job_secrets(ports.keys, account, sealed)
    return job_detail(ports.base_url, row, secrets.metadata, secrets.texts)

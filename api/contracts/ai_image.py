"""Document 000, ai-image, its reads: usage, the list of jobs, one job.

Ids of jobs are those of the core. A link to an original stays in every answer and tells 410 once the original is gone;
a result that is gone has no link. Of a job that took an earlier one's result, the engine is that one's.
"""

from __future__ import annotations

from typing import Any

import asyncpg
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.accounts import account_now
from api.jobs import job_document, job_row, unknown_job
from api.lists import answer
from api.ports import ApiPorts
from api.queries import JobFilters
from infra.http.audit import accessed
from infra.http.auth import add_headers, caller_of
from infra.http.requests import query_of
from infra.http.routing import port_of
from infra.http.tokens import Caller
from schemas.commands import EngineRun, StoredObject
from schemas.wire import ai_image as wire
from schemas.wire.ai_image_errors import failure_message
from schemas.wire.ai_image_request import JobsQuery

_run_decoder = msgspec.json.Decoder(EngineRun)
_stored_decoder = msgspec.json.Decoder(StoredObject)


async def get_usage(request: Request) -> Response:
    """GET /api/ai-image/usage; reading opens no account."""
    ports, caller = port_of(request, ApiPorts), _caller(request)
    now = await account_now(request, ports, caller)
    data = {
        "ownerType": wire.owner_type(caller.plan),
        "usage": wire.usage_document(now.terms, now.standing.windows, ports.clock.now_ms()),
        "limits": wire.limits_document(now.plan),
    }
    return answer({"success": True, "data": data})


async def list_jobs(request: Request) -> Response:
    """GET /api/ai-image/jobs, the newest first."""
    ports, account = port_of(request, ApiPorts), _caller(request).account
    query = query_of(request, JobsQuery)
    filters = JobFilters(statuses=() if query.status is None else wire.STATUSES[query.status], hidden=False)
    await ports.consistency.ready(request, account)
    rows = await ports.queries.jobs_page(account, filters, offset=query.offset, limit=query.limit + 1)
    data = {
        "jobs": [_shown(ports, account, row) for row in rows[: query.limit]],
        "total": await ports.queries.jobs_total(account, filters),
        "hasMore": len(rows) > query.limit,
    }
    return answer({"success": True, "data": data})


async def get_job(request: Request) -> Response:
    """GET /api/ai-image/jobs/{id}."""
    ports, account, job = port_of(request, ApiPorts), _caller(request).account, request.path_params["id"]
    if not wire.is_job_id(job):
        raise unknown_job(job)
    await ports.consistency.ready(request, account)
    row = await job_row(ports, account, job)
    accessed(request, row["job"])
    return answer({"success": True, "data": await _document(ports, account, row)})


def _caller(request: Request) -> Caller:
    """Who asks; the answer says what kind of owner that is."""
    caller = caller_of(request)
    add_headers(request.scope, [wire.owner_header(caller.plan)])
    return caller


def _shown(ports: ApiPorts, account: str, row: asyncpg.Record) -> dict[str, Any]:
    """The document of `JobRow`."""
    result = row["asset"] if row["result_gone"] is None else None
    return {
        "id": row["job"],
        "status": wire.status_word(row["status"]),
        "model": row["model"],
        "createdAt": wire.time_or_none(row["accepted_ms"]),
        "completedAt": wire.time_or_none(row["ended_ms"]),
        "imageUrl": None if result is None else ports.links.shown(account, result),
        "originalUrl": None if row["input"] is None else ports.links.shown(account, row["input"]),
    }


async def _document(ports: ApiPorts, account: str, row: asyncpg.Record) -> dict[str, Any]:
    """The document of `Job`."""
    opened = (await job_document(ports, account, row))["params"]
    params: dict[str, Any] = opened if isinstance(opened, dict) else msgspec.json.decode(opened)
    source = None if row["input"] is None else await ports.queries.asset(account, row["input"])
    run = await _run(ports, account, row)
    return {
        **_shown(ports, account, row),
        "scale": params.get("scale"),
        "faceEnhance": params.get("face_enhance") is True,
        "prompt": params.get("prompt") or None,
        "startedAt": wire.time_or_none(row["running_ms"]),
        "errorMessage": failure_message(row["status"], row["reason"]),
        "provider": None if run is None else run.engine,
        "providerJobId": None if run is None else run.request or None,
        "inputSize": None if source is None else source.stored.bytes,
        "outputSize": None if row["result"] is None else _stored_decoder.decode(row["result"]).bytes,
    }


async def _run(ports: ApiPorts, account: str, row: asyncpg.Record) -> EngineRun | None:
    """The engine's run that made the result, or the last that failed to; None where no engine has answered yet."""
    run = row["run"]
    if run is None and row["reused_of"] is not None:
        earlier = await ports.queries.job(account, row["reused_of"])
        run = None if earlier is None else earlier["run"]
    return None if run is None else _run_decoder.decode(run)

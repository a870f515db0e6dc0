"""Document 001, pix-loom: reads. A deleted generation is in no answer but counts in every statistic.

The URL and the metadata that a generation came with stand sealed beside its job; one that came without a URL shows the
picture that it works on. Jobs of other models, which the native API may have given the account, are no generations.
"""

from __future__ import annotations

from typing import Any

import asyncpg
from starlette.requests import Request
from starlette.responses import Response

from api.jobs import job_documents, job_row
from api.lists import answer
from api.ports import ApiPorts
from api.queries import JobFilters
from infra.http.audit import accessed
from infra.http.auth import caller_of
from infra.http.problems import WireProblem
from infra.http.routing import port_of
from schemas.wire import pix_loom_documents as shown
from schemas.wire import pix_loom_errors as wrong
from schemas.wire.pix_loom_request import read_history


async def get_generation(request: Request) -> Response:
    """GET /api/ai/generation/{id}."""
    ports, account = port_of(request, ApiPorts), caller_of(request).account
    job = shown.job_of(request.path_params["id"])
    if job is None:
        raise WireProblem(wrong.not_found())
    await ports.consistency.ready(request, account)
    row = await job_row(ports, account, job)
    if row["model"] not in wrong.OPERATIONS or row["hidden_ms"] is not None:
        raise WireProblem(wrong.not_found())
    accessed(request, row["job"])
    (document,) = await job_documents(ports, account, [row])
    url, metadata = shown.kept_in(document["metadata"])
    return answer({"success": True, "data": shown.detail_of(row, *_pictures(ports, account, row, url), metadata)})


async def get_history(request: Request) -> Response:
    """GET /api/ai/history, the newest first; its statistics are those of all time."""
    ports, account = port_of(request, ApiPorts), caller_of(request).account
    query = read_history(request.query_params.multi_items())
    if isinstance(query, list):
        raise WireProblem(wrong.invalid(*query))
    await ports.consistency.ready(request, account)
    filters = JobFilters(models=query.models, hidden=False)
    rows = await ports.queries.jobs_page(account, filters, offset=query.offset, limit=query.limit)
    documents = await job_documents(ports, account, rows)
    generations = [
        shown.summary_of(row, *_pictures(ports, account, row, shown.kept_in(document["metadata"])[0]))
        for row, document in zip(rows, documents, strict=True)
    ]
    data = {
        "generations": generations,
        "pagination": shown.pagination_of(query, await ports.queries.jobs_total(account, filters), len(rows)),
        "statistics": await _statistics(ports, account),
    }
    return answer({"success": True, "data": data})


async def get_stats(request: Request) -> Response:
    """GET /api/ai/stats."""
    ports, account = port_of(request, ApiPorts), caller_of(request).account
    await ports.consistency.ready(request, account)
    since_ms = ports.clock.now_ms() - shown.RECENT_MS
    recent = JobFilters(models=wrong.OPERATIONS, created_after_ms=since_ms)
    data = {
        **await _statistics(ports, account),
        "recentActivity": await ports.queries.jobs_total(account, recent),
        "period": shown.PERIOD,
    }
    return answer({"success": True, "data": data})


async def _statistics(ports: ApiPorts, account: str) -> dict[str, Any]:
    """The document of `Statistics`. Completed ones are counted first, so that they are never more than all."""
    filters = JobFilters(models=wrong.OPERATIONS, statuses=("succeeded",))
    completed = await ports.queries.jobs_total(account, filters)
    total = await ports.queries.jobs_total(account, JobFilters(models=wrong.OPERATIONS))
    return shown.statistics_of(total, completed, await ports.queries.spent(account, wrong.OPERATIONS))


def _pictures(ports: ApiPorts, account: str, row: asyncpg.Record, url: str | None) -> tuple[str | None, str | None]:
    """Where the original and the result are; of a result that is gone, nowhere."""
    source, result = row["input"], row["asset"]
    original = url if url is not None or source is None else ports.links.shown(account, source)
    is_there = row["status"] == "succeeded" and result is not None and row["result_gone"] is None
    return original, ports.links.shown(account, result) if is_there else None

"""Document 004, studio, its pages that read: the dashboard, a generation's progress, the library, an asset.

Whatever a page shows is what the API shows, by the same reads. Numbers count in one account, so a stranger's pages are
pages of nothing. What the read models do not show yet is waited for as elsewhere; the page of a generation says so.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.accounts import account_now
from api.contracts.studio import own_result
from api.jobs import job_documents, job_row
from api.money_documents import quota_document
from api.ports import ApiPorts
from api.queries import AssetRow, JobFilters
from infra.http.audit import accessed
from infra.http.auth import caller_of
from infra.http.problems import Problem, WireProblem
from infra.http.refusals import problem_of
from infra.http.requests import query_of
from infra.http.routing import port_of
from infra.http.templates import page, static_answer, static_files
from infra.postgres.outcomes import TERMINAL
from schemas.catalogue import Catalogue
from schemas.refusals import JobUnknown
from schemas.wire import studio_pages as wire
from schemas.wire.studio import result_document
from schemas.wire.studio_errors import ASSET_NOT_FOUND, INVALID_MODEL, failure
from schemas.wire.studio_form import PRODUCT, shown_models
from schemas.wire.studio_page_form import kind_of, model_form
from schemas.wire.studio_paths import job_of_request, number_of, request_id

_LIVE = ("accepted", "queued", "running")
_RUNNING_SHOWN, _LAST_SHOWN = 10, 6
_ALT_CHARS_MAX = 160
_WAITING, _MAKING = "waiting", "making"


def _page(name: str, status: int = 200, **context: Any) -> Response:
    return page(name, wire.STATIC_PATH, wire.HEADERS, status, **context)


async def dashboard(request: Request) -> Response:
    """GET /dashboard?model=…"""
    ports, caller, query = port_of(request, ApiPorts), caller_of(request), query_of(request, wire.DashboardQuery)
    form = model_form(ports.catalogue, query.model, new_key())
    if form is None:
        raise WireProblem(wire.error_page(400, f"model: {INVALID_MODEL}"))
    now = await account_now(request, ports, caller)
    time_ms = ports.clock.now_ms()
    live = JobFilters(statuses=_LIVE)
    running = await ports.queries.jobs_page(caller.account, live, offset=0, limit=_RUNNING_SHOWN)
    last = await ports.queries.results_page(caller.account, None, newest_first=True, offset=0, limit=_LAST_SHOWN)
    quota = [window for window in quota_document(now.terms, now.standing.windows, time_ms) if window["window"] == "day"]
    return _page(
        "dashboard.html",
        models=[(slug, entry.title, kind_of(ports.catalogue, entry)) for slug, entry in _models(ports)],
        form=form,
        quota=quota[0] if quota else None,
        running=await _shown_jobs(ports, caller.account, running),
        last=await shown_assets(request, ports, caller.account, last),
    )


def _models(ports: ApiPorts) -> Sequence[Any]:
    return list(shown_models(ports.catalogue).items())


def new_key() -> str:
    """A form's own idempotency key."""
    return f"form_{secrets.token_hex(12)}"


async def generation(request: Request) -> Response:
    """GET /generation/{request_id}: how it stands; 303 to the result once that is there."""
    ports, account, named = port_of(request, ApiPorts), caller_of(request).account, request.path_params["request_id"]
    job = job_of_request(named)
    if job is None:
        raise problem_of(JobUnknown(""), 0)
    try:
        await ports.consistency.ready(request, account)
        row = await job_row(ports, account, job)
    except Problem as problem:
        if problem.code == "not-reached":
            return _page("generation.html", stage=_WAITING, shown=None, failed=None, is_gone=False)
        if problem.status == 404:
            raise problem_of(JobUnknown(""), 0) from problem
        raise
    accessed(request, row["job"])
    if row["status"] == "succeeded" and row["result_gone"] is None and row["asset_number"] is not None:
        return RedirectResponse(wire.asset_url(row["asset_number"]), 303, {"cache-control": "no-store"})
    (shown,) = await _shown_jobs(ports, account, [row])
    has_ended = row["status"] in TERMINAL
    has_failed = has_ended and row["status"] != "succeeded"
    told = failure(named, row["reason"]).document if has_failed else None
    return _page(
        "generation.html",
        stage=_MAKING if row["status"] == "running" else _WAITING,
        shown=shown,
        failed=None if told is None else told["error"],
        is_gone=has_ended and not has_failed,
    )


async def library(request: Request) -> Response:
    """GET /library?type=…&sort=…&page=…"""
    ports, account, query = port_of(request, ApiPorts), caller_of(request).account, query_of(request, wire.LibraryQuery)
    media = None if query.type == "all" else query.type
    await ports.consistency.ready(request, account)
    total = await ports.queries.results_total(account, media)
    rows = await ports.queries.results_page(
        account,
        media,
        newest_first=query.sort == "newest",
        offset=(query.page - 1) * wire.PAGE_ASSETS,
        limit=wire.PAGE_ASSETS,
    )
    return _page(
        "library.html",
        query=query,
        assets=await shown_assets(request, ports, account, rows),
        total=total,
        pages=max(1, -(-total // wire.PAGE_ASSETS)),
        url=lambda **changes: wire.library_url(query, **changes),
    )


async def asset(request: Request) -> Response:
    """GET /asset/{asset_id}."""
    return await _asset_page(request, "asset.html")


async def delete_page(request: Request) -> Response:
    """GET /asset/{asset_id}/delete: asks; the form's POST deletes."""
    return await _asset_page(request, "delete.html")


async def _asset_page(request: Request, template: str) -> Response:
    row = await own_result(request, number_of(request.path_params["asset_id"]))
    if row is None:
        raise WireProblem(wire.error_page(404, ASSET_NOT_FOUND))
    ports, account = port_of(request, ApiPorts), caller_of(request).account
    (shown,) = await shown_assets(request, ports, account, [row])
    return _page(template, asset=shown)


async def static_file(request: Request) -> Response:
    """GET /static/pages/{name}: for everybody."""
    file = static_files().get(request.path_params["name"])
    if file is None:
        raise WireProblem(wire.error_page(404, "There is no such file"))
    return static_answer(request, file)


async def shown_assets(
    request: Request, ports: ApiPorts, account: str, rows: Sequence[AssetRow]
) -> list[dict[str, Any]]:
    """What pages show of results: their paths, and of which words and model they are."""
    accessed(request, *(row.asset for row in rows))
    found = await asyncio.gather(*(ports.queries.job(account, row.job or "") for row in rows))
    jobs = {shown["job"]: shown for shown in await _shown_jobs(ports, account, [job for job in found if job])}
    return [_shown_asset(row, jobs.get(row.job or "")) for row in rows]


def _shown_asset(row: AssetRow, job: dict[str, Any] | None) -> dict[str, Any]:
    stored = row.stored
    document = result_document(row.number, stored.format, has_thumbnail=row.thumbnail is not None)
    prompt, model = (job["prompt"], job["model"]) if job is not None else ("", "")
    kind = "video" if document["type"] == "video" else "picture"
    return {
        **document,
        "page": wire.asset_url(row.number),
        "kind": kind,
        "prompt": prompt,
        "model": model,
        "alt": _shortened(prompt) or f"{kind.capitalize()} {row.number}",
        "width": stored.width,
        "height": stored.height,
        "bytes": stored.bytes,
        "format": {"jpeg": "JPEG", "webp": "WebP", "webm": "WebM"}.get(stored.format, stored.format.upper()),
        "seconds": round(stored.duration_ms / 1000, 1),
        "created_ms": row.created_ms,
        "params": job["params"] if job is not None else {},
    }


async def _shown_jobs(ports: ApiPorts, account: str, rows: Sequence[asyncpg.Record]) -> list[dict[str, Any]]:
    """What pages show of jobs; a prompt that cannot be opened any more is left out."""
    if not rows:
        return []
    documents = await job_documents(ports, account, rows)
    return [_shown_job(ports, row, document) for row, document in zip(rows, documents, strict=True)]


def _shown_job(ports: ApiPorts, row: asyncpg.Record, document: dict[str, Any]) -> dict[str, Any]:
    opened = document["params"]
    params: dict[str, Any] = dict(opened if isinstance(opened, dict) else msgspec.json.decode(opened))
    prompt = str(params.pop("prompt", None) or "")
    since_ms = row["accepted_ms"]
    return {
        "job": row["job"],
        "page": wire.generation_url(request_id(row["job"])),
        "model": _title(ports.catalogue, row["model"]),
        "form": row["model"].removesuffix("-img2img"),
        "prompt": prompt,
        "short": _shortened(prompt),
        "stage": _MAKING if row["status"] == "running" else _WAITING,
        "since_ms": since_ms,
        "seconds": max(0, ports.clock.now_ms() - since_ms) // 1000,
        "params": {name.replace("_", " ").capitalize(): value for name, value in params.items() if value != ""},
    }


def _title(catalogue: Catalogue, slug: str) -> str:
    entry = catalogue.entry(slug)
    return slug if entry is None or PRODUCT not in entry.products else entry.title


def _shortened(text: str) -> str:
    """One line of it."""
    line = " ".join(text.split())
    return line if len(line) <= _ALT_CHARS_MAX else f"{line[:_ALT_CHARS_MAX].rstrip()}…"

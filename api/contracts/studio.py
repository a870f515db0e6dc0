"""Document 004, studio, its reads: how a generation stands, what a model is, and the bytes of one's own results.

Results are named by numbers that count in one account, so a stranger's session finds its own of the number, or nothing.
What was uploaded is no result, what was deleted is none any more; both are told as what never was.
"""

from __future__ import annotations

import asyncpg
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.jobs import job_row
from api.lists import answer
from api.media import media_answer
from api.ports import ApiPorts
from api.queries import AssetRow
from infra.http.audit import accessed
from infra.http.auth import caller_of
from infra.http.problems import Problem, WireProblem
from infra.http.refusals import problem_of
from infra.http.routing import port_of
from infra.postgres.outcomes import TERMINAL
from schemas.refusals import JobUnknown
from schemas.wire import studio as wire
from schemas.wire.studio_errors import ASSET_NOT_FOUND, FAILED, INVALID_MODEL_ID, MEDIA_NOT_FOUND, error
from schemas.wire.studio_form import shown_models
from schemas.wire.studio_paths import (
    EXTENSIONS,
    Media,
    file_name,
    image_named,
    job_of_request,
    media_kind,
    number_of,
    video_of_key,
    video_of_thumbnail,
)


async def generation_status(request: Request) -> Response:
    """GET /api/generation-status/{request_id}."""
    ports, account = port_of(request, ApiPorts), caller_of(request).account
    await ports.consistency.ready(request, account)
    row = await _job(ports, account, job_of_request(request.path_params["request_id"]))
    accessed(request, row["job"])
    if row["status"] not in TERMINAL:
        return answer({"status": "pending"})
    if row["status"] != "succeeded":
        raise WireProblem(error(502, FAILED))
    asset = await ports.queries.asset(account, row["asset"])
    results = [] if asset is None or asset.gone is not None else [result_document(asset)]
    return answer({"status": "completed", "results": results})


async def _job(ports: ApiPorts, account: str, job: str | None) -> asyncpg.Record:
    """The job's row. Raises Problem 404 for an unknown one, and what it was refused for after its answer."""
    try:
        if job is not None:
            return await job_row(ports, account, job)
    except Problem as problem:
        if problem.status != 404:
            raise
    raise problem_of(JobUnknown(""), 0)


async def model_info(request: Request) -> Response:
    """GET /api/model-info/{model_id}."""
    entry = shown_models(port_of(request, ApiPorts).catalogue).get(request.path_params["model_id"])
    if entry is None or entry.info is None:
        raise WireProblem(error(404, INVALID_MODEL_ID))
    return answer({"name": entry.title, "info": msgspec.structs.asdict(entry.info)})


async def get_image(request: Request) -> Response:
    """GET /static/generated/{name}."""
    row = await _media(request, image_named(request.path_params["name"]))
    return await media_answer(request, port_of(request, ApiPorts), row, file_name(row.number, row.stored.format))


async def get_video(request: Request) -> Response:
    """GET /video/{key}."""
    row = await _media(request, video_of_key(request.path_params["key"]))
    return await media_answer(request, port_of(request, ApiPorts), row, file_name(row.number, row.stored.format))


async def get_thumbnail(request: Request) -> Response:
    """GET /static/generated/thumbnails/{name}."""
    name = request.path_params["name"]
    row = await _media(request, video_of_thumbnail(name))
    if row.thumbnail is None:
        raise WireProblem(error(404, MEDIA_NOT_FOUND))
    still = msgspec.structs.replace(row, stored=row.thumbnail)
    return await media_answer(request, port_of(request, ApiPorts), still, name)


async def download(request: Request) -> Response:
    """GET /asset/{asset_id}/download: the bytes, to be saved under a name of their own."""
    row = await own_result(request, number_of(request.path_params["asset_id"]))
    if row is None:
        raise WireProblem(error(404, ASSET_NOT_FOUND))
    ports, name = port_of(request, ApiPorts), file_name(row.number, row.stored.format)
    return await media_answer(request, ports, row, name, attachment=True)


async def own_result(request: Request, number: int | None) -> AssetRow | None:
    """The caller's result of this number; None where there is none, or no more. Raises Problem 503."""
    if number is None:
        return None
    ports, account = port_of(request, ApiPorts), caller_of(request).account
    await ports.consistency.ready(request, account)
    row = await ports.consistency.found(account, lambda: ports.queries.numbered_asset(account, number))
    if row is None or row.job is None or row.gone is not None:
        return None
    accessed(request, row.asset)
    return row


async def _media(request: Request, media: Media | None) -> AssetRow:
    """The caller's result that a media path names. Raises Problem 404 for every other path."""
    row = None if media is None else await own_result(request, media.number)
    if media is None or row is None or not _is(row, media):
        raise WireProblem(error(404, MEDIA_NOT_FOUND))
    return row


def result_document(row: AssetRow) -> dict[str, object]:
    """The document of `Result`."""
    return wire.result_document(row.number, row.stored.format, has_thumbnail=row.thumbnail is not None)


def _is(row: AssetRow, media: Media) -> bool:
    """Whether the asset is what its path says."""
    form = row.stored.format
    return media.kind == media_kind(form) and media.extension in (None, EXTENSIONS.get(form, form))

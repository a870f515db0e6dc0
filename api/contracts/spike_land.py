"""Document 002, spike-land, its reads: an image with its jobs, one's own or a public one of somebody else.

Strangers see of a public image what the native surface shows them too: no file name and no jobs. Their reads count as
views, by the same port as reads of its bytes. To a stranger a private image is one that nobody knows, in wording and in
the way to the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.assets import file_name
from api.lists import answer
from api.ports import ApiPorts
from api.queries import AssetRow
from infra.http.audit import accessed
from infra.http.auth import caller_of
from infra.http.documents import error_document
from infra.http.links import media_path
from infra.http.problems import Problem
from infra.http.routing import port_of
from schemas.commands import StoredObject
from schemas.wire import spike_land as wire
from schemas.wire.spike_land_requests import asset_of_image, image_of_asset

_stored = msgspec.json.Decoder(StoredObject)
_params = msgspec.json.Decoder(dict[str, Any])


async def get_image(request: Request) -> Response:
    """GET /api/images/{id}."""
    ports, caller, image = port_of(request, ApiPorts), caller_of(request), request.path_params["id"]
    asset = asset_of_image(image)
    if asset is None:
        raise _unknown(image)
    account = caller.account
    await ports.consistency.ready(request, account)
    row = await ports.queries.asset(account, asset)
    if row is None:
        public = await _public(request, ports, asset)
        if public is not None:
            return public
        row = await ports.consistency.found(account, lambda: ports.queries.asset(account, asset))
    if row is None or row.gone is not None:
        raise _unknown(image)
    accessed(request, asset, account=account)
    name = await file_name(ports, account, row)
    jobs = await ports.queries.jobs_of_input(account, asset, wire.JOBS_SHOWN_MAX)
    shown = [_job(ports, account, job) for job in jobs if job["model"] == wire.MODEL and job["hidden_ms"] is None]
    return answer({"success": True, "image": _image(row, name, ports.links.shown(account, asset), shown)})


async def _public(request: Request, ports: ApiPorts, asset: str) -> Response | None:
    """Somebody else's public image, counted as a view of it; None where it is not public."""
    owner = await ports.queries.public_owner(asset)
    if owner is None or owner[1] != wire.PRODUCT:
        return None
    account, product = owner
    await ports.consistency.ready(request, account)
    row = await ports.queries.asset(account, asset)
    if row is None or row.gone is not None or not row.public:
        return None
    accessed(request, asset, account=account)
    if request.method == "GET":
        ports.views.note(account, product, asset)
    return answer({"success": True, "image": _image(row, None, ports.base_url + media_path(asset), [])})


def _image(row: AssetRow, name: str | None, url: str, jobs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The document of `ImageWithJobs`."""
    image = image_of_asset(row.asset)
    return {
        "id": image,
        "name": name or wire.unnamed(image, row.stored.format),
        "description": None,
        "url": url,
        "width": row.stored.width,
        "height": row.stored.height,
        "size": row.stored.bytes,
        "format": wire.format_word(row.stored.format),
        "isPublic": row.public,
        "viewCount": row.views,
        "createdAt": wire.moment(row.created_ms),
        "updatedAt": wire.moment(row.changed_ms or row.created_ms),
        "jobs": jobs,
    }


def _job(ports: ApiPorts, account: str, row: asyncpg.Record) -> dict[str, Any]:
    """The document of `Job`; what there is of a result only while it is there."""
    core, status = row["status"], wire.status_of(row["status"], row["refunded"])
    result = None if row["result"] is None or row["result_gone"] is not None else _stored.decode(row["result"])
    reason = None if row["reason"] is None else error_document(row["reason"], row["detail"])["detail"]
    return {
        "id": row["job"],
        "tier": _params.decode(row["params"])["tier"],
        "status": status,
        "tokensCost": row["cost"],
        "enhancedUrl": None if result is None else ports.links.shown(account, row["asset"]),
        "enhancedWidth": None if result is None else result.width,
        "enhancedHeight": None if result is None else result.height,
        "enhancedSizeBytes": None if result is None else result.bytes,
        "errorMessage": wire.error_message(core, reason),
        "createdAt": wire.moment(row["accepted_ms"]),
        "processingStartedAt": None if status == "PENDING" else wire.moment_or_none(row["running_ms"]),
        "processingCompletedAt": wire.moment_or_none(row["ended_ms"]),
    }


def _unknown(image: str) -> Problem:
    return Problem(404, "not-found", f"The account has no image {image[:64]}.")

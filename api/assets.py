"""Reads of assets and albums as documents and lists; their bytes are `api.media`'s."""

from __future__ import annotations

from typing import Any

import asyncpg
from starlette.requests import Request
from starlette.responses import Response

from api.asset_shapes import AlbumsQuery, AssetsQuery
from api.cursors import FIRST_PIN, Cursor, write_cursor
from api.documents import moment, moment_or_none, thumbnail_url
from api.lists import answer, milliseconds, next_cursor, page_start, scope_of
from api.ports import ApiPorts
from api.queries import AssetFilters, AssetRow
from api.secrets import album_secrets, asset_secrets
from infra.http.auth import caller_of
from infra.http.documents import asset_document
from infra.http.problems import Problem
from infra.http.requests import query_of
from infra.http.routing import port_of


async def list_assets(request: Request) -> Response:
    """GET /v1/assets."""
    ports, query = port_of(request, ApiPorts), query_of(request, AssetsQuery)
    account = caller_of(request).account
    newest_first = query.sort.startswith("-")
    filters = AssetFilters(
        kind=query.kind,
        album=query.album,
        format=query.format,
        media=query.media,
        public=query.public,
        created_after_ms=milliseconds(query.created_after),
        created_before_ms=milliseconds(query.created_before),
    )
    scope = scope_of("assets", account, query.sort, filters)
    cursor = page_start(ports, scope, query.cursor, newest_first)
    await ports.consistency.ready(request, account)
    if cursor.pin == FIRST_PIN:
        cursor = Cursor(await ports.queries.last_number(account), cursor.after)
    rows = await ports.queries.assets(
        account, filters, newest_first=newest_first, pin=cursor.pin, after=cursor.after, limit=query.limit + 1
    )
    data = [await detail(ports, account, row) for row in rows[: query.limit]]
    following = None
    if len(rows) > query.limit:
        following = write_cursor(ports.signer, scope, Cursor(cursor.pin, rows[query.limit - 1].number))
    return answer({"data": data, "next_cursor": following})


async def detail(ports: ApiPorts, account: str, row: AssetRow) -> dict[str, Any]:
    """The document of `AssetDetailModel`."""
    document = asset_document(ports.base_url, row.asset, row.stored, row.position)
    document["number"] = row.number
    document["kind"] = "input" if row.job is None else "result"
    document["file_name"] = await file_name(ports, account, row)
    document["job"] = row.job
    document["sha256"] = row.stored.sha256
    document["duration_ms"] = row.stored.duration_ms
    document["thumbnail_url"] = None if row.thumbnail is None else thumbnail_url(ports.base_url, row.asset)
    document["public"] = row.public
    document["views"] = row.views
    document["albums"] = row.albums
    document["created_at"] = moment(row.created_ms)
    document["updated_at"] = moment(row.changed_ms or row.created_ms)
    document["expires_at"] = moment_or_none(row.expires_ms)
    document["signed_url"] = ports.links.signed(account, row.asset)
    return document


async def file_name(ports: ApiPorts, account: str, row: AssetRow) -> str | None:
    """The name that the file came with."""
    if row.sealed is None:
        return None
    return (await asset_secrets(ports.keys, account, row.sealed)).file_name


async def list_albums(request: Request) -> Response:
    """GET /v1/albums."""
    ports, query = port_of(request, ApiPorts), query_of(request, AlbumsQuery)
    account = caller_of(request).account
    newest_first = query.sort.startswith("-")
    scope = scope_of("albums", account, query.sort)
    cursor = page_start(ports, scope, query.cursor, newest_first)
    await ports.consistency.ready(request, account)
    rows = await ports.queries.albums(
        account, newest_first=newest_first, pin=cursor.pin, after=cursor.after, limit=query.limit + 1
    )
    data = [await _album(ports, account, row) for row in rows[: query.limit]]
    return answer({"data": data, "next_cursor": next_cursor(ports, scope, cursor, rows, query.limit)})


async def get_album(request: Request) -> Response:
    """GET /v1/albums/{id}."""
    ports = port_of(request, ApiPorts)
    account, album = caller_of(request).account, request.path_params["id"]
    await ports.consistency.ready(request, account)
    row = await ports.consistency.found(account, lambda: ports.queries.album(account, album))
    if row is None:
        raise Problem(404, "not-found", f"The account has no album {album[:64]}.")
    return answer(await _album(ports, account, row))


async def _album(ports: ApiPorts, account: str, row: asyncpg.Record) -> dict[str, Any]:
    sealed = row["sealed"]
    return {
        "id": row["album"],
        "name": None if sealed is None else (await album_secrets(ports.keys, account, sealed)).name,
        "assets": row["assets"],
        "created_at": moment(row["created_ms"]),
        "position": row["position"],
    }

"""Pictures: what they are, and their bytes: for their owner, for everybody while they are public, and by signed links.

A stranger to a private picture gets the answer of an unknown id; once it is gone, only those who could read it before
are told so. Before bytes are read the read models have come to what this gateway acknowledged of the owner, so that
access ends with the decision. Views by others are counted (`infra.views`).

Bytes never change under an id, so the ETag is their sha256. Caches of the client may keep them but ask each time,
because access ends with the asset. Whole bodies are hashed on the way: the last bytes are held back until the sum is
the one that stands in the log, so that damaged bytes end as a broken transfer and never as a whole picture.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from api.assets import detail, file_name
from api.lists import answer
from api.ports import ApiPorts
from api.queries import AssetRow
from api.shapes import SignedQuery
from infra.http.audit import accessed
from infra.http.auth import caller_of, caller_or_nobody
from infra.http.problems import Problem
from infra.http.requests import header_once, query_of
from infra.http.routing import port_of
from infra.logs import get_logger
from infra.media.header import CONTENT_TYPES, VIDEO_CONTENT_TYPES
from infra.s3.store import IntegrityError, ObjectNotFound, ObjectStore, StoreUnavailable

_CONTENT_TYPES: Mapping[str, str] = dict([*CONTENT_TYPES.items(), *VIDEO_CONTENT_TYPES.items()])
_GONE = {
    "deleted": "This picture was deleted.",
    "expired": "The time for which this picture is kept is over.",
    "original-processed": "The original was deleted when its job had ended, as the account's plan wants.",
    "erased": "The account was erased.",
}
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_log = get_logger(__name__)


class Span(NamedTuple):
    """Bytes from `start` up to but not including `end`."""

    start: int
    end: int


async def get_asset(request: Request) -> Response:
    """GET /v1/assets/{id}: the bytes, or with `Accept: application/json` what is known of them."""
    if request.headers.get("accept", "").split(",")[0].split(";")[0].strip().lower() != "application/json":
        return await get_media(request)
    ports, row = port_of(request, ApiPorts), await _owned(request)
    _check_live(row)
    document = await detail(ports, caller_of(request).account, row)
    response = answer(document)
    response.headers["vary"] = "accept"
    return response


async def get_media(request: Request) -> Response:
    """GET /v1/media/{id}: one's own with a bearer token, a public one also without."""
    ports, asset, caller = port_of(request, ApiPorts), request.path_params["id"], caller_or_nobody(request)
    if caller is not None:
        await ports.consistency.ready(request, caller.account)
        row = await ports.queries.asset(caller.account, asset)
        if row is not None:
            return await _own(request, ports, caller.account, row)
    response = await _of_somebody_else(request, ports, asset)
    if response is not None:
        return response
    if caller is None:
        raise Problem(404, "not-found", f"There is no public asset {asset[:64]}; its owner sends a token.")
    return await _own(request, ports, caller.account, await _owned(request))


async def get_thumbnail(request: Request) -> Response:
    """GET /v1/media/{id}/thumbnail: the still picture of one's own video, or of a public one."""
    ports, asset, caller = port_of(request, ApiPorts), request.path_params["id"], caller_or_nobody(request)
    row = None
    if caller is not None:
        await ports.consistency.ready(request, caller.account)
        row = await ports.consistency.found(caller.account, lambda: ports.queries.asset(caller.account, asset))
    owner = await ports.queries.public_owner(asset) if row is None else None
    if owner is not None:
        await ports.consistency.ready(request, owner[0])
        row = await ports.queries.asset(owner[0], asset)
        row = row if row is not None and row.public and row.gone is None else None
        accessed(request, asset, account=owner[0])
    if row is None:
        raise _unknown(asset)
    _check_live(row)
    if row.thumbnail is None:
        raise Problem(404, "not-found", f"The asset {asset[:64]} has no thumbnail.")
    return await media_answer(request, ports, msgspec.structs.replace(row, stored=row.thumbnail), None)


async def _own(request: Request, ports: ApiPorts, account: str, row: AssetRow) -> Response:
    return await media_answer(request, ports, row, await file_name(ports, account, row))


async def _of_somebody_else(request: Request, ports: ApiPorts, asset: str) -> Response | None:
    """A public asset's bytes, counted as a view of it; None where the asset is not public."""
    owner = await ports.queries.public_owner(asset)
    if owner is None:
        return None
    account, product = owner
    await ports.consistency.ready(request, account)
    row = await ports.queries.asset(account, asset)
    if row is None or row.gone is not None or not row.public:
        return None
    accessed(request, asset, account=account)
    response = await media_answer(request, ports, row, None)
    if request.method == "GET" and _begins(response):
        ports.views.note(account, product, asset)
    return response


def _begins(response: Response) -> bool:
    """Whether a picture is read from its beginning: a player that asks for range after range views once."""
    return response.status_code != 206 or response.headers["content-range"].startswith("bytes 0-")


async def get_signed_media(request: Request) -> Response:
    """GET /v1/media/{account}/{id}?expires&signature: the link is the permission, until it expires."""
    ports, query = port_of(request, ApiPorts), query_of(request, SignedQuery)
    account, asset = request.path_params["account"], request.path_params["id"]
    if not ports.links.is_signed(account, asset, query.expires, query.signature):
        raise _unknown(asset)
    if ports.links.has_expired(query.expires):
        raise Problem(403, "link-expired", "The link has expired; GET the asset for a new one.")
    accessed(request, asset, account=account)
    await ports.consistency.ready(request, account)
    row = await ports.consistency.found(account, lambda: ports.queries.asset(account, asset))
    if row is None:
        raise _unknown(asset)
    return await media_answer(request, ports, row, None)


def parse_range(header: str | None, size: int) -> Span | None:
    """The range asked for, None for the whole body (no header, or one that RFC 9110 lets a server ignore).

    Raises Problem 416 for a range outside the body. Several ranges are answered with the whole body.
    """
    match = None if header is None else _RANGE.fullmatch(header.strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        span = Span(max(0, size - int(last)), size)
    else:
        span = Span(int(first), min(int(last) + 1, size) if last else size)
        if last and int(last) < int(first):
            return None
    if span.start >= size or span.start >= span.end:
        detail = f"The picture has {size} bytes."
        raise Problem(416, "range-not-satisfiable", detail, headers={"Content-Range": f"bytes */{size}"})
    return span


async def _owned(request: Request) -> AssetRow:
    ports = port_of(request, ApiPorts)
    account, asset = caller_of(request).account, request.path_params["id"]
    await ports.consistency.ready(request, account)
    row = await ports.consistency.found(account, lambda: ports.queries.asset(account, asset))
    if row is None:
        raise _unknown(asset)
    return row


async def media_answer(
    request: Request, ports: ApiPorts, row: AssetRow, file_name: str | None, *, attachment: bool = False
) -> Response:
    """The bytes of `row.stored`, or the part of them that the request wants; with `attachment` to be saved, not shown.

    Raises Problem 410 for what is gone, 416 and 503.
    """
    _check_live(row)
    stored = row.stored
    etag = f'"{stored.sha256}"'
    headers = {
        "etag": etag,
        "accept-ranges": "bytes",
        "cache-control": "private, no-cache",
        "vary": "accept, authorization, cookie",
        "content-type": _CONTENT_TYPES.get(stored.format, "application/octet-stream"),
        "content-disposition": _disposition(file_name or f"{row.asset}.{stored.format}", attachment),
        "content-security-policy": "default-src 'none'; sandbox",
    }
    if _names(header_once(request, "if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    if_range = header_once(request, "if-range")
    span = parse_range(header_once(request, "range"), stored.bytes) if if_range in (None, etag) else None
    whole = Span(0, stored.bytes)
    begin, end = span or whole
    if span is not None:
        headers["content-range"] = f"bytes {begin}-{end - 1}/{stored.bytes}"
    headers["content-length"] = str(end - begin)
    status = 200 if span is None else 206
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    body = await _opened(ports.objects, stored.key, None if span is None else span)
    if span is None:
        body = _verified(body, stored.key, stored.sha256)
    return StreamingResponse(body, status, headers)


def _check_live(row: AssetRow) -> None:
    """Raise Problem 410 for what is gone; only for those who could read it before."""
    if row.gone is not None:
        raise Problem(410, "gone", _GONE.get(row.gone, "This picture is gone."))


async def _opened(objects: ObjectStore, key: str, span: Span | None) -> AsyncIterator[bytes]:
    """The chunks, once the first one has come. Raises Problem 410 and 503."""
    chunks = objects.stream(key) if span is None else objects.stream(key, span.start, span.end)
    try:
        first = await anext(chunks, b"")
    except ObjectNotFound as error:
        raise Problem(410, "gone", "The bytes of this picture are gone.") from error
    except StoreUnavailable as error:
        detail = "The pictures cannot be read now; try again."
        raise Problem(503, "unavailable", detail, headers={"Retry-After": "1"}) from error
    return _joined(first, chunks)


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if first:
        yield first
    async for chunk in rest:
        yield chunk


async def _verified(chunks: AsyncIterator[bytes], key: str, sha256: str) -> AsyncIterator[bytes]:
    digest, held = hashlib.sha256(), b""
    async for chunk in chunks:
        digest.update(chunk)
        if held:
            yield held
        held = chunk
    if digest.hexdigest() != sha256:
        _log.error("object-damaged", key=key)
        raise IntegrityError(f"the bytes of {key} are not those that were stored")
    yield held


def _disposition(file_name: str, attachment: bool) -> str:
    """Shown in place or saved; the name in ASCII for all and in UTF-8 for those who read RFC 6266."""
    plain = re.sub(r"[^A-Za-z0-9 ._()-]", "_", file_name)[:100]
    place = "attachment" if attachment else "inline"
    return f"{place}; filename=\"{plain}\"; filename*=UTF-8''{quote(file_name[:100], safe='')}"


def _names(header: str | None, etag: str) -> bool:
    if header is None:
        return False
    return header == "*" or etag in (part.strip().removeprefix("W/") for part in header.split(","))


def _unknown(asset: str) -> Problem:
    return Problem(404, "not-found", f"The account has no asset {asset[:64]}.")


HEADERS: Mapping[str, str] = {
    "ETag": "The sha256 of the bytes.",
    "Content-Range": "With 206: which bytes these are.",
}

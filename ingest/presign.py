"""Uploads past the gateway: a signed URL, a PUT to the object store, and the completion that makes it an asset.

    presign -> client PUTs <account>/incoming/<asset> -> complete: read, hash, check, store under a new key, register

The bytes are copied through the gateway and not by the store: whoever has the URL may put other bytes at any time, and
those that were checked must be those that are stored. Each completion writes a key of its own, so two at once never
write the same object; the decider takes the first, whose answer every repeat gets, and the others' copies go. What was
put and never completed is the sweeper's after a day.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator

from starlette.requests import Request
from starlette.responses import Response

from infra.http.answers import JsonAnswer
from infra.http.auth import caller_of
from infra.http.links import asset_complete_path
from infra.http.problems import Problem
from infra.http.requests import optional_json_body
from infra.http.routing import port_of
from infra.s3.store import ObjectNotFound, ObjectStore, StoreUnavailable
from ingest.asset_shapes import CompleteRequest, PresignRequest, complete_decoder, presign_decoder
from ingest.assets import NewAsset, Registered, asset_answer, register
from ingest.discards import discard
from ingest.intake import Intake, Minted, Who, caller_as_who
from ingest.pictures import Wanted, store_away, store_picture
from schemas.cloudevents import rfc3339
from schemas.positions import parse_position

URL_TTL_S = 900
_ASSET = re.compile(r"asset_[a-z2-7]{26,40}")


async def presign_upload(request: Request) -> Response:
    """POST /v1/assets:presign: where the caller may put a picture within URL_TTL_S seconds. Nothing is written."""
    intake = port_of(request, Intake)
    who = caller_as_who(caller_of(request))
    body = await optional_json_body(request, presign_decoder, PresignRequest())
    asset = intake.ports.ids.mint("asset")
    now_ms = intake.ports.clock.now_ms()
    signed = await intake.ports.objects.signed_put(_incoming(who, asset), URL_TTL_S, body.bytes)
    document = {
        "id": asset,
        "url": signed.url,
        "method": "PUT",
        "headers": dict(signed.headers),
        "bytes_max": Wanted("file").bytes_max,
        "expires_at": rfc3339(now_ms + URL_TTL_S * 1000),
        "complete": intake.ports.base_url + asset_complete_path(asset),
    }
    return JsonAnswer(200, document)


async def complete_upload(request: Request) -> Response:
    """POST /v1/assets/{id}:complete: what was put becomes an asset. A repeat gives the same answer."""
    intake = port_of(request, Intake)
    who = caller_as_who(caller_of(request))
    asset = request.path_params["id"]
    if _ASSET.fullmatch(asset) is None:
        raise _nothing_put(asset)
    body = await optional_json_body(request, complete_decoder, CompleteRequest())
    wanted = Wanted("file")
    incoming = _incoming(who, asset)
    key = f"{who.account}/{intake.ports.ids.mint('asset')}"
    async with intake.uploads.taken(who.account):
        try:
            chunks = _put(intake.ports.objects, incoming, wanted)
            stored = await store_picture(intake.ports.objects, key, chunks, wanted)
        except ObjectNotFound as error:
            return asset_answer(intake, await _completed_before(intake, request, who, asset, error))
        except Problem as problem:
            if 400 <= problem.status < 500:
                await discard(intake.ports.objects, incoming)
            raise
    minted = Minted(intake.ports.ids.mint("x")[2:], asset)
    new = NewAsset(asset=asset, object=stored, file_name=body.file_name, album=body.album)
    registered = await register(intake, request, who, minted, "complete-asset", [asset], new)
    if registered.decided:  # else a repeat needs the bytes again
        await discard(intake.ports.objects, incoming)
    return asset_answer(intake, registered)


async def _put(objects: ObjectStore, key: str, wanted: Wanted) -> AsyncGenerator[bytes]:
    """The bytes that were put. Raises ObjectNotFound, and Problem for too many and for a store that is away."""
    chunks = objects.stream(key)
    try:
        if (await objects.head(key)).size > wanted.bytes_max:
            raise wanted.too_large()
        async for chunk in chunks:
            yield chunk
    except StoreUnavailable as error:
        raise store_away() from error
    finally:
        if isinstance(chunks, AsyncGenerator):  # a body that is not read to its end keeps its connection
            await chunks.aclose()


async def _completed_before(intake: Intake, request: Request, who: Who, asset: str, error: Exception) -> Registered:
    """The asset of an earlier completion, once the read models are there. Raises Problem 404, and 503 before that."""
    last = intake.ports.last_positions.of(who.account)
    if last is not None and not await intake.caught_up(last):
        detail = "The read models are behind, so it is not known whether this was completed before; try again."
        raise Problem(503, "behind", detail, headers={"Retry-After": "1"}) from error
    known = await intake.ports.read_side.asset(who.account, asset)
    position = None if known is None else parse_position(known.position)
    if known is None or position is None:
        raise _nothing_put(asset) from error
    if known.gone is not None:
        raise Problem(410, "gone", f"The asset {asset} was completed, and has ended since.") from error
    return Registered(asset, known.object, position, True, known.number)


def _incoming(who: Who, asset: str) -> str:
    return f"{who.account}/incoming/{asset}"


def _nothing_put(asset: str) -> Problem:
    detail = (
        f"Nothing was put for {asset[:64]}; PUT the picture to the URL that /v1/assets:presign gave, then complete."
    )
    return Problem(404, "nothing-uploaded", detail)

"""Pictures by URL: fetched through the guard of `infra.remote`, and made assets like any upload.

A URL of the deployment's own media names an asset already: for its owner that asset is taken, without any HTTP. What
cannot be had is a 400 that names the field; nothing is stored then, and nothing charged, because it comes first.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from urllib.parse import urlsplit

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from infra.http.auth import caller_of
from infra.http.problems import Problem, bad_field
from infra.http.requests import json_body
from infra.http.routing import port_of
from infra.remote.fetch import RemoteFetcher, RemoteRefused
from ingest.asset_shapes import fetch_decoder
from ingest.assets import NewAsset, Registered, asset_answer, register
from ingest.intake import Intake, Minted, Who, caller_as_who
from ingest.pictures import Wanted, store_picture
from ingest.shapes import JobInput
from schemas.commands import StoredObject
from schemas.positions import parse_position

_OWN = re.compile(r"/v1/(?:assets|media)/(?:(?P<account>acct_[a-z2-7]+)/)?(?P<asset>asset_[a-z2-7]+)")


async def fetch_asset(request: Request) -> Response:
    """POST /v1/assets:fetch: the picture behind the URL is usable when the 201 comes; 200 for one's own media URL."""
    intake = port_of(request, Intake)
    who = caller_as_who(caller_of(request))
    body = await json_body(request, fetch_decoder)
    own = own_asset(intake.ports.base_url, who.account, body.url)
    if own is not None:
        return asset_answer(intake, await _known(intake, who, own, "url"), status=200)
    minted = intake.minted(request)
    asset = minted.id("asset")
    stored = await _fetched(intake, who, asset, body.url, "url")
    new = NewAsset(asset=asset, object=stored, file_name=body.file_name, album=body.album)
    content = [body.url, body.file_name, body.album]
    return asset_answer(intake, await register(intake, request, who, minted, "fetch-asset", content, new))


async def located(intake: Intake, request: Request, who: Who, key: str, given: JobInput) -> JobInput:
    """A job's input with its URL turned into an asset. Raises Problem as `input_asset`, also where both are given."""
    if given.url is None:
        return given
    if given.asset is not None:
        raise bad_field("input.url", "Name an asset or a URL, not both.")
    return replace(given, asset=await input_asset(intake, request, who, key, given.url), url=None)


async def input_asset(intake: Intake, request: Request, who: Who, key: str, url: str, field: str = "input.url") -> str:
    """The id of the asset behind a job's URL: the caller's own one that it names, else one that is fetched now.

    `key` is the job's idempotency key: a repeat of the job finds the asset of the first time. Raises Problem 400
    naming `field`, and 503.
    """
    own = own_asset(intake.ports.base_url, who.account, url)
    if own is not None:
        return (await _known(intake, who, own, field)).asset
    minted = Minted(intake.ports.ids.mint("x")[2:], key)  # its replies must not meet the job's
    asset = minted.id("asset")
    new = NewAsset(asset=asset, object=await _fetched(intake, who, asset, url, field))
    return (await register(intake, request, who, minted, f"fetch-{field}", [url], new)).asset


def own_asset(base_url: str, account: str, url: str) -> str | None:
    """The asset that one of the deployment's media URLs names, where it may be the account's; None for all others."""
    if not url.startswith(f"{base_url}/"):
        return None
    try:
        match = _OWN.fullmatch(urlsplit(url.removeprefix(base_url)).path)
    except ValueError:  # `//[` behind it is no path
        return None
    if match is None or match["account"] not in (None, account):
        return None
    return match["asset"]


async def _fetched(intake: Intake, who: Who, asset: str, url: str, field: str) -> StoredObject:
    wanted = Wanted(field, status=400)
    async with intake.fetches.taken(who.account):
        chunks = _chunks(intake.ports.remote, url, wanted)
        return await store_picture(intake.ports.objects, f"{who.account}/{asset}", chunks, wanted)


async def _chunks(remote: RemoteFetcher, url: str, wanted: Wanted) -> AsyncGenerator[bytes]:
    chunks = remote.chunks(url, wanted.bytes_max)
    try:
        async for chunk in chunks:
            yield chunk
    except RemoteRefused as error:
        raise wanted.refused(str(error), code="remote-picture") from error
    finally:
        await chunks.aclose()


async def _known(intake: Intake, who: Who, asset: str, field: str) -> Registered:
    """The caller's asset, once the read models are there."""
    last = intake.ports.last_positions.of(who.account)
    if last is not None and not await intake.caught_up(last):
        detail = "The read models are behind; try again."
        raise Problem(503, "behind", detail, headers={"Retry-After": "1"})
    known = await intake.ports.read_side.asset(who.account, asset)
    position = None if known is None else parse_position(known.position)
    if known is None or position is None or known.gone is not None:
        raise bad_field(field, f"The account has no asset {asset}.", code="asset-unknown")
    intake.sizes.note(who.account, asset, (known.object.width, known.object.height))
    return Registered(asset, known.object, position, True, known.number)

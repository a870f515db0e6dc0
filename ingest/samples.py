"""The plan's sample picture as an asset of an account: what a job works on whose client gives no picture.

An account gets it once, at its first such job: under an idempotency key made of the picture, so that all gateways and
all repeats find the same asset, and this gateway remembers it. One that was deleted meanwhile is made anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from starlette.requests import Request

from infra.samples import Sample, sample
from ingest.assets import NewAsset, Registered, register
from ingest.intake import Intake, Minted, Who
from ingest.pictures import Wanted, store_picture

_REMEMBERED_MAX = 50_000


async def sample_asset(intake: Intake, request: Request, who: Who, name: str) -> str:
    """The asset of the account that holds the sample picture `name`. Raises Problem 503; OperatorError without it."""
    place = (who.account, name)
    known = intake.samples.get(place)
    if known is not None and not await _is_gone(intake, who, known):
        return known
    picture = await asyncio.to_thread(sample, name)
    registered = await _registered(intake, request, who, name, f"sample {picture.sha256}")
    if await _is_gone(intake, who, registered.asset):
        registered = await _registered(intake, request, who, name, intake.ports.ids.mint("idem"))
    if registered.decided:
        if len(intake.samples) >= _REMEMBERED_MAX:
            del intake.samples[next(iter(intake.samples))]
        intake.samples[place] = registered.asset
    return registered.asset


async def _registered(intake: Intake, request: Request, who: Who, name: str, key: str) -> Registered:
    minted = Minted(intake.ports.ids.mint("x")[2:], key)
    asset, picture = minted.id("asset"), sample(name)
    objects, wanted = intake.ports.objects, Wanted("sample")
    stored = await store_picture(objects, f"{who.account}/{asset}", _chunks(picture), wanted)
    new = NewAsset(asset=asset, object=stored, file_name=name)
    return await register(intake, request, who, minted, "register-sample", [picture.sha256], new)


async def _chunks(picture: Sample) -> AsyncGenerator[bytes]:
    yield picture.content


async def _is_gone(intake: Intake, who: Who, asset: str) -> bool:
    known = await intake.ports.read_side.asset(who.account, asset)
    return known is not None and known.gone is not None

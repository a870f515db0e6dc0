"""The writing side as a user of document 002 meets it, with a decider that plays along."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
from pydantic import BaseModel

from schemas import commands as cmd
from schemas.commands import Envelope
from schemas.identifiers import account_id
from schemas.replies import (
    AnyAnswer,
    AssetAccepted,
    AssetDeletion,
    AssetsMovedAnswer,
    GroupDecided,
    JobDecided,
)
from schemas.wire.spike_land_errors import ErrorAnswer
from tests.http.fakes import IDENTIFIER_KEY, NOW_MS, Side, make_side
from tests.http.test_writes import picture

IMAGE, ASSET, ALBUM = "img_" + "a" * 26, "asset_" + "a" * 26, "album_" + "b" * 26
ACCOUNT = account_id(IDENTIFIER_KEY, "spike-land", "ada")
PRICES = {"TIER_1K": 2, "TIER_2K": 5, "TIER_4K": 10}


def plays_along(envelope: Envelope) -> Sequence[AnyAnswer]:
    match envelope.command:
        case cmd.RegisterAsset() as command:
            return [AssetAccepted(command.asset, 1, command.object, NOW_MS - 61_000)]
        case cmd.SubmitJob() as command:
            cost = PRICES[str(command.params["tier"])]
            return [JobDecided(command.job, "accepted", cost, 100 - cost)]
        case cmd.SubmitGroup() as command:
            costs = tuple(PRICES[str(job.params["tier"])] for job in command.jobs)
            names = tuple(job.job for job in command.jobs)
            return [GroupDecided(command.group, names, costs, 100 - sum(costs), NOW_MS)]
        case cmd.MoveAssets() as command:
            return [AssetsMovedAnswer(command.album, command.assets[:1], command.assets[1:2], command.assets[2:])]
        case cmd.DeleteAsset() as command:
            return [AssetDeletion(command.asset, command.cancel_jobs, 100)]
        case _:
            raise AssertionError(envelope)


def make_spike(root: Path) -> Side:
    """The writing side with ada's token of the product, one image of hers, and a decider that plays along."""
    made = make_side(root)
    made.http.headers["Authorization"] = f"Bearer {made.token(product='spike-land')}"
    made.decider.script = plays_along
    made.read_side.sizes[ACCOUNT, ASSET] = (80, 60)
    return made


def told(answer: httpx.Response, model: type[BaseModel], status: int = 200) -> dict[str, Any]:
    """The document, once it has been held against its model."""
    assert answer.status_code == status, answer.text
    model.model_validate(answer.json())
    document: dict[str, Any] = answer.json()
    return document


def wrong(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    document = told(answer, ErrorAnswer, status)
    assert document["code"] == code
    assert answer.headers["content-type"] == "application/json"
    return document


def commands(side: Side) -> list[Any]:
    return [envelope.command for envelope in side.decider.envelopes]


async def upload(side: Side, content: bytes | None = None, name: str = "photo.jpg", **more: Any) -> httpx.Response:
    file = {"file": (name, picture("JPEG") if content is None else content)}
    return await side.http.post("/api/images/upload", files=file, **more)


async def batch(side: Side, *files: tuple[str, bytes], **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await side.http.post("/api/images/batch-upload", files=[("files", file) for file in files], headers=named)


async def enhance(side: Side, tier: Any = "TIER_2K", image: Any = IMAGE, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await side.http.post("/api/images/enhance", json={"imageId": image, "tier": tier}, headers=named)


async def tiers(side: Side, *names: Any, image: Any = IMAGE) -> httpx.Response:
    return await side.http.post("/api/images/parallel-enhance", json={"imageId": image, "tiers": list(names)})


async def move(side: Side, *images: Any, album: Any = ALBUM, **more: Any) -> httpx.Response:
    return await side.http.post(
        "/api/images/move-to-album", json={"imageIds": list(images), "targetAlbumId": album, **more}
    )

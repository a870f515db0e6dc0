"""A user of document 002 on the running stack: its endpoints as they are written, answers held to their models."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from msgspec.structs import replace
from pydantic import BaseModel

from infra.cli.operator import append_to_partitions
from infra.cli.target import settings_for
from infra.plans import load_plan
from schemas.commands import PublishPlan
from schemas.identifiers import partition_of
from schemas.wire import spike_land as wire
from schemas.wire.spike_land_errors import ErrorAnswer
from tests.pictures import encoded, scene
from tests.stack import Stack

PICTURE = encoded(scene(64, 48))
SOME_IMAGE = "img_" + "q" * 26
SOME_ALBUM = "album_" + "q" * 26
COOKIE = "next-auth.session-token"
ENDED = frozenset({"succeeded", "failed", "canceled", "expired"})
LIMIT_S = 90.0
MEBIBYTE = 1 << 20
_versions = itertools.count(2_000)  # past what others publish on the stack
Clients = Callable[..., httpx.AsyncClient]


class SpikeUser:
    """Somebody new, with a bearer token; `http` is a plain client."""

    def __init__(self, stack: Stack, clients: Clients) -> None:
        self.stack, self._clients = stack, clients
        self.subject = f"user-{uuid.uuid4()}"
        self.token = stack.token(self.subject, product=wire.PRODUCT)
        self.http = clients(Authorization=f"Bearer {self.token}")
        self.cookie = clients(Cookie=f"{COOKIE}={self.token}")

    async def upload(self, content: bytes = PICTURE, name: str = "photo.jpg", **form: str) -> httpx.Response:
        """POST upload."""
        return await self.http.post("/api/images/upload", files={"file": (name, content)}, data=form)

    async def image(self, content: bytes = PICTURE) -> str:
        """The id of a new image."""
        return str(told(await self.upload(content), wire.UploadAnswer)["image"]["id"])

    async def batch(self, *files: tuple[str, bytes]) -> httpx.Response:
        """POST batch-upload."""
        return await self.http.post("/api/images/batch-upload", files=[("files", file) for file in files])

    async def enhance(self, image: str, tier: str = "TIER_1K", **headers: str) -> httpx.Response:
        """POST enhance; header names have underscores for dashes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post("/api/images/enhance", json={"imageId": image, "tier": tier}, headers=named)

    async def started(self, image: str, tier: str = "TIER_1K") -> str:
        """The id of a new enhancement."""
        return str(told(await self.enhance(image, tier), wire.EnhanceAnswer)["jobId"])

    async def tiers(self, image: str, *tiers: str) -> httpx.Response:
        """POST parallel-enhance."""
        return await self.http.post("/api/images/parallel-enhance", json={"imageId": image, "tiers": list(tiers)})

    async def move(self, album: str, *images: str, **more: Any) -> httpx.Response:
        """POST move-to-album."""
        body = {"imageIds": list(images), "targetAlbumId": album, **more}
        return await self.http.post("/api/images/move-to-album", json=body)

    async def get(self, image: str) -> httpx.Response:
        """GET an image; one that is not there yet (503 with Retry-After) is asked for again."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            answer = await self.http.get(f"/api/images/{image}")
            if answer.status_code != 503 or time.monotonic() > deadline:
                return answer
            await asyncio.sleep(float(answer.headers["retry-after"]))

    async def shown(self, image: str) -> dict[str, Any]:
        """The image with its jobs."""
        found: dict[str, Any] = told(await self.get(image), wire.ImageAnswer)["image"]
        return found

    async def job(self, image: str, job: str) -> dict[str, Any]:
        """One job of the image."""
        return next(one for one in (await self.shown(image))["jobs"] if one["id"] == job)

    async def delete(self, image: str) -> httpx.Response:
        """DELETE an image."""
        return await self.http.delete(f"/api/images/{image}")

    async def album(self, name: str = "Holidays") -> str:
        """The id of a new album, made natively with the same token."""
        return str((await self.native("POST", "/v1/albums", json={"name": name}))["id"])

    async def in_album(self, album: str) -> set[str]:
        """The images of an album."""
        rows = (await self.native("GET", f"/v1/assets?album={album}"))["data"]
        return {"img_" + row["id"].removeprefix("asset_") for row in rows}

    async def balance(self) -> int:
        """What can be spent."""
        return int((await self.native("GET", "/v1/account"))["balance"])

    async def until(self, job: str, *statuses: str) -> str:
        """Ask natively, past the windows of the document, until the job has one of these statuses (or has ended)."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            status = str((await self.native("GET", f"/v1/jobs/{job}"))["status"])
            if status in (statuses or ENDED):
                return status
            assert time.monotonic() < deadline, f"{job} is {status} after {LIMIT_S:g} s"
            await asyncio.sleep(0.1)

    async def native(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        """The document of a native operation with the same token."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            answer = await self.http.request(method, path, **more)
            if answer.status_code != 503 or time.monotonic() > deadline:
                assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
                document: dict[str, Any] = answer.json()
                return document
            await asyncio.sleep(1.0)

    async def operate(self, path: str, **body: object) -> None:
        """What an operator does about this user."""
        operator = self._clients(Authorization=f"Bearer {self.stack.token('operator', role='admin')}")
        answer = await operator.post(path, json=body)
        assert answer.is_success, answer.text

    async def spend_down_to(self, tokens: int) -> None:
        """Leave so many tokens."""
        amount = tokens - await self.balance()
        await self.operate(f"/v1/accounts/{wire.PRODUCT}:{self.subject}:grant", amount=amount, reason="test")
        assert await self.balance() == tokens

    async def under(self, **terms: Any) -> None:
        """Put the user under a plan like the product's own but for these terms."""
        account = (await self.native("GET", "/v1/account"))["account"]
        settings = settings_for(self.stack.data)
        plan = load_plan(settings)
        other = {**plan.products[wire.PRODUCT], "other": replace(plan.products[wire.PRODUCT]["default"], **terms)}
        newer = replace(plan, version=plan.version + next(_versions), products={**plan.products, wire.PRODUCT: other})
        await append_to_partitions(settings, [partition_of(account, settings.partitions)], PublishPlan(newer))
        await self.operate(f"/v1/accounts/{wire.PRODUCT}:{self.subject}:plan", plan="other")

    def objects(self, account: str) -> list[Path]:
        """The account's objects in the store."""
        folder = self.stack.data / "s3" / "objects" / "darkroom" / account
        return [path for path in folder.rglob("*") if path.is_file()]


def told(answer: httpx.Response, model: type[BaseModel], status: int = 200) -> dict[str, Any]:
    """The document, once it has been held against its model."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    assert answer.headers["content-type"] == "application/json"
    model.model_validate(answer.json())
    document: dict[str, Any] = answer.json()
    return document


def wrong(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The error, once it has been held against the document's shape."""
    document = told(answer, ErrorAnswer, status)
    assert document["code"] == code, document
    return document


def filled(size: int) -> bytes:
    """A picture of exactly so many bytes."""
    return PICTURE + bytes(size - len(PICTURE))

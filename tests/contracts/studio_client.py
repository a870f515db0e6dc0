"""A person of document 004, with the session cookie that `darkroom token` prints, and what answers are held against."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import httpx
from PIL import Image, ImageDraw
from pydantic import BaseModel

from schemas.wire.studio_errors import ChangeErrorAnswer, ErrorAnswer
from tests.pictures import encoded, scene
from tests.stack import Stack

Clients = Callable[..., httpx.AsyncClient]
DAY_S = 86_400
SMALL = {"size": "512x512"}
PATIENCE_S = 90.0


def photograph(width: int = 96, height: int = 64, seed: int = 0, form: str = "JPEG") -> bytes:
    """A reference image."""
    return encoded(scene(width, height, seed), form)


def spot(width: int = 96, height: int = 64) -> bytes:
    """A mask with a white spot."""
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).ellipse((30, 20, 60, 44), fill=255)
    return encoded(mask.convert("RGB"), "PNG")


class Person:
    """Somebody new, logged in by cookie; `client` sends it with each request."""

    def __init__(self, stack: Stack, http: Clients, subject: str = "") -> None:
        self.stack, self.subject = stack, subject or f"person-{uuid.uuid4()}"
        self.token = stack.token(self.subject, product="studio", ttl_s=30 * DAY_S, idle_s=DAY_S)
        self.cookie = f"session={self.token}"
        self.client = http(Cookie=self.cookie)
        self.visitor = http()

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """The answer; a read that is late (503 with Retry-After) is asked again, as its answer says."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            answer = await self.client.request(method, path, **more)
            if answer.status_code != 503 or method != "GET" or time.monotonic() > deadline:
                return answer
            await asyncio.sleep(float(answer.headers["retry-after"]))

    async def get(self, path: str, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.ask("GET", path, headers=named)

    async def generate(
        self, fields: Mapping[str, str], headers: Mapping[str, str] | None = None, **files: Any
    ) -> httpx.Response:
        """POST /api/generate as curl -F sends it; `files` are bytes."""
        parts: dict[str, Any] = {name: (None, value) for name, value in fields.items()}
        parts |= {name: (f"{name}.jpg", content) for name, content in files.items()}
        return await self.client.post("/api/generate", files=parts, headers=dict(headers or {}))

    async def made(self, fields: Mapping[str, str], **files: Any) -> dict[str, Any]:
        """The one result of a generation, waited for as the document lets a client wait."""
        answer = await self.generate(fields, **files)
        document, deadline = answer.json(), time.monotonic() + PATIENCE_S
        path = f"/api/generation-status/{document.get('request_id')}"
        while answer.status_code == 202 or document.get("status") == "pending":
            assert time.monotonic() < deadline, "the generation does not end"
            await asyncio.sleep(1.0)
            answer = await self.get(path)
            document = answer.json()
        assert answer.status_code == 200, answer.text
        (result,) = document["results"]
        found: dict[str, Any] = result
        return found


def told(answer: httpx.Response, model: type[BaseModel], status: int = 200) -> dict[str, Any]:
    """The document, once it has been held against its model."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    model.model_validate(answer.json())
    document: dict[str, Any] = answer.json()
    return document


def error(answer: httpx.Response, status: int) -> str:
    """The sentence of an `ErrorAnswer`."""
    return str(told(answer, ErrorAnswer, status)["error"])


def change_error(answer: httpx.Response, status: int) -> str:
    """The sentence of a `ChangeErrorAnswer`."""
    return str(told(answer, ChangeErrorAnswer, status)["error"])

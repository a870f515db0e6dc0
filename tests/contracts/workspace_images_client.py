"""A user of a workspace of its own: POST /api/ai/images as document 003 has it, and what the core says of it."""

from __future__ import annotations

import asyncio
import io
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import psutil
from PIL import Image

from schemas.wire.workspace_images import ImagesAnswer, ImagesErrorAnswer
from tests.stack import Stack

PRODUCT, URL = "workspace-images", "/api/ai/images"
_NOTICED_S = 6.0  # servers are looked at every two seconds, and asked for one
Clients = Callable[..., httpx.AsyncClient]


class Workspace:
    """A workspace with a user; `client` sends the workspace's header and the user's token."""

    def __init__(self, stack: Stack, http: Clients) -> None:
        self.stack, self._http = stack, http
        self.id = str(uuid.uuid4())
        self.subject = f"user-{uuid.uuid4()}"
        self.client = self.user(self.subject)

    def token(self, subject: str) -> str:
        return self.stack.token(subject, product=PRODUCT, workspace=self.id)

    def user(self, subject: str) -> httpx.AsyncClient:
        """Another client, from a fresh address, that waits longer than the plan says: test machines are busy."""
        return self._http(Authorization=f"Bearer {self.token(subject)}", X_Workspace_Id=self.id, Prefer="wait=80")

    async def grant(self, credits: int) -> None:
        """What operators do."""
        operator = self._http(Authorization=f"Bearer {self.stack.token('operator', role='admin')}")
        answer = await operator.post(f"/v1/accounts/{PRODUCT}:{self.id}:grant", json={"amount": credits})
        assert answer.status_code == 200, answer.text

    async def post(self, body: dict[str, Any] | None = None, **headers: str) -> httpx.Response:
        """Ask for images; header names have underscores for dashes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        given = {"prompt": "a lighthouse at sunset", **(body or {})}
        return await self.client.post(URL, json=given, headers=named)

    async def balance(self) -> tuple[int, int]:
        """(spendable, reserved) credits."""
        told = (await self._native("/v1/account")).json()
        return int(told["balance"]), int(told["reserved"])

    async def jobs(self) -> list[dict[str, Any]]:
        """The core's jobs, oldest first."""
        found: list[dict[str, Any]] = (await self._native("/v1/jobs", limit=100)).json()["data"]
        return sorted(found, key=lambda job: (job["created_at"], job["id"]))

    async def cancel_all(self) -> None:
        """End what has not ended."""
        for job in await self.jobs():
            answer = await self.client.post(f"/v1/jobs/{job['id']}:cancel")
            assert answer.status_code in (200, 409), answer.text

    async def ledger(self) -> list[dict[str, Any]]:
        """The core's bookings, oldest first."""
        lines: list[dict[str, Any]] = (await self._native("/v1/ledger", limit=200)).json()["data"]
        return lines[::-1]

    async def _native(self, path: str, **query: Any) -> httpx.Response:
        answer = await self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer


@asynccontextmanager
async def no_engines(stack: Stack) -> AsyncIterator[None]:
    """Triton hangs, and dispatchers know it: no engine can serve."""
    server = psutil.Process(stack.status()["triton"]["pid"])
    server.suspend()
    try:
        await asyncio.sleep(_NOTICED_S)
        yield
    finally:
        server.resume()
        await asyncio.to_thread(stack.wait_healthy)


def data(answer: httpx.Response, status: int = 200) -> dict[str, Any]:
    """The answer's data, once it has been held against its model and its headers."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-ratelimit-limit"]
    ImagesAnswer.model_validate(answer.json())
    told: dict[str, Any] = answer.json()["data"]
    return told


def error(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The error, once it has been held against its model."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    ImagesErrorAnswer.model_validate(answer.json())
    told: dict[str, Any] = answer.json()["error"]
    assert told["code"] == code
    return told


def fields(told: dict[str, Any]) -> list[str]:
    return [field["field"] for field in told["details"]]


async def picture(url: str) -> Image.Image:
    """The picture behind a URL of an answer, without any token, as a browser has it."""
    async with httpx.AsyncClient(timeout=60) as anybody:
        answer = await anybody.get(url)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("image/")
    return Image.open(io.BytesIO(answer.content))

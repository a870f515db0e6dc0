"""A user or guest of document 000: its endpoints as it has them, and what the core says of the same account."""

from __future__ import annotations

import asyncio
import io
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import httpx
from PIL import Image
from pydantic import BaseModel

from schemas.wire import ai_image as wire
from schemas.wire.ai_image_errors import ErrorAnswer
from tests.pictures import encoded, scene
from tests.stack import Stack

PRODUCT, ROOT = "ai-image", "/api/ai-image"
LIMIT_S = 90.0
PICTURE = encoded(scene(64, 48))
Clients = Callable[..., httpx.AsyncClient]


class Owner:
    """A user with a token, or a guest with a cookie and the pair that keeps forgeries out; each has a fresh address.

    Submits wait longer than the plan says: test machines are busy.
    """

    def __init__(self, stack: Stack, http: Clients, *, guest: str | None = None, plan: str = "default") -> None:
        self.stack, self.plan = stack, plan
        self.subject = f"user-{uuid.uuid4()}"
        if guest is None:
            self.client = http(Authorization=f"Bearer {stack.token(self.subject, product=PRODUCT, plan=plan)}")
        else:
            cookies = f"guest_id={guest}; csrf_token=123"
            self.client = http(Cookie=cookies, X_CSRF_Token="123", Origin=stack.url)

    async def generate(
        self,
        model: str = "real-esrgan",
        image: Any = PICTURE,
        *,
        headers: Mapping[str, str] | None = None,
        **fields: str,
    ) -> httpx.Response:
        """POST generate."""
        named = {"Prefer": "wait=80", **(headers or {})}
        files = {"image": ("mein-bild.jpg", image, "image/jpeg")}
        return await self.client.post(f"{ROOT}/generate", data={"model": model, **fields}, files=files, headers=named)

    async def form(self, *parts: tuple[str, Any]) -> httpx.Response:
        """POST generate with these parts and no others, in their order."""
        return await self.client.post(f"{ROOT}/generate", files=list(parts), headers={"Prefer": "wait=80"})

    async def usage(self) -> dict[str, Any]:
        return data(await self.get("/usage"), wire.UsageAnswer)

    async def jobs(self, **params: Any) -> dict[str, Any]:
        return data(await self.get("/jobs", **params), wire.JobsAnswer)

    async def job(self, job: str) -> dict[str, Any]:
        return data(await self.get(f"/jobs/{job}"), wire.JobAnswer)

    async def cancel(self, job: str) -> httpx.Response:
        return await self.client.post(f"{ROOT}/jobs/{job}/cancel")

    async def get(self, path: str, **params: Any) -> httpx.Response:
        """GET; what is not reached in time (503 with Retry-After) is asked again."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            answer = await self.client.get(path if path.startswith("/v1") else ROOT + path, params=params)
            if answer.status_code != 503 or time.monotonic() > deadline:
                return answer
            await asyncio.sleep(float(answer.headers["retry-after"]))

    async def until(self, job: str, *statuses: str) -> dict[str, Any]:
        """The job once it has one of these statuses."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            found = await self.job(job)
            if found["status"] in statuses:
                return found
            assert time.monotonic() < deadline, f"not {statuses} in {LIMIT_S} s: {found}"
            await asyncio.sleep(0.1)

    async def first(self, status: str) -> str:
        """The newest job of this status, once there is one."""
        async with asyncio.timeout(LIMIT_S):
            while not (found := (await self.jobs(status=status))["jobs"]):
                await asyncio.sleep(0.1)
        return str(found[0]["id"])

    async def native(self, model: str, **params: Any) -> str:
        """A job of the same account by the native API; its id. A canceled one keeps its engine until it is through."""
        answer = await self.client.post("/v1/jobs", json={"model": model, "params": params})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def use_up(self, jobs: int) -> None:
        """That many jobs at once by the native API, none like another."""
        await self.batch([{"model": "sandbox/echo", "params": {"seed": number}} for number in range(jobs)])

    async def batch(self, jobs: list[dict[str, Any]]) -> list[str]:
        """Jobs of the same account at once by the native API; their ids. All are accepted."""
        answer = await self.client.post("/v1/jobs:batch", json={"jobs": jobs})
        assert answer.status_code == 200, answer.text
        return [result["job"]["id"] for result in answer.json()["results"]]

    async def core(self, job: str) -> dict[str, Any]:
        """The core's job."""
        answer = await self.get(f"/v1/jobs/{job}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


def fresh_picture(seed: int = 1, width: int = 64, height: int = 48) -> bytes:
    """A picture like no other of the test."""
    return encoded(scene(width, height, seed))


def data(answer: httpx.Response, model: type[BaseModel] = wire.GenerateAnswer, status: int = 200) -> dict[str, Any]:
    """`data` of an answer that is exactly what the model says."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    model.model_validate_json(answer.content, strict=True)
    found: dict[str, Any] = answer.json()["data"]
    return found


def error(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """`error` of an answer that is exactly of the document's shape."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    ErrorAnswer.model_validate_json(answer.content, strict=True)
    found: dict[str, Any] = answer.json()["error"]
    assert found["type"] == kind
    return found


async def bytes_of(url: str) -> httpx.Response:
    """What stands behind a link, for whoever has it."""
    async with httpx.AsyncClient(timeout=60.0) as anybody:
        return await anybody.get(url)


def opened(content: bytes) -> Image.Image:
    """The picture in a file."""
    picture = Image.open(io.BytesIO(content))
    picture.load()
    return picture

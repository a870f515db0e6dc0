"""A holder of a DID of its own: the requests of document 001, and what the core says of the account."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from PIL import Image

from infra.http.did import did_of
from schemas.wire import pix_loom as wire
from schemas.wire.pix_loom_errors import ErrorAnswer
from tests.end_to_end.pictures_elsewhere import PictureServer
from tests.pictures import decoded, encoded, scene
from tests.stack import Stack

PRODUCT = "pix-loom"
NOT_FOUND = {"error": "未找到", "message": "生成未找到或访问被拒绝"}
BROKEN = encoded(scene(300, 200))[:4_000]  # its header is whole, its pixels are not
Clients = Callable[..., httpx.AsyncClient]


class Identity:
    """A `did:key` and its key."""

    def __init__(self) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.did = did_of(self.key.public_key().public_bytes_raw())

    def token(self, *, ttl_s: int = 3_600, **claims: Any) -> str:
        """A token that the DID has signed itself; `claims` take the place of its own."""
        given = {"iss": self.did, "sub": self.did, "exp": int(time.time()) + ttl_s, **claims}
        return jwt.encode(given, self.key, algorithm="EdDSA")


class Patient:
    """A client that takes 503 with Retry-After for what it says, and repeats under the key that it was answered."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http, self.headers = http, http.headers

    async def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = dict(more.pop("headers", {}))
        for _ in range(30):
            answer = await self.http.request(method, path, headers=headers, **more)
            if answer.status_code != 503 or "retry-after" not in answer.headers:
                break
            await asyncio.sleep(float(answer.headers["retry-after"]))
            if "idempotency-key" in answer.headers:
                headers["Idempotency-Key"] = answer.headers["idempotency-key"]
        return answer

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self.request("GET", path, **more)

    async def post(self, path: str, **more: Any) -> httpx.Response:
        return await self.request("POST", path, **more)


class Weaver:
    """A fresh account with 5 credits. `client` waits longer than the plan says: test machines are busy."""

    def __init__(self, stack: Stack, http: Clients, elsewhere: PictureServer) -> None:
        self.stack, self._http, self.elsewhere = stack, http, elsewhere
        self.identity = Identity()
        self.client = Patient(http(Authorization=f"Bearer {self.identity.token()}", Prefer="wait=80"))
        self.core = Patient(http(Authorization=f"Bearer {stack.token(self.identity.did, product=PRODUCT)}"))

    def picture(self, content: bytes | None = None) -> str:
        """The URL of a picture on another server that nobody has asked for."""
        path = f"/{secrets.token_hex(8)}.jpg"
        self.elsewhere.pictures[path] = encoded(scene(96, 64)) if content is None else content
        return self.elsewhere.url + path

    async def generate(
        self, url: str | None = None, operation: str = "colorization", metadata: Any = None, **headers: str
    ) -> httpx.Response:
        """POST generate; without a URL on the sample. Header names have underscores for dashes."""
        body: dict[str, Any] = {"operationType": operation}
        body |= {} if url is None else {"originalImageUrl": url}
        body |= {} if metadata is None else {"metadata": metadata}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post("/api/ai/generate", json=body, headers=named)

    async def made(self, url: str | None = None, operation: str = "colorization") -> str:
        """A completed generation's id."""
        generation: str = data(await self.generate(url or self.picture(), operation))["generationId"]
        return generation

    async def started(self) -> str:
        """A generation's id that nobody waits for."""
        answer = await self.generate(self.picture(), Prefer="respond-async")
        assert answer.status_code == 202, answer.text
        generation: str = answer.json()["data"]["generationId"]
        return generation

    async def generation(self, generation: str) -> dict[str, Any]:
        return told(await self.client.get(f"/api/ai/generation/{generation}"), wire.DetailAnswer)

    async def ended(self, generation: str) -> dict[str, Any]:
        """The generation at its end, polled for as the document's clients do."""
        deadline = time.monotonic() + 80
        while (found := await self.generation(generation))["status"] in ("pending", "processing"):
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.25)
        return found

    async def history(self, **params: Any) -> dict[str, Any]:
        return told(await self.client.get("/api/ai/history", params=params), wire.HistoryAnswer)

    async def stats(self) -> dict[str, Any]:
        return told(await self.client.get("/api/ai/stats"), wire.StatsAnswer)

    async def delete(self, generation: str, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.request("DELETE", f"/api/ai/generation/{generation}", headers=named)

    async def balance(self) -> int:
        """What the core says that can be spent."""
        return int((await self.core.get("/v1/account")).json()["balance"])

    async def assets(self) -> list[dict[str, Any]]:
        """The pictures that the core holds for the account."""
        found: list[dict[str, Any]] = (await self.core.get("/v1/assets", params={"limit": 100})).json()["data"]
        return found

    async def originals(self, wanted: int) -> int:
        """How many pictures the core holds that no job has made, once they are so many; pictures go in their time."""
        for _ in range(100):
            found = sum(asset["job"] is None for asset in await self.assets())
            if found == wanted:
                break
            await asyncio.sleep(0.1)
        return found

    async def grant(self, credits: int) -> None:
        """What operators do."""
        operator = self._http(Authorization=f"Bearer {self.stack.token('operator', role='admin')}")
        answer = await operator.post(f"/v1/accounts/{PRODUCT}:{self.identity.did}:grant", json={"amount": credits})
        assert answer.status_code == 200, answer.text

    def stranger(self) -> Weaver:
        return Weaver(self.stack, self._http, self.elsewhere)


def told(answer: httpx.Response, model: Any, status: int = 200) -> dict[str, Any]:
    """The answer's data, once the answer has been held against its model."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    model.model_validate(answer.json())
    found: dict[str, Any] = answer.json()["data"]
    return found


def data(answer: httpx.Response, status: int = 200) -> dict[str, Any]:
    """The data of POST generate's answer."""
    return told(answer, wire.GENERATE.answers[status], status)


def error(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The answer's error, once it has been held against its model."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    ErrorAnswer.model_validate(answer.json())
    found: dict[str, Any] = answer.json()
    return found


async def seen(url: str) -> Image.Image:
    """The picture behind a URL of an answer, without any token, as a browser has it."""
    answer = await fetched(url)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("image/")
    return decoded(answer.content)


async def fetched(url: str) -> httpx.Response:
    async with httpx.AsyncClient(timeout=60) as anybody:
        return await anybody.get(url)

"""A client of the native API: one user, plain HTTP, nothing hidden; and the answers it was told."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from tests.pictures import encoded, scene
from tests.stack import Stack

ENDED = frozenset({"succeeded", "failed", "canceled", "expired"})
_PATIENCE_S = 30.0
_LIMITS = httpx.Limits(max_connections=64, max_keepalive_connections=64)


class Client:
    """One user of a running stack. Answers are returned as they come; `ok` turns an unexpected one into a failure."""

    def __init__(
        self, stack: Stack, subject: str | None = None, *, role: str = "user", product: str = "darkroom"
    ) -> None:
        self.stack, self.product = stack, product
        self.subject = subject or f"user-{uuid.uuid4()}"
        token = stack.token(self.subject, product=product, role=role)
        self.http = httpx.AsyncClient(
            base_url=stack.url, headers={"Authorization": f"Bearer {token}"}, timeout=60.0, limits=_LIMITS
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.aclose()

    @property
    def name(self) -> str:
        """The account as the operator writes it."""
        return f"{self.product}:{self.subject}"

    async def upload(
        self, content: bytes | None = None, *, name: str = "picture.jpg", key: str | None = None
    ) -> httpx.Response:
        """``POST /v1/assets``; without content a small picture."""
        files = {"file": (name, encoded(scene(48, 32)) if content is None else content)}
        return await self.http.post("/v1/assets", files=files, headers=_headers(key=key))

    async def submit(
        self,
        model: str = "sandbox/echo",
        params: Mapping[str, object] | None = None,
        *,
        asset: str | None = None,
        key: str | None = None,
        prefer: str | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> httpx.Response:
        """``POST /v1/jobs``."""
        body: dict[str, object] = {"model": model}
        if params is not None:
            body["params"] = params
        if asset is not None:
            body["input"] = {"asset": asset}
        if metadata is not None:
            body["metadata"] = metadata
        return await self.http.post("/v1/jobs", json=body, headers=_headers(key=key, prefer=prefer))

    async def cancel(self, job: str, *, key: str | None = None) -> httpx.Response:
        """``POST /v1/jobs/{id}:cancel``."""
        return await self.http.post(f"/v1/jobs/{job}:cancel", headers=_headers(key=key))

    async def get(self, path: str, **parameters: Any) -> httpx.Response:
        """GET; what is not reached in time (503 with Retry-After) is asked again, as its document says."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            answer = await self.http.get(path, params=parameters)
            if answer.status_code != 503 or time.monotonic() > deadline:
                return answer
            await asyncio.sleep(float(answer.headers["retry-after"]))

    async def job(self, job: str) -> dict[str, Any]:
        """``GET /v1/jobs/{id}``."""
        return ok(await self.get(f"/v1/jobs/{job}"))

    async def events(self, job: str) -> list[dict[str, Any]]:
        """``GET /v1/jobs/{id}/events``."""
        return data(await self.get(f"/v1/jobs/{job}/events"))

    async def account(self) -> dict[str, Any]:
        """``GET /v1/account``."""
        return ok(await self.get("/v1/account"))

    async def ledger(self) -> list[dict[str, Any]]:
        """Every line of ``GET /v1/ledger``, page by page."""
        return await self._all("/v1/ledger")

    async def jobs(self) -> list[dict[str, Any]]:
        """Every row of ``GET /v1/jobs``, page by page."""
        return await self._all("/v1/jobs")

    async def grant(self, amount: int) -> int:
        """An operator's grant over HTTP; the new balance."""
        async with Client(self.stack, "operator", role="admin") as operator:
            answer = await operator.http.post(f"/v1/accounts/{self.name}:grant", json={"amount": amount})
            return int(ok(answer)["balance"])

    async def until_ended(self, job: str, limit_s: float = 60.0) -> dict[str, Any]:
        """Poll the job until its status is a last one."""
        deadline = time.monotonic() + limit_s
        while True:
            found = await self.job(job)
            if found["status"] in ENDED:
                return found
            assert time.monotonic() < deadline, f"the job has not ended after {limit_s} s: {found}"
            await asyncio.sleep(0.1)

    async def until_status(self, job: str, status: str, limit_s: float = 30.0) -> dict[str, Any]:
        """Poll the job until it has this status."""
        deadline = time.monotonic() + limit_s
        while True:
            found = await self.job(job)
            if found["status"] == status:
                return found
            assert time.monotonic() < deadline, f"not {status} after {limit_s} s: {found}"
            await asyncio.sleep(0.05)

    async def _all(self, path: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            answer = ok(await self.get(path, limit=100, **({"cursor": cursor} if cursor else {})))
            rows += answer["data"]
            cursor = answer["next_cursor"]
            if cursor is None:
                return rows


def ok(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object of a 2xx answer."""
    assert answer.is_success, f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}"
    content: dict[str, Any] = answer.json()
    return content


def data(answer: httpx.Response) -> list[dict[str, Any]]:
    """The rows of a list's answer."""
    rows: list[dict[str, Any]] = ok(answer)["data"]
    return rows


def problem(answer: httpx.Response, status: int, field: str | None = None) -> dict[str, Any]:
    """The problem document of an answer with this status; with ``field`` it must name that field."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    assert answer.headers["content-type"] == "application/problem+json"
    content: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "code"} <= content.keys()
    assert content["status"] == status
    if field is not None:
        named = [error["field"] for error in content.get("errors", ())]
        assert field in named, f"{field} is not named in {content}"
    return content


def _headers(*, key: str | None = None, prefer: str | None = None) -> dict[str, str]:
    headers: dict[str, str] = {}
    if key is not None:
        headers["Idempotency-Key"] = key
    if prefer is not None:
        headers["Prefer"] = prefer
    return headers

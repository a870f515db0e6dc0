"""Every entry point, out of the tables that the gateways serve: a new operation is attacked without a line here."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections.abc import Mapping
from typing import Any

import httpx
from pydantic import BaseModel

from infra.cli.gateway import operations_of
from infra.http.problems import ProblemDocument
from infra.http.routing import JSON, PROBLEM_JSON, Operation
from schemas.wire.surface import HTML
from tests.contracts.conftest import fresh_address
from tests.stack import Stack

OPERATIONS: tuple[Operation, ...] = tuple(
    {(row.method, row.path): row for part in ("all", "ingest", "api") for row in operations_of(part)}.values()
)
BY_NAME: Mapping[str, Operation] = {operation.name: operation for operation in OPERATIONS}
PAGES = ("/", "/docs", "/openapi.json", "/healthz", "/readyz", "/metrics")
HARMLESS = frozenset({"image/jpeg", "image/png", "image/webp", "image/heic", "video/mp4", "video/webm"})
_NOBODYS = "a" * 26
_PATIENCE_S = 60.0
_numbers = itertools.count()


def path_of(operation: Operation, value: str | None = None) -> str:
    """The path with `value` in the place of each parameter; without it ids of the right form that nobody has."""
    path = operation.public_path
    for name in operation.path_names:
        path = path.replace(f"{{{name}}}", _nobodys(operation, name) if value is None else value)
    return path


def _nobodys(operation: Operation, name: str) -> str:
    if "account" in name:
        return "darkroom:nobody"
    for word in ("job", "asset", "album", "group", "media"):
        if f"/{word}" in operation.path:
            return f"{'asset' if word == 'media' else word}_{_NOBODYS}"
    return "1"


def headers_for(stack: Stack, operation: Operation, subject: str | None = None) -> dict[str, str]:
    """Headers of somebody who may call the operation; somebody new where no subject is given."""
    surface = operation.surface
    product = "darkroom" if surface is None else surface.product
    role = "admin" if operation.access == "admin" else "user"
    workspace = str(uuid.uuid4()) if product == "workspace-images" else None
    named = subject or f"hostile-{next(_numbers)}-{uuid.uuid4()}"
    token = stack.token(named, product=product, role=role, workspace=workspace)
    headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": fresh_address(), "Prefer": "respond-async"}
    return headers if workspace is None else {**headers, "X-Workspace-Id": workspace}


def client_of(stack: Stack, headers: Mapping[str, str] | None = None) -> httpx.AsyncClient:
    """A patient client that follows nothing and keeps no cookies of its own accord."""
    return httpx.AsyncClient(base_url=stack.url, headers=headers or {}, timeout=90.0, follow_redirects=False)


async def asked(client: httpx.AsyncClient, method: str, url: str, **more: Any) -> httpx.Response:
    """The answer; where it says "not yet" (503 with Retry-After) the request is made again, as it asks for."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        answer = await client.request(method, url, **more)
        if answer.status_code != 503 or "retry-after" not in answer.headers or time.monotonic() > deadline:
            return answer
        await asyncio.sleep(min(float(answer.headers["retry-after"]), 1.0))


def check_answer(operation: Operation | None, answer: httpx.Response) -> None:
    """The answer is no fault of the server, has the contract's shape, and is nothing that a browser would run."""
    request, text = f"{answer.request.method} {answer.request.url}"[:200], answer.text[:300]
    assert answer.status_code < 500, f"{request}: {answer.status_code} {text}"
    assert "Traceback" not in answer.text, f"{request}: {text}"
    media = answer.headers.get("content-type", "").partition(";")[0]
    if operation is None or answer.status_code in (414, 431) or answer.status_code < 400:
        check_media(answer)
        return
    shape = _error_shape(operation)
    if shape is None:
        check_media(answer)
        return
    expected, model = shape
    assert media == expected, f"{request}: {answer.status_code} {media} {text}"
    model.model_validate(answer.json())


def _error_shape(operation: Operation) -> tuple[str, type[BaseModel]] | None:
    """The media type and model of errors; None where they are pages."""
    if operation.surface is None:
        return PROBLEM_JSON, ProblemDocument
    model = operation.surface.error_model
    return None if model is None else (JSON, model)


def check_media(answer: httpx.Response) -> None:
    """Nothing that a browser would run, but for pages of ours under a policy."""
    media = answer.headers.get("content-type", "").partition(";")[0]
    if answer.content or media:
        assert answer.headers.get("x-content-type-options") == "nosniff" or media == PROBLEM_JSON, answer.headers
    if media == HTML:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy, policy
        assert "unsafe" not in policy, policy
    elif media in HARMLESS:
        assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    else:
        expected = {"", JSON, PROBLEM_JSON, "application/x-ndjson", "text/plain", "text/css"}
        assert media in expected or "javascript" in media, f"{answer.request.url}: {media}"

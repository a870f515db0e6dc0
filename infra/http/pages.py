"""What stands beside the table of operations: health, metrics, OpenAPI, the page to try it, a front page."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra.http.routing import JSON

Check = Callable[[], Awaitable[bool]]
_ASSETS = Path(__file__).resolve().parent / "assets"
_CHECK_TIMEOUT_S = 2.0
_INLINE = re.compile(r"<(?P<tag>script|style)>(?P<text>.*?)</(?P=tag)>", re.DOTALL)


def pages(
    document: Mapping[str, Any], checks: Mapping[str, Check], registry: CollectorRegistry = REGISTRY
) -> list[Route]:
    """The routes. `checks` say by name whether a part that answers depend on can be reached."""
    content = msgspec.json.encode(document)

    async def openapi(_: Request) -> Response:
        return Response(content, media_type=JSON)

    async def healthz(_: Request) -> Response:
        return _json(200, {"status": "ok"})

    async def readyz(_: Request) -> Response:
        results = await asyncio.gather(*(_passes(check) for check in checks.values()))
        parts = dict(zip(checks, results, strict=True))
        ready = all(results)
        return _json(200 if ready else 503, {"status": "ready" if ready else "not-ready", "parts": parts})

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})

    return [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics),
        Route("/openapi.json", openapi),
        Route("/docs", _page("docs.html")),
        Route("/", _page("index.html")),
    ]


def _page(name: str) -> Callable[[Request], Awaitable[Response]]:
    """A page of one file, whose policy allows its own script and style by their hashes and nothing else."""
    html = (_ASSETS / name).read_text(encoding="utf-8")
    headers = {
        "content-security-policy": policy_of(html),
        "cache-control": "no-cache",
        "referrer-policy": "no-referrer",
        "x-frame-options": "DENY",
        "cross-origin-opener-policy": "same-origin",
    }

    async def page(_: Request) -> Response:
        return Response(html, headers=headers, media_type="text/html")

    return page


def policy_of(html: str) -> str:
    """The Content-Security-Policy of a page with inline script and style elements."""
    hashes: dict[str, list[str]] = {"script": [], "style": []}
    for match in _INLINE.finditer(html):
        digest = base64.b64encode(hashlib.sha256(match["text"].encode()).digest()).decode()
        hashes[match["tag"]].append(f"'sha256-{digest}'")
    scripts, styles = " ".join(hashes["script"]) or "'none'", " ".join(hashes["style"]) or "'none'"
    return (
        f"default-src 'none'; script-src {scripts}; style-src {styles}; connect-src 'self'; img-src 'self' blob:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


async def _passes(check: Check) -> bool:
    try:
        async with asyncio.timeout(_CHECK_TIMEOUT_S):
            return await check()
    except Exception:
        return False


def _json(status: int, document: Mapping[str, Any]) -> Response:
    return Response(msgspec.json.encode(document), status, {"cache-control": "no-store"}, media_type=JSON)

"""The door of document 002 over ports in memory: bearer, cookie, forgeries, windows, and what has no path."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.http.fakes import NOW_MS, Side
from tests.http.spike_side import IMAGE, make_spike, wrong

COOKIE = "next-auth.session-token"
WINDOW_S = 900
LIMITS = {"upload": 30, "batch-upload": 30, "enhance": 50, "parallel-enhance": 50, "move-to-album": 50}


@pytest.fixture
async def side(tmp_path: Path) -> AsyncIterator[Side]:
    made = make_spike(tmp_path)
    async with made.http:
        yield made


async def asked(side: Side, path: str = "enhance", method: str = "POST", **headers: str) -> httpx.Response:
    """A request without the token that the client would send; header names have underscores for dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx.AsyncClient(transport=side.http._transport, base_url=side.http.base_url) as http:
        body = {"imageId": IMAGE, "tier": "TIER_1K"} if method == "POST" else None
        return await http.request(method, f"/api/images/{path}", json=body, headers=named)


async def test_who_is_not_logged_in_is_told_to(side: Side) -> None:
    for token in ("nonsense", side.token(product="darkroom")):
        wrong(await asked(side, Authorization=f"Bearer {token}"), 401, "UNAUTHORIZED")
        wrong(await asked(side, Cookie=f"{COOKIE}={token}"), 401, "UNAUTHORIZED")
    for path in LIMITS:
        assert wrong(await asked(side, path), 401, "UNAUTHORIZED")["title"] == "Authentication Required"
    wrong(await asked(side, IMAGE, "DELETE"), 401, "UNAUTHORIZED")


async def test_a_cookie_carries_the_session_token(side: Side) -> None:
    cookie = f"{COOKIE}={side.token(product='spike-land')}"
    answer = await asked(side, Cookie=cookie)
    assert answer.status_code == 200
    assert "darkroom_position" in answer.headers["set-cookie"]
    for origin in ("http://darkroom.test", "HTTP://DARKROOM.TEST"):
        assert (await asked(side, Cookie=cookie, Origin=origin)).status_code == 200
    wrong(await asked(side, Cookie=cookie, Origin="http://evil.test"), 403, "FORBIDDEN")
    wrong(await asked(side, Cookie=cookie, Sec_Fetch_Site="cross-site"), 403, "FORBIDDEN")
    wrong(await asked(side, IMAGE, "DELETE", Cookie=cookie, Origin="null"), 403, "FORBIDDEN")
    bearer = f"Bearer {side.token(product='spike-land')}"
    assert (await asked(side, Authorization=bearer, Origin="http://app.test")).status_code == 200


@pytest.mark.parametrize("path", LIMITS)
async def test_each_operation_has_its_window_of_a_quarter_of_an_hour(side: Side, path: str) -> None:
    bearer, limit = f"Bearer {side.token('bob', product='spike-land')}", LIMITS[path]
    for left in range(limit - 1, -1, -1):
        answer = await asked(side, path, Authorization=bearer)
        assert answer.status_code != 429
        assert answer.headers["x-ratelimit-remaining"] == str(left)
        assert answer.headers["x-ratelimit-reset"] == str(NOW_MS // 1000 + WINDOW_S)
        assert "x-ratelimit-limit" not in answer.headers
    side.clock.advance(60_000)
    answer = await asked(side, path, Authorization=bearer)
    assert wrong(answer, 429, "RATE_LIMIT") == {
        "error": "You've exceeded the rate limit",
        "title": "Rate Limited",
        "suggestion": "Please wait before making more requests",
        "code": "RATE_LIMIT",
        "retryAfter": WINDOW_S - 60,
    }
    assert answer.headers["retry-after"] == str(WINDOW_S - 60)
    assert answer.headers["x-ratelimit-remaining"] == "0"
    assert answer.headers["x-ratelimit-reset"] == str(NOW_MS // 1000 + WINDOW_S)
    assert (
        await asked(side, path, Authorization=f"Bearer {side.token('eve', product='spike-land')}")
    ).status_code != 429
    other = next(name for name in LIMITS if name != path)
    assert (await asked(side, other, Authorization=bearer)).status_code != 429
    side.clock.advance((WINDOW_S - 60) * 1000)
    assert (await asked(side, path, Authorization=bearer)).status_code != 429


async def test_deletions_have_a_window_too(side: Side) -> None:
    bearer = f"Bearer {side.token('bob', product='spike-land')}"
    statuses = [(await asked(side, "img_x", "DELETE", Authorization=bearer)).status_code for _ in range(101)]
    assert statuses == [404] * 100 + [429]


async def test_what_is_not_there_is_told_in_the_documents_shape(side: Side) -> None:
    bearer = f"Bearer {side.token(product='spike-land')}"
    assert wrong(await asked(side, "a/b", Authorization=bearer), 404, "NOT_FOUND")["error"] == "Resource not found"
    answer = await asked(side, "enhance", "PUT", Authorization=bearer)
    assert wrong(answer, 405, "INVALID_INPUT")["error"] == "Method not allowed"
    assert "POST" in answer.headers["allow"]

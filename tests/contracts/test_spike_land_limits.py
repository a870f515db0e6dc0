"""Document 002 on the running stack: how often each operation may be asked for, and what is said then."""

from __future__ import annotations

import time

import httpx
import pytest

from tests.contracts.spike_land_client import Clients, SpikeUser, wrong
from tests.stack import Stack

LIMITS = {
    "POST /api/images/upload": 30,
    "POST /api/images/batch-upload": 30,
    "POST /api/images/enhance": 50,
    "POST /api/images/parallel-enhance": 50,
    "POST /api/images/move-to-album": 50,
    "GET /api/images/{id}": 100,
    "DELETE /api/images/{id}": 100,
}
WINDOW_S = 900


@pytest.mark.parametrize(
    "endpoint",
    [pytest.param(endpoint, marks=pytest.mark.contract("002", endpoint, "Rate Limiting")) for endpoint in LIMITS],
)
async def test_each_operation_has_its_limit(endpoint: str, stack: Stack, http: Clients) -> None:
    user, (method, path) = SpikeUser(stack, http), endpoint.split()

    async def asked() -> httpx.Response:
        body: dict[str, str] | None = {} if method == "POST" else None
        return await user.http.request(method, path.replace("{id}", "img_x"), json=body)

    began_s = time.time()
    for left in range(LIMITS[endpoint] - 1, -1, -1):
        answer = await asked()
        assert answer.status_code in (400, 404)
        assert answer.headers["x-ratelimit-remaining"] == str(left)
    answer = await asked()
    seconds = int(answer.headers["retry-after"])
    assert wrong(answer, 429, "RATE_LIMIT") == {
        "error": "You've exceeded the rate limit",
        "title": "Rate Limited",
        "suggestion": "Please wait before making more requests",
        "code": "RATE_LIMIT",
        "retryAfter": seconds,
    }
    took_s = time.time() - began_s
    assert WINDOW_S - took_s - 2 <= seconds <= WINDOW_S
    assert answer.headers["x-ratelimit-remaining"] == "0"
    assert -2 <= int(answer.headers["x-ratelimit-reset"]) - began_s - WINDOW_S <= took_s + 2
    other = SpikeUser(stack, http)
    assert (await other.http.get("/api/images/img_x")).status_code == 404, "each user has a window of his own"

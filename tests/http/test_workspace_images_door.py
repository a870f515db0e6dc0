"""POST /api/ai/images before anything is decided: who may come in, how often, and with what body."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.http.limits import LimitSettings
from infra.http.requests import JSON_BYTES_MAX
from tests.http.fakes import Side
from tests.http.images_side import OTHER, WORKSPACE, data, error, make_images, post, token

URL = "/api/ai/images"


@pytest.fixture
async def images(tmp_path: Path) -> AsyncIterator[Side]:
    """A user of the workspace, whose pictures all succeed."""
    side = make_images(tmp_path)
    async with side.http:
        yield side


def rates(answer: httpx.Response) -> tuple[int, int]:
    """(limit, remaining) of the document's headers, which the standard's say too."""
    headers = answer.headers
    assert headers["x-ratelimit-limit"] == headers["ratelimit-limit"]
    assert headers["x-ratelimit-remaining"] == headers["ratelimit-remaining"]
    assert int(headers["x-ratelimit-reset"]) > 1_700_000_000
    return int(headers["x-ratelimit-limit"]), int(headers["x-ratelimit-remaining"])


async def test_without_a_token_nobody_comes_in(images: Side) -> None:
    del images.http.headers["Authorization"]
    answer = await post(images)
    error(answer, 401, "UNAUTHORIZED")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("bearer", ["Bearer nonsense", "Basic YTpi", "Bearer "])
async def test_a_token_that_does_not_count(images: Side, bearer: str) -> None:
    error(await post(images, Authorization=bearer), 401, "UNAUTHORIZED")


async def test_a_token_of_another_product_does_not_count(images: Side) -> None:
    bearer = f"Bearer {token(images, product='darkroom')}"
    error(await post(images, Authorization=bearer), 401, "UNAUTHORIZED")
    assert images.decider.envelopes == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"a"', b'{"prompt": "\xff"}', b"[" * 50_000])
async def test_what_is_no_json_object_is_a_validation_error(images: Side, body: bytes) -> None:
    answer = await images.http.post(URL, content=body, headers={"Content-Type": "application/json"})
    assert error(answer, 400, "VALIDATION_ERROR")["details"][0]["field"] == "body"


async def test_a_body_of_another_type(images: Side) -> None:
    error(await images.http.post(URL, data={"prompt": "a"}), 415, "UNSUPPORTED_MEDIA_TYPE")


async def test_a_body_that_is_too_large(images: Side) -> None:
    error(await post(images, {"extra": "a" * JSON_BYTES_MAX}), 413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_another_method_is_told_in_the_same_shape(images: Side, method: str) -> None:
    answer = await images.http.request(method, URL)
    error(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "POST"


async def test_what_is_not_there_is_told_in_the_same_shape(images: Side) -> None:
    error(await images.http.post(f"{URL}/1", json={}), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("header", "value"), [("Idempotency-Key", "k" * 256), ("Prefer", "wait=121"), ("Prefer", "wait=x")]
)
async def test_headers_are_checked_and_named(images: Side, header: str, value: str) -> None:
    answer = await images.http.post(URL, json={"prompt": "a"}, headers={header: value})
    assert error(answer, 400, "VALIDATION_ERROR")["details"][0]["field"] == header
    assert images.decider.envelopes == []


async def test_a_header_that_comes_twice_is_named(images: Side) -> None:
    del images.http.headers["X-Workspace-Id"]
    twice = [("X-Workspace-Id", WORKSPACE), ("X-Workspace-Id", OTHER)]
    answer = await images.http.post(URL, json={"prompt": "a"}, headers=twice)
    told = error(answer, 400, "VALIDATION_ERROR")
    assert told["details"][0]["field"].lower() == "x-workspace-id"


async def test_unknown_members_are_ignored(images: Side) -> None:
    data(await post(images, {"user": "ada", "response_format": {"type": "url"}}))


async def test_everything_wrong_is_told_at_once_and_nothing_is_sent(images: Side) -> None:
    told = error(await post(images, {"prompt": "", "n": 11, "size": "1x1"}), 400, "VALIDATION_ERROR")
    assert [field["field"] for field in told["details"]] == ["prompt", "size", "n"]
    assert images.decider.envelopes == []


async def test_the_tightest_limit_is_shown_on_every_answer(images: Side) -> None:
    assert rates(await post(images)) == (60, 59)
    assert rates(await post(images, {"n": 0})) == (60, 58)
    assert rates(await post(images, X_Workspace_Id=OTHER)) == (60, 57)


@pytest.mark.parametrize(
    ("name", "second"),
    [
        ("workspace-images-user", {"subject": "bob"}),
        ("workspace-images-workspace", {"subject": "bob", "workspace": OTHER}),
        ("workspace-images-address", None),
    ],
)
async def test_each_of_three_limits_holds_by_itself(tmp_path: Path, name: str, second: dict[str, Any] | None) -> None:
    side = make_images(tmp_path, LimitSettings(amounts={name: 2}))
    async with side.http:
        for remaining in (1, 0):
            assert rates(await post(side)) == (2, remaining)
        same = {"subject": "ada"} if name == "workspace-images-user" else {"subject": "carl"}
        refused = await post(side, Authorization=f"Bearer {token(side, **same)}")
        told = error(refused, 429, "RATE_LIMIT_EXCEEDED")
        assert rates(refused) == (2, 0)
        assert 1 <= int(refused.headers["retry-after"]) <= 3600
        assert f"{refused.headers['retry-after']} s" in told["message"]
        assert len(side.decider.envelopes) == 2
        if second is not None:
            passed = await post(side, Authorization=f"Bearer {token(side, **second)}")
            assert passed.status_code in (200, 404)

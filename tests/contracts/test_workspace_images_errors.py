"""Document 003: everything that goes wrong and every limit, against the running stack."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import Any

import httpx
import pytest
from tritonclient.grpc.aio import InferenceServerClient

from tests.contracts.conftest import fresh_address
from tests.contracts.workspace_images_client import URL, Clients, Workspace, data, error, fields, no_engines
from tests.stack import Stack

ENDPOINT = "POST /api/ai/images"


@pytest.fixture
def workspace(stack: Stack, http: Clients) -> Workspace:
    """A workspace without credits: what is refused before anything is charged needs none."""
    return Workspace(stack, http)


async def untouched(workspace: Workspace) -> bool:
    """Whether nothing has come of any request."""
    return await workspace.jobs() == [] and await workspace.balance() == (0, 0)


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"prompt": ""}, ["prompt"]),
        ({"prompt": "a" * 4001}, ["prompt"]),
        ({"prompt": 1}, ["prompt"]),
        ({"model": "dall-e-4"}, ["model"]),
        ({"provider": "stability"}, ["provider"]),
        ({"provider": "google", "model": "dall-e-3"}, ["provider"]),
        ({"size": "100x100"}, ["size"]),
        ({"style": "baroque"}, ["style"]),
        ({"quality": "ultra"}, ["quality"]),
        ({"quality": "hd", "model": "dall-e-2", "size": "256x256"}, ["quality"]),
        ({"quality": "hd", "model": "dall-e-2", "size": "512x512"}, ["quality"]),
        ({"n": 0}, ["n"]),
        ({"n": 11}, ["n"]),
        ({"n": "1"}, ["n"]),
        (
            {"prompt": "", "size": "1x1", "style": "x", "quality": "y", "n": 99},
            ["prompt", "size", "style", "quality", "n"],
        ),
    ],
)
@pytest.mark.contract("003", ENDPOINT, "Validation errors (400)")
async def test_each_wrong_field_is_named(workspace: Workspace, body: dict[str, Any], wrong: list[str]) -> None:
    told = error(await workspace.post(body), 400, "VALIDATION_ERROR")
    assert fields(told) == wrong
    assert all(field["message"].endswith(".") for field in told["details"])
    assert await untouched(workspace)


@pytest.mark.contract("003", ENDPOINT, "Validation errors (400)")
async def test_a_prompt_has_to_be_there_and_the_body_to_be_json(workspace: Workspace) -> None:
    assert fields(error(await workspace.client.post(URL, json={}), 400, "VALIDATION_ERROR")) == ["prompt"]
    broken = await workspace.client.post(URL, content=b"{", headers={"Content-Type": "application/json"})
    assert fields(error(broken, 400, "VALIDATION_ERROR")) == ["body"]


@pytest.mark.contract("003", ENDPOINT, "Missing workspace (400)")
async def test_without_a_workspace(workspace: Workspace) -> None:
    del workspace.client.headers["X-Workspace-Id"]
    told = error(await workspace.post(), 400, "MISSING_WORKSPACE")
    assert fields(told) == ["workspaceId"]
    assert told["message"].startswith("Missing workspace")


@pytest.mark.contract("003", ENDPOINT, "Workspace ID and User ID (UUIDs)")
async def test_a_workspace_is_a_uuid_and_is_one(workspace: Workspace) -> None:
    told = error(await workspace.post(X_Workspace_Id="home"), 400, "VALIDATION_ERROR")
    assert fields(told) == ["X-Workspace-Id"]
    told = error(await workspace.post({"workspaceId": str(uuid.uuid4())}), 400, "VALIDATION_ERROR")
    assert fields(told) == ["X-Workspace-Id", "workspaceId"]


@pytest.mark.parametrize(
    ("model", "size"),
    [
        ("dall-e-3", "256x256"),
        ("dall-e-3", "512x512"),
        ("dall-e-2", "1792x1024"),
        ("dall-e-2", "1024x1792"),
        ("imagen-3", "256x256"),
        ("imagen-3", "512x512"),
    ],
)
@pytest.mark.contract("003", ENDPOINT, "Invalid size (400)")
async def test_a_size_that_the_model_does_not_make(workspace: Workspace, model: str, size: str) -> None:
    told = error(await workspace.post({"model": model, "size": size}), 400, "INVALID_SIZE")
    assert fields(told) == ["size"]
    assert await untouched(workspace)


@pytest.mark.parametrize("bearer", [None, "Bearer nonsense", "Basic YTpi"])
@pytest.mark.contract("003", ENDPOINT, "Unauthorized (401)")
async def test_without_a_token_that_counts(workspace: Workspace, bearer: str | None) -> None:
    del workspace.client.headers["Authorization"]
    if bearer is not None:
        workspace.client.headers["Authorization"] = bearer
    answer = await workspace.post()
    error(answer, 401, "UNAUTHORIZED")
    assert "www-authenticate" in answer.headers


@pytest.mark.contract("003", ENDPOINT, "Unauthorized (401)")
async def test_a_token_of_another_product_does_not_count(workspace: Workspace) -> None:
    bearer = f"Bearer {workspace.stack.token('ada', product='studio', workspace=workspace.id)}"
    error(await workspace.post(Authorization=bearer), 401, "UNAUTHORIZED")


@pytest.mark.contract("003", ENDPOINT, "Insufficient credits (402)")
async def test_credits_that_are_not_enough_for_all_are_not_touched(workspace: Workspace) -> None:
    await workspace.grant(25)
    told = error(await workspace.post({"n": 3}), 402, "INSUFFICIENT_CREDITS")
    assert (told["required"], told["available"]) == (30, 25)
    assert await workspace.balance() == (25, 0)
    assert await workspace.jobs() == []


@pytest.mark.contract("003", ENDPOINT, "Insufficient credits (402)")
async def test_a_key_is_free_again_after_402(workspace: Workspace) -> None:
    small = {"model": "dall-e-2", "size": "256x256"}
    error(await workspace.post(small, Idempotency_Key="mine"), 402, "INSUFFICIENT_CREDITS")
    await workspace.grant(3)
    assert data(await workspace.post(small, Idempotency_Key="mine"))["creditsRemaining"] == 0


@pytest.mark.contract("003", ENDPOINT, "Authentication")
async def test_a_foreign_workspace_is_one_that_does_not_exist(
    workspace: Workspace, stack: Stack, http: Clients
) -> None:
    other = Workspace(stack, http)
    await other.grant(100)
    foreign = await workspace.post(X_Workspace_Id=other.id)
    unknown = await workspace.post(X_Workspace_Id=str(uuid.uuid4()))
    nobodys = stack.token("ada", product="workspace-images")
    without = await workspace.post(X_Workspace_Id=other.id, Authorization=f"Bearer {nobodys}")
    error(foreign, 404, "NOT_FOUND")
    assert foreign.json() == unknown.json() == without.json()
    assert await other.balance() == (100, 0)
    assert await other.jobs() == []


@pytest.mark.contract("003", ENDPOINT, "Implements atomic credit operations")
async def test_a_key_with_another_request_is_a_conflict(workspace: Workspace) -> None:
    await workspace.grant(100)
    small = {"model": "dall-e-2", "size": "256x256"}
    data(await workspace.post(small, Idempotency_Key="mine"))
    told = error(await workspace.post({**small, "prompt": "another"}, Idempotency_Key="mine"), 409, "CONFLICT")
    assert fields(told) == ["Idempotency-Key"]
    assert await workspace.balance() == (97, 0)


async def _asked(client: httpx.AsyncClient, count: int, **headers: str) -> list[httpx.Response]:
    """Requests that cost nothing, one after the other: valid or not, they count."""
    return [await client.post(URL, json={"n": 0}, headers=headers) for _ in range(count)]


def _limited(answer: httpx.Response, limit: int, window_s: int) -> None:
    told = error(answer, 429, "RATE_LIMIT_EXCEEDED")
    assert 1 <= int(answer.headers["retry-after"]) <= window_s
    assert answer.headers["retry-after"] in told["message"]
    assert answer.headers["x-ratelimit-limit"] == str(limit)
    assert answer.headers["x-ratelimit-remaining"] == "0"
    assert 0 < int(answer.headers["x-ratelimit-reset"]) - time.time() <= window_s + 1


@pytest.mark.contract("003", ENDPOINT, "Per-user: 60 requests/minute")
async def test_a_user_may_ask_60_times_a_minute(workspace: Workspace) -> None:
    answers = await _asked(workspace.client, 60)
    assert [answer.status_code for answer in answers] == [400] * 60
    assert [int(answer.headers["x-ratelimit-remaining"]) for answer in answers] == list(range(59, -1, -1))
    _limited(await workspace.post(X_Forwarded_For=fresh_address()), 60, 60)
    assert (await workspace.user("another").post(URL, json={"n": 0})).status_code == 400


@pytest.mark.contract("003", ENDPOINT, "Per-IP: 100 requests/minute")
async def test_an_address_may_ask_100_times_a_minute(workspace: Workspace, stack: Stack, http: Clients) -> None:
    address = fresh_address()
    for _ in range(2):
        answers = await _asked(Workspace(stack, http).client, 50, **{"X-Forwarded-For": address})
        assert {answer.status_code for answer in answers} == {400}
    _limited(await workspace.post(X_Forwarded_For=address), 100, 60)
    assert (await workspace.post({"n": 0})).status_code == 400


@pytest.mark.contract("003", ENDPOINT, "Per-workspace: 1000 requests/hour")
async def test_a_workspace_may_ask_1000_times_an_hour(workspace: Workspace) -> None:
    users = [workspace.user(f"user-{number}") for number in range(20)]
    for answers in await asyncio.gather(*(_asked(user, 50) for user in users)):
        assert {answer.status_code for answer in answers} == {400}
    _limited(await workspace.post(), 1000, 3600)


@pytest.mark.contract("003", ENDPOINT, "Rate limit information is included in response headers")
async def test_every_answer_shows_the_tightest_limit(workspace: Workspace) -> None:
    await workspace.grant(3)
    small = {"model": "dall-e-2", "size": "256x256"}
    answers = [await workspace.post(small), await workspace.post(), await workspace.post({"n": 0})]
    answers.append(await workspace.post(X_Workspace_Id=str(uuid.uuid4())))
    assert [answer.status_code for answer in answers] == [200, 402, 400, 404]
    assert [answer.headers["x-ratelimit-limit"] for answer in answers] == ["60"] * 4
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["59", "58", "57", "56"]
    assert all(0 < int(answer.headers["x-ratelimit-reset"]) - time.time() <= 61 for answer in answers)


@pytest.mark.contract("003", ENDPOINT, "Provider unavailable (503)")
async def test_when_no_engine_can_serve_all_is_released(workspace: Workspace, stack: Stack) -> None:
    await workspace.grant(100)
    async with no_engines(stack):
        begun_s = time.monotonic()
        answer = await workspace.post({"n": 2})
        took_s = time.monotonic() - begun_s
    told = error(answer, 503, "PROVIDER_UNAVAILABLE")
    assert "nothing was charged" in told["message"]
    assert int(answer.headers["retry-after"]) > 0
    assert 15 < took_s < 40
    assert await workspace.balance() == (100, 0)


_BROKEN = b"""
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        error = pb_utils.TritonError("permanent: it is broken for a test")
        return [pb_utils.InferenceResponse(error=error) for _ in requests]
"""
_CONFIG = {
    "backend": "python",
    "input": [
        {"name": "REQUEST", "data_type": "TYPE_STRING", "dims": [1]},
        {"name": "GUIDE", "data_type": "TYPE_UINT8", "dims": [-1, -1, -1], "optional": True},
    ],
    "output": [{"name": "PIXELS", "data_type": "TYPE_UINT8", "dims": [-1, -1, -1, -1]}],
}


@pytest.mark.contract("003", ENDPOINT, "Internal errors (500)")
async def test_an_image_that_cannot_be_made_costs_nothing(workspace: Workspace, stack: Stack) -> None:
    await workspace.grant(100)
    triton = InferenceServerClient(stack.status()["triton"]["endpoint"])
    await triton.unload_model("procedural")  # else what is loaded stays
    while await triton.is_model_ready("procedural"):
        await asyncio.sleep(0.1)
    await triton.load_model("procedural", config=json.dumps(_CONFIG), files={"file:1/model.py": _BROKEN})
    try:
        answer = await workspace.post({"n": 2})
    finally:
        await triton.load_model("procedural")
        await triton.close()
    told = error(answer, 500, "INTERNAL_ERROR")
    assert "broken" not in str(told)
    assert await workspace.balance() == (100, 0)
    assert data(await workspace.post())["creditsUsed"] == 10

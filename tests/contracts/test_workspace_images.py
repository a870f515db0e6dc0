"""Document 003: images, their records and their credits, against the running stack."""

from __future__ import annotations

import asyncio
import datetime
import time
import uuid
from typing import Any

import pytest

from tests.contracts.workspace_images_client import Clients, Workspace, data, no_engines, picture
from tests.stack import Stack

ENDPOINT = "POST /api/ai/images"
CREDITS = 300
SIZES = {  # "Size Support by Provider", with the models of each title
    "OpenAI DALL-E 3": ("dall-e-3", "openai", ("1024x1024", "1792x1024", "1024x1792")),
    "OpenAI DALL-E 2": ("dall-e-2", "openai", ("256x256", "512x512", "1024x1024")),
    "Google Imagen": ("imagen-3", "google", ("1024x1024", "1792x1024", "1024x1792")),
}
STANDARD = {"256x256": 3, "512x512": 5, "1024x1024": 10, "1792x1024": 15, "1024x1792": 15}
HD = {"1024x1024": 20, "1792x1024": 30, "1024x1792": 30}
SMALL = {"model": "dall-e-2", "size": "256x256"}


@pytest.fixture
async def workspace(stack: Stack, http: Clients) -> Workspace:
    """A workspace with credits that nobody has used."""
    made = Workspace(stack, http)
    await made.grant(CREDITS)
    return made


def moment(text: str) -> float:
    """Seconds since 1970."""
    return datetime.datetime.fromisoformat(text).timestamp()


@pytest.mark.contract("003", ENDPOINT, "Database Schema")
async def test_one_image_with_all_defaults_and_its_record(workspace: Workspace) -> None:
    begun_s = time.time()
    del workspace.client.headers["Prefer"]
    answer = await workspace.post()
    told = data(answer)
    (record,), (image,) = told["generations"], told["images"]
    assert answer.json()["success"] is True
    assert list(told) == ["generations", "images", "creditsUsed", "creditsRemaining"]
    assert record["type"] == "IMAGE"
    assert (record["model"], record["provider"], record["prompt"]) == ("dall-e-3", "openai", "a lighthouse at sunset")
    assert (record["tokens"], record["credits"], record["status"], record["error"]) == (0, 10, "COMPLETED", None)
    assert record["workspaceId"] == workspace.id
    assert {str(uuid.UUID(record[name])) for name in ("id", "userId")} == {record["id"], record["userId"]}
    assert image == {"url": record["result"], "generationId": record["id"]}
    assert begun_s - 5 < moment(record["createdAt"]) <= moment(record["completedAt"]) < time.time() + 5
    assert (told["creditsUsed"], told["creditsRemaining"]) == (10, CREDITS - 10)
    assert (await picture(image["url"])).size == (1024, 1024)
    assert await workspace.balance() == (CREDITS - 10, 0)


@pytest.mark.parametrize(("title", "size"), [(title, size) for title in SIZES for size in SIZES[title][2]])
@pytest.mark.contract("003", ENDPOINT, "Size Support by Provider")
async def test_every_size_of_every_model(workspace: Workspace, title: str, size: str) -> None:
    model, provider, _ = SIZES[title]
    told = data(await workspace.post({"model": model, "provider": provider, "size": size}))
    assert told["creditsUsed"] == STANDARD[size]
    made = await picture(told["images"][0]["url"])
    assert f"{made.width}x{made.height}" == size


@pytest.mark.contract("003", ENDPOINT, "Credit Costs")
async def test_hd_costs_what_the_table_says(workspace: Workspace) -> None:
    asked = [{"model": model, "size": size, "quality": "hd"} for model in ("dall-e-3", "imagen-3") for size in HD]
    asked.append({"model": "dall-e-2", "size": "1024x1024", "quality": "hd"})
    for body in asked:
        told = data(await workspace.post(body, Prefer="respond-async"), 202)
        assert CREDITS - told["creditsRemaining"] == HD[body["size"]]
        await workspace.cancel_all()
    reserved = [line["amount"] for line in await workspace.ledger() if line["kind"] == "reserved"]
    assert reserved == [HD[body["size"]] for body in asked]
    assert await workspace.balance() == (CREDITS, 0)


@pytest.mark.contract("003", ENDPOINT, "Credit Costs")
async def test_standard_is_the_default_and_hd_is_made_too(workspace: Workspace) -> None:
    plain, standard = [data(await workspace.post({**SMALL, **more})) for more in ({}, {"quality": "standard"})]
    hd = data(await workspace.post({"size": "1024x1024", "quality": "hd"}))
    assert [one["creditsUsed"] for one in (plain, standard, hd)] == [3, 3, 20]
    assert [job["params"]["quality"] for job in await workspace.jobs()] == ["standard", "standard", "hd"]
    assert (await picture(hd["images"][0]["url"])).size == (1024, 1024)


@pytest.mark.parametrize(
    ("style", "openai"),
    [("natural", "natural"), ("vivid", "vivid"), ("artistic", "vivid"), ("photographic", "natural")],
)
@pytest.mark.contract("003", ENDPOINT, "Style Mapping")
async def test_a_style_is_mapped_and_visible_in_the_job(workspace: Workspace, style: str, openai: str) -> None:
    data(await workspace.post({**SMALL, "style": style}))
    data(await workspace.post({"model": "imagen-3", "style": style}, Prefer="respond-async"), 202)
    await workspace.cancel_all()
    params = [job["params"] for job in await workspace.jobs()]
    assert [(one["style"], one["provider_style"]) for one in params] == [(style, openai), (style, style)]


@pytest.mark.contract("003", ENDPOINT, "Support for single and multiple image generation")
async def test_ten_images_are_one_group_of_different_pictures(workspace: Workspace) -> None:
    told = data(await workspace.post({**SMALL, "n": 10}))
    assert [record["status"] for record in told["generations"]] == ["COMPLETED"] * 10
    assert [record["credits"] for record in told["generations"]] == [3] * 10
    assert (told["creditsUsed"], told["creditsRemaining"]) == (30, CREDITS - 30)
    pictures = await asyncio.gather(*(picture(image["url"]) for image in told["images"]))
    assert len({one.tobytes() for one in pictures}) == 10
    assert len({record["id"] for record in told["generations"]}) == 10
    assert len({job["group"] for job in await workspace.jobs()}) == 1


@pytest.mark.contract("003", ENDPOINT, "Credit Management")
async def test_credits_are_reserved_together_and_captured_one_by_one(workspace: Workspace) -> None:
    data(await workspace.post({**SMALL, "n": 3}))
    lines = [(line["kind"], line["amount"]) for line in await workspace.ledger()]
    assert lines[0] == ("granted", CREDITS)
    assert lines[1:4] == [("reserved", 3)] * 3
    assert lines[4:] == [("captured", 3)] * 3
    assert await workspace.balance() == (CREDITS - 9, 0)


@pytest.mark.contract("003", ENDPOINT, "Use Case")
async def test_users_of_a_workspace_share_its_credits_and_are_told_apart(workspace: Workspace) -> None:
    records = []
    for client in (workspace.client, workspace.user("another"), workspace.user(workspace.subject)):
        answer = await client.post("/api/ai/images", json={"prompt": "a harbour", **SMALL})
        records.append(data(answer)["generations"][0])
    users = [record["userId"] for record in records]
    assert users[0] == users[2] != users[1]
    assert {record["workspaceId"] for record in records} == {workspace.id}
    assert await workspace.balance() == (CREDITS - 9, 0)


@pytest.mark.contract("003", ENDPOINT, "Workspace ID from header or body")
async def test_the_workspace_may_stand_in_the_body(workspace: Workspace) -> None:
    del workspace.client.headers["X-Workspace-Id"]
    told = data(await workspace.post({**SMALL, "workspaceId": workspace.id.upper()}))
    assert told["generations"][0]["workspaceId"] == workspace.id


@pytest.mark.contract("003", ENDPOINT, "Updates generation status (PENDING → COMPLETED/FAILED)")
async def test_who_does_not_wait_gets_pending_records_and_comes_back_with_the_key(workspace: Workspace) -> None:
    body = {**SMALL, "n": 2}
    first = data(await workspace.post(body, Prefer="respond-async", Idempotency_Key="mine"), 202)
    assert {(one["status"], one["result"], one["credits"]) for one in first["generations"]} == {("PENDING", None, 0)}
    assert (first["images"], first["creditsUsed"], first["creditsRemaining"]) == ([], 0, CREDITS - 6)
    deadline_s = time.monotonic() + 60
    while True:
        answer = await workspace.post(body, Prefer="respond-async", Idempotency_Key="mine")
        if answer.status_code == 200:
            break
        data(answer, 202)
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.3)
    last = data(answer)
    kept = ("id", "workspaceId", "userId", "createdAt", "prompt", "model")
    assert [[one[name] for name in kept] for one in first["generations"]] == [
        [one[name] for name in kept] for one in last["generations"]
    ]
    assert {one["status"] for one in last["generations"]} == {"COMPLETED"}
    assert (last["creditsUsed"], last["creditsRemaining"]) == (6, CREDITS - 6)
    assert await workspace.balance() == (CREDITS - 6, 0)


@pytest.mark.contract("003", ENDPOINT, "Implements atomic credit operations")
async def test_a_repeat_under_a_key_is_the_same_answer_and_is_charged_once(workspace: Workspace) -> None:
    body = {**SMALL, "n": 2}
    first = await workspace.post(body, Idempotency_Key="mine")
    again = await workspace.post(body, Idempotency_Key="mine")
    assert data(first) == data(again)
    assert first.headers["idempotency-key"] == again.headers["idempotency-key"] == "mine"
    assert await workspace.balance() == (CREDITS - 6, 0)


@pytest.mark.contract("003", ENDPOINT, "Release Phase")
async def test_an_image_that_is_not_made_is_released_and_the_others_are_charged(
    workspace: Workspace, stack: Stack
) -> None:
    body: dict[str, Any] = {**SMALL, "n": 3}
    async with no_engines(stack):
        pending = data(await workspace.post(body, Prefer="respond-async", Idempotency_Key="mine"), 202)
        first = (await workspace.jobs())[0]["id"]
        answer = await workspace.client.post(f"/v1/jobs/{first}:cancel")
        assert answer.status_code == 200, answer.text
    told = data(await workspace.post(body, Idempotency_Key="mine"))
    by_status = {record["status"]: record for record in told["generations"]}
    assert sorted(record["status"] for record in told["generations"]) == ["COMPLETED", "COMPLETED", "FAILED"]
    failed = by_status["FAILED"]
    assert (failed["credits"], failed["result"]) == (0, None)
    assert told["errors"] == [{"generationId": failed["id"], "code": "CANCELED", "message": failed["error"]}]
    assert len(told["images"]) == 2
    assert [record["id"] for record in told["generations"]] == [record["id"] for record in pending["generations"]]
    assert (told["creditsUsed"], told["creditsRemaining"]) == (6, CREDITS - 6)
    assert await workspace.balance() == (CREDITS - 6, 0)

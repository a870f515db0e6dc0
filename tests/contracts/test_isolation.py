"""Strangers: whatever id of another account a caller names, the answer is that of an id that nobody has."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.client import ok
from tests.pictures import encoded, scene
from tests.stack import Stack

Make = Callable[..., httpx.AsyncClient]
PICTURE = encoded(scene(64, 48))
SUFFIX = re.compile(r"[a-z2-7]{26}")
_NOBODYS = "a" * 26


@dataclass
class Owned:
    """Ids of one account, and a stranger of the same product who asks with them."""

    stranger: httpx.AsyncClient
    ids: dict[str, str] = field(default_factory=dict)


def nobodys(text: str) -> str:
    """The same with an id that nobody has in the place of every id."""
    return SUFFIX.sub(_NOBODYS, text)


async def same(owned: Owned, method: str, path: str, **more: Any) -> None:
    """The stranger's answer about the owner's ids equals the one about nobody's, but for the id itself."""
    theirs = await owned.stranger.request(method, path, **more)
    unknown = await owned.stranger.request(method, nobodys(path), **_with_nobodys(more))
    assert theirs.status_code == unknown.status_code, f"{theirs.text} against {unknown.text}"
    assert nobodys(theirs.text) == nobodys(unknown.text)
    assert _telling(theirs) == _telling(unknown)


def _with_nobodys(more: dict[str, Any]) -> dict[str, Any]:
    if "json" in more:
        return {**more, "json": _swapped(more["json"])}
    if "data" in more:
        return {**more, "data": _swapped(more["data"])}
    return more


def _swapped(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _swapped(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_swapped(inner) for inner in value]
    return nobodys(value) if isinstance(value, str) else value


def _telling(answer: httpx.Response) -> dict[str, str]:
    """Headers that could tell two answers apart."""
    changing = ("traceparent", "idempotency-key", "darkroom-position", "date", "set-cookie", "content-length")
    counted = ("ratelimit-", "x-ratelimit-", "retry-after")
    return {
        name: value for name, value in answer.headers.items() if name not in changing and not name.startswith(counted)
    }


def _pair(stack: Stack, http: Make, product: str) -> tuple[httpx.AsyncClient, httpx.AsyncClient]:
    tokens = [stack.token(f"{who}-{uuid.uuid4()}", product=product) for who in ("owner", "stranger")]
    owner, stranger = (http(Authorization=f"Bearer {token}") for token in tokens)
    return owner, stranger


@pytest.fixture
async def spike(stack: Stack, http: Make) -> Owned:
    owner, stranger = _pair(stack, http, "spike-land")
    image = ok(await owner.post("/api/images/upload", files={"file": ("a.jpg", PICTURE)}))["image"]["id"]
    album = ok(await owner.post("/v1/albums", json={"name": "Mine"}))["id"]
    own = ok(await stranger.post("/api/images/upload", files={"file": ("b.jpg", PICTURE)}))["image"]["id"]
    return Owned(stranger, {"image": image, "album": album, "own": own})


async def test_images_and_albums_of_document_002(spike: Owned) -> None:
    image, album, own = spike.ids["image"], spike.ids["album"], spike.ids["own"]
    await same(spike, "GET", f"/api/images/{image}")
    await same(spike, "DELETE", f"/api/images/{image}")
    await same(spike, "POST", "/api/images/enhance", json={"imageId": image, "tier": "TIER_1K"})
    await same(spike, "POST", "/api/images/parallel-enhance", json={"imageId": image, "tiers": ["TIER_1K"]})
    await same(spike, "POST", "/api/images/move-to-album", json={"imageIds": [image], "targetAlbumId": album})
    strange = await spike.stranger.post("/api/images/move-to-album", json={"imageIds": [own], "targetAlbumId": album})
    assert strange.status_code == 404
    files = {"file": ("c.jpg", PICTURE)}
    answers = [
        await spike.stranger.post("/api/images/upload", files=files, data={"albumId": name})
        for name in (album, nobodys(album))
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert nobodys(answers[0].text) == nobodys(answers[1].text)


async def test_jobs_of_document_000(stack: Stack, http: Make) -> None:
    owner, stranger = _pair(stack, http, "ai-image")
    files = {"image": ("a.jpg", PICTURE, "image/jpeg")}
    made = await owner.post("/api/ai-image/generate", data={"model": "real-esrgan"}, files=files)
    job = ok(made)["data"]["jobId"]
    owned = Owned(stranger)
    await same(owned, "GET", f"/api/ai-image/jobs/{job}")
    await same(owned, "POST", f"/api/ai-image/jobs/{job}/cancel")
    assert ok(await stranger.get("/api/ai-image/jobs"))["data"]["jobs"] == []


async def test_guests_are_strangers_to_each_other_and_to_users(stack: Stack, http: Make) -> None:
    cookies = [f"guest_id={uuid.uuid4()}; csrf_token=1" for _ in range(2)]
    owner, stranger = (http(Cookie=cookie, X_CSRF_Token="1", Origin=stack.url) for cookie in cookies)
    files = {"image": ("a.jpg", PICTURE, "image/jpeg")}
    made = await owner.post("/api/ai-image/generate", data={"model": "real-esrgan"}, files=files)
    job = ok(made)["data"]["jobId"]
    await same(Owned(stranger), "GET", f"/api/ai-image/jobs/{job}")
    await same(Owned(stranger), "POST", f"/api/ai-image/jobs/{job}/cancel")


async def test_generations_of_document_001(stack: Stack, http: Make) -> None:
    owner, stranger = _pair(stack, http, "pix-loom")
    made = ok(await owner.post("/api/ai/generate", json={"operationType": "enhancement"}))["data"]
    owned = Owned(stranger)
    await same(owned, "GET", f"/api/ai/generation/{made['generationId']}")
    await same(owned, "DELETE", f"/api/ai/generation/{made['generationId']}")
    assert ok(await stranger.get("/api/ai/history"))["data"]["generations"] == []
    assert ok(await owner.get(f"/api/ai/generation/{made['generationId']}")), "nothing happened to it"


async def test_media_of_another_account_are_no_picture_to_work_on(stack: Stack, http: Make) -> None:
    owner, stranger = _pair(stack, http, "pix-loom")
    asset = ok(await owner.post("/v1/assets", files={"file": ("a.jpg", PICTURE)}))["id"]
    for path in (f"/v1/media/{asset}", f"/v1/assets/{asset}"):
        body = {"operationType": "enhancement", "originalImageUrl": stack.url + path}
        await same(Owned(stranger), "POST", "/api/ai/generate", json=body)
        assert (await stranger.post("/api/ai/generate", json=body)).status_code == 400


async def test_workspaces_of_document_003(stack: Stack, http: Make) -> None:
    workspaces = [str(uuid.uuid4()) for _ in range(2)]
    ran = stack.darkroom("grant", "--account", f"workspace-images:{workspaces[0]}", "5")
    assert ran.returncode == 0, ran.stderr
    token = stack.token(f"user-{uuid.uuid4()}", product="workspace-images", workspace=workspaces[1])
    stranger = http(Authorization=f"Bearer {token}")
    answers = [
        await stranger.post("/api/ai/images", json={"prompt": "a lake"}, headers={"X-Workspace-Id": workspace})
        for workspace in (workspaces[0], str(uuid.uuid4()))
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert answers[0].text == answers[1].text


async def test_assets_of_document_004(stack: Stack, http: Make) -> None:
    owner, stranger = _pair(stack, http, "studio")
    form = {"prompt": (None, "a lake"), "model": (None, "flux")}
    made = ok(await owner.post("/api/generate", files=form))
    number, url, request_id = made["results"][0]["id"], made["results"][0]["url"], made["request_id"]
    owned = Owned(stranger)
    await same(owned, "GET", f"/api/generation-status/{request_id}")
    for method, path in (("GET", f"/asset/{number}/download"), ("GET", url), ("DELETE", f"/api/assets/{number}")):
        answer = await stranger.request(method, path)
        unknown = await stranger.request(method, path.replace(str(number), "987654"))
        assert (answer.status_code, unknown.status_code) == (404, 404)
        assert answer.text == unknown.text.replace("987654", str(number))
    theirs = await stranger.post("/api/delete-image", json={"url": url})
    unknown = await stranger.post("/api/delete-image", json={"url": url.replace(str(number), "987654")})
    assert (theirs.status_code, theirs.text) == (unknown.status_code, unknown.text)
    assert (await owner.get(url)).status_code == 200, "nothing happened to it"


async def test_a_signed_link_of_another_account_cannot_be_made(stack: Stack, http: Make) -> None:
    owner, stranger = _pair(stack, http, "ai-image")
    files = {"image": ("a.jpg", PICTURE, "image/jpeg")}
    made = ok(await owner.post("/api/ai-image/generate", data={"model": "real-esrgan"}, files=files))["data"]
    own = ok(await stranger.post("/api/ai-image/generate", data={"model": "real-esrgan"}, files=files))["data"]
    assert (await stranger.get(own["imageUrl"])).status_code == 200
    path, _, query = made["imageUrl"].partition("?")
    assert (await stranger.get(f"{path}?{own['imageUrl'].partition('?')[2]}")).status_code == 404, "another's signature"
    assert (await stranger.get(path)).status_code in (400, 404), "no signature"
    assert (await stranger.get(f"{path}?{query.replace('expires=1', 'expires=2')}")).status_code == 404, "another time"

"""Reads of document 004, from events to answers over a real PostgreSQL: states, models, and the bytes of results."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import httpx
import pytest

from infra.settings import Settings
from schemas import events as ev
from schemas import refusals as no
from schemas.asset_events import AssetDeleted, AssetRegistered
from schemas.commands import StoredObject
from schemas.wire.studio_documents import ModelInfoAnswer, StatusAnswer
from schemas.wire.studio_errors import ErrorAnswer
from schemas.wire.studio_form import MODELS
from schemas.wire.studio_paths import request_id, short_key
from tests.http.reading import Reading, open_reading

PRODUCT = "studio"
PENDING, IMAGE, FILM, FAILED, OTHERS = (f"job_{letter * 26}" for letter in "abcde")
PNG, MP4, JPEG = bytes(range(256)) * 40, b"\0\0\0\x18ftypmp42" + bytes(500), b"\xff\xd8\xff" + bytes(200)
IMAGE_URL, VIDEO_URL = "/static/generated/img_2.png", f"/video/{short_key(3)}"
STILL_URL = "/static/generated/thumbnails/video_3_thumb.jpg"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def accepted(job: str, model: str = "flux") -> ev.JobAccepted:
    return ev.JobAccepted(
        job,
        model,
        "procedural",
        "1",
        "standard",
        {},
        None,
        None,
        0,
        "default",
        1,
        3,
        120_000,
        8,
        0,
        0,
        None,
        0,
        None,
        None,
    )


def succeeded(job: str, number: int, stored: StoredObject, still: StoredObject | None = None) -> Sequence[ev.AnyEvent]:
    made = ev.JobSucceeded(job, 1, job.replace("job_", "asset_"), number, stored, 5, still)
    return made, ev.CreditsCaptured(job, 0, 0, 0)


@pytest.fixture
async def side(postgres: Settings, tmp_path: Path) -> AsyncIterator[Reading]:
    """Ada has uploaded 1, and has image 2 and video 3; one generation goes on and one has failed. Bob has image 2."""
    async with open_reading(postgres, tmp_path) as opened:
        account, bob = opened.account("ada", PRODUCT), opened.account("bob", PRODUCT)
        still = await stored(opened, f"{account}/still", JPEG, "jpeg")
        say(opened, ev.AccountOpened("default", 1, None))
        upload = await stored(opened, f"{account}/asset_in", PNG, "png")
        say(opened, AssetRegistered("asset_in", 1, upload, None, None))
        say(opened, accepted(PENDING))
        say(opened, accepted(IMAGE), *succeeded(IMAGE, 2, await stored(opened, f"{account}/image", PNG, "png")))
        film = await stored(opened, f"{account}/film", MP4, "mp4", 3_000)
        say(opened, accepted(FILM, "stable_video"), *succeeded(FILM, 3, film, still))
        say(opened, accepted(FAILED), ev.JobFailed(FAILED, 1, "model-failed", "It failed."))
        say(opened, ev.AccountOpened("default", 1, None), subject="bob")
        other = await stored(opened, f"{bob}/image", PNG[::-1], "png")
        say(opened, accepted(OTHERS), *succeeded(OTHERS, 2, other), subject="bob")
        yield opened


async def stored(side: Reading, key: str, content: bytes, kind: str, duration_ms: int = 0) -> StoredObject:
    await side.objects.put(key, content, "x")
    return StoredObject(key, len(content), sha256(content), kind, 64, 48, duration_ms)


def say(side: Reading, *events: ev.AnyEvent, subject: str = "ada") -> None:
    side.log.say(side.account(subject, PRODUCT), *events, product=PRODUCT)


async def get(side: Reading, path: str, subject: str = "ada", method: str = "GET", **headers: str) -> httpx.Response:
    """As a browser asks, by its cookie."""
    token = side.bearer(subject, PRODUCT)["authorization"].removeprefix("Bearer ")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await side.http.request(method, path, headers={"cookie": f"session={token}", **named})


def error(answer: httpx.Response, status: int, text: str) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json"), answer.text
    ErrorAnswer.model_validate(answer.json())
    assert answer.json() == {"error": text}


async def status(side: Reading, job: str, subject: str = "ada") -> httpx.Response:
    return await get(side, f"/api/generation-status/{request_id(job)}", subject)


async def test_a_generation_is_pending_completed_or_failed(side: Reading) -> None:
    assert (await status(side, PENDING)).json() == {"status": "pending"}
    image = {"url": IMAGE_URL, "id": 2, "type": "image", "thumbnail_url": None}
    assert (await status(side, IMAGE)).json() == {"status": "completed", "results": [image]}
    film = {"url": VIDEO_URL, "id": 3, "type": "video", "thumbnail_url": STILL_URL}
    answer = await status(side, FILM)
    assert answer.json() == {"status": "completed", "results": [film]}
    assert answer.headers["cache-control"] == "no-store"
    for job in (PENDING, IMAGE, FILM):
        StatusAnswer.model_validate((await status(side, job)).json())
    error(await status(side, FAILED), 502, "Generation likely failed or timed out")


@pytest.mark.parametrize("request_", ["x", "123", PENDING, "req_" + "z" * 26, "req_" + "e" * 26, "req_" + "A" * 26])
async def test_an_unknown_generation_is_404(side: Reading, request_: str) -> None:
    error(await get(side, f"/api/generation-status/{request_}"), 404, "Generation not found")


async def test_what_was_refused_after_its_answer_is_told(side: Reading) -> None:
    job = "job_" + "f" * 26
    say(side, ev.CommandRefused("submit-job", no.QuotaExceeded("day", 50, 50, 1_800_000_090_000), job))
    answer = await status(side, job)
    error(answer, 429, "Maximum 50 generations per day reached; try again later")
    assert answer.headers["retry-after"] == "90"


async def test_a_deleted_result_is_none_any_more(side: Reading) -> None:
    say(side, AssetDeleted(IMAGE.replace("job_", "asset_"), "deleted", None))
    assert (await status(side, IMAGE)).json() == {"status": "completed", "results": []}
    error(await get(side, IMAGE_URL), 404, "File not found")
    error(await get(side, "/asset/2/download"), 404, "Asset not found")


@pytest.mark.parametrize("model", MODELS)
async def test_each_model_is_explained(side: Reading, model: str) -> None:
    answer = await get(side, f"/api/model-info/{model}")
    info = ModelInfoAnswer.model_validate(answer.json())
    names = {"flux": "FLUX.1 [dev]", "recraft": "Recraft V3", "flux_pro": "FLUX.1 [pro] Fill"}
    assert info.name == names.get(model, info.name)
    assert info.info.use_cases.startswith("Perfect for ")
    assert info.info.tips.startswith("For best results ")


@pytest.mark.parametrize("model", ["dall-e-3", "stable_diffusion-img2img", "FLUX", "sandbox"])
async def test_no_other_model_is(side: Reading, model: str) -> None:
    error(await get(side, f"/api/model-info/{model}"), 404, "Invalid model ID")


async def test_a_path_that_holds_a_null_leads_nowhere(side: Reading) -> None:
    error(await get(side, "/api/model-info/%00"), 404, "Not found")


SERVED: Mapping[str, tuple[bytes, str, str]] = {
    IMAGE_URL: (PNG, "image/png", "inline; filename=\"img_2.png\"; filename*=UTF-8''img_2.png"),
    VIDEO_URL: (MP4, "video/mp4", "inline; filename=\"video_3.mp4\"; filename*=UTF-8''video_3.mp4"),
    STILL_URL: (JPEG, "image/jpeg", "inline; filename=\"video_3_thumb.jpg\"; filename*=UTF-8''video_3_thumb.jpg"),
    "/asset/2/download": (PNG, "image/png", "attachment; filename=\"img_2.png\"; filename*=UTF-8''img_2.png"),
    "/asset/3/download": (MP4, "video/mp4", "attachment; filename=\"video_3.mp4\"; filename*=UTF-8''video_3.mp4"),
}


@pytest.mark.parametrize("path", SERVED)
async def test_bytes_come_with_their_type_name_ranges_and_etag(side: Reading, path: str) -> None:
    content, kind, disposition = SERVED[path]
    answer = await get(side, path)
    assert (answer.status_code, answer.content) == (200, content)
    headers = answer.headers
    assert (headers["content-type"], headers["content-disposition"]) == (kind, disposition)
    assert headers["etag"] == f'"{sha256(content)}"'
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "private, no-cache"
    assert "cookie" in headers["vary"]
    part = await get(side, path, Range="bytes=10-19")
    assert (part.status_code, part.content) == (206, content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(content)}"
    assert (await get(side, path, If_None_Match=headers["etag"])).status_code == 304
    head = await get(side, path, method="HEAD")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(content)))
    beyond = await get(side, path, Range="bytes=99999-")
    error(beyond, 416, "There is no such range of bytes")
    assert beyond.headers["content-range"] == f"bytes */{len(content)}"
    assert (await side.http.get(path, headers=side.bearer("ada", PRODUCT))).content == content


@pytest.mark.parametrize("path", SERVED)
async def test_bytes_are_not_for_who_is_not_logged_in(side: Reading, path: str) -> None:
    error(await side.http.get(path), 401, "Not logged in")
    strange = await side.http.get(path, headers=side.bearer("ada", "darkroom"))
    assert strange.status_code == 401


async def test_a_strangers_session_finds_its_own_or_nothing(side: Reading) -> None:
    assert (await get(side, IMAGE_URL, "bob")).content == PNG[::-1]
    assert (await get(side, "/asset/2/download", "bob")).content == PNG[::-1]
    nobodys = {path: await get(side, path.replace("3", "9"), "bob") for path in ("/asset/3/download", STILL_URL)}
    for path, unknown in nobodys.items():
        assert (await get(side, path, "bob")).content == unknown.content
        assert unknown.status_code == 404
    error(await get(side, VIDEO_URL, "bob"), 404, "File not found")
    error(await get(side, IMAGE_URL, "eve"), 404, "File not found")
    error(await status(side, IMAGE, "bob"), 404, "Generation not found")


@pytest.mark.parametrize(
    "path",
    [
        "/static/generated/img_1.png",
        "/static/generated/img_2.jpg",
        "/static/generated/img_02.png",
        "/static/generated/img_3.mp4",
        "/static/generated/x",
        f"/video/{short_key(2)}",
        f"/video/{short_key(1)}",
        "/video/3",
        "/static/generated/thumbnails/video_2_thumb.jpg",
        "/static/generated/thumbnails/x",
    ],
)
async def test_every_other_media_path_is_404(side: Reading, path: str) -> None:
    error(await get(side, path), 404, "File not found")


@pytest.mark.parametrize("number", ["1", "9", "0", "02", "-2", "x", "9" * 30])
async def test_what_is_no_result_cannot_be_downloaded(side: Reading, number: str) -> None:
    error(await get(side, f"/asset/{number}/download"), 404, "Asset not found")


async def test_media_count_in_no_window_and_states_and_models_in_one(side: Reading) -> None:
    for path in SERVED:
        assert "ratelimit-limit" not in (await get(side, path)).headers
    first = await status(side, IMAGE)
    second = await get(side, "/api/model-info/flux")
    assert [one.headers["ratelimit-remaining"] for one in (first, second)] == ["99", "98"]

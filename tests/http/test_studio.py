"""POST /api/generate over ports in memory: what is asked of the core, what is answered, and what is left behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from infra.sealing.content import JOB, decode_job_secrets
from schemas.commands import RegisterAsset, SubmitJob
from schemas.wire import studio_errors as errors
from schemas.wire.studio_documents import GenerateAnswer
from schemas.wire.studio_paths import request_id, short_key
from tests.http.fakes import Side, stored_keys
from tests.http.studio_side import (
    ACCOUNT,
    MASK,
    PICTURE,
    ask,
    commands,
    cookie,
    decides,
    error,
    generate,
    open_studio,
    told,
    video,
)
from tests.pictures import encoded, scene

SUNSET = {"prompt": "A beautiful sunset over mountains", "model": "flux"}
FILL = {"prompt": "Replace with a red car", "model": "flux_pro"}
FIRST = "job_" + "f" * 26


@pytest.fixture
async def side(tmp_path: Path) -> AsyncIterator[Side]:
    async with open_studio(tmp_path) as made:
        yield made


def submit_of(side: Side) -> SubmitJob:
    (command,) = commands(side, SubmitJob)
    assert isinstance(command, SubmitJob)
    return command


async def prompt_of(side: Side) -> str | None:
    sealed = submit_of(side).sealed
    assert sealed is not None
    content = await side.ring.open(ACCOUNT, sealed, JOB)
    assert content is not None
    return (decode_job_secrets(content).texts or {}).get("prompt")


async def test_a_prompt_becomes_an_image(side: Side) -> None:
    answer = await generate(side, SUNSET)
    document = told(answer, GenerateAnswer)
    job = submit_of(side).job
    assert document == {
        "results": [{"url": "/static/generated/img_123.png", "id": 123, "type": "image", "thumbnail_url": None}],
        "request_id": request_id(job),
    }
    assert submit_of(side).model == "flux"
    assert await prompt_of(side) == SUNSET["prompt"]
    assert (submit_of(side).input, submit_of(side).mask) == (None, None)
    assert {(one.account, one.product) for one in side.decider.envelopes} == {(ACCOUNT, "studio")}


async def test_an_image_becomes_a_video_with_a_thumbnail(side: Side) -> None:
    side.decider.script = decides(video)
    document = told(await generate(side, {"model": "stable_video"}, image=PICTURE), GenerateAnswer)
    assert document["results"] == [
        {
            "url": f"/video/{short_key(124)}",
            "id": 124,
            "type": "video",
            "thumbnail_url": "/static/generated/thumbnails/video_124_thumb.jpg",
        }
    ]
    (asset,) = commands(side, RegisterAsset)
    assert submit_of(side).input == asset.asset
    assert stored_keys(side.objects) == [f"{ACCOUNT}/{asset.asset}"]


async def test_prompt_image_and_mask_become_an_inpainting(side: Side) -> None:
    told(await generate(side, FILL, image=PICTURE, mask=MASK), GenerateAnswer)
    first, second = commands(side, RegisterAsset)
    assert (first.object.format, second.object.format) == ("jpeg", "png")
    assert (submit_of(side).model, submit_of(side).input, submit_of(side).mask) == (
        "flux_pro",
        first.asset,
        second.asset,
    )


async def test_the_hybrid_model_draws_or_redraws(side: Side) -> None:
    told(await generate(side, {**SUNSET, "model": "stable_diffusion"}), GenerateAnswer)
    told(await generate(side, {**SUNSET, "model": "stable_diffusion"}, image=PICTURE), GenerateAnswer)
    assert [one.model for one in commands(side, SubmitJob)] == ["stable_diffusion", "stable_diffusion-img2img"]


async def test_what_a_model_does_not_take_is_ignored_and_not_kept(side: Side) -> None:
    told(await generate(side, {**SUNSET, "style": "x", "steps": "oops"}, image=PICTURE, mask=MASK), GenerateAnswer)
    assert commands(side, RegisterAsset) == []
    assert stored_keys(side.objects) == []


async def test_an_empty_file_field_of_a_browser_is_no_file(side: Side) -> None:
    parts: dict[str, Any] = {name: (None, value) for name, value in SUNSET.items()}
    parts |= {"image": ("", b"", "application/octet-stream"), "mask": ("", b"", "application/octet-stream")}
    told(await ask(side, "POST", "/api/generate", files=parts), GenerateAnswer)


async def test_each_generation_has_a_seed_of_its_own_and_a_repeat_the_same(side: Side) -> None:
    for key in ("a", "b", "a"):
        await generate(side, SUNSET, {**cookie(side), "Idempotency-Key": key})
    first, second, again = (one.params["seed"] for one in commands(side, SubmitJob))
    assert first == again != second
    await generate(side, {**SUNSET, "seed": "7"})
    assert commands(side, SubmitJob)[-1].params["seed"] == 7


@pytest.mark.parametrize(
    ("fields", "files", "text"),
    [
        ({}, {}, "Invalid model selected"),
        ({"prompt": "x"}, {}, "Invalid model selected"),
        ({"prompt": "x", "model": "dall-e-3"}, {}, "Invalid model selected"),
        ({"prompt": "x", "model": "stable_diffusion-img2img"}, {"image": PICTURE}, "Invalid model selected"),
        ({"model": "flux"}, {}, errors.PROMPT_REQUIRED),
        ({"model": "recraft", "prompt": " \t"}, {}, errors.PROMPT_REQUIRED),
        ({"model": "stable_video", "prompt": "x"}, {}, errors.IMAGE_REQUIRED),
        ({"model": "flux_pro", "prompt": "x"}, {"mask": MASK}, errors.IMAGE_REQUIRED),
        ({"model": "flux_pro", "prompt": "x"}, {"image": PICTURE}, errors.MASK_REQUIRED),
        ({"model": "flux_pro"}, {"image": PICTURE, "mask": MASK}, errors.PROMPT_REQUIRED),
        ({"model": "flux", "prompt": "a\0b"}, {}, "The request must not hold the character U+0000"),
        ({"model": "flux", "prompt": "x" * 4001}, {}, "prompt: This must have at most 4000 characters."),
        ({"model": "flux", "prompt": "x", "seed": "-1"}, {}, "seed: This must be from 0 to 2147483647."),
        ({"model": "stable_video"}, {"image": b""}, "image: The file is empty."),
        ({"model": "stable_video"}, {"image": b"GIF89a" + b"x" * 99}, "Image must be a JPEG, PNG, WebP or HEIC image"),
        (
            {"model": "stable_video"},
            {"image": b"\0\0\0\x18ftypmp42" + b"\0" * 2048},
            "Image must be a JPEG, PNG, WebP or HEIC image",
        ),
        (
            {"model": "flux_pro", "prompt": "x"},
            {"image": PICTURE, "mask": encoded(scene(40, 30), "PNG")},
            "mask: The mask has 40 x 30 pixels and the picture 80 x 60; make them equal.",
        ),
    ],
)
async def test_what_is_wrong_is_told_before_anything_is_kept(
    side: Side, fields: dict[str, str], files: dict[str, Any], text: str
) -> None:
    assert error(await generate(side, fields, **files), 400) == text
    assert side.decider.envelopes == []
    assert stored_keys(side.objects) == []


async def test_ten_megabytes_are_taken_and_no_more(side: Side) -> None:
    full = PICTURE + b"\0" * ((10 << 20) - len(PICTURE))
    told(await generate(side, {"model": "stable_video"}, image=full), GenerateAnswer)
    kept = stored_keys(side.objects)
    answer = await generate(side, {"model": "stable_video"}, image=full + b"\0")
    assert error(answer, 400) == "Image is too large: images are limited to 10MB"
    answer = await generate(side, {"model": "stable_video"}, image=PICTURE + b"\0" * (51 << 20))
    assert error(answer, 400) == "The request is too large: images are limited to 10MB, videos to 50MB"
    assert answer.headers["connection"] == "close"
    assert stored_keys(side.objects) == kept


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_what_is_no_form_is_400(side: Side, kind: str) -> None:
    headers = {**cookie(side), "Content-Type": kind}
    error(await ask(side, "POST", "/api/generate", headers, content=b"{}"), 400)

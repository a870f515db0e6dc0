"""Document 004: generations, their results and states, against the running stack; and the document's curl lines."""

from __future__ import annotations

import asyncio
import io
import shlex
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
from PIL import Image

from schemas.wire.studio_documents import GenerateAnswer, PendingAnswer, StatusAnswer
from tests.contracts.studio_client import SMALL, Clients, Person, error, photograph, spot, told
from tests.pictures import decoded, encoded
from tests.stack import Stack

GENERATE, STATUS = "POST /api/generate", "GET /api/generation-status/{request_id}"
SUNSET = {"prompt": "A beautiful sunset over mountains", "model": "flux", **SMALL}


@pytest.fixture
def person(stack: Stack, http: Clients) -> Person:
    return Person(stack, http)


async def picture(person: Person, result: dict[str, Any]) -> Image.Image:
    """The image behind a result."""
    answer = await person.get(result["url"])
    assert answer.status_code == 200, answer.text
    return decoded(answer.content)


@pytest.mark.contract("004", GENERATE, "Success Response")
@pytest.mark.parametrize("model", ["flux", "recraft", "stable_diffusion"])
async def test_a_prompt_becomes_an_image(person: Person, model: str) -> None:
    document = told(await person.generate({**SUNSET, "model": model}), GenerateAnswer)
    (result,) = document["results"]
    assert result == {
        "url": f"/static/generated/img_{result['id']}.png",
        "id": result["id"],
        "type": "image",
        "thumbnail_url": None,
    }
    assert (await picture(person, result)).size == (512, 512)


@pytest.mark.contract("004", GENERATE, "Parameters: hybrid model with image")
async def test_the_hybrid_model_redraws_an_image(person: Person) -> None:
    source = photograph()
    result = await person.made({"prompt": "an oil painting at sunset", "model": "stable_diffusion"}, image=source)
    made = await picture(person, result)
    assert made.size == (96, 64)
    assert np.abs(np.asarray(made, int) - np.asarray(decoded(source), int)).mean() > 2


@pytest.mark.contract("004", GENERATE, "Video Response")
@pytest.mark.parametrize("prompt", [None, "zoom out"])
async def test_an_image_becomes_a_video_that_plays(person: Person, prompt: str | None) -> None:
    fields = {"model": "stable_video"} if prompt is None else {"model": "stable_video", "prompt": prompt}
    result = await person.made(fields, image=photograph())
    assert result["type"] == "video"
    assert result["thumbnail_url"] == f"/static/generated/thumbnails/video_{result['id']}_thumb.jpg"
    assert result["url"].startswith("/video/")
    assert str(result["id"]) not in result["url"] or len(str(result["id"])) < 2
    answer = await person.get(result["url"])
    assert answer.headers["content-type"] in ("video/mp4", "video/webm")
    with av.open(io.BytesIO(answer.content), "r") as film:
        stream = film.streams.video[0]
        assert stream.codec_context.name in ("h264", "libdav1d", "vp9")
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in film.decode(stream)]
        assert stream.average_rate is not None
        assert 2.0 <= len(frames) / float(stream.average_rate) <= 4.0
    assert np.abs(frames[0] - frames[-1]).mean() > 1, "something moves"
    part = await person.get(result["url"], Range="bytes=0-99")
    assert (part.status_code, part.content) == (206, answer.content[:100])
    still = await person.get(result["thumbnail_url"])
    assert (still.status_code, still.headers["content-type"], still.content[:3]) == (200, "image/jpeg", b"\xff\xd8\xff")
    assert decoded(still.content).size == (frames[0].shape[1], frames[0].shape[0])


@pytest.mark.contract("004", GENERATE, "Parameters: inpainting")
async def test_inpainting_fills_what_the_mask_covers(person: Person) -> None:
    fields = {"prompt": "Replace with a red car", "model": "flux_pro"}
    source = photograph(form="PNG")
    result = await person.made(fields, image=source, mask=spot())
    changed = np.asarray(await picture(person, result), int) != np.asarray(decoded(source), int)
    covered = np.asarray(decoded(spot()), int).max(axis=2) > 127
    assert changed[covered].any()
    assert not changed[~covered].any()


@pytest.mark.contract("004", GENERATE, "Parameters: requirements by model type")
@pytest.mark.parametrize(
    ("fields", "files", "text"),
    [
        ({"model": "flux"}, "", "Prompt is required for this model"),
        ({"model": "recraft", "prompt": " "}, "", "Prompt is required for this model"),
        ({"model": "stable_diffusion"}, "image", "Prompt is required for this model"),
        ({"model": "stable_video", "prompt": "x"}, "", "Image is required for this model"),
        ({"model": "flux_pro", "prompt": "x"}, "mask", "Image is required for this model"),
        ({"model": "flux_pro", "prompt": "x"}, "image", "Mask is required for this model"),
        ({"model": "flux_pro"}, "image mask", "Prompt is required for this model"),
    ],
)
async def test_each_model_says_what_it_misses(person: Person, fields: dict[str, str], files: str, text: str) -> None:
    given: dict[str, Any] = {name: spot() for name in files.split()}
    assert error(await person.generate(fields, **given), 400) == text


@pytest.mark.contract("004", GENERATE, "Error Response")
@pytest.mark.parametrize("model", ["midjourney", "", "stable_diffusion-img2img"])
async def test_an_unknown_model_is_400(person: Person, model: str) -> None:
    assert error(await person.generate({**SUNSET, "model": model}), 400) == "Invalid model selected"


@pytest.mark.contract("004", GENERATE, "Notes: 10MB for images and 50MB for videos")
async def test_files_have_their_limits(person: Person) -> None:
    source, fields = photograph(), {"model": "stable_video"}
    full = source + b"\0" * ((10 << 20) - len(source))
    told(await person.generate(fields, {"Prefer": "respond-async"}, image=full), PendingAnswer, 202)
    assert error(await person.generate(fields, image=full + b"\0"), 400).startswith("Image is too large")
    film = b"\0\0\0\x18ftypmp42" + b"\0" * (12 << 20)
    assert error(await person.generate(fields, image=film), 400) == "Image must be a JPEG, PNG, WebP or HEIC image"
    assert error(await person.generate(fields, image=b"GIF89a" + b"\0" * 99), 400).startswith("Image must be")


@pytest.mark.contract("004", GENERATE, "Error Codes: 401")
async def test_without_login_it_is_401_as_json(person: Person) -> None:
    parts = {name: (None, value) for name, value in SUNSET.items()}
    answer = await person.visitor.post("/api/generate", files=parts)
    assert error(answer, 401) == "Not logged in"
    assert error(await person.visitor.get("/api/generation-status/req_x"), 401) == "Not logged in"


@pytest.mark.contract("004", STATUS, "Pending Response, then Success Response (Completed)")
async def test_a_generation_is_followed_by_its_request_id(person: Person) -> None:
    answer = await person.generate({**SUNSET, "seed": "4"}, {"Prefer": "respond-async"})
    assert answer.headers["set-cookie"].count("studio_generation=req_") == 1
    document = told(answer, PendingAnswer, 202)
    path = f"/api/generation-status/{document['request_id']}"
    seen = []
    for _ in range(120):
        state = told(await person.get(path), StatusAnswer)
        seen.append(state["status"])
        if state["status"] == "completed":
            break
        assert state == {"status": "pending"}
        await asyncio.sleep(0.5)
    assert seen[-1] == "completed"
    (result,) = state["results"]
    assert list(result) == ["url", "id", "type", "thumbnail_url"]
    assert (await picture(person, result)).size == (512, 512)


@pytest.mark.contract("004", STATUS, "Error Codes: 404")
async def test_an_unknown_generation_is_404(person: Person, stack: Stack, http: Clients) -> None:
    for request in ("123", "req_" + "a" * 26, "job_" + "a" * 26):
        assert error(await person.get(f"/api/generation-status/{request}"), 404) == "Generation not found"
    document = told(await person.generate(SUNSET), GenerateAnswer)
    stranger = Person(stack, http)
    answer = await stranger.get(f"/api/generation-status/{document['request_id']}")
    assert error(answer, 404) == "Generation not found"


async def failed(person: Person) -> httpx.Response:
    """A generation that fails: a mask that covers all leaves nothing to fill it from."""
    white = encoded(Image.new("RGB", (96, 64), "white"), "PNG")
    fields = {"prompt": "Replace with a red car", "model": "flux_pro"}
    return await person.generate(fields, image=photograph(), mask=white)


@pytest.mark.contract("004", GENERATE, "Error Codes: 502")
async def test_a_generation_that_fails_is_502(person: Person) -> None:
    answer = await failed(person)
    assert error(answer, 502) == "Generation likely failed or timed out"
    assert answer.json()["request_id"].startswith("req_")


@pytest.mark.contract("004", STATUS, "Error Response")
async def test_the_status_of_a_generation_that_failed_is_502(person: Person) -> None:
    request = (await failed(person)).json()["request_id"]
    answer = await person.get(f"/api/generation-status/{request}")
    assert error(answer, 502) == "Generation likely failed or timed out"
    assert list(answer.json()) == ["error"]


@pytest.mark.contract("004", GENERATE, "Repeats under an Idempotency-Key")
async def test_a_repeat_makes_nothing_twice(person: Person) -> None:
    fields, key = {"prompt": "in watercolor", "model": "stable_diffusion"}, {"Idempotency-Key": "order-1"}
    one = told(await person.generate(fields, key, image=photograph()), GenerateAnswer)
    two = told(await person.generate(fields, key, image=photograph()), GenerateAnswer)
    assert one == two
    error(await person.generate(fields, key, image=photograph(seed=1)), 409)


def curl_lines(stack: Stack, folder: Path, token: str) -> list[list[str]]:
    """The document's examples, with the stack's address, a session's cookie and files that are there."""
    document = (
        r'''curl -X POST http://localhost:8080/api/generate \
  -H "Cookie: session=your-session-cookie" \
  -F "prompt=A beautiful sunset over mountains" \
  -F "model=flux"''',
        r'''curl -X POST http://localhost:8080/api/generate \
  -H "Cookie: session=your-session-cookie" \
  -F "model=stable_video" \
  -F "image=@/path/to/image.jpg"''',
        r'''curl -X POST http://localhost:8080/api/generate \
  -H "Cookie: session=your-session-cookie" \
  -F "prompt=Replace with a red car" \
  -F "model=flux_pro" \
  -F "image=@/path/to/image.jpg" \
  -F "mask=@/path/to/mask.png"''',
    )
    (folder / "image.jpg").write_bytes(photograph())
    (folder / "mask.png").write_bytes(spot())
    adjusted = (("http://localhost:8080", stack.url), ("your-session-cookie", token), ("/path/to", str(folder)))
    lines = []
    for line in document:
        for written, here in adjusted:
            line = line.replace(written, here)
        lines.append(shlex.split(line.replace("\\\n", " ")))
    return lines


@pytest.mark.contract("004", GENERATE, "Examples: the three curl lines")
async def test_the_documents_curl_lines(person: Person, stack: Stack, tmp_path: Path) -> None:
    kinds = []
    for line in curl_lines(stack, tmp_path, person.token):
        ran = await asyncio.create_subprocess_exec(*line, "-sS", "-m", "120", stdout=asyncio.subprocess.PIPE)
        output, _ = await ran.communicate()
        assert ran.returncode == 0
        document = GenerateAnswer.model_validate_json(output)
        kinds.append(document.results[0].type)
    assert kinds == ["image", "video", "image"]

"""Every kind of task through the whole stack: filters, a mask, a prompt, a video, a picture from a phone."""

from __future__ import annotations

import io
import json

import av
import numpy as np
import pillow_heif
from PIL import Image

from tests.client import Client, ok, problem
from tests.pictures import decoded, encoded, scene

SOURCE = scene(200, 140, seed=3)
PROMPT = "Ein geheimer roter Ballon über dem See"


async def test_filters_keep_the_size_and_cost_what_the_catalogue_says(user: Client) -> None:
    asset = ok(await user.upload(encoded(SOURCE)))["id"]
    for model, cost, params in (
        ("classical/denoise", 1, {}),
        ("classical/stylize", 2, {"style": "flat"}),
        ("classical/restore", 2, {"scratches": False}),
    ):
        job = ok(await user.submit(model, params, asset=asset, prefer="wait=60"))
        assert (job["status"], job["cost"], job["error"]) == ("succeeded", cost, None)
        assert (job["result"]["width"], job["result"]["height"], job["result"]["format"]) == (200, 140, "jpeg")


async def test_a_mask_says_what_is_filled(user: Client) -> None:
    mask = Image.new("L", SOURCE.size)
    mask.paste(255, (60, 40, 100, 80))
    content = encoded(SOURCE, "PNG")
    asset, veil = ok(await user.upload(content))["id"], ok(await user.upload(encoded(mask.convert("RGB"), "PNG")))["id"]
    body = {"model": "classical/inpaint", "input": {"asset": asset, "mask": veil}, "params": {}}
    headers = {"Prefer": "wait=60"}
    job = ok(await user.http.post("/v1/jobs", json=body, headers=headers))
    assert (job["status"], job["cost"], job["error"]) == ("succeeded", 3, None)
    filled = np.asarray(decoded((await user.http.get(job["result"]["url"])).content).convert("RGB")).astype(int)
    before = np.asarray(SOURCE.convert("RGB")).astype(int)
    outside = np.asarray(mask) == 0
    assert (filled[outside] == before[outside]).all()
    assert (filled[~outside] != before[~outside]).any()
    problem(await user.http.post("/v1/jobs", json={**body, "input": {"asset": asset}}), 400, "input.mask")


async def test_a_prompt_is_drawn_and_stands_on_no_topic_in_clear(user: Client) -> None:
    params = {"prompt": PROMPT, "size": "256x256", "seed": 5, "style": "vivid"}
    job = ok(await user.submit("procedural/image", params, prefer="wait=60"))
    assert (job["status"], job["cost"], job["error"]) == ("succeeded", 3, None)
    image = Image.open(io.BytesIO((await user.http.get(job["result"]["url"])).content))
    assert image.size == (256, 256)
    assert "Procedural picture" in image.info["Description"]
    events = json.dumps(await user.events(job["id"]))
    assert "geheimer" not in events
    assert '"seed"' in events
    problem(await user.submit("procedural/image", {"prompt": " "}), 400, "params.prompt")


async def test_a_video_comes_with_a_still_picture_and_plays(user: Client) -> None:
    asset = ok(await user.upload(encoded(SOURCE)))["id"]
    job = ok(await user.submit("procedural/video", {"seconds": 2, "prompt": "zoom in"}, asset=asset, prefer="wait=60"))
    assert (job["status"], job["cost"], job["error"]) == ("succeeded", 10, None)
    assert (job["result"]["width"], job["result"]["height"], job["result"]["format"]) == (200, 140, "mp4")
    film = await user.http.get(job["result"]["url"])
    assert film.headers["content-type"] == "video/mp4"
    with av.open(io.BytesIO(film.content), "r") as container:
        assert sum(1 for _ in container.decode(video=0)) == 48
    still = await user.http.get(f"/v1/media/{job['result']['asset']}/thumbnail")
    assert still.status_code == 200
    assert decoded(still.content).size == (200, 140)


async def test_a_picture_from_a_phone_becomes_a_jpeg(user: Client) -> None:
    target = io.BytesIO()
    pillow_heif.from_pillow(SOURCE.convert("RGB")).save(target, quality=90)
    asset = ok(await user.upload(target.getvalue(), name="IMG_1.HEIC"))
    assert (asset["width"], asset["height"], asset["format"]) == (200, 140, "heic")
    job = ok(await user.submit("classical/sharpen", {"amount": 10}, asset=asset["id"], prefer="wait=60"))
    assert (job["status"], job["result"]["format"]) == ("succeeded", "jpeg")
    result = decoded((await user.http.get(job["result"]["url"])).content)
    difference = np.abs(np.asarray(result.convert("RGB")).astype(int) - np.asarray(SOURCE.convert("RGB")))
    assert difference.mean() < 6

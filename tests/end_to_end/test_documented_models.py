"""Every documented slug through the whole stack, each with a token of its own product."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from tests.client import Client, ok, problem
from tests.pictures import decoded, encoded, scene
from tests.stack import Stack

SOURCE = scene(200, 140, seed=3)
WISH = "an oil painting of a secret harbour at sunset"


@asynccontextmanager
async def user_of(stack: Stack, product: str, credits: int = 0) -> AsyncIterator[Client]:
    """A user of a product that nobody knows yet."""
    async with Client(stack, product=product) as client:
        if credits:
            await client.grant(credits)
        yield client


async def finished(user: Client, model: str, params: dict[str, object], asset: str | None = None) -> dict[str, Any]:
    """A job that has succeeded."""
    job = ok(await user.submit(model, params, asset=asset, prefer="wait=100"))
    assert (job["status"], job["error"]) == ("succeeded", None), job
    return job


async def result_of(user: Client, job: dict[str, Any]) -> Image.Image:
    """The picture that the job made."""
    return decoded((await user.http.get(job["result"]["url"])).content)


def shape_of(job: dict[str, Any]) -> tuple[int, int, str]:
    return job["result"]["width"], job["result"]["height"], job["result"]["format"]


async def used(user: Client) -> dict[str, int]:
    return {window["window"]: window["used"] for window in (await user.account())["quota"]}


async def test_ai_image_makes_webp_and_counts_jobs(stack: Stack) -> None:
    async with user_of(stack, "ai-image") as user:
        asked: tuple[tuple[str, dict[str, object], int], ...] = (
            ("real-esrgan", {"scale": 2}, 2),
            ("gfpgan", {"face_enhance": True}, 1),
            ("codeformer", {}, 1),
            ("sd15-img2img", {"prompt": WISH, "negative_prompt": "comic", "strength": 60}, 1),
            ("sdxl-img2img", {"prompt": WISH, "guidance": 120, "steps": 20}, 1),
        )
        for model, params, factor in asked:
            asset = ok(await user.upload(encoded(SOURCE)))["id"]  # each original goes with its job
            job = await finished(user, model, params, asset)
            assert (job["cost"], shape_of(job)) == (0, (200 * factor, 140 * factor, "webp"))
            assert (await result_of(user, job)).size == (200 * factor, 140 * factor)
            assert "secret" not in json.dumps(await user.events(job["id"]))
        assert await used(user) == {"day": 5, "month": 5}
        another = ok(await user.upload(encoded(SOURCE)))["id"]
        problem(await user.submit("sdxl-img2img", {"prompt": "x" * 4001}, asset=another), 400, "params.prompt")


async def test_guests_restore_no_faces(stack: Stack) -> None:
    async with user_of(stack, "ai-image") as guest, Client(stack, "operator", role="admin") as operator:
        asset = ok(await guest.upload(encoded(SOURCE)))["id"]
        ok(await operator.http.post(f"/v1/accounts/{guest.name}:plan", json={"plan": "guest"}))
        for model in ("gfpgan", "codeformer"):
            assert problem(await guest.submit(model, {}, asset=asset), 403)["code"] == "not-entitled"
        assert (await finished(guest, "real-esrgan", {"scale": 4}, asset))["result"]["width"] == 800
        assert await used(guest) == {"day": 1}


async def test_pix_loom_has_four_operations_of_one_credit(stack: Stack) -> None:
    async with user_of(stack, "pix-loom") as user:
        asset = ok(await user.upload(encoded(SOURCE)))["id"]
        before = np.asarray(SOURCE.convert("RGB")).astype(int)
        for spent, model in enumerate(("colorization", "restoration", "enhancement", "style_transfer"), 1):
            job = await finished(user, model, {}, asset)
            assert (job["cost"], job["balance"], shape_of(job)) == (1, 5 - spent, (200, 140, "jpeg"))
            made = np.asarray((await result_of(user, job)).convert("RGB")).astype(int)
            assert np.abs(made - before).mean() > 2, "it did something"


async def test_spike_land_reaches_the_edge_of_a_tier_and_never_shrinks(stack: Stack) -> None:
    async with user_of(stack, "spike-land") as user:
        small = ok(await user.upload(encoded(scene(60, 40), "PNG")))["id"]
        for tier, cost, edge in (("TIER_1K", 2, 1024), ("TIER_2K", 5, 2048), ("TIER_4K", 10, 4096)):
            job = await finished(user, "enhance", {"tier": tier}, small)
            assert (job["cost"], shape_of(job)) == (cost, (edge, round(edge * 40 / 60), "png"))
        assert (await user.account())["balance"] == 100 - 17
        source = scene(1200, 500)
        large = ok(await user.upload(encoded(source, "PNG")))["id"]
        job = await finished(user, "enhance", {"tier": "TIER_1K"}, large)
        assert shape_of(job) == (1200, 500, "png")
        made = np.asarray((await result_of(user, job)).convert("RGB")).astype(int)
        assert (made != np.asarray(source.convert("RGB"))).mean() > 0.1
        problem(await user.submit("enhance", {}, asset=large), 400, "params.tier")


@pytest.mark.parametrize(
    ("model", "size", "style", "drawn", "cost"),
    [
        ("dall-e-2", "256x256", "photographic", "natural", 3),
        ("dall-e-2-hd", "1024x1024", "natural", "natural", 20),
        ("dall-e-3", "1792x1024", "artistic", "vivid", 15),
        ("dall-e-3-hd", "1024x1024", "vivid", "vivid", 20),
        ("imagen-3", "1024x1792", "artistic", "artistic", 15),
        ("imagen-3-hd", "1792x1024", "photographic", "photographic", 30),
    ],
)
async def test_workspaces_pay_by_size_and_quality(
    stack: Stack, model: str, size: str, style: str, drawn: str, cost: int
) -> None:
    async with user_of(stack, "workspace-images", 30) as user:
        params = {"prompt": WISH, "size": size, "style": style, "provider_style": drawn, "seed": 5}
        job = await finished(user, model, params)
        width, _, height = size.partition("x")
        assert (job["cost"], job["balance"], shape_of(job)) == (cost, 30 - cost, (int(width), int(height), "png"))
        quality = "hd" if model.endswith("-hd") else "standard"
        assert (await user.job(job["id"]))["params"] == {**params, "quality": quality}
        assert "Procedural picture" in (await result_of(user, job)).info["Description"]


async def test_studio_draws_restyles_films_and_fills(stack: Stack) -> None:
    async with user_of(stack, "studio") as user:
        for model in ("flux", "recraft", "stable_diffusion"):
            job = await finished(user, model, {"prompt": WISH, "size": "512x512", "seed": 2})
            assert (job["cost"], shape_of(job)) == (0, (512, 512, "png"))
        asset = ok(await user.upload(encoded(SOURCE)))["id"]
        job = await finished(user, "stable_diffusion-img2img", {"prompt": WISH}, asset)
        assert shape_of(job) == (200, 140, "jpeg")
        job = await finished(user, "stable_video", {"seconds": 2}, asset)
        with av.open(io.BytesIO((await user.http.get(job["result"]["url"])).content), "r") as film:
            assert sum(1 for _ in film.decode(video=0)) == 48
        veil = Image.new("RGB", SOURCE.size)
        veil.paste((255, 255, 255), (60, 40, 100, 80))
        mask = ok(await user.upload(encoded(veil, "PNG")))["id"]
        body = {"model": "flux_pro", "input": {"asset": asset, "mask": mask}, "params": {"prompt": "a red car"}}
        filled = ok(await user.http.post("/v1/jobs", json=body, headers={"Prefer": "wait=60"}))
        assert (filled["status"], filled["cost"]) == ("succeeded", 0)
        assert await used(user) == {"day": 6}
        problem(await user.http.post("/v1/jobs", json={**body, "input": {"asset": asset}}), 400, "input.mask")
        problem(await user.submit("flux_pro", {"prompt": "x"}), 400, "input")


async def test_a_products_slugs_are_nobody_elses(user: Client) -> None:
    asset = ok(await user.upload())["id"]
    for model in ("real-esrgan", "enhance", "colorization", "flux"):
        assert problem(await user.submit(model, {}, asset=asset), 400, "model")["code"] == "model-unknown"

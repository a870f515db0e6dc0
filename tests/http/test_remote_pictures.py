"""Pictures by remote URL, as assets and as inputs of jobs; what each product takes; places for uploads."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pillow_heif
import pytest
from PIL import Image

from infra.http.problems import Problem
from infra.postgres.outcomes import KnownAsset
from infra.remote.memory import MemoryFetcher
from ingest.pictures import FILE_BYTES_MAX
from ingest.remote import own_asset
from ingest.uploads import UploadPlaces
from schemas import commands as cmd
from schemas.commands import StoredObject
from tests.http.asset_side import ASSET_1, PICTURE, REMOTE, asset_side, commands
from tests.http.fakes import Side, decoded, make_side, stored_keys


@pytest.fixture
async def side(tmp_path: Path) -> AsyncIterator[Side]:
    async with asset_side(tmp_path) as made:
        yield made


async def test_a_remote_picture_becomes_an_asset(side: Side) -> None:
    answer = await side.http.post("/v1/assets:fetch", json={"url": REMOTE, "file_name": "b.jpg"})
    asset = decoded(answer)
    (command,) = commands(side)
    assert answer.status_code == 201
    assert (asset["id"], asset["bytes"]) == (command.asset, len(PICTURE))
    assert await side.objects.get(f"{side.account()}/{asset['id']}") == PICTURE


@pytest.mark.parametrize("url", ["https://text.example/", "https://nowhere.example/", "ftp://a/b"])
async def test_a_remote_picture_that_cannot_be_had_is_400_and_leaves_nothing(side: Side, url: str) -> None:
    for path, body, field in (
        ("/v1/assets:fetch", {"url": url}, "url"),
        ("/v1/jobs", {"model": "classical/upscale", "input": {"url": url}}, "input.url"),
    ):
        answer = await side.http.post(path, json=body)
        assert answer.status_code == 400
        assert [error["field"] for error in decoded(answer)["errors"]] == [field]
    assert commands(side) == []
    assert stored_keys(side.objects) == []


async def test_a_remote_picture_that_is_too_large_is_400(tmp_path: Path) -> None:
    side = make_side(tmp_path, remote=MemoryFetcher({REMOTE: PICTURE + bytes(FILE_BYTES_MAX)}))
    async with side.http:
        assert (await side.http.post("/v1/assets:fetch", json={"url": REMOTE})).status_code == 400
    assert stored_keys(side.objects) == []


async def test_a_job_takes_a_remote_picture_and_a_repeat_takes_the_same(side: Side) -> None:
    body = {"model": "classical/upscale", "input": {"url": REMOTE}}
    for _ in range(2):
        assert (await side.submit(body, Idempotency_Key="k")).status_code == 202
    registered, first, _, again = side.decider.envelopes
    assert isinstance(first.command, cmd.SubmitJob)
    assert isinstance(again.command, cmd.SubmitJob)
    assert isinstance(registered.command, cmd.RegisterAsset)
    assert first.command.input == again.command.input == registered.command.asset
    assert first.idempotency == again.idempotency
    assert first.reply != registered.reply
    assert len(stored_keys(side.objects)) == 1


async def test_ones_own_media_are_taken_without_asking_the_network(side: Side, tmp_path: Path) -> None:
    stored = StoredObject(f"{side.account()}/{ASSET_1}", 9, "aa", "png", 3, 4)
    side.read_side.assets[side.account(), ASSET_1] = KnownAsset(object=stored, position="1.0.0.0")
    for path in (f"/v1/assets/{ASSET_1}", f"/v1/media/{ASSET_1}", f"/v1/media/{side.account()}/{ASSET_1}?expires=1"):
        url = f"http://darkroom.test{path}"
        answer = await side.http.post("/v1/assets:fetch", json={"url": url})
        assert (answer.status_code, decoded(answer)["id"]) == (200, ASSET_1)
        assert (await side.submit({"model": "classical/upscale", "input": {"url": url}})).status_code == 202
    assert {command.input for command in commands(side)} == {ASSET_1}
    strange = {"url": "http://darkroom.test/v1/media/asset_b"}
    for answer, field in (
        (await side.http.post("/v1/assets:fetch", json=strange), "url"),
        (await side.submit({"model": "classical/upscale", "input": strange}), "input.url"),
    ):
        assert (answer.status_code, decoded(answer)["code"]) == (400, "asset-unknown")
        assert decoded(answer)["errors"][0]["field"] == field


@pytest.mark.parametrize(
    "url",
    [
        f"http://darkroom.test/v1/media/acct_b/{ASSET_1}",
        f"http://darkroom.test.evil.example/v1/media/{ASSET_1}",
        f"http://darkroom.test@evil.example/v1/media/{ASSET_1}",
        f"http://darkroom.test/v1/media/{ASSET_1}/../x",
        "http://darkroom.test/v1/jobs/job_1",
        "http://darkroom.test//[",
    ],
)
def test_other_urls_are_nobodys_own_media(url: str) -> None:
    assert own_asset("http://darkroom.test", "acct_a", url) is None


async def test_asset_and_url_together_are_refused(side: Side) -> None:
    body = {"model": "classical/upscale", "input": {"asset": ASSET_1, "url": REMOTE}}
    answer = await side.submit(body)
    assert (answer.status_code, decoded(answer)["errors"][0]["field"]) == (400, "input.url")


async def test_every_product_takes_heic_natively(side: Side) -> None:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (80, 60), (9, 99, 199))).save(buffer, format="HEIF")
    for product in ("darkroom", "ai-image"):
        answer = await side.upload(buffer.getvalue(), Authorization=f"Bearer {side.token(product=product)}")
        assert (answer.status_code, decoded(answer)["format"], decoded(answer)["width"]) == (201, "heic", 80)
    text = decoded(await side.upload(b"no picture at all"))
    assert text["errors"][0]["message"] == "This is no JPEG, PNG, WebP or HEIC picture."


async def test_one_account_does_not_take_every_place() -> None:
    places = UploadPlaces(total=3, per_account=2, waiting_max=2)
    release, running = asyncio.Event(), []

    async def upload(account: str) -> None:
        async with places.taken(account):
            running.append(account)
            await release.wait()

    tasks = [asyncio.create_task(upload("a")) for _ in range(4)]
    await asyncio.sleep(0.01)
    other = asyncio.create_task(upload("b"))
    await asyncio.sleep(0.01)
    assert running == ["a", "a", "b"]
    with pytest.raises(Problem) as refused:
        await upload("c")
    assert (refused.value.status, refused.value.code) == (503, "overloaded")
    release.set()
    await asyncio.gather(*tasks, other)
    assert sorted(running) == ["a"] * 4 + ["b"]
    assert places._accounts == {}
    await upload("c")


async def test_an_upload_that_never_ends_gives_its_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.uploads.UPLOAD_LIMIT_S", 0.05)
    places = UploadPlaces(total=1)
    with pytest.raises(Problem) as refused:
        async with places.taken("a"):
            await asyncio.sleep(5)
    assert refused.value.status == 408
    async with places.taken("a"):
        pass

"""The pages of document 004 that read, from events to HTML over a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from api.routes import CONTRACTS
from infra.http.templates import static_files
from infra.settings import Settings
from schemas import events as ev
from schemas import refusals as no
from schemas.asset_events import AssetRegistered
from schemas.commands import StoredObject
from schemas.positions import Position
from schemas.wire.studio_form import MODELS
from schemas.wire.studio_pages import PAGES
from schemas.wire.studio_paths import request_id, short_key
from tests.http.fakes import NOW_MS
from tests.http.reading import open_reading
from tests.http.studio_pages_side import PRODUCT, Studio
from tests.pages import Page, page_of

SCRIPT = "<script>alert('x')</script> at \"dawn\" & dusk"
ESCAPED = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; at &#34;dawn&#34; &amp; dusk"


@pytest.fixture
async def studio(postgres: Settings, tmp_path: Path) -> AsyncIterator[Studio]:
    async with open_reading(postgres, tmp_path) as side:
        yield Studio(side)


def tiles(page: Page) -> list[str]:
    """The numbers of the results in the page's grid, in order."""
    found = [named["href"] for named in page.all("a") if named.get("class") == "tile"]
    return [href.removeprefix("/asset/") for href in found]


@pytest.mark.parametrize(
    ("path", "to"),
    [
        ("/dashboard", "/login?next=%2Fdashboard"),
        ("/library?type=video&sort=oldest", "/login?next=%2Flibrary%3Ftype%3Dvideo%26sort%3Doldest"),
        ("/asset/7", "/login?next=%2Fasset%2F7"),
        ("/library?x=%0d%0aSet-Cookie:x", "/login?next=%2Flibrary%3Fx%3D%250d%250aSet-Cookie%3Ax"),
        (f"/generation/req_{'a' * 26}", f"/login?next=%2Fgeneration%2Freq_{'a' * 26}"),
    ],
)
async def test_who_is_not_logged_in_is_led_to_the_login(studio: Studio, path: str, to: str) -> None:
    for cookie in ({}, {"cookie": "session=x.y.z"}):
        answer = await studio.side.http.get(path, headers=cookie)
        assert answer.status_code == 303
        assert answer.headers["location"] in (to, "/login")
        assert ("Set-Cookie" in path) == (answer.headers["location"] == "/login")
        assert answer.headers["cache-control"] == "no-store"


async def test_the_dashboard_offers_every_model_and_tells_how_it_stands(studio: Studio) -> None:
    await studio.made("a quiet sea")
    job = await studio.begun(SCRIPT)
    page = await studio.page("/dashboard")
    assert [link for link in page.links() if "model=" in link] == [f"/dashboard?model={slug}" for slug in MODELS]
    assert "<strong>48</strong> of 50 generations left" in page.text
    assert f"/generation/{request_id(job)}" in page.links()
    assert ESCAPED in page.text
    assert tiles(page) == ["1"]
    (image,) = page.all("img")
    assert (image["alt"], image["loading"]) == ("a quiet sea", "lazy")


FIELDS = {
    "flux": {"prompt", "size", "seed"},
    "recraft": {"prompt", "size", "seed"},
    "stable_diffusion": {"prompt", "size", "seed", "negative_prompt", "strength", "guidance", "steps", "image"},
    "stable_video": {"prompt", "seconds", "seed", "image"},
    "flux_pro": {"prompt", "image", "mask"},
}
REQUIRED = {
    "flux": {"prompt"},
    "recraft": {"prompt"},
    "stable_diffusion": {"prompt"},
    "stable_video": {"image"},
    "flux_pro": {"prompt", "image", "mask"},
}


@pytest.mark.parametrize("model", MODELS)
async def test_a_form_has_just_the_fields_of_its_model(studio: Studio, model: str) -> None:
    page = await studio.page(f"/dashboard?model={model}")
    fields = [named for tag in ("textarea", "input", "select") for named in page.all(tag)]
    hidden = {named["name"]: named["value"] for named in fields if named.get("type") == "hidden"}
    assert hidden == {"model": model}
    assert {named["name"] for named in fields} - {"model"} == FIELDS[model]
    assert {named["name"] for named in fields if "required" in named} == REQUIRED[model]
    files = [
        name for tag, named in page.elements if tag == "input" for name in [named["name"]] if name in ("image", "mask")
    ]
    assert files == [named["name"] for named in page.all("input")][-len(files) :] or not files, "texts come first"
    (form,) = [named for named in page.all("form") if named["method"] == "post"]
    again = await studio.page(f"/dashboard?model={model}")
    assert form["action"].startswith(f"/dashboard?model={model}&key=form_")
    assert form["action"] not in [named["action"] for named in again.all("form")]


async def test_bad_parameters_are_named(studio: Studio) -> None:
    for path, named in {
        "/dashboard?model=dall-e": "model: Invalid model selected",
        "/library?type=audio": "type: This must be one of all, image or video",
        "/library?sort=best": "sort: This must be one of newest or oldest",
        "/library?page=0": "page: This must be at least 1",
        "/library?page=x": "page: This must be an integer",
        "/library?page=100001": "page: This must be at most 100000",
        "/library?type=all&type=image": "type: Give this parameter once",
    }.items():
        assert named in (await studio.page(path, 400)).text


async def test_the_page_of_a_generation_follows_it_without_a_script(studio: Studio) -> None:
    job = await studio.begun(SCRIPT)
    path = f"/generation/{request_id(job)}"
    page = await studio.page(path)
    assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in page.text
    assert {"data-progress": "", "data-live": "", "data-stage": "waiting"} in page.all("div")
    assert ESCAPED in page.text
    assert any(named.get("aria-live") == "polite" for _, named in page.elements)
    studio.say(ev.AttemptReleased(job, 1, 0, 0), ev.JobStarted(job, 1, "d", 0))
    assert {"data-progress": "", "data-live": "", "data-stage": "making"} in (await studio.page(path)).all("div")
    studio.say(ev.JobFailed(job, 1, "model-failed", "It failed."))
    page = await studio.page(path)
    assert "Generation likely failed or timed out. Nothing was counted." in page.text
    assert "refresh" not in page.text
    assert "/dashboard?model=flux" in page.links()


async def test_at_its_end_the_page_leads_to_the_result_while_there_is_one(studio: Studio) -> None:
    await studio.made()
    path, job = f"/generation/req_{'a' * 25}b", "job_" + "a" * 25 + "b"
    answer = await studio.get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/asset/1")
    studio.deleted(job)
    page = await studio.page(path)
    assert "What was made has been deleted." in page.text
    assert "refresh" not in page.text


@pytest.mark.parametrize("named", ["x", "req_" + "z" * 26, "job_" + "a" * 25 + "b"])
async def test_an_unknown_generation_is_404(studio: Studio, named: str) -> None:
    await studio.made()
    assert "Generation not found." in (await studio.page(f"/generation/{named}", 404)).text


async def test_a_strangers_generation_is_404(studio: Studio) -> None:
    path = f"/generation/{request_id(await studio.begun())}"
    mine, unknown = await studio.get(path, "bob"), await studio.get(f"/generation/req_{'c' * 26}", "bob")
    page_of(mine, 404)
    assert mine.text == unknown.text


async def test_what_was_refused_after_its_answer_is_told(studio: Studio) -> None:
    job = "job_" + "f" * 26
    studio.say(ev.CommandRefused("submit-job", no.QuotaExceeded("day", 50, 50, NOW_MS + 90_000), job))
    page = await studio.page(f"/generation/{request_id(job)}", 429)
    assert "Maximum 50 generations per day reached" in page.text


async def test_until_the_read_models_follow_the_page_waits_too(studio: Studio) -> None:
    job = await studio.begun()
    partition = int(studio.side.log.write(studio.account, product=PRODUCT).split(".")[0])
    studio.side.positions.note(studio.account, Position(partition, 900, 0))
    assert 'data-stage="waiting"' in (await studio.page(f"/generation/{request_id(job)}")).text
    page = await studio.page("/library", 503)
    assert '<meta http-equiv="refresh" content="2">' in page.text
    assert "This page loads again by itself." in page.text


async def test_the_library_filters_and_sorts(studio: Studio) -> None:
    for kind in ("png", "mp4", "jpeg"):
        await studio.made(kind=kind)
    studio.say(AssetRegistered("asset_in", 9, StoredObject("in", 1, "ab", "png", 64, 48), None, None))
    shown = {
        "": "321",
        "?type=all&sort=newest": "321",
        "?sort=oldest": "123",
        "?type=image": "31",
        "?type=image&sort=oldest": "13",
        "?type=video": "2",
    }
    for query, numbers in shown.items():
        assert "".join(tiles(await studio.page(f"/library{query}"))) == numbers
    page = await studio.page("/library?type=image&sort=oldest")
    assert {"/library?type=video&sort=oldest", "/library?sort=oldest"} <= set(page.links())
    (form,) = page.all("form")
    assert (form["method"], form["action"]) == ("get", "/library")
    assert {"type": "hidden", "name": "type", "value": "image"} in page.all("input")
    assert {"value": "oldest", "selected": ""} in page.all("option")
    videos = await studio.page("/library?type=video")
    assert [named["src"] for named in videos.all("img")] == ["/static/generated/thumbnails/video_2_thumb.jpg"]
    assert "1 video<" in videos.text


async def test_the_library_has_pages(studio: Studio) -> None:
    for _ in range(25):
        await studio.made()
    first, second, third = [await studio.page(f"/library?page={number}") for number in (1, 2, 3)]
    assert tiles(first) == [str(number) for number in range(25, 1, -1)]
    assert "/library?page=2" in first.links()
    assert "25 results, page 1 of 2" in first.text
    assert tiles(second) == ["1"]
    assert [link for link in second.links() if "page" in link] == []
    assert any(named.get("rel") == "prev" and named["href"] == "/library" for named in second.all("a"))
    assert "There is nothing on this page." in third.text


async def test_an_empty_library_leads_on_and_what_was_deleted_is_told_once(studio: Studio) -> None:
    page = await studio.page("/library?deleted=12")
    assert "Number 12 has been deleted." in page.text
    assert "Nothing yet." in page.text
    assert all("deleted" not in link for link in page.links())
    assert "Number 13 is being deleted." in (await studio.page("/library?deleting=13&type=video")).text


async def test_the_page_of_a_picture(studio: Studio) -> None:
    await studio.made(SCRIPT)
    page = await studio.page("/asset/1")
    assert "<h1>Picture 1</h1>" in page.text
    assert SCRIPT not in page.text
    assert f'alt="{ESCAPED}"' in page.text
    for told in ("FLUX.1 [dev]", "640 × 480 pixels", "PNG, 2.3 MB", "15 January 2027, 08:00 UTC", "<dd>7</dd>"):
        assert told in page.text
    assert {"/asset/1/download", "/asset/1/delete", "/library"} <= set(page.links())
    assert page.all("form")[0]["action"] == "/asset/1/delete"


async def test_the_page_of_a_video(studio: Studio) -> None:
    await studio.made("", kind="mp4", model="stable_video")
    page = await studio.page("/asset/1")
    (video,) = page.all("video")
    assert (video["src"], video["poster"]) == (
        f"/video/{short_key(1)}",
        "/static/generated/thumbnails/video_1_thumb.jpg",
    )
    assert "controls" in video
    assert video["aria-label"] == "Video 1"
    assert "640 × 480 pixels, 3.0 s" in page.text


async def test_a_page_asks_before_deleting(studio: Studio) -> None:
    await studio.made()
    page = await studio.page("/asset/1/delete")
    (form,) = page.all("form")
    assert (form["method"], form["action"]) == ("post", "/asset/1/delete")
    assert "/asset/1" in page.links()


async def test_what_is_not_there_is_404_for_everybody(studio: Studio) -> None:
    await studio.made()
    await studio.made()
    studio.deleted("job_" + "a" * 24 + "ba")
    studio.say(AssetRegistered("asset_in", 9, StoredObject("in", 1, "ab", "png", 64, 48), None, None))
    texts = set()
    for path in ("/asset/2", "/asset/9", "/asset/77", "/asset/01", "/asset/x", "/asset/2/delete"):
        texts.add((await studio.page(path, 404)).text)
    texts.add((await studio.page("/asset/1", 404, "bob")).text)
    assert len(texts) == 1
    assert "Asset not found." in texts.pop()


async def test_pages_and_their_files_count_nowhere(studio: Studio) -> None:
    rows = [row for row in CONTRACTS if row.surface is PAGES]
    assert len(rows) == 6
    assert all(row.limits == () and row.limit == "" for row in rows)
    assert "ratelimit-limit" not in (await studio.get("/library")).headers


async def test_static_files_are_for_everybody_and_for_good(studio: Studio) -> None:
    page = await studio.page("/dashboard")
    files = [named.get("href") or named["src"] for tag in ("link", "script") for named in page.all(tag)]
    assert sorted(file.split("?")[0].rsplit("/")[-1] for file in files) == ["icon.svg", "studio.css", "studio.js"]
    for file in files:
        answer = await studio.side.http.get(file)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        kept = await studio.side.http.get(file, headers={"if-none-match": answer.headers["etag"]})
        assert (kept.status_code, kept.content) == (304, b"")
        bare = await studio.side.http.get(file.split("?")[0])
        assert bare.headers["cache-control"] == "public, no-cache"
    types: Sequence[str] = [static_files()[name].media.split(";")[0] for name in ("studio.css", "studio.js")]
    assert types == ["text/css", "text/javascript"]
    for name in ("login.html", "..%2fassets%2fdocs.html", "x"):
        assert (await studio.side.http.get(f"/static/pages/{name}")).status_code == 404

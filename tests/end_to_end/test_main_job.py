"""The main job, as a client sees it: a photograph goes in, a larger one comes out, it is charged once and explained."""

from __future__ import annotations

import io
import json

from PIL import Image

from tests.client import Client, data, ok, problem
from tests.pictures import decoded, difference, encoded, scene
from tests.stack import Stack

SOURCE = scene(160, 120, seed=7)


async def test_a_photograph_goes_through_the_whole_pipeline(user: Client) -> None:
    asset = ok(await user.upload(encoded(SOURCE), name="holiday.jpg"))
    assert (asset["width"], asset["height"], asset["format"]) == (160, 120, "jpeg")
    answer = await user.submit("classical/upscale", {"scale": 2}, asset=asset["id"], prefer="wait=30")
    assert answer.status_code == 200
    job = ok(answer)
    assert (job["status"], job["cost"], job["balance"], job["error"]) == ("succeeded", 1, 19, None)
    assert (job["result"]["width"], job["result"]["height"], job["result"]["format"]) == (320, 240, "jpeg")
    picture = await user.http.get(job["result"]["url"])
    assert picture.headers["content-type"] == "image/jpeg"
    assert len(picture.content) == job["result"]["bytes"]
    result = decoded(picture.content)
    assert result.size == (320, 240)
    plain = SOURCE.resize((320, 240), Image.Resampling.BICUBIC)
    assert 0.5 < difference(result, plain) < 12, "the result is the same scene, and more than plain enlargement"


async def test_the_events_of_a_job_come_in_order_and_name_every_step(user: Client) -> None:
    asset = ok(await user.upload(encoded(SOURCE)))
    job = ok(await user.submit("classical/upscale", {"scale": 4}, asset=asset["id"], prefer="wait=30"))
    events = await user.events(job["id"])
    assert [event["type"] for event in events] == [
        "darkroom.job-accepted.v1",
        "darkroom.credits-reserved.v1",
        "darkroom.attempt-released.v1",
        "darkroom.job-started.v1",
        "darkroom.job-succeeded.v1",
        "darkroom.credits-captured.v1",
    ]
    positions = [tuple(map(int, event["id"].split("."))) for event in events]
    assert positions == sorted(positions)
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)


async def test_the_account_and_its_ledger_explain_the_charge(user: Client) -> None:
    before = await user.account()
    assert (before["balance"], before["reserved"]) == (20, 0)
    job = ok(await user.submit("sandbox/echo", prefer="wait=30"))
    after = await user.account()
    assert (after["balance"], after["reserved"]) == (19, 0)
    lines = await user.ledger()
    about = [line for line in lines if line.get("job") == job["id"]]
    assert len(about) == 2, f"one reservation and one charge: {lines}"
    assert len([line for line in lines if line.get("job") is None]) == 1, f"one grant: {lines}"


async def test_media_answers_with_an_etag_and_serves_ranges(user: Client) -> None:
    job = ok(await user.submit("sandbox/echo", prefer="wait=30"))
    url = job["result"]["url"]
    whole = await user.http.get(url)
    assert whole.status_code == 200
    tag = whole.headers["etag"]
    unchanged = await user.http.get(url, headers={"If-None-Match": tag})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    part = await user.http.get(url, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole.content)}"
    end = await user.http.get(url, headers={"Range": "bytes=-5"})
    assert (end.status_code, end.content) == (206, whole.content[-5:])
    problem(await user.http.get(url, headers={"Range": f"bytes={len(whole.content)}-"}), 416)
    head = await user.http.head(url)
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", tag)
    assert head.headers["content-length"] == str(len(whole.content))


async def test_an_uploaded_picture_can_be_fetched_again_byte_for_byte(user: Client) -> None:
    content = encoded(SOURCE, "PNG")
    asset = ok(await user.upload(content, name="holiday.png"))
    assert asset["format"] == "png"
    assert asset["bytes"] == len(content)
    assert (await user.http.get(asset["url"])).content == content


async def test_an_orientation_tag_is_obeyed(user: Client) -> None:
    turned = SOURCE.copy()
    exif = turned.getexif()
    exif[0x0112] = 6  # the camera was held upright
    buffer = io.BytesIO()
    turned.save(buffer, "JPEG", quality=92, exif=exif)
    asset = ok(await user.upload(buffer.getvalue()))
    job = ok(await user.submit("classical/upscale", {"scale": 2}, asset=asset["id"], prefer="wait=30"))
    assert (job["result"]["width"], job["result"]["height"]) == (240, 320)
    result = decoded((await user.http.get(job["result"]["url"])).content)
    upright = SOURCE.rotate(-90, expand=True).resize((240, 320), Image.Resampling.BICUBIC)
    assert difference(result, upright) < 12


async def test_a_picture_with_alpha_keeps_it(user: Client) -> None:
    clear = SOURCE.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(SOURCE.size))
    asset = ok(await user.upload(encoded(clear, "PNG"), name="clear.png"))
    job = ok(await user.submit("classical/upscale", {"scale": 2}, asset=asset["id"], prefer="wait=30"))
    with Image.open(io.BytesIO((await user.http.get(job["result"]["url"])).content)) as result:
        assert (result.mode, result.size, result.format) == ("RGBA", (320, 240), "PNG")
        levels = result.getchannel("A").histogram()
    assert sum(levels[:3]) > 0
    assert sum(levels[-3:]) > 0


async def test_lists_show_newest_first_with_pages(user: Client) -> None:
    made = [ok(await user.submit("sandbox/echo", {"seed": n}, prefer="wait=30"))["id"] for n in range(5)]
    rows = await user.jobs()
    assert [row["id"] for row in rows] == made[::-1]
    page = await user.http.get("/v1/jobs", params={"limit": 2})
    assert [row["id"] for row in data(page)] == made[:2:-1]


async def test_models_are_listed_for_this_deployment(user: Client) -> None:
    models = data(await user.http.get("/v1/models"))
    slugs = {model["id"] if "id" in model else model["slug"] for model in models}
    assert {"classical/upscale", "sandbox/echo", "sandbox/slow", "sandbox/flaky", "sandbox/broken"} <= slugs


def test_status_tells_each_component(stack: Stack) -> None:
    told = json.loads(stack.darkroom("status", "--json").stdout)
    assert told["url"] == stack.url
    assert {row["name"]: row["pid"] for row in told["components"]} == {n: r["pid"] for n, r in stack.status().items()}
    table = stack.darkroom("status").stdout.splitlines()
    assert table[0] == stack.url
    assert {line.split()[0] for line in table[1:]} == set(stack.status())

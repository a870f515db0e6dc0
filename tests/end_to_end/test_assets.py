"""Pictures on the whole stack: put by a signed URL, fetched, moved, published, viewed, deleted."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from tests.client import Client, ok, problem
from tests.end_to_end.pictures_elsewhere import PictureServer
from tests.pictures import encoded, scene
from tests.stack import Stack

PICTURE = encoded(scene(64, 48))


async def upscaled(user: Client, asset: str) -> dict[str, object]:
    """The result of a job on the asset."""
    job = ok(await user.submit("classical/upscale", {"scale": 2}, asset=asset, prefer="wait=30"))
    assert job["status"] == "succeeded", job
    result: dict[str, object] = job["result"]
    return result


async def anonymous(stack: Stack, asset: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=stack.url) as http:
        return await http.get(f"/v1/media/{asset}")


async def test_a_picture_put_by_a_signed_url_is_worked_on(user: Client, stranger: Client) -> None:
    signed = ok(await user.http.post("/v1/assets:presign", json={"bytes": len(PICTURE)}))
    problem(await user.http.post(signed["complete"]), 404)
    async with httpx.AsyncClient() as http:
        assert (await http.put(signed["url"], content=PICTURE[:-1])).status_code == 403
        assert (await http.put(signed["url"], content=PICTURE, headers=signed["headers"])).status_code == 200
    problem(await stranger.http.post(signed["complete"]), 404)
    answers = await asyncio.gather(*(user.http.post(signed["complete"]) for _ in range(3)))
    answers.append(await user.http.post(signed["complete"]))
    assert {answer.status_code for answer in answers} == {201}
    assert {answer.json()["id"] for answer in answers} == {signed["id"]}
    assert (await user.get(f"/v1/assets/{signed['id']}")).content == PICTURE
    result = await upscaled(user, signed["id"])
    assert (result["width"], result["height"]) == (128, 96)


async def test_a_presigned_put_that_is_no_picture_becomes_no_asset(user: Client) -> None:
    for content, status in ((b"<html>" * 50, 415), (PICTURE + bytes(10 << 20), 413)):
        signed = ok(await user.http.post("/v1/assets:presign"))
        async with httpx.AsyncClient() as http:
            assert (await http.put(signed["url"], content=content)).status_code == 200
        problem(await user.http.post(signed["complete"]), status, "file")
        problem(await user.http.post(signed["complete"]), 404)


async def test_a_remote_picture_is_worked_on(user: Client, elsewhere: PictureServer) -> None:
    elsewhere.pictures["/a.jpg"] = PICTURE
    elsewhere.redirects["/r"] = f"{elsewhere.url}/a.jpg"
    asset = ok(await user.http.post("/v1/assets:fetch", json={"url": f"{elsewhere.url}/r"}))
    assert (await user.get(f"/v1/assets/{asset['id']}")).content == PICTURE
    body = {"model": "classical/upscale", "input": {"url": f"{elsewhere.url}/a.jpg"}, "params": {"scale": 2}}
    headers = {"Prefer": "wait=30", "Idempotency-Key": "remote"}
    first = ok(await user.http.post("/v1/jobs", json=body, headers=headers))
    again = ok(await user.http.post("/v1/jobs", json=body, headers=headers))
    assert (first["status"], first["result"]["width"]) == ("succeeded", 128)
    assert again["id"] == first["id"]
    body["input"] = {"url": first["result"]["url"]}
    asked = len(elsewhere.asked)
    own = ok(await user.http.post("/v1/jobs", json=body, headers={"Prefer": "wait=30"}))
    assert own["result"]["width"] == 256
    assert len(elsewhere.asked) == asked
    assert (await user.account())["balance"] == 18


async def test_what_may_not_be_fetched_charges_nothing(user: Client, elsewhere: PictureServer, stack: Stack) -> None:
    elsewhere.pictures["/text"] = b"<html>" * 50
    elsewhere.redirects["/inside"] = f"{stack.url}/v1/models"
    urls = [
        f"{elsewhere.url}/none",
        f"{elsewhere.url}/text",
        f"{elsewhere.url}/inside",
        f"{stack.url}/v1/models",
        "http://169.254.169.254/latest/meta-data",
        "http://localhost:9092/",
        "http://[::1]/",
        "file:///etc/passwd",
    ]
    for url in urls:
        problem(await user.http.post("/v1/assets:fetch", json={"url": url}), 400, "url")
        body = {"model": "classical/upscale", "input": {"url": url}}
        problem(await user.http.post("/v1/jobs", json=body), 400, "input.url")
    assert (await user.account())["balance"] == 20
    assert await user.jobs() == []


async def test_a_deletion_ends_access_at_once_and_the_jobs_on_it(user: Client, stranger: Client) -> None:
    asset = ok(await user.upload(encoded(scene(900, 700))))["id"]
    ok(await user.http.post(f"/v1/assets/{asset}:publish"))
    assert (await anonymous(user.stack, asset)).status_code == 200
    jobs = [ok(await user.submit("classical/upscale", {"scale": 4}, asset=asset))["id"] for _ in range(6)]
    deleted = ok(await user.http.delete(f"/v1/assets/{asset}"))
    assert (await anonymous(user.stack, asset)).status_code == 404
    problem(await user.get(f"/v1/assets/{asset}"), 410)
    problem(await stranger.get(f"/v1/media/{asset}"), 404)
    problem(await user.submit("classical/upscale", {"scale": 2}, asset=asset), 400, "input.asset")
    problem(await user.http.delete(f"/v1/assets/{asset}"), 410)
    problem(await stranger.http.delete(f"/v1/assets/{asset}"), 404)
    ended = [await user.until_ended(job) for job in jobs]
    assert deleted["canceled"], "six jobs do not end before the deletion"
    assert {job["id"] for job in ended if job["status"] == "canceled"} == set(deleted["canceled"])
    charged = sum(job["status"] == "succeeded" for job in ended)
    assert (await user.account())["balance"] == 20 - charged


async def test_views_of_a_public_picture_are_counted(user: Client, stranger: Client) -> None:
    asset = ok(await user.upload())["id"]
    assert (await anonymous(user.stack, asset)).status_code == 404
    problem(await stranger.get(f"/v1/media/{asset}"), 404)
    ok(await user.http.post(f"/v1/assets/{asset}:publish"))
    assert (await anonymous(user.stack, asset)).status_code == 200
    assert (await stranger.get(f"/v1/media/{asset}")).status_code == 200
    assert (await user.get(f"/v1/media/{asset}")).status_code == 200
    assert await viewed(user, asset, 2) == 2
    ok(await user.http.post(f"/v1/assets/{asset}:unpublish"))
    assert (await anonymous(user.stack, asset)).status_code == 404
    assert (await user.get(f"/v1/media/{asset}")).status_code == 200


async def viewed(user: Client, asset: str, least: int) -> int:
    """The views on the log, once there are `least`."""
    deadline = time.monotonic() + 15
    while True:
        events = await asyncio.to_thread(user.stack.events, user.name)
        views = [event["data"]["data"]["views"] for event in events if ".assets-viewed." in event["type"]]
        total: int = sum(times for batch in views for name, times in batch if name == asset)
        if total >= least:
            return total
        assert time.monotonic() < deadline, f"{total} views after 15 s"


async def test_pictures_are_moved_between_albums(user: Client, stranger: Client) -> None:
    first, second = [ok(await user.http.post("/v1/albums", json={"name": name}))["id"] for name in ("one", "two")]
    files = {"file": ("a.jpg", PICTURE)}
    asset = ok(await user.http.post("/v1/assets", files=files, data={"album": first}))["id"]
    foreign = ok(await stranger.upload())["id"]
    body = {"assets": [foreign, asset], "from_album": first}
    moved = ok(await user.http.post(f"/v1/albums/{second}:move", json=body))
    assert (moved["moved"], moved["failed"]) == (1, 1)
    assert [(one["asset"], one["success"]) for one in moved["results"]] == [(foreign, False), (asset, True)]
    problem(await stranger.http.post(f"/v1/albums/{second}:move", json={"assets": [foreign]}), 404)
    problem(await stranger.http.delete(f"/v1/albums/{second}"), 404)
    problem(await user.http.post("/v1/assets", files=files, data={"album": "album_none"}), 404)
    ok(await user.http.delete(f"/v1/albums/{second}"))
    problem(await user.http.delete(f"/v1/albums/{second}"), 404)
    assert (await user.get(f"/v1/assets/{asset}")).content == PICTURE


@pytest.mark.parametrize("key", ["album", None])
async def test_a_repeated_album_is_the_same_one(user: Client, key: str | None) -> None:
    headers = {"Idempotency-Key": key} if key else {}
    made = {ok(await user.http.post("/v1/albums", json={"name": "x"}, headers=headers))["id"] for _ in range(2)}
    assert len(made) == (1 if key else 2)

"""Document 002 on the running stack: images read by their owner and by others, moved and deleted."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from schemas.wire import spike_land as wire
from tests.contracts.spike_land_client import (
    LIMIT_S,
    PICTURE,
    SOME_ALBUM,
    SOME_IMAGE,
    Clients,
    SpikeUser,
    told,
    wrong,
)
from tests.pictures import encoded, scene
from tests.stack import Stack

GET, DELETE, MOVE = "GET /api/images/{id}", "DELETE /api/images/{id}", "POST /api/images/move-to-album"
STRIP = encoded(scene(256, 16))
NOT_MOVED = "Image not found, or it is in too many albums"


@pytest.fixture
def user(stack: Stack, http: Clients) -> SpikeUser:
    return SpikeUser(stack, http)


@pytest.fixture
def stranger(stack: Stack, http: Clients) -> SpikeUser:
    return SpikeUser(stack, http)


def asset_of(image: str) -> str:
    return image.replace("img_", "asset_")


@pytest.mark.contract("002", GET, "Get Image with Jobs")
async def test_an_image_is_read_with_its_jobs_newest_first(user: SpikeUser) -> None:
    image = await user.image(STRIP)
    jobs = [await user.started(image, tier) for tier in ("TIER_1K", "TIER_2K")]
    shown = await user.shown(image)
    assert [job["id"] for job in shown["jobs"]] == jobs[::-1]
    assert (shown["description"], shown["updatedAt"]) == (None, shown["createdAt"])
    by_cookie = told(await user.cookie.get(f"/api/images/{image}"), wire.ImageAnswer)["image"]
    assert [job["id"] for job in by_cookie["jobs"]] == jobs[::-1]


@pytest.mark.contract("002", GET, "Response with Jobs")
async def test_what_was_just_uploaded_or_started_is_seen_at_once(user: SpikeUser) -> None:
    for _ in range(3):
        image = await user.image()
        assert (await user.http.get(f"/api/images/{image}")).status_code in (200, 503)
        job = await user.started(image)
        assert [one["id"] for one in (await user.shown(image))["jobs"]] == [job]


@pytest.mark.contract("002", GET, "Error Codes")
async def test_strangers_are_not_told_of_private_images(user: SpikeUser, stranger: SpikeUser) -> None:
    image = await user.image()
    private = await stranger.get(image)
    assert wrong(private, 404, "NOT_FOUND")["error"] == "Image not found"
    for other in (SOME_IMAGE, "img_123abc", asset_of(image)):
        assert (await stranger.get(other)).content == private.content


@pytest.mark.contract("002", GET, "Unauthorized (401)")
async def test_without_a_session_nothing_is_read_or_deleted(http: Clients) -> None:
    wrong(await http().get(f"/api/images/{SOME_IMAGE}"), 401, "UNAUTHORIZED")
    wrong(await http().delete(f"/api/images/{SOME_IMAGE}"), 401, "UNAUTHORIZED")
    assert wrong(await http().get("/api/images/a/b"), 404, "NOT_FOUND")["error"] == "Resource not found"


@pytest.mark.contract("002", GET, "Get Image with Jobs")
async def test_a_public_image_is_read_by_others_and_its_views_are_counted(user: SpikeUser, stranger: SpikeUser) -> None:
    image = await user.image()
    await user.started(image)
    await user.native("POST", f"/v1/assets/{asset_of(image)}:publish")
    for _ in range(3):
        seen = await stranger.shown(image)
        assert (seen["isPublic"], seen["jobs"]) == (True, [])
    assert (await user.shown(image))["isPublic"] is True
    deadline = time.monotonic() + LIMIT_S
    while (views := (await user.shown(image))["viewCount"]) < 3:
        assert time.monotonic() < deadline, f"{views} views"
        await asyncio.sleep(1)
    async with httpx.AsyncClient() as anybody:
        assert (await anybody.get(seen["url"])).content == PICTURE
    assert views == 3, "its owner does not count"
    await user.native("POST", f"/v1/assets/{asset_of(image)}:unpublish")
    wrong(await stranger.get(image), 404, "NOT_FOUND")
    async with httpx.AsyncClient() as anybody:
        assert (await anybody.get(seen["url"])).status_code == 404


@pytest.mark.contract("002", DELETE, "Success Response (200)")
async def test_a_deletion_takes_the_image_its_results_and_its_running_jobs(user: SpikeUser) -> None:
    image, kept = await user.image(encoded(scene(640, 480))), await user.image()
    done = await user.started(image)
    assert await user.until(done) == "succeeded"
    enhanced = (await user.job(image, done))["enhancedUrl"]
    link = (await user.shown(image))["url"]
    running = told(await user.tiers(image, "TIER_2K", "TIER_4K"), wire.ParallelAnswer)["jobs"]
    answer = told(await user.delete(image), wire.DeleteAnswer)
    assert answer == {"success": True, "message": "Image deleted successfully"}
    wrong(await user.get(image), 404, "NOT_FOUND")
    assert await user.balance() == 98
    assert {await user.until(job["jobId"]) for job in running} == {"canceled"}
    for gone in (link, enhanced):
        assert (await user.http.get(gone)).status_code == 410
    account = (await user.native("GET", "/v1/account"))["account"]
    deadline = time.monotonic() + LIMIT_S
    while len(left := user.objects(account)) > 1:
        assert time.monotonic() < deadline, f"still there: {left}"
        await asyncio.sleep(0.5)
    assert [path.name for path in left] == [asset_of(kept)]
    wrong(await user.delete(image), 404, "NOT_FOUND")
    wrong(await user.enhance(image), 404, "NOT_FOUND")


@pytest.mark.contract("002", DELETE, "Features")
async def test_only_its_owner_can_delete_an_image(user: SpikeUser, stranger: SpikeUser) -> None:
    image = await user.image()
    private = await stranger.delete(image)
    assert wrong(private, 404, "NOT_FOUND") == wrong(await stranger.delete(SOME_IMAGE), 404, "NOT_FOUND")
    await user.native("POST", f"/v1/assets/{asset_of(image)}:publish")
    assert wrong(await stranger.delete(image), 403, "FORBIDDEN")["title"] == "Permission Denied"
    wrong(await stranger.delete("img_123abc"), 404, "NOT_FOUND")
    assert (await user.get(image)).status_code == 200
    elsewhere = {"Origin": "https://elsewhere.example"}
    wrong(await user.cookie.delete(f"/api/images/{image}", headers=elsewhere), 403, "FORBIDDEN")
    assert (await user.cookie.delete(f"/api/images/{image}")).status_code == 200


@pytest.mark.contract("002", DELETE, "Idempotency")
async def test_a_deletion_under_a_key_is_answered_again(user: SpikeUser) -> None:
    image, headers = await user.image(), {"Idempotency-Key": "k"}
    for _ in range(2):
        told(await user.http.delete(f"/api/images/{image}", headers=headers), wire.DeleteAnswer)


@pytest.mark.contract("002", MOVE, "Success Response (200)")
async def test_images_are_moved_each_with_its_result(user: SpikeUser) -> None:
    album, images = await user.album(), [await user.image() for _ in range(3)]
    assert told(await user.move(album, *images), wire.MoveAnswer) == {
        "success": True,
        "moved": 3,
        "failed": 0,
        "alreadyInAlbum": 0,
        "results": [{"imageId": image, "success": True} for image in images],
    }
    assert await user.in_album(album) == set(images)
    again = told(await user.move(album, *images), wire.MoveAnswer)
    assert (again["moved"], again["failed"], again["alreadyInAlbum"]) == (0, 0, 3)


@pytest.mark.contract("002", MOVE, "Move Images to Album")
async def test_images_leave_their_source_album(user: SpikeUser) -> None:
    old, new, other = [await user.album(name) for name in ("old", "new", "other")]
    image = await user.image()
    await user.move(old, image)
    await user.move(other, image)
    assert told(await user.move(new, image, removeFromSourceAlbum=old), wire.MoveAnswer)["moved"] == 1
    assert [await user.in_album(album) for album in (old, new, other)] == [set(), {image}, {image}]


@pytest.mark.contract("002", MOVE, "Constraints")
async def test_only_ones_own_images_are_moved(user: SpikeUser, stranger: SpikeUser) -> None:
    album, own, foreign = await user.album(), await user.image(), await stranger.image()
    answer = told(await user.move(album, foreign, own, SOME_IMAGE, "img_123abc"), wire.MoveAnswer)
    assert (answer["moved"], answer["failed"]) == (1, 3)
    assert answer["results"] == [
        {"imageId": foreign, "success": False, "error": NOT_MOVED},
        {"imageId": own, "success": True},
        {"imageId": SOME_IMAGE, "success": False, "error": NOT_MOVED},
        {"imageId": "img_123abc", "success": False, "error": NOT_MOVED},
    ]


@pytest.mark.contract("002", MOVE, "Constraints")
async def test_only_ones_own_albums_are_moved_to(user: SpikeUser, stranger: SpikeUser) -> None:
    image, own, foreign = await user.image(), await user.album(), await stranger.album()
    for album in (foreign, SOME_ALBUM, "album_xyz789"):
        assert wrong(await user.move(album, image), 404, "NOT_FOUND")["error"] == "Album not found"
        wrong(await user.move(own, image, removeFromSourceAlbum=album), 404, "NOT_FOUND")
    assert await user.in_album(own) == set()


@pytest.mark.contract("002", MOVE, "Constraints")
async def test_at_most_a_hundred_images(user: SpikeUser) -> None:
    album, image = await user.album(), await user.image()
    answer = told(await user.move(album, *[image] * 100), wire.MoveAnswer)
    assert (answer["moved"], answer["alreadyInAlbum"], len(answer["results"])) == (1, 99, 100)
    for images in ([image] * 101, []):
        assert "imageIds" in wrong(await user.move(album, *images), 400, "INVALID_INPUT")["suggestion"]


@pytest.mark.contract("002", MOVE, "Validation Error (400)")
async def test_a_move_names_images_and_an_album(user: SpikeUser) -> None:
    for body in ({}, {"imageIds": [SOME_IMAGE]}, {"targetAlbumId": SOME_ALBUM}):
        answer = await user.http.post("/api/images/move-to-album", json=body)
        assert wrong(answer, 400, "INVALID_INPUT")["suggestion"] == "Please provide both imageIds and targetAlbumId"
    for more in (True, 7, ""):
        answer = await user.move(SOME_ALBUM, SOME_IMAGE, removeFromSourceAlbum=more)
        assert "removeFromSourceAlbum" in wrong(answer, 400, "INVALID_INPUT")["suggestion"]


@pytest.mark.contract("002", MOVE, "Unauthorized (401)")
async def test_without_a_session_nothing_is_moved(http: Clients) -> None:
    wrong(await http().post("/api/images/move-to-album", json={}), 401, "UNAUTHORIZED")

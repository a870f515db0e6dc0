"""Albums, deletion and publication, from request to answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.postgres.outcomes import KnownAsset
from infra.sealing.content import ALBUM, decode_album_secrets
from schemas import commands as cmd
from schemas import refusals as no
from schemas.commands import StoredObject
from schemas.replies import Refused
from tests.http.asset_side import ASSET_1, PICTURE, asset_side, commands
from tests.http.fakes import Side, decoded, stored_keys


@pytest.fixture
async def side(tmp_path: Path) -> AsyncIterator[Side]:
    async with asset_side(tmp_path) as made:
        yield made


async def test_an_upload_goes_to_an_album(side: Side) -> None:
    answer = await side.http.post("/v1/assets", files={"file": ("a.jpg", PICTURE)}, data={"album": "album_1"})
    assert answer.status_code == 201
    assert commands(side)[0].album == "album_1"
    long = await side.http.post("/v1/assets", files={"file": ("a.jpg", PICTURE)}, data={"album": "a" * 65})
    assert (long.status_code, decoded(long)["errors"][0]["field"]) == (400, "album")
    side.decider.script = lambda _: [Refused(no.AlbumUnknown("album_1"))]
    strange = await side.http.post("/v1/assets", files={"file": ("a.jpg", PICTURE)}, data={"album": "album_1"})
    assert strange.status_code == 404
    assert len(stored_keys(side.objects)) == 1


async def test_an_album_is_made_with_its_name_sealed(side: Side) -> None:
    answer = await side.http.post("/v1/albums", json={"name": "Holidays ü"})
    (command,) = commands(side)
    assert answer.status_code == 201
    assert decoded(answer)["id"] == command.album
    assert answer.headers["location"] == f"http://darkroom.test/v1/albums/{command.album}"
    assert "Holidays" not in command.sealed
    opened = await side.ring.open(side.account(), command.sealed, ALBUM)
    assert opened is not None
    assert decode_album_secrets(opened).name == "Holidays ü"
    side.decider.script = lambda _: [Refused(no.AlbumsFull(1000))]
    assert (await side.http.post("/v1/albums", json={"name": "x"})).status_code == 409


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": "x" * 201}, {"name": 1}, {"name": "x", "y": 1}])
async def test_an_album_needs_a_name(side: Side, body: object) -> None:
    assert (await side.http.post("/v1/albums", json=body)).status_code == 400


async def test_an_album_is_deleted_once(side: Side) -> None:
    answer = await side.http.delete("/v1/albums/album_1")
    assert (answer.status_code, decoded(answer)["status"]) == (200, "deleted")
    assert commands(side) == [cmd.DeleteAlbum("album_1")]
    side.decider.script = lambda _: [Refused(no.AlbumUnknown("album_1"))]
    assert (await side.http.delete("/v1/albums/album_1")).status_code == 404


async def test_each_moved_picture_has_its_own_result_in_order(side: Side) -> None:
    body = {"assets": ["a", "b", "c", "d"], "from_album": "album_0"}
    answer = await side.http.post("/v1/albums/album_1:move", json=body)
    document = decoded(answer)
    assert answer.status_code == 200
    assert (document["album"], document["moved"], document["failed"]) == ("album_1", 2, 2)
    assert [(one["asset"], one["success"], one["error"] is None) for one in document["results"]] == [
        ("a", True, True),
        ("b", True, True),
        ("c", False, False),
        ("d", False, False),
    ]
    assert commands(side) == [cmd.MoveAssets("album_1", ("a", "b", "c", "d"), "album_0")]
    side.decider.script = lambda _: [Refused(no.AlbumUnknown("album_0"))]
    assert (await side.http.post("/v1/albums/album_1:move", json=body)).status_code == 404


@pytest.mark.parametrize("body", [{}, {"assets": []}, {"assets": ["a"] * 101}, {"assets": [1]}, {"assets": "a"}])
async def test_one_to_a_hundred_pictures_are_moved(side: Side, body: object) -> None:
    assert (await side.http.post("/v1/albums/album_1:move", json=body)).status_code == 400


async def test_a_deletion_cancels_the_live_jobs_on_the_picture(side: Side) -> None:
    side.read_side.jobs_on[side.account(), ASSET_1] = ("job_1", "job_2")
    answer = await side.http.delete(f"/v1/assets/{ASSET_1}")
    document = decoded(answer)
    assert answer.status_code == 200
    assert (document["status"], document["canceled"], document["balance"]) == ("deleted", ["job_1", "job_2"], 17)
    assert commands(side) == [cmd.DeleteAsset(ASSET_1, ("job_1", "job_2"))]


async def test_what_is_not_there_cannot_be_changed(side: Side) -> None:
    side.decider.script = lambda _: [Refused(no.AssetUnknown(ASSET_1))]
    asked = [("DELETE", ""), ("POST", ":publish"), ("POST", ":unpublish")]
    for method, suffix in asked:
        answer = await side.http.request(method, f"/v1/assets/{ASSET_1}{suffix}")
        assert (answer.status_code, decoded(answer)["code"]) == (404, "not-found")
    known = KnownAsset(object=StoredObject("k", 1, "aa", "png", 1, 1), position="1.0.0.0", gone="deleted")
    side.read_side.assets[side.account(), ASSET_1] = known
    for method, suffix in asked:
        assert (await side.http.request(method, f"/v1/assets/{ASSET_1}{suffix}")).status_code == 410


async def test_a_picture_is_published_and_taken_back(side: Side) -> None:
    published = await side.http.post(f"/v1/assets/{ASSET_1}:publish")
    taken_back = await side.http.post(f"/v1/assets/{ASSET_1}:unpublish")
    assert (published.status_code, taken_back.status_code) == (200, 200)
    assert decoded(published)["url"] == f"http://darkroom.test/v1/media/{ASSET_1}"
    assert (decoded(published)["public"], decoded(taken_back)["public"]) == (True, False)
    assert commands(side) == [cmd.SetVisibility(ASSET_1, True), cmd.SetVisibility(ASSET_1, False)]


async def test_undecided_changes_of_access_say_so(side: Side) -> None:
    side.decider.script = lambda _: []
    for method, suffix in (("DELETE", ""), ("POST", ":publish")):
        answer = await side.http.request(method, f"/v1/assets/{ASSET_1}{suffix}")
        assert (answer.status_code, decoded(answer)["status"]) == (202, "pending")

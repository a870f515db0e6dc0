"""Pictures by signed URL and by remote URL, albums, deletion and publication, from request to answer."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pillow_heif
import pytest
from PIL import Image

from infra.http.problems import Problem
from infra.kafka.ports import OutcomeUnknown
from infra.postgres.outcomes import KnownAsset
from infra.remote.memory import MemoryFetcher
from infra.sealing.content import ALBUM, ASSET, decode_album_secrets, decode_asset_secrets
from ingest.pictures import FILE_BYTES_MAX
from ingest.remote import own_asset
from ingest.uploads import UploadPlaces
from schemas import commands as cmd
from schemas import refusals as no
from schemas.commands import Envelope, StoredObject
from schemas.positions import Position
from schemas.replies import (
    AlbumAccepted,
    AnyAnswer,
    AssetAccepted,
    AssetDeletion,
    AssetsMovedAnswer,
    Done,
    JobDecided,
    Refused,
)
from tests.http.fakes import Side, decoded, make_side, stored_keys
from tests.http.test_writes import picture

PICTURE = picture("JPEG")
REMOTE = "https://pictures.example/a.jpg"
ASSET_1 = "asset_" + "a" * 26


class Decider:
    """Accepts what it is asked, and remembers registrations by their key as the real one does."""

    def __init__(self) -> None:
        self.registered: dict[str, AssetAccepted] = {}
        self.fingerprints: dict[str, str] = {}

    def __call__(self, envelope: Envelope) -> Sequence[AnyAnswer]:
        match envelope.command:
            case cmd.RegisterAsset() as command:
                assert envelope.idempotency is not None
                key, fingerprint = envelope.idempotency.key, envelope.idempotency.fingerprint
                if self.fingerprints.setdefault(key, fingerprint) != fingerprint:
                    return [Refused(no.IdempotencyMismatch(self.registered[key].asset))]
                return [self.registered.setdefault(key, AssetAccepted(command.asset, 1, command.object))]
            case cmd.DeleteAsset() as command:
                return [AssetDeletion(command.asset, command.cancel_jobs, 17)]
            case cmd.CreateAlbum() as command:
                return [AlbumAccepted(command.album)]
            case cmd.MoveAssets() as command:
                return [AssetsMovedAnswer(command.album, command.assets[:1], command.assets[1:2], command.assets[2:])]
            case cmd.SubmitJob() as command:
                return [JobDecided(command.job, "accepted", 1, 9)]
            case _:
                return [Done()]


@pytest.fixture
async def side(tmp_path: Path) -> AsyncIterator[Side]:
    """The writing side; one picture stands on another server."""
    made = make_side(tmp_path, remote=MemoryFetcher({REMOTE: PICTURE, "https://text.example/": b"no picture"}))
    made.decider.script = Decider()
    async with made.http:
        yield made


def commands(side: Side) -> list[Any]:
    return [envelope.command for envelope in side.decider.envelopes]


async def presigned(side: Side, content: bytes | None = PICTURE) -> dict[str, Any]:
    """A presigned upload to which the client has put `content`."""
    document = decoded(await side.http.post("/v1/assets:presign"))
    if content is not None:
        await side.objects.put(f"{side.account()}/incoming/{document['id']}", content, "text/html")
    return document


async def test_a_presigned_upload_says_where_to_put_it_and_what_then(side: Side) -> None:
    answer = await side.http.post("/v1/assets:presign", json={"bytes": 123})
    document = decoded(answer)
    assert answer.status_code == 200
    assert document["url"] == f"memory://{side.account()}/incoming/{document['id']}?expires=900"
    assert (document["method"], document["headers"], document["bytes_max"]) == (
        "PUT",
        {"Content-Length": "123"},
        FILE_BYTES_MAX,
    )
    assert document["complete"] == f"http://darkroom.test/v1/assets/{document['id']}:complete"
    assert document["expires_at"].startswith("2027-01-15T08:15:00")
    assert commands(side) == []


@pytest.mark.parametrize("body", [{"bytes": 0}, {"bytes": FILE_BYTES_MAX + 1}, {"bytes": "1"}, {"size": 1}, []])
async def test_a_presigned_upload_of_no_possible_size_is_refused(side: Side, body: object) -> None:
    assert (await side.http.post("/v1/assets:presign", json=body)).status_code == 400


async def test_a_completed_upload_is_a_checked_copy(side: Side) -> None:
    document = await presigned(side)
    answer = await side.http.post(document["complete"], json={"file_name": "a.jpg", "album": "album_1"})
    asset = decoded(answer)
    (command,) = commands(side)
    assert answer.status_code == 201
    assert (asset["id"], asset["width"], asset["format"]) == (document["id"], 80, "jpeg")
    assert (command.asset, command.album) == (document["id"], "album_1")
    assert command.object.key.startswith(f"{side.account()}/asset_")
    assert stored_keys(side.objects) == [command.object.key]
    assert await side.objects.get(command.object.key, command.object.sha256) == PICTURE
    assert (await side.objects.head(command.object.key)).content_type == "image/jpeg"
    opened = await side.ring.open(side.account(), command.sealed, ASSET)
    assert opened is not None
    assert decode_asset_secrets(opened).file_name == "a.jpg"


async def test_completing_again_gives_the_same_answer(side: Side) -> None:
    document = await presigned(side)
    first = decoded(await side.http.post(document["complete"]))
    accepted = next(iter(side.decider.script.registered.values()))  # type: ignore[attr-defined]
    side.read_side.assets[side.account(), document["id"]] = KnownAsset(object=accepted.object, position="1.0.0.0")
    later = await side.http.post(document["complete"])
    assert later.status_code == 201
    assert {**decoded(later), "position": None} == {**first, "position": None}
    await side.objects.put(f"{side.account()}/incoming/{document['id']}", picture("PNG"), "image/png")
    other_bytes = decoded(await side.http.post(document["complete"]))
    assert {**other_bytes, "position": None} == {**first, "position": None}
    assert stored_keys(side.objects) == [accepted.object.key]
    assert await side.objects.get(accepted.object.key, accepted.object.sha256) == PICTURE


async def test_two_completions_at_once_make_one_asset(side: Side) -> None:
    document = await presigned(side)
    answers = await asyncio.gather(*(side.http.post(document["complete"]) for _ in range(5)))
    made = {decoded(answer)["id"] for answer in answers if answer.status_code == 201}
    assert made == {document["id"]}
    assert len(stored_keys(side.objects)) == 1
    assert {answer.status_code for answer in answers} <= {201, 404}


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (None, 404, "nothing-uploaded"),
        (b"", 400, "invalid-field"),
        (b"<html>" * 100, 415, "unsupported-picture"),
        (PICTURE[:30], 400, "unreadable-picture"),
        (PICTURE + bytes(FILE_BYTES_MAX), 413, "content-too-large"),
    ],
)
async def test_what_is_no_picture_is_refused_and_removed(
    side: Side, content: bytes | None, status: int, code: str
) -> None:
    document = await presigned(side, content)
    answer = await side.http.post(document["complete"])
    assert (answer.status_code, decoded(answer)["code"]) == (status, code)
    assert stored_keys(side.objects) == []
    assert commands(side) == []


@pytest.mark.parametrize("asset", ["asset_1", "..%2f..%2fother", "x" * 200, ASSET_1])
async def test_only_what_was_presigned_for_the_account_can_be_completed(side: Side, asset: str) -> None:
    await side.objects.put(f"{side.account('bob')}/incoming/{ASSET_1}", PICTURE, "image/jpeg")
    assert (await side.http.post(f"/v1/assets/{asset}:complete")).status_code == 404
    assert commands(side) == []


async def test_a_completion_of_what_was_deleted_since_is_410_and_503_while_that_is_unknown(side: Side) -> None:
    known = KnownAsset(object=StoredObject("k", 1, "aa", "png", 1, 1), position="1.0.0.0", gone="deleted")
    side.read_side.assets[side.account(), ASSET_1] = known
    assert (await side.http.post(f"/v1/assets/{ASSET_1}:complete")).status_code == 410
    side.positions.note(side.account(), Position(0, 7, 0))
    side.read_side.is_current = False
    assert (await side.http.post(f"/v1/assets/{ASSET_1}:complete")).status_code == 503


async def test_bytes_stay_while_nobody_knows_whether_they_are_registered(side: Side) -> None:
    document = await presigned(side)
    side.decider.fault = OutcomeUnknown("x")
    assert (await side.http.post(document["complete"])).status_code == 503
    assert len(stored_keys(side.objects)) == 2
    side.decider.fault = None
    assert (await side.http.post(document["complete"])).status_code == 201


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
    unknown = await side.http.post("/v1/assets:fetch", json={"url": "http://darkroom.test/v1/media/asset_b"})
    assert (unknown.status_code, decoded(unknown)["code"]) == (400, "asset-unknown")


@pytest.mark.parametrize(
    "url",
    [
        f"http://darkroom.test/v1/media/acct_b/{ASSET_1}",
        f"http://darkroom.test.evil.example/v1/media/{ASSET_1}",
        f"http://darkroom.test@evil.example/v1/media/{ASSET_1}",
        f"http://darkroom.test/v1/media/{ASSET_1}/../x",
        "http://darkroom.test/v1/jobs/job_1",
    ],
)
def test_other_urls_are_nobodys_own_media(url: str) -> None:
    assert own_asset("http://darkroom.test", "acct_a", url) is None


async def test_asset_and_url_together_are_refused(side: Side) -> None:
    body = {"model": "classical/upscale", "input": {"asset": ASSET_1, "url": REMOTE}}
    answer = await side.submit(body)
    assert (answer.status_code, decoded(answer)["errors"][0]["field"]) == (400, "input.url")


async def test_each_product_takes_its_own_formats(side: Side) -> None:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (80, 60), (9, 99, 199))).save(buffer, format="HEIF")
    heic = buffer.getvalue()
    native = await side.upload(heic)
    assert (native.status_code, decoded(native)["format"], decoded(native)["width"]) == (201, "heic", 80)
    token = side.token(product="ai-image")
    three_types = await side.upload(heic, Authorization=f"Bearer {token}")
    assert three_types.status_code == 415
    assert decoded(three_types)["errors"][0]["message"] == "This is no JPEG, PNG or WebP picture."
    assert (await side.upload(PICTURE, Authorization=f"Bearer {token}")).status_code == 201
    text = decoded(await side.upload(b"no picture at all"))
    assert text["errors"][0]["message"] == "This is no JPEG, PNG, WebP or HEIC picture."


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

"""Uploads of document 002 from request to command to answer, over ports in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from infra.kafka.ports import NotAppended
from schemas import refusals as no
from schemas.commands import Envelope
from schemas.replies import (
    AnyAnswer,
    Refused,
)
from schemas.wire import spike_land as wire
from tests.http.fakes import Side, stored_keys
from tests.http.spike_side import (
    ACCOUNT,
    ALBUM,
    batch,
    commands,
    make_spike,
    plays_along,
    told,
    upload,
    wrong,
)
from tests.http.test_writes import picture


@pytest.fixture
async def side(tmp_path: Path) -> AsyncIterator[Side]:
    made = make_spike(tmp_path)
    async with made.http:
        yield made


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
async def test_an_uploaded_image_is_shown_as_the_document_says(side: Side, kind: str) -> None:
    content = picture(kind)
    image = told(await upload(side, content), wire.UploadAnswer)["image"]
    (command,) = commands(side)
    assert image["id"] == "img_" + command.asset.removeprefix("asset_")
    assert image.pop("url").startswith(f"http://darkroom.test/v1/media/{ACCOUNT}/{command.asset}?expires=")
    assert image == {
        "id": image["id"],
        "name": "photo.jpg",
        "width": 80,
        "height": 60,
        "size": len(content),
        "format": kind,
        "isPublic": False,
        "viewCount": 0,
        "createdAt": "2027-01-15T07:58:59Z",
    }
    assert command.album is None
    assert command.object.key == f"{ACCOUNT}/{command.asset}"
    assert await side.objects.get(command.object.key, command.object.sha256) == content


async def test_an_upload_goes_into_its_album(side: Side) -> None:
    assert (await upload(side, data={"albumId": ALBUM})).status_code == 200
    assert (await upload(side, data={"albumId": ""})).status_code == 200
    assert [command.album for command in commands(side)] == [ALBUM, None]


async def test_a_strange_album_is_not_found_and_keeps_nothing(side: Side) -> None:
    side.decider.script = lambda _: [Refused(no.AlbumUnknown(ALBUM))]
    for album in (ALBUM, "album_123abc", "x" * 200):
        answer = wrong(await upload(side, data={"albumId": album}), 404, "NOT_FOUND")
        assert answer["error"] == "Album not found"
    assert stored_keys(side.objects) == []


@pytest.mark.parametrize(
    ("content", "code", "error"),
    [
        (bytes(10 << 20), "INVALID_INPUT", "File type is not supported"),
        (picture("JPEG") + bytes(10 << 20), "FILE_TOO_LARGE", "File exceeds maximum size of 10MB"),
        (b"", "INVALID_INPUT", "The file is empty"),
        (b"GIF89a" + bytes(99), "INVALID_INPUT", "File type is not supported"),
        (picture("JPEG")[:20], "INVALID_INPUT", "File cannot be read as an image"),
    ],
)
async def test_a_file_that_cannot_be_taken_says_why(side: Side, content: bytes, code: str, error: str) -> None:
    answer = wrong(await upload(side, content), 400, code)
    assert (answer["error"], answer["title"]) == (error, "Invalid File")
    assert stored_keys(side.objects) == []
    assert commands(side) == []


async def test_a_form_without_its_file_says_what_is_needed(side: Side) -> None:
    needed = "Please provide one JPEG, PNG, WebP or HEIC image in the field file"
    other = {"picture": ("a.jpg", picture())}
    answers = [
        await side.http.post("/api/images/upload", files=other),
        await side.http.post(
            "/api/images/upload", files=[("file", ("a.png", picture())), ("file", ("b.png", picture()))]
        ),
        await side.http.post(
            "/api/images/upload", content=b"--x\r\n", headers={"Content-Type": "multipart/form-data; boundary=x"}
        ),
    ]
    for answer in answers:
        assert wrong(answer, 400, "INVALID_INPUT")["suggestion"] == needed
    for answer in (await side.http.post("/api/images/upload"), await side.http.post("/api/images/upload", json={})):
        wrong(answer, 400, "INVALID_INPUT")
    assert stored_keys(side.objects) == []


async def test_ten_megabytes_are_taken_and_a_byte_more_is_not(side: Side) -> None:
    content = picture("JPEG")
    assert (await upload(side, content + bytes((10 << 20) - len(content)))).status_code == 200
    wrong(await upload(side, content + bytes((10 << 20) - len(content) + 1)), 400, "FILE_TOO_LARGE")


async def test_an_upload_whose_decision_is_late_is_shown_all_the_same(side: Side) -> None:
    side.decider.script = lambda _: []
    image = told(await upload(side), wire.UploadAnswer, 202)["image"]
    assert image["createdAt"] == "2027-01-15T08:00:00Z"


async def test_each_file_of_a_batch_has_its_result_in_order(side: Side) -> None:
    large = picture("JPEG") + bytes(10 << 20)
    answer = told(
        await batch(
            side, ("a.jpg", picture("JPEG")), ("large.jpg", large), ("b.txt", b"text" * 9), ("c.png", picture())
        ),
        wire.BatchAnswer,
    )
    first, *failed, last = answer["results"]
    assert answer["summary"] == {"total": 4, "successful": 2, "failed": 2}
    assert (first["success"], first["filename"], first["format"], first["width"]) == (True, "a.jpg", "JPEG", 80)
    assert (last["success"], last["filename"], last["format"]) == (True, "c.png", "PNG")
    assert failed == [
        {
            "success": False,
            "filename": "large.jpg",
            "error": "File exceeds maximum size of 10MB",
            "errorType": "validation",
        },
        {"success": False, "filename": "b.txt", "error": "File type is not supported", "errorType": "validation"},
    ]
    made = commands(side)
    assert [f"img_{command.asset[6:]}" for command in made] == [first["imageId"], last["imageId"]]
    assert stored_keys(side.objects) == sorted(command.object.key for command in made)


async def test_a_batch_of_nothing_but_failures_is_answered_too(side: Side) -> None:
    answer = told(await batch(side, ("a.txt", b"text" * 9)), wire.BatchAnswer)
    assert answer["summary"] == {"total": 1, "successful": 0, "failed": 1}


async def test_twenty_files_are_taken_and_one_more_is_not(side: Side) -> None:
    files = [(f"{number}.png", picture()) for number in range(21)]
    assert told(await batch(side, *files[:20]), wire.BatchAnswer)["summary"]["successful"] == 20
    before = stored_keys(side.objects)
    answer = wrong(await batch(side, *files), 400, "INVALID_INPUT")
    assert answer["suggestion"] == "Please provide 1 to 20 JPEG, PNG, WebP or HEIC images in the field files"
    assert stored_keys(side.objects) == before
    wrong(await side.http.post("/api/images/batch-upload", files={"file": ("a.png", picture())}), 400, "INVALID_INPUT")


def filled(size: int) -> bytes:
    content = picture("JPEG")
    return content + bytes(size - len(content))


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_fifty_megabytes_together_are_taken_and_more_is_not(side: Side, is_chunked: bool) -> None:
    five = [(f"{number}.jpg", filled(10 << 20)) for number in range(5)]
    if not is_chunked:
        assert told(await batch(side, *five), wire.BatchAnswer)["summary"]["successful"] == 5
    before = stored_keys(side.objects)
    for more in (picture(), filled(9 << 20)):
        request = side.http.build_request(
            "POST", "/api/images/batch-upload", files=[("files", file) for file in (*five, ("more.jpg", more))]
        )
        content = request.read()
        if is_chunked:
            kind = request.headers["content-type"]
            pieces = _pieces(content)
            request = side.http.build_request("POST", request.url, content=pieces, headers={"Content-Type": kind})
        answer = wrong(await side.http.send(request), 400, "FILE_TOO_LARGE")
        assert answer["error"] == "Batch exceeds maximum size of 50MB"
        assert stored_keys(side.objects) == before


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(content), 1 << 20):
        yield content[at : at + (1 << 20)]


async def test_a_batch_that_the_log_takes_in_part_keeps_that_part(side: Side) -> None:
    def falls_silent(envelope: Envelope) -> Sequence[AnyAnswer]:
        side.decider.fault = NotAppended("away")
        return plays_along(envelope)

    side.decider.script = falls_silent
    files = [(f"{number}.png", picture()) for number in range(3)]
    answer = told(await batch(side, *files), wire.BatchAnswer)
    assert [one["success"] for one in answer["results"]] == [True, False, False]
    assert {one.get("errorType") for one in answer["results"][1:]} == {"database"}
    assert answer["results"][1]["error"] == "Upload processing failed"
    assert stored_keys(side.objects) == [commands(side)[0].object.key]
    side.decider.fault = NotAppended("away")
    wrong(await batch(side, *files), 503, "INTERNAL_ERROR")
    assert stored_keys(side.objects) == [commands(side)[0].object.key]


async def test_the_files_of_a_batch_are_known_again_by_its_key(side: Side) -> None:
    files = [(f"{number}.png", picture()) for number in range(2)]
    for sent in (files, files, files[:1], [*files[:1], ("other.png", files[1][1])]):
        assert (await batch(side, *sent, Idempotency_Key="k")).status_code == 200
    keys = [envelope.idempotency for envelope in side.decider.envelopes]
    assert keys[:2] == keys[2:4]
    assert keys[0] is not None
    assert keys[1] is not None
    assert keys[0].key != keys[1].key
    changed = {key.fingerprint for key in keys[4:] if key is not None}
    assert len(changed) == 2
    assert not changed & {key.fingerprint for key in keys[:4] if key is not None}

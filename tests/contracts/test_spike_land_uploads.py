"""Document 002 on the running stack: images uploaded, one and many at a time."""

from __future__ import annotations

import io
from collections.abc import Callable

import httpx
import pillow_heif
import pytest

from schemas.wire import spike_land as wire
from tests.contracts.spike_land_client import (
    COOKIE,
    MEBIBYTE,
    PICTURE,
    SOME_ALBUM,
    Clients,
    SpikeUser,
    filled,
    told,
    wrong,
)
from tests.pictures import encoded, scene
from tests.stack import Stack

UPLOAD, BATCH = "POST /api/images/upload", "POST /api/images/batch-upload"
TEXT = b"no picture at all"


@pytest.fixture
def user(stack: Stack, http: Clients) -> SpikeUser:
    return SpikeUser(stack, http)


def heic() -> bytes:
    target = io.BytesIO()
    pillow_heif.from_pillow(scene(64, 48)).save(target, quality=80)
    return target.getvalue()


FORMATS: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: PICTURE,
    "PNG": lambda: encoded(scene(64, 48), "PNG"),
    "WEBP": lambda: encoded(scene(64, 48), "WEBP"),
    "HEIC": heic,
}


@pytest.mark.contract("002", UPLOAD, "Success Response (200)")
@pytest.mark.parametrize("form", FORMATS)
async def test_an_image_of_each_format_is_taken(user: SpikeUser, form: str) -> None:
    content = FORMATS[form]()
    answer = await user.upload(content, f"photo.{form.lower()}")
    image = told(answer, wire.UploadAnswer)["image"]
    assert (image["name"], image["format"], image["size"]) == (f"photo.{form.lower()}", form, len(content))
    assert (image["width"], image["height"], image["isPublic"], image["viewCount"]) == (64, 48, False, 0)
    async with httpx.AsyncClient() as anybody:
        bytes_ = await anybody.get(image["url"])
        assert (bytes_.status_code, bytes_.content) == (200, content)
        assert (await anybody.get(image["url"].partition("?")[0])).status_code == 400
    shown = await user.shown(image["id"])
    assert {name: shown[name] for name in image} == image


@pytest.mark.contract("002", UPLOAD, "Upload Single Image")
async def test_an_upload_goes_into_its_album(user: SpikeUser) -> None:
    album = await user.album()
    image = told(await user.upload(albumId=album), wire.UploadAnswer)["image"]
    assert await user.in_album(album) == {image["id"]}


@pytest.mark.contract("002", UPLOAD, "Error Codes")
async def test_a_strange_album_is_not_found(user: SpikeUser, stack: Stack, http: Clients) -> None:
    strange = await SpikeUser(stack, http).album()
    for album in (strange, SOME_ALBUM, "album_123abc"):
        assert wrong(await user.upload(albumId=album), 404, "NOT_FOUND")["error"] == "Album not found"


@pytest.mark.contract("002", UPLOAD, "Error Response (400)")
async def test_a_file_of_more_than_ten_megabytes_is_refused_in_these_words(user: SpikeUser) -> None:
    for size in (10 * MEBIBYTE + 1, 15 * MEBIBYTE):
        assert wrong(await user.upload(filled(size)), 400, "FILE_TOO_LARGE") == {
            "error": "File exceeds maximum size of 10MB",
            "title": "Invalid File",
            "suggestion": "Please upload a file smaller than 10MB",
            "code": "FILE_TOO_LARGE",
        }
    assert (await user.upload(filled(10 * MEBIBYTE))).status_code == 200


@pytest.mark.contract("002", UPLOAD, "Validation Error (400)")
@pytest.mark.parametrize("content", [TEXT, b"", b"%PDF-1.7" + bytes(99), PICTURE[:30]])
async def test_what_is_no_picture_is_refused(user: SpikeUser, content: bytes) -> None:
    assert wrong(await user.upload(content), 400, "INVALID_INPUT")["title"] == "Invalid File"


@pytest.mark.contract("002", UPLOAD, "Validation Error (400)")
async def test_a_form_without_a_file_is_refused(user: SpikeUser) -> None:
    for files in ({"picture": ("a.jpg", PICTURE)}, {"file": ("", b"")}):
        wrong(await user.http.post("/api/images/upload", files=files), 400, "INVALID_INPUT")
    wrong(await user.http.post("/api/images/upload", json={}), 400, "INVALID_INPUT")


@pytest.mark.contract("002", UPLOAD, "Session Cookie (Default)")
async def test_the_cookie_is_enough_and_pages_elsewhere_are_not(user: SpikeUser, stack: Stack) -> None:
    files = {"file": ("photo.jpg", PICTURE)}
    assert (await user.cookie.post("/api/images/upload", files=files)).status_code == 200
    own = {"Origin": stack.url, "Sec-Fetch-Site": "same-origin"}
    assert (await user.cookie.post("/api/images/upload", files=files, headers=own)).status_code == 200
    for headers in ({"Origin": "https://elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}):
        wrong(await user.cookie.post("/api/images/upload", files=files, headers=headers), 403, "FORBIDDEN")


@pytest.mark.contract("002", UPLOAD, "Unauthorized (401)")
async def test_without_a_session_nothing_is_taken(stack: Stack, http: Clients) -> None:
    files, other = {"file": ("photo.jpg", PICTURE)}, stack.token("ada")
    for headers in ({}, {"Authorization": f"Bearer {other}"}, {"Cookie": f"{COOKIE}={other}"}):
        answer = await http().post("/api/images/upload", files=files, headers=headers)
        assert wrong(answer, 401, "UNAUTHORIZED") == {
            "error": "You must be logged in to access this resource",
            "title": "Authentication Required",
            "suggestion": "Please log in and try again",
            "code": "UNAUTHORIZED",
        }


@pytest.mark.contract("002", UPLOAD, "Idempotency")
async def test_an_upload_under_a_key_is_one_image(user: SpikeUser) -> None:
    async def sent(content: bytes) -> httpx.Response:
        files, headers = {"file": ("photo.jpg", content)}, {"Idempotency-Key": "order-1"}
        return await user.http.post("/api/images/upload", files=files, headers=headers)

    first, again = await sent(PICTURE), await sent(PICTURE)
    assert told(first, wire.UploadAnswer) == told(again, wire.UploadAnswer)
    wrong(await sent(encoded(scene(20, 20))), 409, "INVALID_INPUT")


@pytest.mark.contract("002", BATCH, "Success Response (200)")
async def test_each_file_has_its_result_in_order_and_some_may_fail(user: SpikeUser) -> None:
    files = [
        ("photo1.jpg", PICTURE),
        ("toolarge.jpg", filled(10 * MEBIBYTE + 1)),
        ("photo2.png", FORMATS["PNG"]()),
        ("notes.txt", TEXT),
        ("photo3.heic", FORMATS["HEIC"]()),
    ]
    answer = told(await user.batch(*files), wire.BatchAnswer)
    assert answer["summary"] == {"total": 5, "successful": 3, "failed": 2}
    assert [one["filename"] for one in answer["results"]] == [name for name, _ in files]
    assert [one["success"] for one in answer["results"]] == [True, False, True, False, True]
    assert answer["results"][1] == {
        "success": False,
        "filename": "toolarge.jpg",
        "error": "File exceeds maximum size of 10MB",
        "errorType": "validation",
    }
    assert answer["results"][3]["error"] == "File type is not supported"
    for (name, content), one in zip(files, answer["results"], strict=True):
        if one["success"]:
            image = await user.shown(one["imageId"])
            assert (image["name"], image["size"], image["format"]) == (name, len(content), one["format"])
            assert (await user.http.get(one["url"])).content == content


@pytest.mark.contract("002", BATCH, "Constraints")
async def test_at_most_twenty_files(user: SpikeUser) -> None:
    files = [(f"{number}.jpg", PICTURE) for number in range(21)]
    assert told(await user.batch(*files[:20]), wire.BatchAnswer)["summary"]["successful"] == 20
    answer = wrong(await user.batch(*files), 400, "INVALID_INPUT")
    assert "1 to 20" in answer["suggestion"]
    wrong(await user.batch(), 400, "INVALID_INPUT")
    assert len((await user.native("GET", "/v1/assets?limit=100"))["data"]) == 20
    account = (await user.native("GET", "/v1/account"))["account"]
    assert len(user.objects(account)) == 20


@pytest.mark.contract("002", BATCH, "Constraints")
async def test_at_most_fifty_megabytes_together(user: SpikeUser) -> None:
    five = [(f"{number}.jpg", filled(10 * MEBIBYTE)) for number in range(5)]
    answer = wrong(await user.batch(*five, ("more.jpg", PICTURE)), 400, "FILE_TOO_LARGE")
    assert answer["error"] == "Batch exceeds maximum size of 50MB"
    account = (await user.native("GET", "/v1/account"))["account"]
    assert user.objects(account) == []
    two = (await user.batch(*five[:2])).json()
    assert two["summary"] == {"total": 2, "successful": 2, "failed": 0}


@pytest.mark.contract("002", BATCH, "Idempotency")
async def test_a_batch_under_a_key_makes_its_images_once(user: SpikeUser) -> None:
    async def sent(*names: str) -> httpx.Response:
        files = [("files", (name, PICTURE)) for name in names]
        return await user.http.post("/api/images/batch-upload", files=files, headers={"Idempotency-Key": "k"})

    first, again = await sent("a.jpg", "b.jpg"), await sent("a.jpg", "b.jpg")
    assert told(first, wire.BatchAnswer) == told(again, wire.BatchAnswer)
    wrong(await sent("a.jpg"), 409, "INVALID_INPUT")
    assert len((await user.native("GET", "/v1/assets"))["data"]) == 2


@pytest.mark.contract("002", BATCH, "Unauthorized (401)")
async def test_without_a_session_no_batch_is_taken(http: Clients) -> None:
    answer = await http().post("/api/images/batch-upload", files=[("files", ("a.jpg", PICTURE))])
    wrong(answer, 401, "UNAUTHORIZED")

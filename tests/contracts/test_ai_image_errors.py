"""Document 000: everything that a client can do wrong, and that nothing of it is charged, against the running stack."""

from __future__ import annotations

import asyncio
import datetime
import io
import uuid
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.contracts.ai_image_client import PICTURE, PRODUCT, ROOT, Clients, Owner, data, error, fresh_picture
from tests.stack import Stack

ENDPOINT = "POST /api/ai-image/generate"
VALIDATION = "Validierungsfehler (400)"


@pytest.fixture
def ada(stack: Stack, http: Clients) -> Owner:
    """A user whom nobody knows yet."""
    return Owner(stack, http)


@pytest.fixture
def guest(stack: Stack, http: Clients) -> Owner:
    """A guest whom nobody knows yet."""
    return Owner(stack, http, guest=uuid.uuid4().hex)


async def unchanged(owner: Owner) -> bool:
    """Whether the owner has used nothing and no picture of a refused request is left."""
    assets = (await owner.client.get("/v1/assets")).json()["data"] if owner.client.headers.get("authorization") else []
    return (await owner.usage())["usage"]["used"] == 0 and (await owner.jobs())["total"] == 0 and assets == []


@pytest.mark.contract("000", ENDPOINT, VALIDATION)
async def test_the_picture_is_required_in_the_documents_words(ada: Owner) -> None:
    answer = await ada.form(("model", (None, "real-esrgan")), ("scale", (None, "4")))
    assert answer.json() == {
        "success": False,
        "error": {"type": "validation_error", "message": "Bilddatei (field 'image') ist erforderlich"},
    }
    assert answer.status_code == 400
    assert await unchanged(ada)


FIELDS: list[tuple[str, dict[str, Any], str]] = [
    ("", {}, "'model'"),
    ("midjourney", {}, "Unsupported model"),
    ("classical/upscale", {}, "Unsupported model"),
    ("real-esrgan", {"scale": "3"}, "'scale'"),
    ("real-esrgan", {"scale": "8"}, "'scale'"),
    ("gfpgan", {"scale": "2"}, "'scale'"),
    ("sdxl-img2img", {"scale": "2"}, "'scale'"),
    ("gfpgan", {"face_enhance": "ja"}, "'face_enhance'"),
    ("real-esrgan", {"face_enhance": "true"}, "'face_enhance'"),
    ("sd15-img2img", {"face_enhance": "false"}, "'face_enhance'"),
    ("sdxl-img2img", {"prompt": "p" * 4001}, "'prompt'"),
    ("sdxl-img2img", {"negative_prompt": "a\0b"}, "'negative_prompt'"),
]
RANGES: list[tuple[str, dict[str, Any], str]] = [
    (model, {field: value}, f"'{field}'")
    for model in ("sdxl-img2img", "codeformer")  # checked, whether the model takes it or not
    for field, values in (
        ("strength", ("-0.1", "1.1", "stark")),
        ("guidance", ("0.9", "20.1", "nan")),
        ("steps", ("9", "51", "12.5")),
    )
    for value in values
]


@pytest.mark.contract("000", ENDPOINT, VALIDATION)
@pytest.mark.parametrize("cases", [FIELDS[:6], FIELDS[6:], RANGES[:9], RANGES[9:]], ids=["a", "b", "c", "d"])
async def test_every_field_is_checked_and_named(ada: Owner, cases: list[tuple[str, dict[str, Any], str]]) -> None:
    for model, fields, named in cases:
        message = error(await ada.generate(model, **fields), 400, "validation_error")["message"]
        assert named in message, (model, fields, message)
    assert await unchanged(ada)


def painted(form: str, size: tuple[int, int] = (40, 30)) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", size, 90).save(buffer, form)
    return buffer.getvalue()


FILES: list[tuple[Any, str]] = [
    (painted("GIF"), "nur JPEG, PNG und WebP"),
    (painted("BMP"), "nur JPEG, PNG und WebP"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "nur JPEG, PNG und WebP"),
    (PICTURE[:60], "beschädigt oder nicht lesbar"),
    (b"", "nicht leere Datei"),
    (PICTURE + b"\0" * ((10 << 20) - len(PICTURE) + 1), "höchstens 10 MB"),
    (PICTURE + b"\0" * (12 << 20), "höchstens 10 MB"),
    (painted("PNG", (8001, 8000)), "höchstens 64 Megapixel"),
]


@pytest.mark.contract("000", ENDPOINT, "Input-Validierung")
async def test_files_that_are_not_taken(ada: Owner) -> None:
    for content, words in FILES:
        message = error(await ada.generate(image=content), 400, "validation_error")["message"]
        assert words in message
        assert "'image'" in message
    assert await unchanged(ada)


@pytest.mark.contract("000", ENDPOINT, "Input-Validierung")
async def test_ten_megabytes_exactly_are_taken(ada: Owner) -> None:
    whole = PICTURE + b"\0" * ((10 << 20) - len(PICTURE))
    told = data(await ada.generate(image=whole))
    assert (await ada.job(told["jobId"]))["inputSize"] == 10 << 20


@pytest.mark.contract("000", ENDPOINT, "Input-Validierung")
async def test_a_result_that_would_be_too_large_is_refused_before_it_is_charged(ada: Owner) -> None:
    large = painted("PNG", (4100, 4000))
    assert "'scale'" in error(await ada.generate(image=large, scale="4"), 400, "validation_error")["message"]
    assert await unchanged(ada)


@pytest.mark.contract("000", ENDPOINT, "Input-Validierung")
async def test_a_picture_whose_pixels_cannot_be_decoded_is_refused_and_nothing_is_charged(ada: Owner) -> None:
    torn = fresh_picture(5, 600, 400)
    found = error(await ada.generate(image=torn[: len(torn) // 3]), 400, "validation_error")
    assert "beschädigt" in found["message"]
    failed = await ada.job(found["details"]["jobId"])
    assert (failed["status"], failed["errorMessage"], failed["imageUrl"]) == ("failed", found["message"], None)
    assert (await ada.usage())["usage"]["used"] == 0


@pytest.mark.contract("000", ENDPOINT, VALIDATION)
async def test_bodies_that_are_no_form(ada: Owner) -> None:
    for content, kind in (
        (b"{}", "application/json"),
        (b"--x", "multipart/form-data"),
        (b"--x\r\n", "multipart/form-data; boundary=x"),
    ):
        answer = await ada.client.post(f"{ROOT}/generate", content=content, headers={"Content-Type": kind})
        assert "multipart/form-data" in error(answer, 400, "validation_error")["message"]
    twice = [("image", ("a.jpg", PICTURE)), ("image", ("b.jpg", PICTURE)), ("model", (None, "real-esrgan"))]
    assert "'image'" in error(await ada.form(*twice), 400, "validation_error")["message"]
    assert await unchanged(ada)


@pytest.mark.contract("000", ENDPOINT, "Quota überschritten (403)")
async def test_a_guest_has_three_a_day(guest: Owner) -> None:
    told = [data(await guest.generate(image=fresh_picture(seed)))["usage"] for seed in range(3)]
    tomorrow = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=1)
    assert [usage["used"] for usage in told] == [1, 2, 3]
    assert [usage["resetAt"] for usage in told] == [None, None, f"{tomorrow}T00:00:00.000Z"]
    answer = await guest.generate(image=fresh_picture(9))
    assert error(answer, 403, "forbidden") == {
        "type": "forbidden",
        "message": "Kostenloses Nutzungslimit erreicht",
        "details": {"used": 3, "limit": 3, "resetAt": f"{tomorrow}T00:00:00.000Z"},
    }
    assert (await guest.usage())["usage"] == {"used": 3, "limit": 3, "resetAt": f"{tomorrow}T00:00:00.000Z"}
    assert (await guest.jobs())["total"] == 3
    assert data(await guest.generate(image=fresh_picture(0)))["charge"]["type"] == "reused", "that costs nothing"


@pytest.mark.contract("000", ENDPOINT, "Quota überschritten (403)")
async def test_a_user_has_twenty_a_day_and_no_picture_of_a_refused_job_is_left(ada: Owner) -> None:
    await ada.use_up(20)
    details = error(await ada.generate(), 403, "forbidden")["details"]
    assert (details["used"], details["limit"]) == (20, 20)
    assert details["resetAt"].endswith("T00:00:00.000Z")
    async with asyncio.timeout(60):
        while (await ada.get("/v1/assets", kind="input")).json()["data"]:
            await asyncio.sleep(0.1)


@pytest.mark.contract("000", ENDPOINT, "Quota überschritten (403)")
async def test_a_key_is_free_again_after_a_refusal(stack: Stack, http: Clients, ada: Owner) -> None:
    await ada.use_up(19)
    slow = await ada.native("sandbox/slow", seconds=20)
    key = {"Idempotency-Key": "k"}
    error(await ada.generate(headers=key), 403, "forbidden")
    assert (await ada.cancel(slow)).status_code == 200
    assert data(await ada.generate(headers=key))["usage"]["used"] == 20


@pytest.mark.contract("000", ENDPOINT, "Kostenlose Limits: Gesichtsverbesserung")
async def test_face_restoration_is_not_for_guests(guest: Owner) -> None:
    for answer in (
        await guest.generate("gfpgan"),
        await guest.generate("codeformer", face_enhance="false"),
        await guest.generate("codeformer", face_enhance="true"),
    ):
        found = error(answer, 403, "forbidden")
        assert found["message"] == "Gesichtsverbesserung ist im Tarif nicht enthalten"
    assert (await guest.usage())["usage"]["used"] == 0


@pytest.mark.contract("000", ENDPOINT, "Rate-Limiting")
async def test_fifteen_a_minute_apart_for_each_owner(stack: Stack, http: Clients, ada: Owner, guest: Owner) -> None:
    for number in range(15):
        answer = await ada.form(("model", (None, "real-esrgan")))
        assert answer.status_code == 400
        assert answer.headers["ratelimit-remaining"] == str(14 - number)
    answer = await ada.generate()
    found = error(answer, 429, "rate_limited")
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert answer.headers["retry-after"] in found["message"]
    assert answer.headers["ratelimit-limit"] == "15"
    assert (await ada.usage())["usage"]["used"] == 0
    for other in (Owner(stack, http), guest):
        assert (await other.form(("model", (None, "real-esrgan")))).status_code == 400


@pytest.mark.contract("000", ENDPOINT, "Rate-Limiting: Owner-spezifisch")
async def test_guests_of_one_address_share_a_quota_a_day(stack: Stack, http: Clients) -> None:
    client = http(X_CSRF_Token="1", Origin=stack.url)
    answers = []
    for number in range(31):
        cookies = {"Cookie": f"guest_id=g{number}-{uuid.uuid4()}; csrf_token=1"}
        answers.append(await client.post(f"{ROOT}/generate", files={"model": (None, "")}, headers=cookies))
    assert {answer.status_code for answer in answers[:30]} == {400}
    found = error(answers[30], 403, "forbidden")
    assert found["message"] == "Kostenloses Nutzungslimit erreicht"
    assert (found["details"]["used"], found["details"]["limit"]) == (30, 30)


FORGED: list[tuple[dict[str, str], str]] = [
    ({"Cookie": "guest_id=abc; csrf_token=123"}, "CSRF-Prüfung"),
    ({"Cookie": "guest_id=abc; csrf_token=123", "X-CSRF-Token": "124"}, "CSRF-Prüfung"),
    ({"Cookie": "guest_id=abc", "X-CSRF-Token": "123"}, "CSRF-Prüfung"),
    ({"Cookie": "csrf_token=123", "X-CSRF-Token": "123", "Origin": "https://evil.example"}, "fremden Origin"),
    ({"Cookie": "csrf_token=123", "X-CSRF-Token": "123", "Origin": "null"}, "fremden Origin"),
]


@pytest.mark.contract("000", ENDPOINT, "Sicherheit: Origin-Checks (CSRF-Schutz)")
async def test_a_change_that_may_come_from_elsewhere_is_refused(stack: Stack, http: Clients) -> None:
    token = {"Authorization": f"Bearer {stack.token('ada', product=PRODUCT)}"}
    for path in ("generate", "jobs/job_x/cancel"):
        for headers, words in FORGED:
            for more in ({}, token):
                answer = await http(**headers, **more).post(f"{ROOT}/{path}")
                assert words in error(answer, 403, "forbidden")["message"]
    bare = await http(**token, Origin="https://elsewhere.example").post(f"{ROOT}/generate")
    assert bare.status_code == 400, "a token is sent by nobody unasked"


@pytest.mark.contract("000", ENDPOINT, "Authentifizierung")
async def test_a_token_that_does_not_count_is_told_so(stack: Stack, http: Clients) -> None:
    tokens = ["unsinn", stack.token("ada", product="studio"), stack.token("ada", product=PRODUCT, ttl_s=-3600)]
    for token in tokens:
        client = http(Authorization=f"Bearer {token}")
        for answer in (await client.get(f"{ROOT}/usage"), await client.post(f"{ROOT}/generate")):
            error(answer, 401, "unauthorized")


@pytest.mark.contract("000", ENDPOINT, "Sicherheit: Secure-Headers")
async def test_every_answer_has_the_security_headers(ada: Owner, http: Clients) -> None:
    answers: list[httpx.Response] = [
        await ada.generate(),
        await ada.generate("x"),
        await ada.client.get(f"{ROOT}/usage"),
        await ada.client.get(f"{ROOT}/jobs"),
        await ada.client.get(f"{ROOT}/jobs/job_x"),
        await ada.client.get(f"{ROOT}/nothing"),
        await http(Authorization="Bearer x").get(f"{ROOT}/usage"),
    ]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert "permissions-policy" in answer.headers


@pytest.mark.contract("000", ENDPOINT, "Error-Handling: Strukturierte Fehler")
async def test_what_is_not_there_is_told_in_the_documents_shape(ada: Owner) -> None:
    error(await ada.client.get(f"{ROOT}/nothing"), 404, "not_found")
    answer = await ada.client.get(f"{ROOT}/generate")
    error(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"

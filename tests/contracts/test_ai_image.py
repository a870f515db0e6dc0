"""Document 000: pictures enhanced for users and guests, against the running stack."""

from __future__ import annotations

import asyncio
import datetime
import uuid
from typing import Any

import pytest

from infra.triton.connection import Connection
from schemas.wire import ai_image as wire
from tests.contracts.ai_image_client import Clients, Owner, bytes_of, data, error, fresh_picture, opened
from tests.pictures import encoded, scene
from tests.stack import Stack

ENDPOINT = "POST /api/ai-image/generate"
MODELS: list[tuple[str, dict[str, Any], tuple[int, int]]] = [
    ("real-esrgan", {}, (128, 96)),
    ("real-esrgan", {"scale": "2"}, (128, 96)),
    ("real-esrgan", {"scale": "4"}, (256, 192)),
    (
        "real-esrgan",
        {"prompt": "x", "negative_prompt": "y", "strength": "1", "guidance": "1", "steps": "10"},
        (128, 96),
    ),
    ("gfpgan", {}, (64, 48)),
    ("gfpgan", {"face_enhance": "true"}, (64, 48)),
    ("codeformer", {"face_enhance": "false", "prompt": "schönes porträt", "strength": "0.8"}, (64, 48)),
    ("sd15-img2img", {}, (64, 48)),
    ("sd15-img2img", {"prompt": "ölgemälde", "strength": "0.0", "guidance": "1.0", "steps": "10"}, (64, 48)),
    (
        "sdxl-img2img",
        {"prompt": "öl", "negative_prompt": "", "strength": "1", "guidance": "20.0", "steps": "50"},
        (64, 48),
    ),
]


@pytest.fixture
def ada(stack: Stack, http: Clients) -> Owner:
    """A user whom nobody knows yet."""
    return Owner(stack, http)


@pytest.fixture
def guest(stack: Stack, http: Clients) -> Owner:
    """A guest whom nobody knows yet."""
    return Owner(stack, http, guest=uuid.uuid4().hex)


@pytest.mark.contract("000", ENDPOINT, "Success Response (200)")
async def test_the_answer_of_a_user_has_every_field_of_the_document(ada: Owner) -> None:
    answer = await ada.generate(scale="4")
    told = data(answer)
    assert list(told) == [
        *("jobId", "model", "imageUrl", "originalUrl", "usage", "limits", "entitlements", "charge"),
    ]
    assert told["jobId"].startswith("job_")
    assert told["model"] == "real-esrgan"
    assert told["usage"] == {"used": 1, "limit": 20, "resetAt": None}
    assert told["limits"] == {"user": 20, "guest": 3}
    assert told["entitlements"] == {"dailyBurstCap": 20, "monthlyImages": 100, "maxUpscale": 4, "faceEnhance": True}
    assert told["charge"] == {"type": "free", "amount": 0}
    assert answer.headers["x-usage-ownertype"] == "user"
    picture = await bytes_of(told["imageUrl"])
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/webp")
    assert opened(picture.content).size == (256, 192)


@pytest.mark.contract("000", ENDPOINT, "Success Response (200)")
async def test_without_a_preference_the_answer_waits_for_the_picture(ada: Owner) -> None:
    answer = await ada.generate("gfpgan", headers={"Prefer": "handling=lenient"})
    if answer.status_code == 202:  # a machine so busy that 30 s were not enough
        await ada.until(data(answer, wire.PendingAnswer, 202)["jobId"], "succeeded")
    else:
        assert data(answer)["imageUrl"]


@pytest.mark.contract("000", ENDPOINT, "Request Format")
async def test_every_model_with_its_fields_at_their_bounds(ada: Owner) -> None:
    for number, (model, fields, size) in enumerate(MODELS):
        told = data(await ada.generate(model, fresh_picture(number), **fields))
        assert (told["model"], told["usage"]["used"]) == (model, number + 1)
        picture = opened((await bytes_of(told["imageUrl"])).content)
        assert (picture.format, picture.size) == ("WEBP", size)


@pytest.mark.contract("000", ENDPOINT, "Request Format")
@pytest.mark.parametrize("form", ["PNG", "WEBP"])
async def test_png_and_webp_are_taken_too(ada: Owner, form: str) -> None:
    assert data(await ada.generate(image=encoded(scene(40, 30), form)))["imageUrl"]


@pytest.mark.contract("000", ENDPOINT, "Request Format")
async def test_numbers_and_texts_reach_the_model(ada: Owner) -> None:
    fields: dict[str, Any] = {
        "prompt": "watercolor",
        "negative_prompt": "oil",
        "strength": "0.35",
        "guidance": "7.5",
        "steps": "12",
    }
    told = data(await ada.generate("sdxl-img2img", **fields))
    params = (await ada.core(told["jobId"]))["params"]
    assert params == {**fields, "strength": 35, "guidance": 75, "steps": 12}


@pytest.mark.contract("000", ENDPOINT, "Success Response (200)")
async def test_who_comes_without_anything_becomes_a_guest_and_stays_it_by_the_cookie(
    stack: Stack, http: Clients
) -> None:
    files = {"image": ("a.jpg", fresh_picture())}
    client = http(Prefer="wait=80")
    answer = await client.post("/api/ai-image/generate", data={"model": "real-esrgan"}, files=files)
    told = data(answer)
    assert answer.headers["x-usage-ownertype"] == "guest"
    assert told["usage"] == {"used": 1, "limit": 3, "resetAt": None}
    assert told["entitlements"] == {"dailyBurstCap": 3, "monthlyImages": None, "maxUpscale": 4, "faceEnhance": False}
    assert client.cookies["guest_id"]
    shown = (await client.get("/api/ai-image/jobs")).json()["data"]  # the jar sends the cookies back
    assert [job["id"] for job in shown["jobs"]] == [told["jobId"]]
    again = Owner(stack, http, guest=client.cookies["guest_id"])
    assert (await again.usage())["usage"]["used"] == 1


@pytest.mark.contract("000", ENDPOINT, "Datenschutz (GDPR): Keine Speicherung")
async def test_the_original_is_gone_when_its_job_has_ended_and_its_link_says_so(ada: Owner) -> None:
    told = data(await ada.generate())
    gone = await bytes_of(told["originalUrl"])
    assert gone.status_code == 410
    assert (await ada.job(told["jobId"]))["originalUrl"].split("?")[0] == told["originalUrl"].split("?")[0]


@pytest.mark.contract("000", ENDPOINT, "Datenschutz (GDPR): Aufbewahrung")
async def test_a_result_is_kept_for_thirty_days(ada: Owner) -> None:
    told = data(await ada.generate())
    result = (await ada.core(told["jobId"]))["result"]["asset"]
    asset = (await ada.client.get(f"/v1/assets/{result}", headers={"Accept": "application/json"})).json()
    kept = datetime.datetime.fromisoformat(asset["expires_at"]) - datetime.datetime.fromisoformat(asset["created_at"])
    assert kept == datetime.timedelta(days=30)


@pytest.mark.contract("000", ENDPOINT, "Sicherheit")
async def test_a_link_of_somebody_else_is_refused(ada: Owner) -> None:
    url = data(await ada.generate())["imageUrl"]
    forged = url.replace("signature=", "signature=A")
    assert (await bytes_of(forged)).status_code == 404


@pytest.mark.contract("000", ENDPOINT, "Async Processing")
async def test_who_does_not_wait_is_told_that_the_job_is_pending(ada: Owner) -> None:
    answer = await ada.generate(headers={"Prefer": "respond-async"})
    told = data(answer, wire.PendingAnswer, 202)
    assert (told["imageUrl"], told["usage"]["used"]) == (None, 1)
    assert answer.headers["preference-applied"] == "respond-async"
    ended = await ada.until(told["jobId"], "succeeded")
    assert (await bytes_of(ended["imageUrl"])).status_code == 200


@pytest.mark.contract("000", ENDPOINT, "Caching")
async def test_an_identical_job_gets_the_earlier_picture_for_nothing(ada: Owner) -> None:
    first = data(await ada.generate(scale="2"))
    again = data(await ada.generate(scale="2"))
    assert again["jobId"] != first["jobId"]
    assert again["charge"] == {"type": "reused", "amount": 0}
    assert again["usage"] == first["usage"]
    one, other = await bytes_of(first["imageUrl"]), await bytes_of(again["imageUrl"])
    assert one.content == other.content
    assert (await bytes_of(again["originalUrl"])).status_code == 410
    shown = await ada.job(again["jobId"])
    assert shown["provider"] == (await ada.job(first["jobId"]))["provider"] == "classical_upscale"
    other_scale, other_bytes = await ada.generate(scale="4"), await ada.generate(image=fresh_picture(7), scale="2")
    assert [data(answer)["charge"]["type"] for answer in (other_scale, other_bytes)] == ["free", "free"]


@pytest.mark.contract("000", ENDPOINT, "Caching")
async def test_results_are_never_shared_between_owners(stack: Stack, http: Clients) -> None:
    for _ in range(2):
        assert data(await Owner(stack, http).generate())["charge"]["type"] == "free"


@pytest.mark.contract("000", ENDPOINT, "Success Response (200)")
async def test_a_repeat_under_its_key_gives_the_same_job_once(ada: Owner) -> None:
    key = {"Idempotency-Key": "mein-key"}
    first = data(await ada.generate(headers=key, scale="2"))
    again = data(await ada.generate(headers=key, scale="2"))
    assert (again["jobId"], again["usage"]) == (first["jobId"], first["usage"])
    assert again["originalUrl"].split("?")[0] == first["originalUrl"].split("?")[0]
    assert again["charge"] == first["charge"]
    error(await ada.generate(headers=key, scale="4"), 409, "conflict")
    error(await ada.generate(headers=key, image=fresh_picture(3), scale="2"), 409, "conflict")
    assert (await ada.jobs())["total"] == 1
    async with asyncio.timeout(60):  # copies of repeats and of what is refused are taken back, the original is gone
        while (await ada.get("/v1/assets", kind="input")).json()["data"]:
            await asyncio.sleep(0.1)


@pytest.mark.contract("000", ENDPOINT, "Premium-Features")
async def test_premium_has_a_thousand_a_month_and_goes_first(stack: Stack, http: Clients) -> None:
    premium = Owner(stack, http, plan="premium")
    told = data(await premium.generate())
    assert told["usage"] == {"used": 1, "limit": 1000, "resetAt": None}
    assert told["entitlements"]["monthlyImages"] == 1000
    assert (await premium.core(told["jobId"]))["lane"] == "priority"
    assert (await premium.usage())["usage"]["limit"] == 1000


@pytest.mark.contract("000", ENDPOINT, "Provider-Failover")
async def test_a_second_engine_takes_over_and_the_job_says_so(stack: Stack, http: Clients, ada: Owner) -> None:
    triton = Connection(stack.status()["triton"]["endpoint"])
    try:
        await triton.unload("classical_upscale")
        told = data(await ada.generate())
    finally:
        await triton.load("classical_upscale")
        await triton.close()
    shown = await ada.job(told["jobId"])
    assert shown["provider"] == "classical_lanczos"
    assert shown["providerJobId"]
    async with asyncio.timeout(60):
        while await _provider(Owner(stack, http)) != "classical_upscale":
            await asyncio.sleep(0.5)


async def _provider(owner: Owner) -> Any:
    """Which engine serves a picture now."""
    return (await owner.job(data(await owner.generate())["jobId"]))["provider"]

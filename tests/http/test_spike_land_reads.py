"""GET an image of document 002, from events to answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from infra.sealing.cipher import seal
from infra.sealing.content import ASSET, AssetSecrets, encode_secrets
from infra.settings import Settings
from schemas import events as ev
from schemas.commands import StoredObject
from schemas.wire import spike_land as wire
from schemas.wire.spike_land_errors import ErrorAnswer
from tests.http.fakes import NOW_MS
from tests.http.reading import BASE_URL, Reading, accepted, open_reading, opening

PRODUCT = "spike-land"
NUMBERED = "asset_" + "a" * 25
RESULT = StoredObject("k/result", 612_352, "ab" * 32, "jpeg", 2048, 1536)
TIME, LATER = "2027-01-15T08:00:00Z", "2027-01-15T08:00:05Z"


def image_id(letter: str = "a") -> str:
    return f"img_{'a' * 25}{letter}"


def asset_id(letter: str = "a") -> str:
    return NUMBERED + letter


@pytest.fixture
async def side(postgres: Settings, tmp_path: Path) -> AsyncIterator[Reading]:
    """A reading side with two images of ada's: a private one and a public one, b, of a product's user."""
    async with open_reading(postgres, tmp_path) as opened:
        account = opened.account(product=PRODUCT)
        key = await opened.ring.key_for(account)
        name = seal(key, account, ASSET, encode_secrets(AssetSecrets("photo.jpg")))
        say(opened, *opening(100))
        for number, letter in enumerate("ab", 1):
            stored = StoredObject(f"{account}/{asset_id(letter)}", 524_288, "cd" * 32, "webp", 1920, 1080)
            say(opened, ev.AssetRegistered(asset_id(letter), number, stored, name, None))
        say(opened, ev.VisibilityChanged(asset_id("b"), True), time_ms=NOW_MS + 5_000)
        yield opened


def say(side: Reading, *data: ev.AnyEvent, time_ms: int = NOW_MS) -> None:
    side.log.say(side.account(product=PRODUCT), *data, product=PRODUCT, time_ms=time_ms)


def enhancement(job: str, tier: str = "TIER_2K") -> ev.JobAccepted:
    return replace(accepted(job), model="enhance", params={"tier": tier}, input=asset_id(), cost=5)


async def get(side: Reading, image: str | None = None, subject: str = "ada", **more: Any) -> httpx.Response:
    return await side.get(f"/api/images/{image or image_id()}", subject, PRODUCT, **more)


async def shown(side: Reading, image: str | None = None, subject: str = "ada") -> dict[str, Any]:
    """The image, once the answer has been held against its model."""
    answer = await get(side, image, subject)
    assert answer.status_code == 200, answer.text
    wire.ImageAnswer.model_validate(answer.json())
    found: dict[str, Any] = answer.json()["image"]
    return found


def views(side: Reading) -> int:
    return side.views.counted[side.account(product=PRODUCT), PRODUCT, asset_id("b")]


async def test_an_image_is_shown_as_the_document_says(side: Reading) -> None:
    image = await shown(side)
    link = image.pop("url")
    assert image == {
        "id": image_id(),
        "name": "photo.jpg",
        "description": None,
        "width": 1920,
        "height": 1080,
        "size": 524_288,
        "format": "WEBP",
        "isPublic": False,
        "viewCount": 0,
        "createdAt": TIME,
        "updatedAt": TIME,
        "jobs": [],
    }
    account = side.account(product=PRODUCT)
    assert link.startswith(f"{BASE_URL}/v1/media/{account}/{asset_id()}?expires=")
    assert (await side.http.head(link)).headers["content-length"] == "524288"


async def test_jobs_stand_newest_first_with_all_six_statuses(side: Reading) -> None:
    reserved = [ev.CreditsReserved("", 5, (), 1, 95)]
    released, started = ev.AttemptReleased("", 1, 0, 0), ev.JobStarted("", 1, "d", 0)
    done = [ev.JobSucceeded("", 1, "", 0, RESULT, 5), ev.CreditsCaptured("", 5, 1, 95)]
    ways: dict[str, list[Any]] = {
        "job_pending": [],
        "job_processing": [released, started],
        "job_completed": [released, started, *done],
        "job_failed": [released, started, ev.JobFailed("", 1, "model-failed", "The model broke")],
        "job_expired": [ev.JobExpired("")],
        "job_cancelled": [ev.JobCanceled("", 100, None)],
        "job_refunded": [released, started, *done, ev.CreditsRefunded("", 5, (), 1, "gift", 100, None)],
    }
    for number, (job, way) in enumerate(ways.items(), 3):
        say(side, enhancement(job), replace(reserved[0], job=job))
        for step in way:
            own = replace(step, job=job)
            own = replace(own, asset=f"asset_{number}", number=number) if isinstance(own, ev.JobSucceeded) else own
            say(side, own, time_ms=NOW_MS + 5_000)
    jobs = (await shown(side))["jobs"]
    assert [job["id"] for job in jobs] == list(ways)[::-1]
    found = {job["id"]: job for job in jobs}
    assert [found[job]["status"] for job in ways] == [
        "PENDING",
        "PROCESSING",
        "COMPLETED",
        "FAILED",
        "FAILED",
        "CANCELLED",
        "REFUNDED",
    ]
    completed = found["job_completed"]
    assert completed.pop("enhancedUrl").startswith(f"{BASE_URL}/v1/media/{side.account(product=PRODUCT)}/asset_5?")
    assert completed == {
        "id": "job_completed",
        "tier": "TIER_2K",
        "status": "COMPLETED",
        "tokensCost": 5,
        "enhancedWidth": 2048,
        "enhancedHeight": 1536,
        "enhancedSizeBytes": 612_352,
        "errorMessage": None,
        "createdAt": TIME,
        "processingStartedAt": LATER,
        "processingCompletedAt": LATER,
    }
    nothing = ("enhancedUrl", "enhancedWidth", "enhancedHeight", "enhancedSizeBytes")
    for job in ("job_pending", "job_processing", "job_failed", "job_expired", "job_cancelled"):
        assert {found[job][name] for name in nothing} == {None}
    assert found["job_failed"]["errorMessage"] == "The model broke."
    assert found["job_expired"]["errorMessage"] == "The enhancement did not start in time; your tokens were given back"
    assert found["job_processing"]["processingStartedAt"] == LATER
    assert found["job_processing"]["processingCompletedAt"] is None
    assert found["job_pending"]["processingStartedAt"] is None
    assert found["job_expired"]["processingCompletedAt"] == LATER
    assert found["job_refunded"]["enhancedUrl"] is not None


async def test_a_job_that_waits_for_another_attempt_has_not_started(side: Reading) -> None:
    say(side, enhancement("job_1"), ev.AttemptReleased("job_1", 1, 0, 0), ev.JobStarted("job_1", 1, "d", 0))
    say(side, ev.AttemptEnded("job_1", 1, "engine-unavailable", False, NOW_MS + 9))
    (job,) = (await shown(side))["jobs"]
    assert (job["status"], job["processingStartedAt"]) == ("PENDING", None)


async def test_only_enhancements_are_shown_and_no_hidden_ones(side: Reading) -> None:
    say(side, replace(accepted("job_other"), input=asset_id()))
    say(side, enhancement("job_1"), ev.JobCanceled("job_1", 100, None), ev.JobHidden("job_1", True, 100, None))
    say(side, enhancement("job_2"))
    assert [job["id"] for job in (await shown(side))["jobs"]] == ["job_2"]


async def test_a_result_that_is_gone_is_not_shown(side: Reading) -> None:
    say(side, enhancement("job_1"), ev.JobSucceeded("job_1", 1, "asset_9", 9, RESULT, 5))
    say(side, ev.AssetDeleted("asset_9", "deleted", None))
    (job,) = (await shown(side))["jobs"]
    assert (job["status"], job["enhancedUrl"], job["enhancedWidth"]) == ("COMPLETED", None, None)


async def test_a_public_image_is_read_by_others_who_are_counted(side: Reading) -> None:
    say(side, replace(enhancement("job_1"), input=asset_id("b")))
    image = await shown(side, image_id("b"), "bob")
    assert image["isPublic"] is True
    assert (image["createdAt"], image["updatedAt"]) == (TIME, LATER)
    assert image["url"] == f"{BASE_URL}/v1/media/{asset_id('b')}"
    assert (image["name"], image["jobs"]) == (f"{image_id('b')}.webp", []), "what is its owner's alone"
    assert views(side) == 1
    assert (
        await side.http.head(f"/api/images/{image_id('b')}", headers=side.bearer("bob", PRODUCT))
    ).status_code == 200
    own = await shown(side, image_id("b"))
    assert (own["name"], len(own["jobs"])) == ("photo.jpg", 1)
    assert own["url"].startswith(f"{BASE_URL}/v1/media/{side.account(product=PRODUCT)}/")
    assert views(side) == 1, "neither its owner nor a HEAD is a view"
    say(side, ev.AssetsViewed(((asset_id("b"), 3),)))
    assert (await shown(side, image_id("b")))["viewCount"] == 3


async def test_what_is_private_gone_or_unknown_is_not_found_in_the_same_words(side: Reading) -> None:
    say(side, ev.AssetDeleted(asset_id("b"), "deleted", None))
    answers = [
        await get(side, image_id("a"), "bob"),
        await get(side, image_id("b"), "bob"),
        await get(side, image_id("b")),
        await get(side, image_id("c")),
        await get(side, "img_123abc"),
        await get(side, asset_id()),
    ]
    for answer in answers:
        ErrorAnswer.model_validate(answer.json())
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    assert {answer.text for answer in answers} == {answers[0].text}
    assert side.views.counted.total() == 0


async def test_public_pictures_of_other_products_are_no_images(side: Reading) -> None:
    stored = StoredObject("k", 1, "cd" * 32, "png", 1, 1)
    made = ev.AssetRegistered(asset_id("d"), 1, stored, None, None), ev.VisibilityChanged(asset_id("d"), True)
    side.log.say(side.account(), *opening(), *made)
    assert (await get(side, image_id("d"))).status_code == 404


async def test_an_image_without_a_name_has_one(side: Reading) -> None:
    stored = StoredObject("k", 1, "cd" * 32, "jpeg", 1, 1)
    say(side, ev.AssetRegistered(asset_id("e"), 3, stored, None, None))
    assert (await shown(side, image_id("e")))["name"] == f"{image_id('e')}.jpg"


async def test_reads_that_cannot_be_answered_yet_are_told_in_the_documents_shape(side: Reading) -> None:
    account = side.account(product=PRODUCT)
    side.log.write(account, ev.AssetRegistered(asset_id("f"), 4, RESULT, None, None), product=PRODUCT)
    answer = await get(side, image_id("f"))
    ErrorAnswer.model_validate(answer.json())
    assert (answer.status_code, answer.json()["code"]) == (503, "INTERNAL_ERROR")
    assert answer.headers["retry-after"] == "1"
    side.log.apply()
    assert (await get(side, image_id("f"))).status_code == 200
    assert (await get(side, Darkroom_Position="nonsense")).status_code == 400


async def test_who_is_not_logged_in_reads_nothing(side: Reading) -> None:
    for headers in ({}, side.bearer()):
        answer = await side.http.get(f"/api/images/{image_id('b')}", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED")
    cookie = side.bearer("ada", PRODUCT)["authorization"].removeprefix("Bearer ")
    answer = await side.http.get(f"/api/images/{image_id()}", headers={"Cookie": f"next-auth.session-token={cookie}"})
    assert answer.status_code == 200


async def test_a_hundred_reads_in_a_quarter_of_an_hour(side: Reading) -> None:
    statuses = [(await get(side, "img_x", "eve")).status_code for _ in range(101)]
    assert statuses == [404] * 100 + [429]

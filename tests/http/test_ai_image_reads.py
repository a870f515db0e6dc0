"""Reads of document 000, from events to answers over a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.plans import load_plan
from infra.sealing.cipher import seal
from infra.sealing.content import JOB, JobSecrets, encode_secrets
from infra.settings import Settings
from schemas import events as ev
from schemas import refusals as no
from schemas.amounts import DAY_MS
from schemas.asset_events import AssetDeleted, AssetRegistered
from schemas.commands import EngineRun, PassedOver, StoredObject
from schemas.identifiers import partition_stream
from schemas.wire import ai_image as wire
from tests.http.ai_image_side import error
from tests.http.fakes import NOW_MS
from tests.http.reading import BASE_URL, PARTITIONS, Reading, open_reading

PRODUCT = "ai-image"
SUFFIXES = [letter * 26 for letter in "abcdefghij"]
JOBS = [f"job_{suffix}" for suffix in SUFFIXES]
ORIGINAL = StoredObject("acct/asset_in", 2_048_576, "aa" * 32, "jpeg", 800, 600)
RESULT = StoredObject("acct/job/1", 8_192_004, "bb" * 32, "webp", 3200, 2400)
RUN = EngineRun("classical_lanczos", "1", "req-42", (PassedOver("classical_upscale", "1", "unavailable"),))
TODAY_MS = NOW_MS - NOW_MS % DAY_MS


@pytest.fixture
async def side(postgres: Settings, tmp_path: Path) -> AsyncIterator[Reading]:
    async with open_reading(postgres, tmp_path) as opened:
        plan = load_plan(Settings())
        for partition in range(PARTITIONS):
            opened.log.write(partition_stream(partition), ev.PlanPublished(plan), product="")
        opened.log.apply()
        yield opened


async def get(side: Reading, path: str, subject: str = "ada", **params: Any) -> httpx.Response:
    return await side.get(f"/api/ai-image/{path}", subject, PRODUCT, params)


async def data(side: Reading, path: str, **params: Any) -> Any:
    answer = await get(side, path, **params)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def say(side: Reading, *events: ev.AnyEvent, at: int = 0, subject: str = "ada") -> None:
    side.log.say(side.account(subject, PRODUCT), *events, product=PRODUCT, time_ms=NOW_MS + at)


def accepted(job: str, model: str = "real-esrgan", sealed: str | None = None, **params: Any) -> Sequence[ev.AnyEvent]:
    """A job on its picture, with its units of the day and the month."""
    event = ev.JobAccepted(
        job, model, "classical_upscale", "1", "standard", params, job.replace("job_", "asset_in"), sealed, 0, "default",
        3, 3, 120_000, 8, 0, NOW_MS, None, 0, None, None, original_purged=True,
    )  # fmt: skip
    windows = (ev.WindowUse("day", TODAY_MS, 1), ev.WindowUse("month", TODAY_MS - 14 * DAY_MS, 1))
    number = JOBS.index(job) + 1
    registered = AssetRegistered(job.replace("job_", "asset_in"), 2 * number, ORIGINAL, None, None)
    return registered, event, ev.CreditsReserved(job, 0, windows, 3, 0)


def succeeded(job: str) -> Sequence[ev.AnyEvent]:
    number = JOBS.index(job) + 1
    return (
        ev.JobSucceeded(job, 1, job.replace("job_", "asset_"), 2 * number + 1, RESULT, 5, run=RUN),
        ev.CreditsCaptured(job, 0, 1, 0),
        AssetDeleted(job.replace("job_", "asset_in"), "original-processed", None),
    )


async def test_a_finished_job_shows_every_field_of_the_document(side: Reading) -> None:
    job = JOBS[0]
    say(side, ev.AccountOpened("default", 3, None), *accepted(job, scale=4))
    say(side, ev.AttemptReleased(job, 1, 0, 0), at=1_000)
    say(side, ev.JobStarted(job, 1, "d", 0), at=2_000)
    say(side, *succeeded(job), at=15_000)
    answer = await get(side, f"jobs/{job}")
    document = answer.json()
    wire.JobAnswer.model_validate(document)
    shown = document["data"]
    links = f"{BASE_URL}/v1/media/{side.account('ada', PRODUCT)}"
    assert shown.pop("imageUrl").startswith(f"{links}/asset_{SUFFIXES[0]}?")
    assert shown.pop("originalUrl").startswith(f"{links}/asset_in{SUFFIXES[0]}?")
    assert answer.headers["x-usage-ownertype"] == "user"
    assert answer.headers["cache-control"] == "no-store"
    assert shown == {
        "id": job,
        "status": "succeeded",
        "model": "real-esrgan",
        "createdAt": "2027-01-15T08:00:00.000Z",
        "completedAt": "2027-01-15T08:00:15.000Z",
        "scale": 4,
        "faceEnhance": False,
        "prompt": None,
        "startedAt": "2027-01-15T08:00:02.000Z",
        "errorMessage": None,
        "provider": "classical_lanczos",
        "providerJobId": "req-42",
        "inputSize": 2_048_576,
        "outputSize": 8_192_004,
    }


async def test_a_prompt_is_opened_for_its_owner_and_an_erased_one_is_null(side: Reading) -> None:
    account = side.account("ada", PRODUCT)
    sealed = seal(
        await side.ring.key_for(account), account, JOB, encode_secrets(JobSecrets(None, {"prompt": "schönes porträt"}))
    )
    say(side, ev.AccountOpened("default", 3, None), *accepted(JOBS[0], "sdxl-img2img", sealed, strength=80))
    say(side, *accepted(JOBS[1], "gfpgan", face_enhance=True))
    assert (await data(side, f"jobs/{JOBS[0]}"))["prompt"] == "schönes porträt"
    second = await data(side, f"jobs/{JOBS[1]}")
    assert (second["faceEnhance"], second["scale"], second["prompt"]) == (True, None, None)
    assert [second[name] for name in ("startedAt", "completedAt", "imageUrl", "provider", "outputSize")] == [None] * 5
    side.key_store.erase(account)
    assert (await data(side, f"jobs/{JOBS[0]}"))["prompt"] is None


async def test_a_reused_result_names_the_engine_that_made_it(side: Reading) -> None:
    say(side, ev.AccountOpened("default", 3, None), *accepted(JOBS[0], scale=2), *succeeded(JOBS[0]))
    again = ev.JobReused(
        JOBS[1], "real-esrgan", "classical_upscale", "1", "standard", {"scale": 2}, None, None, "default", 3, JOBS[0],
        "asset_again", 9, RESULT, 0, None,
    )  # fmt: skip
    say(side, again)
    shown = await data(side, f"jobs/{JOBS[1]}")
    assert (shown["provider"], shown["providerJobId"]) == ("classical_lanczos", "req-42")
    assert (shown["status"], shown["originalUrl"], shown["inputSize"]) == ("succeeded", None, None)


async def five_jobs(side: Reading) -> None:
    """One queued, one processing, one of each end; two that the document calls failed."""
    say(side, ev.AccountOpened("default", 3, None))
    for number, job in enumerate(JOBS[:7]):
        say(side, *accepted(job, scale=2), at=number)
    say(side, ev.AttemptReleased(JOBS[1], 1, 0, 0))
    say(side, ev.AttemptReleased(JOBS[2], 1, 0, 0), ev.JobStarted(JOBS[2], 1, "d", 0))
    say(side, *succeeded(JOBS[3]))
    say(side, ev.JobFailed(JOBS[4], 1, "model-failed", "The model said no."))
    say(side, ev.JobExpired(JOBS[5]))
    say(side, ev.JobCanceled(JOBS[6], 0, None))


BY_STATUS: dict[str | None, list[int]] = {
    None: [6, 5, 4, 3, 2, 1, 0],
    "queued": [1, 0],
    "processing": [2],
    "succeeded": [3],
    "failed": [5, 4],
    "canceled": [6],
}
PAGES: list[tuple[int, int, list[int], bool]] = [
    (3, 0, [6, 5, 4], True),
    (3, 3, [3, 2, 1], True),
    (3, 6, [0], False),
    (7, 0, [6, 5, 4, 3, 2, 1, 0], False),
    (1, 7, [], False),
]


async def test_the_list_by_status_and_its_pages(side: Reading) -> None:
    await five_jobs(side)
    for status, numbers in BY_STATUS.items():
        shown = await data(side, "jobs", **({} if status is None else {"status": status}))
        wire.JobsAnswer.model_validate({"success": True, "data": shown})
        assert [job["id"] for job in shown["jobs"]] == [JOBS[number] for number in numbers]
        assert {job["status"] for job in shown["jobs"]} == (BY_STATUS.keys() - {None} if status is None else {status})
        assert (shown["total"], shown["hasMore"]) == (len(numbers), False)
    for limit, offset, numbers, more in PAGES:
        shown = await data(side, "jobs", limit=limit, offset=offset)
        assert [job["id"] for job in shown["jobs"]] == [JOBS[number] for number in numbers]
        assert (shown["total"], shown["hasMore"]) == (7, more)


async def test_why_a_job_failed_is_told_in_german(side: Reading) -> None:
    await five_jobs(side)
    told = [(await data(side, f"jobs/{job}"))["errorMessage"] for job in JOBS[3:7]]
    assert told == [
        None,
        "Das Modell konnte das Bild nicht verarbeiten",
        "Der Job konnte nicht rechtzeitig begonnen werden",
        None,
    ]


OUTSIDE: dict[str, tuple[Any, ...]] = {
    "limit": (0, 101, -1, "x", "", "1.5"),
    "offset": (-1, 2**31, "x", 10**30),
    "status": ("accepted", "running", "", "expired", "queued,failed", "a\0"),
}


async def test_what_is_outside_its_range_is_refused_and_what_is_unknown_ignored(side: Reading) -> None:
    for name, values in OUTSIDE.items():
        for value in values:
            found = error(await get(side, "jobs", **{name: value}), 400, "validation_error")
            assert found["message"].startswith(f"Parameter '{name}' muss")
    assert await data(side, "jobs", sort="asc") == {"jobs": [], "total": 0, "hasMore": False}


async def test_strange_unknown_and_malformed_ids_are_told_alike(side: Reading) -> None:
    say(side, ev.AccountOpened("default", 3, None), *accepted(JOBS[0], scale=2), subject="ben")
    for job in (JOBS[0], JOBS[9], "job_x", "abc", "job_a%00"):
        found = error(await get(side, f"jobs/{job}"), 404, "not_found")
        assert found == {"type": "not_found", "message": "Job nicht gefunden"}


async def test_a_job_that_was_refused_after_its_answer_tells_why(side: Reading) -> None:
    refusal = no.QuotaExceeded("day", 3, 3, TODAY_MS + DAY_MS)
    say(side, ev.AccountOpened("default", 3, None), ev.CommandRefused("submit-job", refusal, JOBS[0]))
    found = error(await get(side, f"jobs/{JOBS[0]}"), 403, "forbidden")
    assert found["details"] == {"used": 3, "limit": 3, "resetAt": "2027-01-16T00:00:00.000Z"}


async def test_a_result_whose_time_is_over_has_no_link(side: Reading) -> None:
    say(side, ev.AccountOpened("default", 3, None), *accepted(JOBS[0], scale=2), *succeeded(JOBS[0]))
    say(side, AssetDeleted(f"asset_{SUFFIXES[0]}", "expired", None))
    shown = await data(side, f"jobs/{JOBS[0]}")
    assert (shown["status"], shown["imageUrl"], shown["outputSize"]) == ("succeeded", None, RESULT.bytes)
    gone = await side.http.get(shown["originalUrl"])
    assert gone.status_code == 410


async def test_usage_of_an_account_that_never_wrote_and_of_one_that_did(side: Reading) -> None:
    fresh = await data(side, "usage")
    assert fresh == {
        "ownerType": "user",
        "usage": {"used": 0, "limit": 20, "resetAt": None},
        "limits": {"user": 20, "guest": 3},
    }
    wire.UsageAnswer.model_validate({"success": True, "data": fresh})
    say(side, ev.AccountOpened("default", 3, None), *accepted(JOBS[0], scale=2))
    assert (await data(side, "usage"))["usage"]["used"] == 1
    say(side, ev.AccountOpened("premium", 3, None), *accepted(JOBS[1], scale=2), subject="ben")
    ben = (await get(side, "usage", "ben")).json()["data"]
    assert ben["usage"] == {"used": 1, "limit": 1000, "resetAt": None}


async def test_usage_of_a_guest_is_told_with_its_header_and_cookies(side: Reading) -> None:
    answer = await side.http.get("/api/ai-image/usage", headers={"Cookie": "guest_id=abc123"})
    assert answer.json()["data"] == {
        "ownerType": "guest",
        "usage": {"used": 0, "limit": 3, "resetAt": None},
        "limits": {"user": 20, "guest": 3},
    }
    assert answer.headers["x-usage-ownertype"] == "guest"
    assert [cookie.split("=")[0] for cookie in answer.headers.get_list("set-cookie")] == ["csrf_token"]
    lying = {"Cookie": "guest_id=abc123", "X-Usage-OwnerType": "user"}
    assert (await side.http.get("/api/ai-image/usage", headers=lying)).json()["data"]["ownerType"] == "guest"

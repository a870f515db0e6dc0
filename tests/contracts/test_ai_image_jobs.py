"""Document 000: usage, the list of jobs, one job, its cancel, and the trail of all that, against the running stack."""

from __future__ import annotations

import asyncio
import datetime
import uuid
from typing import Any

import pytest

from schemas.wire import ai_image as wire
from tests.contracts.ai_image_client import PICTURE, Clients, Owner, data, error, fresh_picture
from tests.stack import Stack

USAGE, JOBS = "GET /api/ai-image/usage", "GET /api/ai-image/jobs"
JOB, CANCEL = "GET /api/ai-image/jobs/{id}", "POST /api/ai-image/jobs/{id}/cancel"
UNKNOWN = "job_" + "a" * 26
NINE = [{"model": "sandbox/slow", "params": {"seconds": 6}, "metadata": {"number": number}} for number in range(9)]


@pytest.fixture
def ada(stack: Stack, http: Clients) -> Owner:
    """A user whom nobody knows yet."""
    return Owner(stack, http)


@pytest.fixture
def guest(stack: Stack, http: Clients) -> Owner:
    """A guest whom nobody knows yet."""
    return Owner(stack, http, guest=uuid.uuid4().hex)


def moment(text: str) -> datetime.datetime:
    """A time of the document: milliseconds and Z."""
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=datetime.UTC)


@pytest.mark.contract("000", USAGE, "Success Response (200) (2)")
async def test_usage_of_a_guest(guest: Owner) -> None:
    answer = await guest.get("/usage")
    assert data(answer, wire.UsageAnswer) == {
        "ownerType": "guest",
        "usage": {"used": 0, "limit": 3, "resetAt": None},
        "limits": {"user": 20, "guest": 3},
    }
    data(await guest.generate())
    assert (await guest.usage())["usage"] == {"used": 1, "limit": 3, "resetAt": None}


@pytest.mark.contract("000", USAGE, "Request Headers")
async def test_the_type_of_the_owner_is_set_by_the_server(ada: Owner, guest: Owner) -> None:
    for owner, kind, other in ((ada, "user", "guest"), (guest, "guest", "user")):
        answer = await owner.client.get("/api/ai-image/usage", headers={"X-Usage-OwnerType": other})
        assert data(answer, wire.UsageAnswer)["ownerType"] == answer.headers["x-usage-ownertype"] == kind


@pytest.mark.contract("000", USAGE, "Success Response (200) (2)")
async def test_usage_of_a_user_whose_day_is_used_up(ada: Owner) -> None:
    assert (await ada.usage())["usage"] == {"used": 0, "limit": 20, "resetAt": None}
    await ada.use_up(20)
    usage = (await ada.usage())["usage"]
    tomorrow = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=1)
    assert usage == {"used": 20, "limit": 20, "resetAt": f"{tomorrow}T00:00:00.000Z"}


@pytest.mark.contract("000", JOBS, "Success Response (200) (3)")
async def test_the_list_shows_ones_own_jobs_newest_first(ada: Owner, guest: Owner) -> None:
    made = [data(await ada.generate(image=fresh_picture(seed)))["jobId"] for seed in range(3)]
    foreign = data(await guest.generate())["jobId"]
    told = await ada.jobs()
    assert [job["id"] for job in told["jobs"]] == made[::-1]
    assert (told["total"], told["hasMore"]) == (3, False)
    for job in told["jobs"]:
        assert list(job) == ["id", "status", "model", "createdAt", "completedAt", "imageUrl", "originalUrl"]
        assert (job["status"], job["model"]) == ("succeeded", "real-esrgan")
        assert moment(job["createdAt"]) <= moment(job["completedAt"])
        assert job["imageUrl"] != job["originalUrl"]
    assert [job["id"] for job in (await guest.jobs())["jobs"]] == [foreign]


@pytest.mark.contract("000", JOBS, "Query-Parameter")
async def test_filters_and_pages(ada: Owner) -> None:
    done = [data(await ada.generate(image=fresh_picture(seed)))["jobId"] for seed in range(2)]
    broken = await ada.native("sandbox/broken")
    await ada.until(broken, "failed")
    canceled, runs = await ada.native("sandbox/slow", seconds=20), await ada.native("sandbox/slow", seconds=20)
    data(await ada.cancel(canceled), wire.CancelAnswer)
    await ada.until(runs, "processing")
    expected = {
        "queued": [],
        "processing": [runs],
        "succeeded": done[::-1],
        "failed": [broken],
        "canceled": [canceled],
    }
    for status, jobs in expected.items():
        told = await ada.jobs(status=status)
        assert [job["id"] for job in told["jobs"]] == jobs, status
        assert {job["status"] for job in told["jobs"]} <= {status}
        assert (told["total"], told["hasMore"]) == (len(jobs), False)
    everything = [runs, canceled, broken, *done[::-1]]
    for limit, offset in ((2, 0), (2, 2), (2, 4), (100, 0), (1, 5)):
        told = await ada.jobs(limit=limit, offset=offset)
        assert [job["id"] for job in told["jobs"]] == everything[offset : offset + limit]
        assert (told["total"], told["hasMore"]) == (5, offset + limit < 5)


@pytest.mark.contract("000", JOBS, "Query-Parameter")
async def test_twenty_a_page_without_a_limit(stack: Stack, http: Clients) -> None:
    premium = Owner(stack, http, plan="premium")
    await premium.use_up(22)
    told = await premium.jobs()
    assert (len(told["jobs"]), told["total"], told["hasMore"]) == (20, 22, True)
    assert len((await premium.jobs(offset=20))["jobs"]) == 2


OUTSIDE: list[tuple[str, Any]] = [
    *(("limit", value) for value in (0, 101, -1, "viele")),
    *(("offset", value) for value in (-1, "x", 10**20)),
    *(("status", value) for value in ("running", "fertig", "")),
]


@pytest.mark.contract("000", JOBS, "Query-Parameter")
async def test_parameters_outside_their_range_are_refused(ada: Owner) -> None:
    for name, value in OUTSIDE:
        found = error(await ada.get("/jobs", **{name: value}), 400, "validation_error")
        assert found["message"].startswith(f"Parameter '{name}' muss")


@pytest.mark.contract("000", JOB, "Success Response (200) (4)")
async def test_a_job_shows_every_field_of_the_document(ada: Owner) -> None:
    told = data(await ada.generate("real-esrgan", scale="4"))
    job = await ada.job(told["jobId"])
    core = await ada.core(told["jobId"])
    result = core["result"]
    for name in ("imageUrl", "originalUrl"):
        assert job[name].split("?")[0] == told[name].split("?")[0]
    assert (job["status"], job["model"], job["scale"], job["faceEnhance"]) == ("succeeded", "real-esrgan", 4, False)
    assert (job["prompt"], job["errorMessage"]) == (None, None)
    assert moment(job["createdAt"]) <= moment(job["startedAt"]) <= moment(job["completedAt"])
    assert (job["provider"], job["providerJobId"]) == ("classical_upscale", core["run"]["request"])
    assert (job["inputSize"], job["outputSize"]) == (len(PICTURE), result["bytes"])


@pytest.mark.contract("000", JOB, "Success Response (200) (4)")
async def test_a_job_with_a_prompt_and_one_with_faces(ada: Owner) -> None:
    painted = data(await ada.generate("sdxl-img2img", prompt="schönes porträt"))["jobId"]
    shown = await ada.job(painted)
    assert (shown["prompt"], shown["scale"], shown["faceEnhance"]) == ("schönes porträt", None, False)
    faces = data(await ada.generate("gfpgan", face_enhance="true"))["jobId"]
    assert (await ada.job(faces))["faceEnhance"] is True


@pytest.mark.contract("000", JOB, "Job-Lifecycle")
async def test_a_failed_job_says_why_in_german_and_costs_nothing(ada: Owner) -> None:
    job = await ada.until(await ada.native("sandbox/broken"), "failed")
    assert job["errorMessage"] == "Das Modell konnte das Bild nicht verarbeiten"
    assert (job["imageUrl"], job["outputSize"]) == (None, None)
    assert moment(job["completedAt"])
    assert (await ada.usage())["usage"]["used"] == 0


@pytest.mark.contract("000", JOB, "Job-Lifecycle")
async def test_a_job_is_queued_then_processing_then_done(ada: Owner) -> None:
    waits = (await ada.batch(NINE))[-1]  # eight of an account run at a time
    queued = await ada.job(waits)
    assert (queued["status"], queued["startedAt"], queued["completedAt"], queued["provider"]) == ("queued", *[None] * 3)
    assert waits in [job["id"] for job in (await ada.jobs(status="queued"))["jobs"]]
    assert (await ada.until(waits, "processing", "succeeded"))["startedAt"] is not None
    assert (await ada.until(waits, "succeeded"))["errorMessage"] is None


@pytest.mark.contract("000", JOB, "Pfad-Parameter")
async def test_ids_of_others_and_ids_of_nobody_are_told_alike(ada: Owner, guest: Owner) -> None:
    foreign = data(await guest.generate())["jobId"]
    for job in (foreign, UNKNOWN, "job_abc123def456", "abc", "%00"):
        assert error(await ada.get(f"/jobs/{job}"), 404, "not_found") == {
            "type": "not_found",
            "message": "Job nicht gefunden",
        }


@pytest.mark.contract("000", CANCEL, "Success Response (200) (5)")
async def test_a_cancel_ends_a_running_and_a_waiting_job_and_gives_their_units_back(ada: Owner) -> None:
    jobs = await ada.batch(NINE)
    assert (await ada.usage())["usage"]["used"] == 9
    runs = await ada.first("processing")
    begun = datetime.datetime.now(datetime.UTC)
    for job in (runs, jobs[-1]):
        told = data(await ada.cancel(job), wire.CancelAnswer)
        assert (told["id"], told["status"]) == (job, "canceled")
        assert abs(moment(told["canceledAt"]) - begun) < datetime.timedelta(seconds=60)
        shown = await ada.job(job)
        assert (shown["status"], shown["completedAt"]) == ("canceled", told["canceledAt"])
    assert (await ada.usage())["usage"]["used"] == 7


@pytest.mark.contract("000", CANCEL, "Success Response (200) (5)")
async def test_a_cancel_under_a_key_is_told_the_same_again(ada: Owner) -> None:
    job = await ada.native("sandbox/slow", seconds=20)
    path, key = f"/api/ai-image/jobs/{job}/cancel", {"Idempotency-Key": "k"}
    first = data(await ada.client.post(path, headers=key), wire.CancelAnswer)
    await asyncio.sleep(0.05)
    assert data(await ada.client.post(path, headers=key), wire.CancelAnswer) == first


@pytest.mark.contract("000", CANCEL, "Success Response (200) (5)")
async def test_a_job_that_has_ended_is_a_conflict(ada: Owner) -> None:
    done = data(await ada.generate())["jobId"]
    canceled = await ada.native("sandbox/slow", seconds=20)
    data(await ada.cancel(canceled), wire.CancelAnswer)
    for job in (done, canceled):
        error(await ada.cancel(job), 409, "conflict")
    assert (await ada.usage())["usage"]["used"] == 1


@pytest.mark.contract("000", CANCEL, "Pfad-Parameter (2)")
async def test_nobody_cancels_jobs_of_others(ada: Owner, guest: Owner) -> None:
    foreign = await ada.native("sandbox/slow", seconds=20)
    for job in (foreign, UNKNOWN, "job_x"):
        found = error(await guest.cancel(job), 404, "not_found")
        assert found == {"type": "not_found", "message": "Job nicht gefunden"}
    assert (await ada.job(foreign))["status"] != "canceled"


@pytest.mark.contract("000", CANCEL, "Datenschutz (GDPR): Audit-Log")
async def test_the_trail_tells_who_read_and_changed_what(ada: Owner) -> None:
    made = data(await ada.generate())
    slow = await ada.native("sandbox/slow", seconds=20)
    data(await ada.cancel(slow), wire.CancelAnswer)
    await ada.job(made["jobId"])
    await ada.jobs()
    await ada.usage()
    original = made["originalUrl"].split("?")[0].rpartition("/")[2]
    wanted = {
        ("ai-image-generate", "change", frozenset({made["jobId"], original})),
        ("ai-image-cancel", "change", frozenset({slow})),
        ("ai-image-job", "read", frozenset({made["jobId"]})),
        ("ai-image-jobs", "read", frozenset()),
        ("ai-image-usage", "read", frozenset()),
    }
    async with asyncio.timeout(60):
        while True:
            rows = (await ada.get("/v1/audit", limit=100)).json()["data"]
            if wanted <= {(row["operation"], row["action"], frozenset(row["objects"])) for row in rows}:
                return
            await asyncio.sleep(0.3)

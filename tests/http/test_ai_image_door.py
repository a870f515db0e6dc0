"""Who may enhance pictures, how often, and how forgeries are kept out; and the end of a job by its owner."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from infra.http.limits import LimitSettings
from infra.postgres.outcomes import JobOutcome
from schemas import refusals as no
from schemas.accesses import AccessRecord
from schemas.commands import CancelJob, Envelope, RegisterAsset, SubmitJob
from schemas.event_base import WindowUse
from schemas.replies import AnyAnswer, JobCancelAccepted, Refused
from schemas.wire import ai_image as wire
from tests.http.ai_image_side import (
    MONTH_MS,
    PLAN,
    account,
    commands,
    decides,
    error,
    generate,
    guest,
    make_enhancer,
    succeeds,
    used,
    user,
)
from tests.http.fakes import NOW_MS, Side

JOB = "job_" + "c" * 26


@pytest.fixture
async def side(tmp_path: Path) -> AsyncIterator[Side]:
    made = make_enhancer(tmp_path)
    async with made.http:
        yield made


async def test_who_comes_without_a_cookie_becomes_a_guest(side: Side) -> None:
    answer = await generate(side, {})
    (cookie,) = [value for value in answer.headers.get_list("set-cookie") if value.startswith("guest_id=")]
    name = cookie.split(";")[0].removeprefix("guest_id=")
    assert answer.status_code == 200
    assert answer.headers["x-usage-ownertype"] == "guest"
    assert len(name) == 32
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert {(one.account, one.plan) for one in side.decider.envelopes} == {(account(f"guest:{name}"), "guest")}
    assert answer.json()["data"]["entitlements"] == {
        "dailyBurstCap": 3,
        "monthlyImages": None,
        "maxUpscale": 4,
        "faceEnhance": False,
    }


async def test_a_guest_is_who_the_cookie_says_whatever_it_says(side: Side) -> None:
    side.read_side.spendings[account("guest:abc123")] = used(3, 0, "guest")
    answer = await generate(side, guest("abc123"))
    assert {envelope.account for envelope in side.decider.envelopes} == {account("guest:abc123")}
    usage = answer.json()["data"]["usage"]
    assert usage == {"used": 3, "limit": 3, "resetAt": "2027-01-16T00:00:00.000Z"}
    assert not [value for value in answer.headers.get_list("set-cookie") if value.startswith("guest_id=")]


FORGED: list[tuple[dict[str, Any], str]] = [
    ({"X-CSRF-Token": "124"}, "müssen gleich sein"),
    ({"X-CSRF-Token": None}, "müssen gleich sein"),
    ({"Cookie": "guest_id=abc123"}, "müssen gleich sein"),
    ({"Cookie": "guest_id=abc123; csrf_token=", "X-CSRF-Token": ""}, "müssen gleich sein"),
    ({"Origin": "http://evil.test"}, "fremden Origin"),
    ({"Origin": "null"}, "fremden Origin"),
    ({"Origin": None, "Sec-Fetch-Site": "cross-site"}, "fremden Origin"),
]


@pytest.mark.parametrize(("changed", "message"), FORGED)
@pytest.mark.parametrize("path", ["generate", f"jobs/{JOB}/cancel"])
@pytest.mark.parametrize("by", ["guest", "user"])
async def test_a_change_that_comes_with_cookies_needs_both_halves_and_an_origin_of_ours(
    side: Side, by: str, path: str, changed: dict[str, Any], message: str
) -> None:
    whole = {**guest("abc123"), **(user(side) if by == "user" else {}), **changed}
    headers = {name: value for name, value in whole.items() if value is not None}
    answer = await side.http.post(f"/api/ai-image/{path}", headers=headers)
    assert message in error(answer, 403, "forbidden")["message"]
    assert side.decider.envelopes == []


async def test_a_token_that_does_not_count_is_no_guest(side: Side) -> None:
    strange = {"Authorization": f"Bearer {side.token('ada', product='studio')}"}
    for headers in ({"Authorization": "Bearer nonsense"}, strange):
        answer = await generate(side, headers)
        assert error(answer, 401, "unauthorized")["message"] == "Das Token ist ungültig oder abgelaufen"
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert side.decider.envelopes == []


async def test_fifteen_a_minute_for_each_owner_alone(side: Side) -> None:
    for _ in range(15):
        await generate(side, user(side), {})
    answer = await generate(side, user(side))
    found = error(answer, 429, "rate_limited")
    assert found["message"] == "Zu viele Anfragen: bitte in 60 Sekunden erneut versuchen"
    assert answer.headers["retry-after"] == "60"
    assert (await generate(side, user(side, "ben"))).status_code == 200
    assert (await generate(side, guest("abc123"))).status_code == 200
    side.clock.advance(60_000)
    assert (await generate(side, user(side))).status_code == 200


async def test_guests_of_one_address_share_a_quota_a_day(tmp_path: Path) -> None:
    side = make_enhancer(tmp_path, LimitSettings(guest_jobs_a_day=4))
    async with side.http:
        for number in range(4):
            assert (await generate(side, guest(f"g{number}"))).status_code == 200
        answer = await generate(side, guest("g4"))
        found = error(answer, 403, "forbidden")
        assert found["message"] == "Kostenloses Nutzungslimit erreicht"
        assert found["details"] == {"used": 4, "limit": 4, "resetAt": "2027-01-16T08:00:00.000Z"}
        assert (await generate(side, user(side))).status_code == 200


async def test_what_is_not_there_is_told_in_german(side: Side) -> None:
    nothing = await side.http.get("/api/ai-image/nothing")
    assert error(nothing, 404, "not_found")["message"] == "Diesen Endpunkt gibt es nicht"
    wrong = await side.http.get("/api/ai-image/generate", headers=user(side))
    assert error(wrong, 405, "method_not_allowed")["message"] == "Diese HTTP-Methode ist hier nicht möglich"


async def cancel(side: Side, job: str, **headers: str) -> Any:
    return await side.http.post(f"/api/ai-image/jobs/{job}/cancel", headers={**user(side), **headers})


def answers(answer: AnyAnswer | None) -> Any:
    def script(envelope: Envelope) -> list[AnyAnswer]:
        return [] if answer is None else [answer]

    return script


async def test_a_cancel_tells_when_it_was_decided(side: Side) -> None:
    side.decider.script = answers(JobCancelAccepted(JOB, 0, NOW_MS + 5))
    answer = await cancel(side, JOB)
    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "data": {"id": JOB, "status": "canceled", "canceledAt": "2027-01-15T08:00:00.005Z"},
    }
    wire.CancelAnswer.model_validate(answer.json())
    assert commands(side, CancelJob) == [CancelJob(JOB)]


async def test_a_cancel_that_is_not_decided_yet(side: Side) -> None:
    side.decider.script = answers(None)
    answer = await cancel(side, JOB)
    assert (answer.status_code, answer.json()["data"]["canceledAt"]) == (202, None)
    wire.CancelAnswer.model_validate(answer.json())


async def test_a_job_that_has_ended_cannot_be_canceled(side: Side) -> None:
    side.decider.script = answers(Refused(no.JobUnknown(JOB)))
    known: dict[str, Any] = {"status": "succeeded", "cost": 0, "charged": 0, "balance": 0, "asset": "asset_r"}
    more: dict[str, Any] = {"result": None, "reason": None, "detail": None}
    side.read_side.jobs[account("ada"), JOB] = JobOutcome(**known, **more, position="0.0.0.0", accepted_at="0.0.0.0")
    found = error(await cancel(side, JOB), 409, "conflict")
    assert found["message"] == "Der Job ist bereits beendet und kann nicht abgebrochen werden"


@pytest.mark.parametrize("job", [JOB, "job_x", "abc", "job_" + "1" * 26, "a%00b"])
async def test_unknown_and_malformed_ids_are_told_alike(side: Side, job: str) -> None:
    side.decider.script = answers(Refused(no.JobUnknown(job)))
    assert error(await cancel(side, job), 404, "not_found") == {"type": "not_found", "message": "Job nicht gefunden"}
    assert len(side.decider.envelopes) == (1 if job == JOB else 0)


async def test_the_trail_names_what_was_made_and_changed(side: Side) -> None:
    side.decider.script = decides(succeeds)
    await generate(side, user(side))
    side.decider.script = answers(JobCancelAccepted(JOB, 0, NOW_MS))
    await cancel(side, JOB)
    records: list[AccessRecord] = await side.accesses()
    told = {access.operation: access for record in records for access in record.accesses}
    (registered,), (submitted,) = commands(side, RegisterAsset), commands(side, SubmitJob)
    assert {record.account for record in records} == {account("ada")}
    assert {name: access.action for name, access in told.items()} == dict.fromkeys(told, "change")
    assert told["ai-image-cancel"].objects == (JOB,)
    assert set(told["ai-image-generate"].objects) == {registered.asset, submitted.job}


async def test_usage_is_what_the_decider_says_and_waits_for_nobody(side: Side) -> None:
    side.read_side.spendings[account("ada")] = used(5)
    side.read_side.is_current = False
    use = WindowUse("month", MONTH_MS, 7)
    side.decider.script = decides(succeeds, windows=(use,), plan="premium")
    data = (await generate(side, user(side))).json()["data"]
    assert data["usage"] == {"used": 7, "limit": 1000, "resetAt": None}


async def test_a_plan_that_this_gateway_does_not_have_is_asked_for(side: Side) -> None:
    side.read_side.spendings[account("ada")] = used(5, plan_name="premium")
    side.read_side.is_current = False
    use = WindowUse("month", MONTH_MS, 7)
    side.decider.script = decides(succeeds, windows=(use,), plan="default", plan_version=PLAN.version + 1)
    data = (await generate(side, user(side))).json()["data"]
    assert data["usage"] == {"used": 7, "limit": 1000, "resetAt": None}

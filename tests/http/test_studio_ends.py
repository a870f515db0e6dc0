"""How generations end over ports in memory: late, not at all, refused, repeated; and what stays of their files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from infra.kafka.ports import NotAppended, OutcomeUnknown
from infra.postgres.outcomes import JobOutcome
from schemas import refusals as no
from schemas.commands import RegisterAsset, SubmitJob
from schemas.replies import AssetAccepted, JobDecided, JobEndedAnswer, Refused
from schemas.wire import studio as wire
from schemas.wire import studio_errors as errors
from schemas.wire.studio_documents import GenerateAnswer, PendingAnswer
from schemas.wire.studio_paths import request_id
from tests.http.fakes import Side, stored_keys
from tests.http.studio_side import (
    ACCOUNT,
    IMAGE_OBJECT,
    MASK,
    PICTURE,
    commands,
    cookie,
    decides,
    deleted,
    error,
    fails,
    generate,
    image,
    open_studio,
    session,
    told,
)
from tests.pictures import encoded, scene

SUNSET = {"prompt": "A beautiful sunset over mountains", "model": "flux"}
FILL = {"prompt": "Replace with a red car", "model": "flux_pro"}
FIRST = "job_" + "f" * 26


@pytest.fixture
async def side(tmp_path: Path) -> AsyncIterator[Side]:
    async with open_studio(tmp_path) as made:
        yield made


async def test_a_generation_that_goes_on_is_followed_by_the_browser(side: Side) -> None:
    side.decider.script = decides(lambda job: None)
    answer = await generate(side, SUNSET, {**cookie(side), "Prefer": "wait=1"})
    document = told(answer, PendingAnswer, 202)
    assert document == {"status": "pending", "request_id": request_id(commands(side, SubmitJob)[0].job)}
    assert answer.headers["preference-applied"] == "wait=1"
    (followed,) = [text for text in answer.headers.get_list("set-cookie") if text.startswith(wire.GENERATION_COOKIE)]
    assert followed.split(";")[0] == f"{wire.GENERATION_COOKIE}={document['request_id']}"
    assert {"HttpOnly", "SameSite=Lax"} <= set(followed.split("; "))
    token = {"Authorization": f"Bearer {session(side)}", "Prefer": "respond-async"}
    assert "set-cookie" not in (await generate(side, SUNSET, token)).headers


async def test_an_end_is_followed_no_more(side: Side) -> None:
    for script, status in ((decides(image), 200), (decides(fails()), 502)):
        side.decider.script = script
        answer = await generate(side, SUNSET, cookie(side, **{wire.GENERATION_COOKIE: "req_x"}))
        assert answer.status_code == status
        cookies = answer.headers.get_list("set-cookie")
        assert any(text.startswith(f"{wire.GENERATION_COOKIE}=;") and "Max-Age=0" in text for text in cookies)


@pytest.mark.parametrize(
    ("status", "reason"),
    [("failed", "model-failed"), ("failed", "engine-unavailable"), ("expired", None), ("canceled", None)],
)
async def test_a_generation_without_a_result_is_502(side: Side, status: str, reason: str | None) -> None:
    side.decider.script = decides(fails(status, reason))
    document = told(await generate(side, SUNSET), errors.ErrorAnswer, 502)
    job = commands(side, SubmitJob)[0].job
    assert document == {"error": "Generation likely failed or timed out", "request_id": request_id(job)}


async def test_a_picture_that_cannot_be_read_is_the_clients_fault(side: Side) -> None:
    side.decider.script = decides(fails("failed", "input-undecodable"))
    assert error(await generate(side, {"model": "stable_video"}, image=PICTURE), 400) == "The image cannot be read"


async def test_the_fifty_first_of_a_day_is_429_until_tomorrow(side: Side) -> None:
    resets_ms = side.clock.now_ms() + 90_000
    refused = Refused(no.QuotaExceeded("day", 50, 50, resets_ms))
    side.decider.script = lambda one: (
        [refused] if isinstance(one.command, SubmitJob) else decides(image)(one)  # its picture is registered first
    )
    answer = await generate(side, {"model": "stable_video"}, image=PICTURE)
    assert error(answer, 429) == "Maximum 50 generations per day reached; try again later"
    assert answer.headers["retry-after"] == "90"
    (asset,) = commands(side, RegisterAsset)
    assert deleted(side) == [asset.asset], "its picture is taken back"


async def test_a_repeat_is_known_by_its_bytes_and_brings_nothing(side: Side) -> None:
    side.decider.script = decides(image, FIRST)
    side.read_side.jobs[ACCOUNT, FIRST] = JobOutcome(
        status="succeeded",
        cost=0,
        charged=0,
        balance=0,
        asset="asset_first",
        result=IMAGE_OBJECT,
        reason=None,
        detail=None,
        position="1.0.0.0",
        accepted_at="1.0.0.0",
        asset_number=9,
    )
    keyed = {**cookie(side), "Idempotency-Key": "order-1"}
    one = told(await generate(side, FILL, keyed, image=PICTURE, mask=MASK), GenerateAnswer)
    two = told(await generate(side, FILL, keyed, image=PICTURE, mask=MASK), GenerateAnswer)
    assert one == two
    assert one["request_id"] == request_id(FIRST)
    prints = {envelope.idempotency.fingerprint for envelope in side.decider.envelopes[2::5] if envelope.idempotency}
    assert len(prints) == 1
    assert sorted(deleted(side)) == sorted(command.asset for command in commands(side, RegisterAsset))
    await generate(side, FILL, keyed, image=PICTURE, mask=encoded(scene(80, 60, seed=2), "PNG"))
    submits = [one for one in side.decider.envelopes if isinstance(one.command, SubmitJob)]
    assert len({one.idempotency.fingerprint for one in submits if one.idempotency}) == 2, "another mask is another job"


async def test_a_key_with_other_content_is_409(side: Side) -> None:
    side.decider.script = lambda _: [Refused(no.IdempotencyMismatch(FIRST))]
    answer = await generate(side, SUNSET, {**cookie(side), "Idempotency-Key": "order-1"})
    assert error(answer, 409) == "This Idempotency-Key was used with another request; use a new one"
    assert FIRST not in answer.text


@pytest.mark.parametrize("fault", [NotAppended("away"), OutcomeUnknown("away")])
async def test_while_the_log_is_away_it_is_503_with_the_key(side: Side, fault: Exception) -> None:
    side.decider.fault = fault
    answer = await generate(side, SUNSET, {**cookie(side), "Idempotency-Key": "order-1"})
    error(answer, 503)
    assert answer.headers["idempotency-key"] == "order-1"


async def test_a_second_file_that_cannot_be_kept_takes_the_first_with_it(side: Side) -> None:
    def script(envelope: Any) -> Any:
        match envelope.command:
            case RegisterAsset() as command if command.object.format == "png":
                return [Refused(no.PlanMissing("studio"))]
            case _:
                return decides(image)(envelope)

    side.decider.script = script
    error(await generate(side, FILL, image=PICTURE, mask=MASK), 503)
    first, second = commands(side, RegisterAsset)
    assert deleted(side) == [first.asset]
    assert stored_keys(side.objects) == [f"{ACCOUNT}/{first.asset}"], "the purge of an asset is the decider's"
    assert commands(side, SubmitJob) == []
    assert second.object.format == "png"


async def test_a_result_whose_number_is_not_known_yet_is_pending(side: Side) -> None:
    side.decider.script = decides(lambda job: JobEndedAnswer(job, "succeeded", 0, 0, "asset_x", IMAGE_OBJECT, number=0))
    told(await generate(side, SUNSET, {**cookie(side), "Prefer": "wait=1"}), PendingAnswer, 202)


async def test_a_late_decision_is_pending(side: Side) -> None:
    side.decider.script = lambda one: (
        [] if isinstance(one.command, SubmitJob) else [AssetAccepted("x", 1, IMAGE_OBJECT)]
    )
    told(await generate(side, SUNSET), PendingAnswer, 202)
    side.decider.script = lambda one: [JobDecided(one.command.job, "queued", 0, 0)]  # type: ignore[union-attr]
    told(await generate(side, SUNSET, {**cookie(side), "Prefer": "wait=1"}), PendingAnswer, 202)

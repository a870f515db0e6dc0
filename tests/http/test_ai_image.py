"""POST /api/ai-image/generate over ports in memory: the answer, the commands, and what becomes of the picture."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from infra.kafka.ports import OutcomeUnknown
from infra.postgres.outcomes import JobOutcome
from infra.sealing.content import JOB, decode_job_secrets
from schemas import refusals as no
from schemas.commands import Envelope, RegisterAsset, SubmitJob
from schemas.replies import AnyAnswer, AssetAccepted, JobEndedAnswer, Refused
from schemas.wire import ai_image as wire
from schemas.wire import ai_image_errors as errors
from tests.http.ai_image_side import (
    PICTURE,
    account,
    commands,
    decides,
    deleted,
    error,
    generate,
    make_enhancer,
    succeeds,
    used,
    user,
)
from tests.http.fakes import Side, stored_keys

FIRST = "job_" + "b" * 26


@pytest.fixture
async def side(tmp_path: Path) -> AsyncIterator[Side]:
    made = make_enhancer(tmp_path)
    async with made.http:
        yield made


async def test_a_finished_job_is_told_as_the_document_shows_it(side: Side) -> None:
    side.read_side.spendings[account("ada")] = used(1, 7)
    answer = await generate(side, user(side), {"model": "real-esrgan", "scale": "4"})
    (registered,), (submitted,) = commands(side, RegisterAsset), commands(side, SubmitJob)
    document = answer.json()
    wire.GenerateAnswer.model_validate(document)
    data = document["data"]
    links = f"http://darkroom.test/v1/media/{account('ada')}/"
    assert answer.status_code == 200
    assert answer.headers["x-usage-ownertype"] == "user"
    assert data.pop("imageUrl").startswith(f"{links}{submitted.job.replace('job_', 'asset_')}?expires=")
    assert data.pop("originalUrl").startswith(f"{links}{registered.asset}?expires=")
    assert data == {
        "jobId": submitted.job,
        "model": "real-esrgan",
        "usage": {"used": 1, "limit": 20, "resetAt": None},
        "limits": {"user": 20, "guest": 3},
        "entitlements": {"dailyBurstCap": 20, "monthlyImages": 100, "maxUpscale": 4, "faceEnhance": True},
        "charge": {"type": "free", "amount": 0},
    }
    assert (submitted.model, submitted.params, submitted.input) == ("real-esrgan", {"scale": 4}, registered.asset)
    assert submitted.client_waits_until_ms == side.clock.now_ms() + 30_000
    assert stored_keys(side.objects) == [f"{account('ada')}/{registered.asset}"]
    assert deleted(side) == []


async def test_texts_of_a_prompt_travel_sealed_and_numbers_as_the_catalogue_wants_them(side: Side) -> None:
    fields = {"prompt": "ölgemälde", "negative_prompt": "blau", "strength": "0.35", "guidance": "7.5", "steps": "20"}
    await generate(side, user(side), {"model": "sdxl-img2img", **fields})
    (submitted,) = commands(side, SubmitJob)
    assert submitted.params == {"strength": 35, "guidance": 75, "steps": 20}
    sealed = await side.ring.open(account("ada"), submitted.sealed, JOB)
    assert sealed is not None
    assert decode_job_secrets(sealed).texts == {"prompt": "ölgemälde", "negative_prompt": "blau"}


async def test_who_does_not_wait_gets_the_pending_answer(side: Side) -> None:
    side.decider.script = decides(lambda _: None)
    answer = await generate(side, {**user(side), "Prefer": "respond-async"})
    wire.PendingAnswer.model_validate(answer.json())
    data = answer.json()["data"]
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    assert (data["imageUrl"], data["status"]) == (None, "queued")
    assert data["jobId"] == commands(side, SubmitJob)[0].job


REFUSED_FORMS: list[tuple[dict[str, str], Any, str]] = [
    ({"model": "real-esrgan"}, None, "Bilddatei (field 'image') ist erforderlich"),
    ({}, None, "Bilddatei (field 'image') ist erforderlich"),
    ({"model": "real-esrgan"}, b"", "Bilddatei (field 'image') muss genau eine nicht leere Datei sein"),
    ({}, PICTURE, "Modell (field 'model') ist erforderlich"),
    ({"model": "midjourney"}, PICTURE, errors.MODEL_UNKNOWN),
    ({"model": "m" * 101}, PICTURE, errors.MODEL_UNKNOWN),
    ({"model": "real-esrgan", "scale": "3"}, PICTURE, errors.FIELDS["scale"]),
    ({"model": "real-esrgan", "steps": "9"}, PICTURE, errors.FIELDS["steps"]),
    ({"model": "gfpgan", "scale": "2"}, PICTURE, "Das Modell gfpgan kennt das Feld 'scale' nicht"),
    ({"model": "sdxl-img2img", "prompt": "p" * 4001}, PICTURE, errors.FIELDS["prompt"]),
    ({"model": "real-esrgan"}, b"GIF89a" + b"\0" * 40, "Bilddatei (field 'image') hat ein falsches Format"),
    ({"model": "real-esrgan"}, b"\0\0\0\x18ftypheic" + b"\0" * 40, "Bilddatei (field 'image') hat ein falsches Format"),
    ({"model": "real-esrgan"}, PICTURE[:40], "Bilddatei (field 'image') ist beschädigt oder nicht lesbar"),
    ({"model": "real-esrgan"}, PICTURE + b"\0" * (10 << 20), "Bilddatei (field 'image') ist zu groß"),
]


@pytest.mark.parametrize(("fields", "image", "message"), REFUSED_FORMS)
async def test_a_form_that_is_refused_leaves_nothing(
    side: Side, fields: dict[str, str], image: Any, message: str
) -> None:
    found = error(await generate(side, user(side), fields, image), 400, "validation_error")
    assert found["message"].startswith(message)
    assert side.decider.envelopes == []
    assert stored_keys(side.objects) == []


async def test_ten_megabytes_are_taken(side: Side) -> None:
    whole = PICTURE + b"\0" * ((10 << 20) - len(PICTURE))
    assert (await generate(side, user(side), image=whole)).status_code == 200


@pytest.mark.parametrize("content", [b"{}", b""])
async def test_a_body_that_is_no_form(side: Side, content: bytes) -> None:
    headers = {**user(side), "Content-Type": "application/json"}
    answer = await side.http.post("/api/ai-image/generate", content=content, headers=headers)
    assert error(answer, 400, "validation_error")["message"] == "Content-Type muss multipart/form-data sein"


async def test_a_field_after_the_file_is_checked_and_the_file_removed(side: Side) -> None:
    parts: list[Any] = [("image", ("a.jpg", PICTURE)), ("model", (None, "real-esrgan")), ("scale", (None, "5"))]
    answer = await side.http.post("/api/ai-image/generate", files=parts, headers=user(side))
    assert error(answer, 400, "validation_error")["message"] == errors.FIELDS["scale"]
    assert (side.decider.envelopes, stored_keys(side.objects)) == ([], [])


async def test_a_result_too_large_is_refused_before_anything_is_charged(side: Side) -> None:
    buffer = io.BytesIO()
    Image.new("L", (4100, 4000)).save(buffer, "PNG")
    answer = await generate(side, user(side), {"model": "real-esrgan", "scale": "4"}, buffer.getvalue())
    assert error(answer, 400, "validation_error")["message"] == errors.FIELDS["params.scale"]
    assert (side.decider.envelopes, stored_keys(side.objects)) == ([], [])


def refuses(refusal: no.AnyRefusal) -> Any:
    def script(envelope: Envelope) -> list[AnyAnswer]:
        match envelope.command:
            case RegisterAsset() as command:
                return [AssetAccepted(command.asset, 1, command.object)]
            case SubmitJob():
                return [Refused(refusal)]
            case _:
                return []

    return script


@pytest.mark.parametrize(
    ("refusal", "status", "kind", "message"),
    [
        (no.QuotaExceeded("day", 3, 3, 1_800_057_600_000), 403, "forbidden", "Kostenloses Nutzungslimit erreicht"),
        (no.NotEntitled("gfpgan", None), 403, "forbidden", "Gesichtsverbesserung ist im Tarif nicht enthalten"),
        (no.NotEntitled("face_enhance", 0), 403, "forbidden", "Gesichtsverbesserung ist im Tarif nicht enthalten"),
        (no.QueueFull(5), 429, "rate_limited", "Zu viele Jobs warten bereits: bitte später erneut versuchen"),
    ],
)
async def test_a_refused_job_takes_its_picture_back(
    side: Side, refusal: no.AnyRefusal, status: int, kind: str, message: str
) -> None:
    side.decider.script = refuses(refusal)
    answer = await generate(side, user(side))
    assert error(answer, status, kind)["message"] == message
    assert deleted(side) == [command.asset for command in commands(side, RegisterAsset)]
    assert ("retry-after" in answer.headers) == isinstance(refusal, no.QueueFull | no.QuotaExceeded)


async def test_a_key_is_of_bytes_and_fields_and_every_request_has_a_picture_of_its_own(side: Side) -> None:
    keyed = {**user(side), "Idempotency-Key": "k"}
    for fields, image in (
        ({"scale": "2"}, PICTURE),
        ({"scale": "2"}, PICTURE),
        ({}, PICTURE),
        ({"scale": "4"}, PICTURE),
    ):
        await generate(side, keyed, {"model": "real-esrgan", **fields}, image)
    await generate(side, keyed, {"model": "real-esrgan", "scale": "2"}, PICTURE + b"\0")
    submits = [envelope for envelope in side.decider.envelopes if isinstance(envelope.command, SubmitJob)]
    used_keys = [envelope.idempotency for envelope in submits]
    prints = [used.fingerprint for used in used_keys if used is not None]
    assert len({used.key for used in used_keys if used is not None}) == 1
    assert prints[0] == prints[1]
    assert len(set(prints)) == 4
    registered = [envelope for envelope in side.decider.envelopes if isinstance(envelope.command, RegisterAsset)]
    assert len({envelope.idempotency.key for envelope in registered if envelope.idempotency is not None}) == 5
    assert len({command.asset for command in commands(side, RegisterAsset)}) == 5


async def test_a_repeat_gets_the_first_answer_and_its_own_copy_is_taken_back(side: Side) -> None:
    side.decider.script = decides(succeeds, FIRST)
    known = JobOutcome(
        status="succeeded",
        cost=0,
        charged=0,
        balance=0,
        asset="asset_r",
        result=None,
        reason=None,
        detail=None,
        position="0.0.0.0",
        accepted_at="0.0.0.0",
        input="asset_first",
    )
    side.read_side.jobs[account("ada"), FIRST] = known
    data = (await generate(side, {**user(side), "Idempotency-Key": "k"})).json()["data"]
    assert data["jobId"] == FIRST
    assert "/asset_first?" in data["originalUrl"]
    assert deleted(side) == [command.asset for command in commands(side, RegisterAsset)]


async def test_a_key_with_other_content_is_a_conflict(side: Side) -> None:
    side.decider.script = refuses(no.IdempotencyMismatch(FIRST))
    answer = await generate(side, {**user(side), "Idempotency-Key": "k"})
    error(answer, 409, "conflict")
    assert deleted(side) == [command.asset for command in commands(side, RegisterAsset)]


async def test_an_unknown_outcome_keeps_the_picture_and_names_the_key(side: Side) -> None:
    side.decider.script = decides(succeeds)
    append = side.decider.append

    async def lost(partition: int, item: bytes) -> Any:
        if b'"submit-job"' in item:
            raise OutcomeUnknown("no acknowledgement")
        return await append(partition, item)

    side.decider.append = lost  # type: ignore[method-assign]
    answer = await generate(side, {**user(side), "Idempotency-Key": "k"})
    assert error(answer, 503, "service_unavailable")["details"] == {"idempotencyKey": "k"}
    assert deleted(side) == []


async def test_the_result_of_an_identical_job_is_marked_and_free(side: Side) -> None:
    def reused(job: str) -> JobEndedAnswer:
        return JobEndedAnswer(job, "succeeded", 0, 0, "asset_r", succeeds(job).result, reused_of=FIRST, ended_ms=1)

    side.decider.script = decides(reused)
    data = (await generate(side, user(side))).json()["data"]
    assert data["charge"] == {"type": "reused", "amount": 0}


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        ("failed", "engine-unavailable", (503, "service_unavailable")),
        ("failed", "model-failed", (500, "internal_error")),
        ("failed", "input-undecodable", (400, "validation_error")),
        ("canceled", None, (409, "conflict")),
        ("expired", "queue-deadline", (503, "service_unavailable")),
    ],
)
async def test_a_job_that_fails_while_its_client_waits(
    side: Side, status: str, reason: str | None, expected: tuple[int, str]
) -> None:
    side.decider.script = decides(lambda job: JobEndedAnswer(job, status, 0, 0, reason=reason, detail="In English."))
    answer = await generate(side, user(side))
    found = error(answer, *expected)
    assert ("retry-after" in answer.headers) == (expected[0] == 503)
    assert found["details"] == {"jobId": commands(side, SubmitJob)[0].job}
    assert "English" not in found["message"]


async def test_usage_is_null_where_the_read_models_are_late_or_away(side: Side) -> None:
    side.read_side.spendings[account("ada")] = used(5)
    side.read_side.is_current = False
    late = (await generate(side, user(side))).json()
    side.read_side.is_current, side.read_side.unopened = True, None
    away = (await generate(side, user(side, "ben"))).json()
    for document in (late, away):
        wire.GenerateAnswer.model_validate(document)
        assert document["data"]["usage"] == {"used": None, "limit": 20, "resetAt": None}


async def test_usage_tells_when_the_window_that_is_used_up_ends(side: Side) -> None:
    side.read_side.spendings[account("ada")] = used(20, 20)
    data = (await generate(side, user(side))).json()["data"]
    assert data["usage"] == {"used": 20, "limit": 20, "resetAt": "2027-01-16T00:00:00.000Z"}


async def test_a_users_plan_is_that_of_the_account(side: Side) -> None:
    side.read_side.spendings[account("ada")] = used(30, 41, "premium")
    data = (await generate(side, user(side, plan="premium"))).json()["data"]
    assert data["usage"] == {"used": 41, "limit": 1000, "resetAt": None}
    assert data["entitlements"] == {"dailyBurstCap": None, "monthlyImages": 1000, "maxUpscale": 4, "faceEnhance": True}
    assert data["limits"] == {"user": 20, "guest": 3}
    assert {envelope.plan for envelope in side.decider.envelopes} == {"premium"}

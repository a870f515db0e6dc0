"""Uploads, cancels and grants from request to answer."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.responses import Response

from infra.http.limits import LimitSettings
from infra.kafka.ports import NotAppended, OutcomeUnknown
from infra.postgres.outcomes import JobOutcome
from infra.s3.memory import MemoryObjectStore
from infra.s3.store import StoredBytes, StoreUnavailable
from infra.sealing.content import ASSET, decode_asset_secrets
from ingest import assets
from ingest.intake import Intake
from schemas import refusals as no
from schemas.commands import CancelJob, Envelope, GrantCredits, RegisterAsset, StoredObject
from schemas.identifiers import account_id, partition_of
from schemas.replies import AnyAnswer, AssetAccepted, Refused
from tests.http.fakes import IDENTIFIER_KEY, Side, decoded, make_side, stored_keys


def picture(kind: str = "PNG", orientation: int | None = None) -> bytes:
    buffer = io.BytesIO()
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.effect_noise((80, 60), 90).convert("RGB").save(buffer, kind, exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
async def test_an_upload_is_stored_registered_and_shown(side: Side, kind: str) -> None:
    content = picture(kind)
    answer = await side.upload(content, name="Urlaub.bild")
    document = decoded(answer)
    (envelope,) = side.decider.envelopes
    command = envelope.command
    assert answer.status_code == 201
    assert isinstance(command, RegisterAsset)
    assert (document["width"], document["height"], document["bytes"]) == (80, 60, len(content))
    assert document["format"] == kind.lower()
    assert document["url"] == answer.headers["location"] == f"http://darkroom.test/v1/assets/{document['id']}"
    assert document["position"] == answer.headers["darkroom-position"]
    assert command.object.key == f"{side.account()}/{document['id']}"
    assert await side.objects.get(command.object.key, command.object.sha256) == content
    assert command.sealed is not None
    sealed = await side.ring.open(side.account(), command.sealed, ASSET)
    assert sealed is not None
    assert decode_asset_secrets(sealed).file_name == "Urlaub.bild"


async def test_width_and_height_are_those_of_the_picture_as_shown(side: Side) -> None:
    document = decoded(await side.upload(picture("JPEG", orientation=6)))
    assert (document["width"], document["height"]) == (60, 80)


async def test_a_body_in_small_pieces_is_the_same_upload(side: Side) -> None:
    content = picture("PNG")
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    body = head + content + b"\r\n--b--\r\n"

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 7):
            yield body[at : at + 7]

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = await side.http.post("/v1/assets", content=pieces(), headers=headers)
    assert answer.status_code == 201
    assert await side.objects.get(stored_keys(side.objects)[0]) == content


async def test_a_refused_registration_leaves_no_object(side: Side) -> None:
    side.decider.script = lambda _: [Refused(no.IdempotencyMismatch("asset_1"))]
    assert (await side.upload(picture())).status_code == 422
    side.decider.fault = NotAppended("x")
    assert (await side.upload(picture())).status_code == 503
    assert stored_keys(side.objects) == []


async def test_bytes_whose_registration_is_unknown_stay(side: Side) -> None:
    side.decider.fault = OutcomeUnknown("x")
    assert (await side.upload(picture())).status_code == 503
    assert len(stored_keys(side.objects)) == 1


async def test_a_repeated_upload_shows_the_first_asset_and_drops_the_second_object(side: Side) -> None:
    earlier = StoredObject("acct/asset_first", 10, "aa", "png", 3, 4)
    side.decider.script = lambda _: [AssetAccepted("asset_first", 1, earlier)]
    document = decoded(await side.upload(picture(), Idempotency_Key="k"))
    assert (document["id"], document["width"]) == ("asset_first", 3)
    assert stored_keys(side.objects) == []


async def test_an_upload_is_fingerprinted_by_its_hash_and_name(side: Side) -> None:
    content = picture()
    for name in ("a.png", "a.png", "b.png"):
        await side.upload(content, name=name, Idempotency_Key="k")
    first, second, third = (envelope.idempotency for envelope in side.decider.envelopes)
    assert first == second
    assert first is not None
    assert third is not None
    assert third.key == first.key
    assert third.fingerprint != first.fingerprint


class _Down(MemoryObjectStore):
    async def put_stream(
        self, key: str, chunks: AsyncIterator[bytes], content_type: str, bytes_max: int
    ) -> StoredBytes:
        raise StoreUnavailable("down")


async def test_an_object_store_that_is_away_is_503(tmp_path: Path) -> None:
    side = make_side(tmp_path, objects=_Down())
    async with side.http:
        answer = await side.upload(picture())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert side.decider.envelopes == []


async def test_who_registers_learns_the_assets_number(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    """The native answer does not show it; others do."""
    told: list[assets.Registered] = []

    def shown(intake: Intake, registered: assets.Registered, status: int = 201) -> Response:
        told.append(registered)
        return original(intake, registered, status)

    original = assets.asset_answer
    monkeypatch.setattr(assets, "asset_answer", shown)
    side.decider.script = lambda envelope: [AssetAccepted("asset_x", 41, registered_object(envelope))]
    assert (await side.upload(picture())).status_code == 201
    side.decider.script = lambda envelope: []
    assert (await side.upload(picture())).status_code == 202
    assert [(one.number, one.decided) for one in told] == [(41, True), (0, False)]


def registered_object(envelope: Envelope) -> StoredObject:
    assert isinstance(envelope.command, RegisterAsset)
    return envelope.command.object


async def test_a_cancel_gives_the_balance_back(side: Side) -> None:
    answer = await side.http.post("/v1/jobs/job_1:cancel")
    assert answer.status_code == 200
    assert decoded(answer)["status"] == "canceled"
    assert decoded(answer)["balance"] == 100
    assert side.decider.envelopes[0].command == CancelJob("job_1")


def unknown(envelope: Envelope) -> Sequence[AnyAnswer]:
    assert isinstance(envelope.command, CancelJob)
    return [Refused(no.JobUnknown(envelope.command.job))]


def an_outcome(status: str) -> JobOutcome:
    nothing: dict[str, Any] = {"asset": None, "result": None, "reason": None, "detail": None}
    return JobOutcome(status=status, cost=1, charged=1, balance=1, position="1.1.0.0", accepted_at="", **nothing)


async def test_a_cancel_of_a_finished_job_is_409_and_of_no_job_404(side: Side) -> None:
    side.decider.script = unknown
    side.read_side.jobs[side.account(), "job_done"] = an_outcome("succeeded")
    finished = await side.http.post("/v1/jobs/job_done:cancel")
    assert (finished.status_code, decoded(finished)["code"]) == (409, "job-ended")
    assert decoded(finished)["job_status"] == "succeeded"
    assert (await side.http.post("/v1/jobs/job_none:cancel")).status_code == 404
    foreign = {"Authorization": f"Bearer {side.token('bob')}"}
    assert (await side.http.post("/v1/jobs/job_done:cancel", headers=foreign)).status_code == 404


async def test_a_cancel_is_503_while_the_read_models_are_behind(side: Side) -> None:
    side.decider.script = unknown
    side.read_side.is_current = False
    answer = await side.http.post("/v1/jobs/job_done:cancel")
    assert (answer.status_code, decoded(answer)["code"]) == (503, "behind")


@pytest.mark.parametrize("subject", ["bob", "did:key:z6Mk", "a/b c"])
async def test_a_grant_goes_to_the_named_account(side: Side, subject: str) -> None:
    headers = {"Authorization": f"Bearer {side.token('root', role='admin')}"}
    path = "/v1/accounts/" + f"pix-loom:{subject}".replace("/", "%2F").replace(" ", "%20") + ":grant"
    answer = await side.http.post(path, json={"amount": 7, "reason": "gift"}, headers=headers)
    account = account_id(IDENTIFIER_KEY, "pix-loom", subject)
    (envelope,) = side.decider.envelopes
    assert answer.status_code == 200
    assert decoded(answer) == {
        "account": f"pix-loom:{subject}",
        "balance": 107,
        "position": f"{partition_of(account, 8)}.0.0.0",
    }
    assert (envelope.account, envelope.product, envelope.actor) == (account, "pix-loom", "operator")
    assert envelope.command == GrantCredits(7, "gift")
    assert envelope.subject is not None
    assert await side.ring.open(account, envelope.subject, "subject") == subject.encode()


async def test_a_grant_needs_the_role(side: Side) -> None:
    answer = await side.http.post("/v1/accounts/darkroom:ada:grant", json={"amount": 7})
    assert (answer.status_code, decoded(answer)["code"]) == (403, "forbidden")
    assert side.decider.envelopes == []


async def test_every_authenticated_request_counts_valid_or_not(tmp_path: Path) -> None:
    side = make_side(tmp_path, limits=LimitSettings(requests=2, window_s=60))
    async with side.http:
        assert (await side.submit({})).status_code == 400
        last = await side.submit({"model": "sandbox/echo"})
        assert (last.status_code, last.headers["ratelimit-remaining"]) == (202, "0")
        refused = await side.submit({"model": "sandbox/echo"})
        assert (refused.status_code, decoded(refused)["code"]) == (429, "rate-limited")
        assert (refused.headers["retry-after"], refused.headers["ratelimit-reset"]) == ("60", "60")
        other = {"Authorization": f"Bearer {side.token('bob')}"}
        answer = await side.http.post("/v1/jobs", json={"model": "sandbox/echo"}, headers=other)
        assert answer.status_code == 202
        side.clock.advance(60_001)
        assert (await side.submit({"model": "sandbox/echo"})).status_code == 202


async def test_unknown_paths_and_methods_are_problems(side: Side) -> None:
    nowhere = await side.http.get("/v1/nothing")
    wrong = await side.http.put("/v1/jobs")
    assert (nowhere.status_code, decoded(nowhere)["code"]) == (404, "not-found")
    assert (wrong.status_code, decoded(wrong)["code"], wrong.headers["allow"]) == (405, "method-not-allowed", "POST")


async def test_a_fault_is_a_problem_that_says_nothing_about_its_cause(side: Side) -> None:
    side.decider.fault = RuntimeError("the password is hunter2")
    answer = await side.submit({"model": "sandbox/echo"})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert b"hunter2" not in answer.content


async def test_answers_carry_the_trace_and_are_counted(side: Side) -> None:
    answer = await side.submit({"model": "sandbox/echo"}, traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01")
    assert answer.headers["traceparent"].startswith("00-" + "a" * 32 + "-")
    assert answer.headers["x-content-type-options"] == "nosniff"
    labels = {"operation": "submit-job", "status": "202"}
    assert side.registry.get_sample_value("darkroom_http_requests_total", labels) == 1

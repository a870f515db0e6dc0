"""Document 002 from request to command to answer, over ports in memory and a decider that plays along."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from infra.kafka.ports import NotAppended, OutcomeUnknown
from infra.postgres.outcomes import KnownAsset, Owner
from ingest import access
from schemas import commands as cmd
from schemas import refusals as no
from schemas.commands import Envelope
from schemas.replies import (
    AnyAnswer,
    JobEndedAnswer,
    Refused,
)
from schemas.wire import spike_land as wire
from tests.http.fakes import NOW_MS, Side, stored_keys
from tests.http.spike_side import (
    ACCOUNT,
    ALBUM,
    ASSET,
    IMAGE,
    PRICES,
    batch,
    commands,
    enhance,
    make_spike,
    move,
    plays_along,
    tiers,
    told,
    upload,
    wrong,
)
from tests.http.test_writes import picture

STRANGE = "img_" + "z" * 26


@pytest.fixture
async def side(tmp_path: Path) -> AsyncIterator[Side]:
    made = make_spike(tmp_path)
    async with made.http:
        yield made


async def test_an_enhancement_is_answered_once_it_is_decided(side: Side) -> None:
    answer = told(await enhance(side, "TIER_4K"), wire.EnhanceAnswer)
    (command,) = commands(side)
    assert answer == {"success": True, "jobId": command.job, "tokenCost": 10, "newBalance": 90}
    assert (command.model, command.params, command.input) == ("enhance", {"tier": "TIER_4K"}, ASSET)
    assert command.client_waits_until_ms is None


async def test_a_client_may_wait_for_the_end(side: Side) -> None:
    def ends(envelope: Envelope) -> Sequence[AnyAnswer]:
        job = envelope.command.job  # type: ignore[union-attr]
        return [*plays_along(envelope), JobEndedAnswer(job, "failed", 0, 100, reason="model-failed", detail="No.")]

    side.decider.script = ends
    answer = await enhance(side, Prefer="wait=5")
    assert told(answer, wire.EnhanceAnswer)["newBalance"] == 100, "its tokens are back"
    assert answer.headers["preference-applied"] == "wait=5"
    assert commands(side)[0].client_waits_until_ms == NOW_MS + 5_000


@pytest.mark.parametrize("prefer", ["", "wait=0"])
async def test_a_late_decision_has_no_balance_yet(side: Side, prefer: str) -> None:
    side.decider.script = lambda _: []
    answer = told(await enhance(side, Prefer=prefer), wire.EnhanceAnswer, 202)
    assert (answer["tokenCost"], answer["newBalance"]) == (5, None)
    assert answer["jobId"] == commands(side)[0].job
    if not prefer:
        group = told(await tiers(side, "TIER_1K", "TIER_2K"), wire.ParallelAnswer, 202)
        assert (group["totalCost"], group["newBalance"]) == (7, None)
        moved = told(await move(side, IMAGE), wire.MoveAnswer, 202)
        assert (moved["moved"], moved["results"]) == (None, [])
        assert told(await side.http.delete(f"/api/images/{IMAGE}"), wire.DeleteAnswer, 202)["message"] == wire.DELETING


async def test_several_tiers_are_one_group(side: Side) -> None:
    answer = told(await tiers(side, *PRICES), wire.ParallelAnswer)
    (command,) = commands(side)
    assert [(job["tier"], job["tokenCost"], job["status"]) for job in answer["jobs"]] == [
        ("TIER_1K", 2, "PROCESSING"),
        ("TIER_2K", 5, "PROCESSING"),
        ("TIER_4K", 10, "PROCESSING"),
    ]
    assert (answer["totalCost"], answer["newBalance"]) == (17, 83)
    assert isinstance(command, cmd.SubmitGroup)
    assert [job["jobId"] for job in answer["jobs"]] == [job.job for job in command.jobs]
    assert {job.input for job in command.jobs} == {ASSET}


async def test_members_that_nobody_knows_are_ignored(side: Side) -> None:
    body = {"imageId": IMAGE, "tier": "TIER_1K", "tiers": ["TIER_1K"], "quality": 9}
    for path in ("enhance", "parallel-enhance"):
        assert (await side.http.post(f"/api/images/{path}", json=body)).status_code == 200


async def test_too_few_tokens_are_told_with_what_is_needed(side: Side) -> None:
    side.decider.script = lambda _: [Refused(no.InsufficientCredits(17, 3))]
    for answer in (await enhance(side), await tiers(side, *PRICES)):
        assert wrong(answer, 402, "INSUFFICIENT_TOKENS") == {
            "error": "Insufficient tokens for this operation",
            "title": "Low Balance",
            "suggestion": "Purchase more tokens to continue",
            "code": "INSUFFICIENT_TOKENS",
            "required": 17,
        }


@pytest.mark.parametrize("body", [{}, {"imageId": IMAGE}, {"tier": "TIER_1K"}])
async def test_both_members_of_an_enhancement_are_needed(side: Side, body: object) -> None:
    answer = wrong(await side.http.post("/api/images/enhance", json=body), 400, "INVALID_INPUT")
    assert (answer["error"], answer["title"]) == ("Invalid input", "Bad Request")
    assert answer["suggestion"] == "Please provide both imageId and tier"
    several = wrong(await side.http.post("/api/images/parallel-enhance", json=body), 400, "INVALID_INPUT")
    assert several["suggestion"] == "Please provide both imageId and tiers"


@pytest.mark.parametrize(
    ("image", "tier", "named"),
    [(7, "TIER_1K", "imageId"), ("", "TIER_1K", "imageId"), ("x" * 201, "TIER_1K", "imageId"), (IMAGE, 1, "tier")]
    + [(IMAGE, wrong_tier, "tier") for wrong_tier in ("TIER_8K", "tier_1k", "", None, ["TIER_1K"], "TIER_1K\0")],
)
async def test_what_an_enhancement_cannot_be_is_named(side: Side, image: Any, tier: Any, named: str) -> None:
    answer = wrong(await enhance(side, tier, image), 400, "INVALID_INPUT")
    assert answer["suggestion"].startswith(f"Please correct {named}: ")
    assert commands(side) == []


@pytest.mark.parametrize(
    "names", [[], ["TIER_1K", "TIER_1K"], [*PRICES, "TIER_8K"], ["TIER_8K"], [1], ["TIER_1K", None]]
)
async def test_tiers_are_one_to_three_and_each_once(side: Side, names: list[Any]) -> None:
    answer = wrong(await tiers(side, *names), 400, "INVALID_INPUT")
    assert answer["suggestion"].startswith("Please correct tier")
    assert commands(side) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 5_000])
async def test_a_body_that_is_no_object_is_refused(side: Side, content: bytes) -> None:
    for path in ("enhance", "parallel-enhance", "move-to-album"):
        answer = await side.http.post(
            f"/api/images/{path}", content=content, headers={"Content-Type": "application/json"}
        )
        wrong(answer, 400, "INVALID_INPUT")
    wrong(await side.http.post("/api/images/enhance", content=b"x=1"), 400, "INVALID_INPUT")
    large = b'{"imageId": "' + b"x" * (300 << 10)
    answer = await side.http.post("/api/images/enhance", content=large, headers={"Content-Type": "application/json"})
    wrong(answer, 400, "FILE_TOO_LARGE")


@pytest.mark.parametrize("image", [STRANGE, "img_123abc", "asset_" + "a" * 26, "x"])
async def test_an_image_that_is_not_ones_own_is_not_found(side: Side, image: str) -> None:
    side.decider.script = lambda _: [Refused(no.AssetUnknown("asset_" + "z" * 26))]
    answers = [
        await enhance(side, image=image),
        await tiers(side, "TIER_1K", image=image),
        await side.http.delete(f"/api/images/{image}"),
    ]
    assert {answer.text for answer in answers} == {answers[0].text}
    for answer in answers:
        assert wrong(answer, 404, "NOT_FOUND")["error"] == "Image not found"


@pytest.mark.parametrize(
    ("owner", "status", "code"),
    [
        (Owner("acct_bob", "spike-land"), 403, "FORBIDDEN"),
        (Owner("acct_bob", "darkroom"), 404, "NOT_FOUND"),
        (Owner(ACCOUNT, "spike-land"), 404, "NOT_FOUND"),
    ],
)
async def test_somebody_elses_public_image_may_not_be_changed(side: Side, owner: Owner, status: int, code: str) -> None:
    asset = "asset_" + "z" * 26
    side.decider.script = lambda _: [Refused(no.AssetUnknown(asset))]
    side.read_side.public[asset] = owner
    wrong(await enhance(side, image=STRANGE), status, code)
    wrong(await tiers(side, "TIER_1K", image=STRANGE), status, code)
    wrong(await side.http.delete(f"/api/images/{STRANGE}"), status, code)


async def test_each_moved_image_has_its_result_in_order(side: Side) -> None:
    images = ["img_" + letter * 26 for letter in "abc"]
    answer = told(
        await move(side, *images, "img_x", images[0], removeFromSourceAlbum="album_" + "c" * 26), wire.MoveAnswer
    )
    (command,) = commands(side)
    assert command == cmd.MoveAssets(ALBUM, tuple("asset_" + letter * 26 for letter in "abc"), "album_" + "c" * 26)
    failed = {"success": False, "error": "Image not found, or it is in too many albums"}
    assert answer == {
        "success": True,
        "moved": 1,
        "failed": 2,
        "alreadyInAlbum": 2,
        "results": [
            {"imageId": images[0], "success": True},
            {"imageId": images[1], "success": True},
            {"imageId": images[2], **failed},
            {"imageId": "img_x", **failed},
            {"imageId": images[0], "success": True},
        ],
    }


async def test_a_hundred_images_are_moved_and_one_more_is_not(side: Side) -> None:
    assert (await move(side, *[IMAGE] * 100)).status_code == 200
    for answer in (
        await move(side, *[IMAGE] * 101),
        await move(side),
        await move(side, 7),
        await move(side, IMAGE, ""),
    ):
        assert wrong(answer, 400, "INVALID_INPUT")["suggestion"].startswith("Please correct imageIds")
    nothing = wrong(await side.http.post("/api/images/move-to-album", json={}), 400, "INVALID_INPUT")
    assert nothing["suggestion"] == "Please provide both imageIds and targetAlbumId"
    wrong(await move(side, IMAGE, removeFromSourceAlbum=True), 400, "INVALID_INPUT")
    assert (await move(side, IMAGE, removeFromSourceAlbum=None)).status_code == 200


async def test_an_album_that_is_not_ones_own_is_not_found(side: Side) -> None:
    side.decider.script = lambda _: [Refused(no.AlbumUnknown(ALBUM))]
    for answer in (
        await move(side, IMAGE),
        await move(side, IMAGE, album="album_xyz789"),
        await move(side, IMAGE, removeFromSourceAlbum="album_old"),
    ):
        assert wrong(answer, 404, "NOT_FOUND")["error"] == "Album not found"


async def test_a_deletion_takes_jobs_and_results_along(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    side.read_side.jobs_on[ACCOUNT, ASSET] = ("job_1", "job_2")
    side.read_side.results[ACCOUNT, ASSET] = {"job_3": "asset_3", "job_4": "asset_4", "job_5": "asset_5"}
    answer = told(await side.http.delete(f"/api/images/{IMAGE}"), wire.DeleteAnswer)
    assert answer == {"success": True, "message": "Image deleted successfully"}
    assert commands(side) == [cmd.DeleteAsset(ASSET, ("job_1", "job_2", "job_3", "job_4", "job_5"), True)]
    monkeypatch.setattr(access, "JOBS_NAMED_MAX", 3)
    assert (await side.http.delete(f"/api/images/{IMAGE}")).status_code == 200
    assert commands(side)[1:] == [
        cmd.DeleteAsset(ASSET, ("job_1", "job_2", "job_3"), True),
        cmd.DeleteAsset("asset_4"),
        cmd.DeleteAsset("asset_5"),
    ]


async def test_an_image_is_deleted_once(side: Side) -> None:
    side.decider.script = lambda _: [Refused(no.AssetUnknown(ASSET))]
    stored = cmd.StoredObject("k", 1, "aa", "png", 1, 1)
    side.read_side.assets[ACCOUNT, ASSET] = KnownAsset(object=stored, position="1.0.0.0", gone="deleted")
    wrong(await side.http.delete(f"/api/images/{IMAGE}"), 404, "NOT_FOUND")


async def test_a_key_that_was_used_otherwise_is_a_conflict(side: Side) -> None:
    side.decider.script = lambda _: [Refused(no.IdempotencyMismatch("job_1"))]
    headers = {"Idempotency-Key": "k"}
    for answer in (
        await enhance(side, Idempotency_Key="k"),
        await upload(side, headers=headers),
        await batch(side, ("a.png", picture()), ("b.png", picture()), Idempotency_Key="k"),
        await side.http.delete(f"/api/images/{IMAGE}", headers=headers),
    ):
        assert wrong(answer, 409, "INVALID_INPUT")["title"] == "Conflict"
        assert answer.headers["idempotency-key"] == "k"
    assert stored_keys(side.objects) == []


async def test_while_the_log_is_away_nothing_is_charged_and_a_repeat_is_asked_for(side: Side) -> None:
    for fault in (NotAppended("away"), OutcomeUnknown("lost")):
        side.decider.fault = fault
        for answer in (await enhance(side), await tiers(side, "TIER_1K"), await move(side, IMAGE)):
            wrong(answer, 503, "INTERNAL_ERROR")
            assert int(answer.headers["retry-after"]) >= 1


async def test_a_queue_that_is_full_is_a_limit(side: Side) -> None:
    side.decider.script = lambda _: [Refused(no.QueueFull(3))]
    answer = await enhance(side)
    assert wrong(answer, 429, "RATE_LIMIT")["retryAfter"] == int(answer.headers["retry-after"])

"""Results of studio deleted by number and by URL, over ports in memory; and how often one may ask."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from ingest.envelopes import unavailable
from schemas import refusals as no
from schemas.commands import StoredObject
from schemas.identifiers import account_id, partition_of
from schemas.positions import Position
from schemas.replies import AnyAnswer, Refused
from schemas.wire.studio_documents import DeletedAnswer, SuccessAnswer
from schemas.wire.studio_errors import ChangeErrorAnswer
from schemas.wire.studio_paths import short_key
from tests.http.fakes import IDENTIFIER_KEY, Side
from tests.http.studio_side import (
    ACCOUNT,
    IMAGE_OBJECT,
    VIDEO_OBJECT,
    ask,
    cookie,
    deleted,
    has_result,
    open_studio,
    session,
    told,
)

NOT_FOUND = {"success": False, "error": "Asset not found"}
NO_IMAGE = {"success": False, "error": "Image not found"}
PARTITION = partition_of(ACCOUNT, 8)


@pytest.fixture
async def side(tmp_path: Path) -> AsyncIterator[Side]:
    async with open_studio(tmp_path) as made:
        yield made


def gone(_: Any) -> Sequence[AnyAnswer]:
    return [Refused(no.AssetUnknown("asset_x"))]


async def test_a_result_is_deleted_by_its_number(side: Side) -> None:
    asset = has_result(side, 123)
    document = told(await ask(side, "DELETE", "/api/assets/123"), DeletedAnswer)
    assert document == {"success": True, "message": "Asset deleted successfully"}
    assert deleted(side) == [asset]
    (access,) = [access for record in await side.accesses() for access in record.accesses]
    assert (access.operation, access.action, access.objects) == ("studio-delete-asset", "delete", (asset,))


@pytest.mark.parametrize("number", ["7", "0", "-1", "0123", "+123", "123.0", "abc", "%31%32%33x", "9" * 40, "١٢٣"])
async def test_what_is_no_result_is_404(side: Side, number: str) -> None:
    has_result(side, 123)
    answer = await ask(side, "DELETE", f"/api/assets/{number}")
    assert told(answer, ChangeErrorAnswer, 404) == NOT_FOUND
    assert side.decider.envelopes == []


async def test_a_strangers_result_and_an_upload_of_ones_own_are_404(side: Side) -> None:
    has_result(side, 123, account=account_id(IDENTIFIER_KEY, "studio", "bob"))
    has_result(side, 5)
    (key,) = [key for key in side.read_side.assets if key[0] == ACCOUNT]
    side.read_side.assets[key] = replace(side.read_side.assets[key], job=None)
    for number in ("123", "5"):
        answer = await ask(side, "DELETE", f"/api/assets/{number}")
        assert told(answer, ChangeErrorAnswer, 404) == NOT_FOUND
        answer = await ask(side, "POST", "/api/delete-image", json={"url": f"/static/generated/img_{number}.png"})
        assert told(answer, ChangeErrorAnswer, 404) == NO_IMAGE
    assert side.decider.envelopes == []


async def test_what_was_deleted_before_is_404(side: Side) -> None:
    asset = has_result(side, 123)
    side.read_side.assets[ACCOUNT, asset] = replace(side.read_side.assets[ACCOUNT, asset], gone="deleted")
    side.decider.script = gone
    assert told(await ask(side, "DELETE", "/api/assets/123"), ChangeErrorAnswer, 404) == NOT_FOUND


async def test_a_repeat_under_the_key_is_answered_like_the_first(side: Side) -> None:
    asset = has_result(side, 123)
    side.read_side.assets[ACCOUNT, asset] = replace(side.read_side.assets[ACCOUNT, asset], gone="deleted")
    for _ in range(2):
        told(await ask(side, "DELETE", "/api/assets/123", {**cookie(side), "Idempotency-Key": "k"}), DeletedAnswer)
    keys = {one.idempotency.key for one in side.decider.envelopes if one.idempotency is not None}
    assert len(keys) == 1


async def test_a_late_decision_is_202(side: Side) -> None:
    has_result(side, 123)
    side.decider.script = lambda _: []
    document = told(await ask(side, "DELETE", "/api/assets/123"), DeletedAnswer, 202)
    assert document == {"success": True, "message": "Asset is being deleted"}
    told(
        await ask(side, "POST", "/api/delete-image", json={"url": "/static/generated/img_123.png"}), SuccessAnswer, 202
    )


@pytest.mark.parametrize(
    ("stored", "url"),
    [
        (IMAGE_OBJECT, "/static/generated/img_123.png"),
        (StoredObject("k", 1, "a", "jpeg", 1, 1), "/static/generated/img_123.jpg"),
        (VIDEO_OBJECT, f"/video/{short_key(123)}"),
    ],
)
async def test_a_result_is_deleted_by_its_url(side: Side, stored: StoredObject, url: str) -> None:
    asset = has_result(side, 123, stored)
    assert told(await ask(side, "POST", "/api/delete-image", json={"url": url}), SuccessAnswer) == {"success": True}
    assert deleted(side) == [asset]


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("/static/generated/img_123.jpg", 404),
        ("/static/generated/img_7.png", 404),
        (f"/video/{short_key(123)}", 404),
        ("/static/generated/thumbnails/video_123_thumb.jpg", 400),
        ("http://darkroom.test/static/generated/img_123.png", 400),
        ("/static/generated/../generated/img_123.png", 400),
        ("/static/generated/img_123.png?x=1", 400),
        ("/v1/media/asset_" + "0" * 26, 400),
        ("", 400),
        ("\0", 400),
    ],
)
async def test_no_other_url_deletes_anything(side: Side, url: str, status: int) -> None:
    has_result(side, 123)
    answer = await ask(side, "POST", "/api/delete-image", json={"url": url})
    document = told(answer, ChangeErrorAnswer, status)
    assert document == (NO_IMAGE if status == 404 else {"success": False, "error": "Invalid image URL"})
    assert side.decider.envelopes == []


@pytest.mark.parametrize("body", [{}, {"url": 5}, {"url": None}, [], "x"])
async def test_a_body_without_a_url_is_400(side: Side, body: Any) -> None:
    told(await ask(side, "POST", "/api/delete-image", json=body), ChangeErrorAnswer, 400)


async def test_a_number_that_is_not_known_yet_is_waited_for(side: Side) -> None:
    side.read_side.is_current = False
    far = Position(PARTITION, 9, 0)
    elsewhere = cookie(side, darkroom_position=str(Position((PARTITION + 1) % 8, 9, 0)))
    told(await ask(side, "DELETE", "/api/assets/123", elsewhere), ChangeErrorAnswer, 404)
    for headers in (cookie(side, darkroom_position=str(far)), {**cookie(side), "Darkroom-Position": str(far)}):
        answer = await ask(side, "DELETE", "/api/assets/123", headers)
        told(answer, ChangeErrorAnswer, 503)
        assert answer.headers["retry-after"] == "1"
    side.positions.note(ACCOUNT, far)
    told(await ask(side, "DELETE", "/api/assets/123"), ChangeErrorAnswer, 503)
    side.read_side.is_current = True
    told(await ask(side, "DELETE", "/api/assets/123"), ChangeErrorAnswer, 404)


async def test_while_the_read_models_are_away_it_is_503(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any) -> None:
        raise unavailable("The read models do not say which asset has the number; try again.")

    monkeypatch.setattr(side.read_side, "numbered_asset", away)
    told(await ask(side, "DELETE", "/api/assets/123"), ChangeErrorAnswer, 503)


async def test_a_hundred_requests_an_hour_are_counted_together(side: Side) -> None:
    headers = cookie(side)
    for number in range(100):
        method, path = (("DELETE", "/api/assets/x"), ("POST", "/api/clear-generation-state"))[number % 2]
        answer = await ask(side, method, path, headers)
        assert answer.headers["ratelimit-remaining"] == str(99 - number)
    answer = await ask(side, "POST", "/api/delete-image", headers, json={"url": "x"})
    document = told(answer, ChangeErrorAnswer, 429)
    assert answer.headers["retry-after"] == "3600"
    assert document["error"] == "Too many requests; try again in 3600 seconds"
    bob = {"Authorization": f"Bearer {session(side, 'bob')}"}
    assert (await ask(side, "POST", "/api/clear-generation-state", bob)).status_code == 200
    assert (await ask(side, "GET", "/auth/logout", headers)).status_code == 302, "going is always possible"

"""Uploads by a signed URL, from request to answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from infra.kafka.ports import OutcomeUnknown
from infra.postgres.outcomes import KnownAsset
from infra.sealing.content import ASSET, decode_asset_secrets
from ingest.pictures import FILE_BYTES_MAX
from schemas.commands import StoredObject
from schemas.positions import Position
from tests.http.asset_side import ASSET_1, PICTURE, asset_side, commands
from tests.http.fakes import Side, decoded, stored_keys
from tests.http.test_writes import picture


@pytest.fixture
async def side(tmp_path: Path) -> AsyncIterator[Side]:
    async with asset_side(tmp_path) as made:
        yield made


async def presigned(side: Side, content: bytes | None = PICTURE) -> dict[str, Any]:
    """A presigned upload to which the client has put `content`."""
    document = decoded(await side.http.post("/v1/assets:presign"))
    if content is not None:
        await side.objects.put(f"{side.account()}/incoming/{document['id']}", content, "text/html")
    return document


async def test_a_presigned_upload_says_where_to_put_it_and_what_then(side: Side) -> None:
    answer = await side.http.post("/v1/assets:presign", json={"bytes": 123})
    document = decoded(answer)
    assert answer.status_code == 200
    assert document["url"] == f"memory://{side.account()}/incoming/{document['id']}?expires=900"
    assert (document["method"], document["headers"], document["bytes_max"]) == (
        "PUT",
        {"Content-Length": "123"},
        FILE_BYTES_MAX,
    )
    assert document["complete"] == f"http://darkroom.test/v1/assets/{document['id']}:complete"
    assert document["expires_at"].startswith("2027-01-15T08:15:00")
    assert commands(side) == []


@pytest.mark.parametrize("body", [{"bytes": 0}, {"bytes": FILE_BYTES_MAX + 1}, {"bytes": "1"}, {"size": 1}, []])
async def test_a_presigned_upload_of_no_possible_size_is_refused(side: Side, body: object) -> None:
    assert (await side.http.post("/v1/assets:presign", json=body)).status_code == 400


async def test_a_completed_upload_is_a_checked_copy(side: Side) -> None:
    document = await presigned(side)
    answer = await side.http.post(document["complete"], json={"file_name": "a.jpg", "album": "album_1"})
    asset = decoded(answer)
    (command,) = commands(side)
    assert answer.status_code == 201
    assert (asset["id"], asset["width"], asset["format"]) == (document["id"], 80, "jpeg")
    assert (command.asset, command.album) == (document["id"], "album_1")
    assert command.object.key.startswith(f"{side.account()}/asset_")
    assert stored_keys(side.objects) == [command.object.key]
    assert await side.objects.get(command.object.key, command.object.sha256) == PICTURE
    assert (await side.objects.head(command.object.key)).content_type == "image/jpeg"
    opened = await side.ring.open(side.account(), command.sealed, ASSET)
    assert opened is not None
    assert decode_asset_secrets(opened).file_name == "a.jpg"


async def test_completing_again_gives_the_same_answer(side: Side) -> None:
    document = await presigned(side)
    first = decoded(await side.http.post(document["complete"]))
    accepted = next(iter(side.decider.script.registered.values()))  # type: ignore[attr-defined]
    side.read_side.assets[side.account(), document["id"]] = KnownAsset(object=accepted.object, position="1.0.0.0")
    later = await side.http.post(document["complete"])
    assert later.status_code == 201
    assert {**decoded(later), "position": None} == {**first, "position": None}
    await side.objects.put(f"{side.account()}/incoming/{document['id']}", picture("PNG"), "image/png")
    other_bytes = decoded(await side.http.post(document["complete"]))
    assert {**other_bytes, "position": None} == {**first, "position": None}
    assert stored_keys(side.objects) == [accepted.object.key]
    assert await side.objects.get(accepted.object.key, accepted.object.sha256) == PICTURE


async def test_two_completions_at_once_make_one_asset(side: Side) -> None:
    document = await presigned(side)
    answers = await asyncio.gather(*(side.http.post(document["complete"]) for _ in range(5)))
    made = {decoded(answer)["id"] for answer in answers if answer.status_code == 201}
    assert made == {document["id"]}
    assert len(stored_keys(side.objects)) == 1
    assert {answer.status_code for answer in answers} <= {201, 404}


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (None, 404, "nothing-uploaded"),
        (b"", 400, "invalid-field"),
        (b"<html>" * 100, 415, "unsupported-picture"),
        (PICTURE[:30], 400, "unreadable-picture"),
        (PICTURE + bytes(FILE_BYTES_MAX), 413, "content-too-large"),
    ],
)
async def test_what_is_no_picture_is_refused_and_removed(
    side: Side, content: bytes | None, status: int, code: str
) -> None:
    document = await presigned(side, content)
    answer = await side.http.post(document["complete"])
    assert (answer.status_code, decoded(answer)["code"]) == (status, code)
    assert stored_keys(side.objects) == []
    assert commands(side) == []


@pytest.mark.parametrize("asset", ["asset_1", "..%2f..%2fother", "x" * 200, ASSET_1])
async def test_only_what_was_presigned_for_the_account_can_be_completed(side: Side, asset: str) -> None:
    await side.objects.put(f"{side.account('bob')}/incoming/{ASSET_1}", PICTURE, "image/jpeg")
    assert (await side.http.post(f"/v1/assets/{asset}:complete")).status_code == 404
    assert commands(side) == []


async def test_a_completion_of_what_was_deleted_since_is_410_and_503_while_that_is_unknown(side: Side) -> None:
    known = KnownAsset(object=StoredObject("k", 1, "aa", "png", 1, 1), position="1.0.0.0", gone="deleted")
    side.read_side.assets[side.account(), ASSET_1] = known
    assert (await side.http.post(f"/v1/assets/{ASSET_1}:complete")).status_code == 410
    side.positions.note(side.account(), Position(0, 7, 0))
    side.read_side.is_current = False
    assert (await side.http.post(f"/v1/assets/{ASSET_1}:complete")).status_code == 503


async def test_bytes_stay_while_nobody_knows_whether_they_are_registered(side: Side) -> None:
    document = await presigned(side)
    side.decider.fault = OutcomeUnknown("x")
    assert (await side.http.post(document["complete"])).status_code == 503
    assert len(stored_keys(side.objects)) == 2
    side.decider.fault = None
    assert (await side.http.post(document["complete"])).status_code == 201

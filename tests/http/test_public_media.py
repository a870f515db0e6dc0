"""Public pictures over HTTP: who reads them, who is counted, and what is said of those that are gone."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from infra.settings import Settings
from schemas.events import AssetDeleted, AssetRegistered, VisibilityChanged
from schemas.positions import parse_position
from tests.http.reading import Reading, document, open_reading, opening, stored

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PATH = "/v1/media/asset_1"


@pytest.fixture
async def side(postgres: Settings, tmp_path: Path) -> AsyncIterator[Reading]:
    """A reading side with a public asset of ada's, and a private one."""
    async with open_reading(postgres, tmp_path) as opened:
        account = opened.account()
        opened.log.say(account, *opening())
        for number in (1, 2):
            key = f"{account}/asset_{number}"
            await opened.objects.put(key, CONTENT, "image/png")
            registered = AssetRegistered(f"asset_{number}", number, stored(key, CONTENT, SHA256), None, None)
            opened.log.say(account, registered)
        opened.log.say(account, VisibilityChanged("asset_1", True))
        yield opened


def views(side: Reading) -> int:
    return side.views.counted[side.account(), "darkroom", "asset_1"]


async def anonymous(side: Reading, path: str = PATH, method: str = "GET", **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await side.http.request(method, path, headers=named)


async def test_everybody_reads_a_public_picture_and_others_are_counted(side: Reading) -> None:
    nobody = await anonymous(side)
    stranger = await side.get(PATH, "bob")
    assert (nobody.status_code, nobody.content) == (200, CONTENT)
    assert (stranger.status_code, stranger.content) == (200, CONTENT)
    assert nobody.headers["content-disposition"] == "inline; filename=\"asset_1.png\"; filename*=UTF-8''asset_1.png"
    assert nobody.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert views(side) == 2
    assert (await side.get(PATH)).content == CONTENT
    assert views(side) == 2, "its owner is not counted"


async def test_a_picture_that_is_read_in_ranges_is_viewed_once(side: Reading) -> None:
    first = await anonymous(side, Range="bytes=0-99")
    rest = await anonymous(side, Range="bytes=100-")
    assert (first.status_code, first.content + rest.content) == (206, CONTENT)
    assert (await anonymous(side, method="HEAD")).status_code == 200
    assert views(side) == 1
    assert (await anonymous(side, If_None_Match=f'"{SHA256}"')).status_code == 304
    assert views(side) == 2
    assert (await anonymous(side, Range="bytes=99999-")).status_code == 416
    assert views(side) == 2


@pytest.mark.parametrize("asset", ["asset_2", "asset_none"])
async def test_strangers_are_not_told_of_private_pictures(side: Reading, asset: str) -> None:
    nobody = await anonymous(side, f"/v1/media/{asset}")
    stranger = await side.get(f"/v1/media/{asset}", "bob")
    assert (nobody.status_code, stranger.status_code) == (404, 404)
    assert document(stranger)["detail"] == f"The account has no asset {asset}."
    assert document(nobody)["detail"] == f"There is no public asset {asset}; its owner sends a token."
    assert (await side.get("/v1/media/asset_2")).status_code == 200
    assert side.views.counted.total() == 0


async def test_a_bad_token_is_refused_also_for_public_pictures(side: Reading) -> None:
    assert (await anonymous(side, Authorization="Bearer nonsense")).status_code == 401


async def test_what_was_taken_back_is_private_again(side: Reading) -> None:
    side.log.say(side.account(), VisibilityChanged("asset_1", False))
    assert (await anonymous(side)).status_code == 404
    assert (await side.get(PATH)).status_code == 200


@pytest.mark.parametrize("reason", ["deleted", "expired", "original-processed"])
async def test_what_is_gone_is_410_for_those_who_could_read_it_and_404_for_others(side: Reading, reason: str) -> None:
    link = document(await side.get("/v1/assets/asset_1", Accept="application/json"))["signed_url"]
    side.log.say(side.account(), AssetDeleted("asset_1", reason, None))  # type: ignore[arg-type]
    for answer in (
        await side.get(PATH),
        await side.get("/v1/assets/asset_1"),
        await side.get("/v1/assets/asset_1", Accept="application/json"),
        await side.http.get(link),
    ):
        assert (answer.status_code, document(answer)["code"]) == (410, "gone")
    assert (await anonymous(side)).status_code == 404
    assert (await side.get(PATH, "bob")).status_code == 404
    assert side.views.counted.total() == 0


async def test_no_bytes_go_out_after_a_decision_that_this_gateway_told(side: Reading) -> None:
    account = side.account()
    position = parse_position(side.log.write(account, AssetDeleted("asset_1", "deleted", None)))
    assert position is not None
    side.positions.note(account, position)  # the deletion is acknowledged, and the read models are behind
    for answer in (await anonymous(side), await side.get(PATH, "bob"), await side.get(PATH)):
        assert (answer.status_code, document(answer)["code"]) == (503, "not-reached")
    side.log.apply()
    assert [(await anonymous(side)).status_code, (await side.get(PATH)).status_code] == [404, 410]


async def test_those_without_a_token_are_counted_by_their_address(side: Reading) -> None:
    answer = await anonymous(side)
    assert int(answer.headers["ratelimit-limit"]) > int(answer.headers["ratelimit-remaining"])

"""Pictures over HTTP: whole and in ranges, for their owner, by token or by signed link."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.media import Span, _verified, parse_range
from infra.http.problems import Problem
from infra.s3.memory import MemoryObjectStore
from infra.s3.store import IntegrityError, StoreUnavailable
from infra.sealing.cipher import seal
from infra.sealing.content import ASSET, AssetSecrets, encode_secrets
from infra.settings import Settings
from schemas.events import AssetRegistered
from tests.http.reading import BASE_URL, Reading, document, open_reading, opening, stored

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
async def side(postgres: Settings, tmp_path: Path) -> AsyncIterator[Reading]:
    """A reading side with one asset of ada's."""
    async with open_reading(postgres, tmp_path) as opened:
        account = opened.account()
        key = f"{account}/asset_1"
        await opened.objects.put(key, CONTENT, "image/png")
        secrets = encode_secrets(AssetSecrets('Ka"tze ü.png'))
        sealed = seal(await opened.ring.key_for(account), account, ASSET, secrets)
        opened.log.say(account, *opening(), AssetRegistered("asset_1", 1, stored(key, CONTENT, SHA256), sealed, None))
        yield opened


@pytest.mark.parametrize("path", ["/v1/assets/asset_1", "/v1/media/asset_1"])
async def test_the_owner_gets_the_bytes_with_what_a_browser_needs(side: Reading, path: str) -> None:
    answer = await side.get(path)
    assert answer.status_code == 200
    assert answer.content == CONTENT
    headers = answer.headers
    assert headers["etag"] == f'"{SHA256}"'
    assert headers["content-type"] == "image/png"
    assert headers["content-length"] == str(len(CONTENT))
    assert headers["accept-ranges"] == "bytes"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"] == "inline; filename=\"Ka_tze _.png\"; filename*=UTF-8''Ka%22tze%20%C3%BC.png"
    assert headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize(
    ("asked", "begin", "end"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=100-", 100, 10_240),
        ("bytes=-5", 10_235, 10_240),
        ("bytes=10000-99999", 10_000, 10_240),
    ],
)
async def test_a_range_is_answered_with_its_bytes(side: Reading, asked: str, begin: int, end: int) -> None:
    answer = await side.get("/v1/media/asset_1", Range=asked)
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {begin}-{end - 1}/10240"
    assert answer.content == CONTENT[begin:end]


@pytest.mark.parametrize("asked", ["bytes=10240-", "bytes=99999-100000", "bytes=-0"])
async def test_a_range_outside_the_picture_is_416(side: Reading, asked: str) -> None:
    answer = await side.get("/v1/media/asset_1", Range=asked)
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */10240")


@pytest.mark.parametrize(
    "asked", ["bytes=5-1", "bytes=0-1,5-6", "pages=1-2", "bytes=-", "bytes=a-b", "bytes=" + "9" * 40 + "-"]
)
async def test_a_range_of_another_form_is_ignored(side: Reading, asked: str) -> None:
    answer = await side.get("/v1/media/asset_1", Range=asked)
    assert (answer.status_code, answer.content) == (200, CONTENT)


async def test_a_known_etag_is_not_sent_again(side: Reading) -> None:
    for known in (f'"{SHA256}"', f'"other", W/"{SHA256}"', "*"):
        answer = await side.get("/v1/media/asset_1", If_None_Match=known)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == f'"{SHA256}"'
    assert (await side.get("/v1/media/asset_1", If_None_Match='"other"')).status_code == 200


async def test_a_range_of_other_bytes_is_answered_with_the_whole(side: Reading) -> None:
    same = await side.get("/v1/media/asset_1", Range="bytes=0-1", If_Range=f'"{SHA256}"')
    other = await side.get("/v1/media/asset_1", Range="bytes=0-1", If_Range='"other"')
    assert (same.status_code, other.status_code) == (206, 200)


async def test_head_has_the_headers_and_no_body(side: Reading) -> None:
    answer = await side.http.head("/v1/media/asset_1", headers=side.bearer())
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "10240")


async def test_the_document_has_a_link_that_works_without_a_token_for_a_while(side: Reading) -> None:
    asset = document(await side.get("/v1/assets/asset_1", Accept="application/json"))
    link = asset.pop("signed_url")
    assert asset.pop("updated_at") == asset.pop("created_at")
    asset.pop("position")
    assert asset == {
        "id": "asset_1",
        "url": f"{BASE_URL}/v1/assets/asset_1",
        "width": 64,
        "height": 48,
        "format": "png",
        "bytes": 10_240,
        "number": 1,
        "kind": "input",
        "duration_ms": 0,
        "thumbnail_url": None,
        "views": 0,
        "albums": [],
        "expires_at": None,
        "file_name": 'Ka"tze ü.png',
        "job": None,
        "sha256": SHA256,
        "public": False,
    }
    assert (await side.http.get(link)).content == CONTENT
    assert (await side.http.get(link, headers={"range": "bytes=0-0"})).content == CONTENT[:1]
    side.clock.advance(15 * 60_000 + 1_000)
    expired = await side.http.get(link)
    assert (expired.status_code, document(expired)["code"]) == (403, "link-expired")


async def test_a_link_that_was_changed_opens_nothing(side: Reading) -> None:
    asset = document(await side.get("/v1/assets/asset_1", Accept="application/json"))
    link = urlsplit(asset["signed_url"])
    query = {name: values[0] for name, values in parse_qs(link.query).items()}
    later = {**query, "expires": str(int(query["expires"]) + 1)}
    other = link.path.replace(side.account(), side.account("bob"))
    changed = [(link.path, later), (other, query), (link.path, {**query, "signature": "x"}), (link.path + "2", query)]
    for path, values in changed:
        assert (await side.http.get(path, params=values)).status_code == 404
    assert (await side.http.get(link.path)).status_code == 400


async def test_bytes_that_are_gone_or_away_are_said_to_be(side: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    await side.objects.delete(f"{side.account()}/asset_1")
    gone = await side.get("/v1/media/asset_1")
    assert (gone.status_code, document(gone)["code"]) == (410, "gone")

    class Away:
        def __init__(self, *_: object) -> None: ...

        def __aiter__(self) -> Away:
            return self

        async def __anext__(self) -> bytes:
            raise StoreUnavailable("no answer")

    monkeypatch.setattr(MemoryObjectStore, "stream", Away)
    answer = await side.get("/v1/media/asset_1")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_damaged_bytes_never_end_as_a_whole_picture() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield CONTENT[:5000]
        yield b"?" * (len(CONTENT) - 5000)

    checked = _verified(chunks(), "key", SHA256)
    assert await anext(checked) == CONTENT[:5000]
    with pytest.raises(IntegrityError):
        await anext(checked)


@given(
    header=st.text(max_size=30) | st.from_regex(r"bytes=\d{0,20}-\d{0,20}", fullmatch=True), size=st.integers(1, 1000)
)
def test_any_range_is_within_the_body_or_refused(header: str, size: int) -> None:
    try:
        span = parse_range(header, size)
    except Problem as problem:
        span = None if problem.status == 416 else Span(0, 0)
    assert span is None or 0 <= span.start < span.end <= size

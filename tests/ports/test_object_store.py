"""One suite for the object store: S3 and memory."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator

import httpx
import pytest

from infra.clock import SystemClock
from infra.ids import SystemIds
from infra.s3.bucket import PART_BYTES, S3ObjectStore, open_store
from infra.s3.memory import MemoryObjectStore
from infra.s3.store import IntegrityError, ObjectNotFound, ObjectStore, ObjectTooLarge, StoreUnavailable
from infra.settings import S3Settings


@pytest.fixture(params=["memory", "s3"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[ObjectStore]:
    if request.param == "memory":
        yield MemoryObjectStore()
        return
    settings = request.getfixturevalue("s3")
    async with open_store(settings.s3) as opened:
        yield opened


@pytest.fixture
def key() -> str:
    ids = SystemIds()
    return f"{ids.mint('acct')}/{ids.mint('asset')}"


async def chunks(body: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for at in range(0, len(body), size):
        yield body[at : at + size]


async def test_what_was_put_comes_back(store: ObjectStore, key: str) -> None:
    stored = await store.put(key, b"hello", "image/png")
    assert stored.key == key
    assert stored.size == 5
    assert stored.sha256 == hashlib.sha256(b"hello").hexdigest()
    assert await store.get(key) == b"hello"
    assert await store.get(key, stored.sha256) == b"hello"
    head = await store.head(key)
    assert (head.key, head.size, head.content_type) == (key, 5, "image/png")
    assert await store.exists(key)


async def test_other_bytes_than_expected_are_an_error(store: ObjectStore, key: str) -> None:
    await store.put(key, b"hello", "image/png")
    with pytest.raises(IntegrityError):
        await store.get(key, hashlib.sha256(b"other").hexdigest())


async def test_a_missing_object_is_not_found(store: ObjectStore, key: str) -> None:
    for reading in (store.get(key), store.head(key), anext(aiter(store.stream(key)))):
        with pytest.raises(ObjectNotFound):
            await reading
    assert not await store.exists(key)


async def test_deleting_twice_is_harmless(store: ObjectStore, key: str) -> None:
    await store.put(key, b"hello", "image/png")
    await store.delete(key)
    await store.delete(key)
    assert not await store.exists(key)


async def test_many_objects_are_listed_by_pages_and_deleted_together(store: ObjectStore, key: str) -> None:
    begun_ms = SystemClock().now_ms()
    names = [f"{key}/{number:04}" for number in range(1_050)]
    for at in range(0, len(names), 50):
        await asyncio.gather(*(store.put(name, b"12345", "image/png") for name in names[at : at + 50]))
    await store.put(f"{key}-other", b"1", "image/png")
    pages = [page async for page in store.pages(f"{key}/")]
    assert [len(page) for page in pages] == [1_000, 50]
    listed = [found for page in pages for found in page]
    assert [found.key for found in listed] == names
    assert {found.size for found in listed} == {5}
    assert all(begun_ms - 2_000 < found.modified_ms < begun_ms + 60_000 for found in listed)
    await store.delete_many([*names, f"{key}/nobody"])
    await store.delete_many(names[:3])
    await store.delete_many([])
    assert [page async for page in store.pages(f"{key}/")] == []
    assert await store.exists(f"{key}-other")


async def test_an_upload_that_was_cut_off_is_forgotten_once_it_is_old(s3: object, store: ObjectStore, key: str) -> None:
    now_ms = SystemClock().now_ms()
    if isinstance(store, S3ObjectStore):  # as a process that was killed in the middle leaves it
        made = await store._client.create_multipart_upload(Bucket=store._bucket, Key=key)
        sent = {"Bucket": store._bucket, "Key": key, "UploadId": made["UploadId"], "PartNumber": 1}
        await store._client.upload_part(**sent, Body=os.urandom(PART_BYTES))
    assert await store.abort_uploads(now_ms - 60_000) == 0
    assert await store.abort_uploads(now_ms + 60_000) == (1 if isinstance(store, S3ObjectStore) else 0)
    assert await store.abort_uploads(now_ms + 60_000) == 0
    assert [page async for page in store.pages(key)] == []


async def test_whoever_has_a_signed_url_puts_that_object_and_no_other(
    s3: object, key: str, request: pytest.FixtureRequest
) -> None:
    async with open_store(request.getfixturevalue("s3").s3) as store, httpx.AsyncClient() as http:
        signed = await store.signed_put(key, 60, 5)
        assert (await http.put(signed.url, content=b"1234")).status_code == 403
        assert (await http.put(signed.url, content=b"123456")).status_code == 403
        assert (await http.put(signed.url.replace(key, f"{key}x"), content=b"hello")).status_code == 403
        assert not await store.exists(key)
        assert signed.headers == {"Content-Length": "5"}
        assert (await http.put(signed.url, content=b"hello", headers=dict(signed.headers))).status_code == 200
        assert await store.get(key) == b"hello"
        assert (await http.get(signed.url)).status_code == 403
        of_any_size = await store.signed_put(f"{key}y", 60)
        assert of_any_size.headers == {}
        assert (await http.put(of_any_size.url, content=b"1" * 1_000)).status_code == 200
        late = await store.signed_put(f"{key}z", 1)
        await asyncio.sleep(2.1)
        assert (await http.put(late.url, content=b"1")).status_code == 403
        assert not await store.exists(f"{key}z")


async def test_signed_urls_name_the_endpoint_that_clients_reach(s3: object, request: pytest.FixtureRequest) -> None:
    settings = request.getfixturevalue("s3").s3.model_copy(update={"public_endpoint_url": "https://pictures.example"})
    async with open_store(settings) as store:
        signed = await store.signed_put("acct_1/incoming/asset_1", 60)
        assert signed.url.startswith(f"https://pictures.example/{settings.bucket}/acct_1/incoming/asset_1?")
        await store.put("acct_1/a", b"1", "image/png")  # the store itself is where it was


async def test_signed_urls_in_memory_have_the_same_form() -> None:
    signed = await MemoryObjectStore().signed_put("a/b", 60, 5)
    assert (signed.url, signed.headers) == ("memory://a/b?expires=60", {"Content-Length": "5"})


@pytest.mark.parametrize("size", [0, 1, 70_000, PART_BYTES, 2 * PART_BYTES + 17])
async def test_a_stream_is_stored_and_hashed_on_its_way(store: ObjectStore, key: str, size: int) -> None:
    body = os.urandom(size)
    stored = await store.put_stream(key, chunks(body), "image/jpeg", size)
    assert stored.size == size
    assert stored.sha256 == hashlib.sha256(body).hexdigest()
    assert await store.get(key, stored.sha256) == body
    assert (await store.head(key)).content_type == "image/jpeg"


@pytest.mark.parametrize("size", [1_001, 2 * PART_BYTES])
async def test_too_many_bytes_leave_nothing(store: ObjectStore, key: str, size: int) -> None:
    with pytest.raises(ObjectTooLarge):
        await store.put_stream(key, chunks(os.urandom(size)), "image/jpeg", size - 1)
    assert not await store.exists(key)


async def test_a_source_that_fails_leaves_nothing(store: ObjectStore, key: str) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield os.urandom(PART_BYTES + 1)
        raise ConnectionResetError("the client hung up")

    with pytest.raises(ConnectionResetError):
        await store.put_stream(key, broken(), "image/jpeg", 1 << 30)
    assert not await store.exists(key)


async def test_a_stream_has_half_open_bounds(store: ObjectStore, key: str) -> None:
    body = os.urandom(600_000)
    await store.put(key, body, "image/png")
    for start, end in ((None, None), (0, None), (10, None), (None, 10), (5, 6), (100_000, 500_000), (7, 7)):
        read = b"".join([chunk async for chunk in store.stream(key, start, end)])
        assert read == body[start:end], (start, end)


async def test_streams_left_early_give_their_connections_back(store: ObjectStore, key: str) -> None:
    await store.put(key, os.urandom(3_000_000), "image/png")
    for _ in range(100):
        stream = store.stream(key)
        assert await anext(aiter(stream))
        await stream.aclose()  # type: ignore[attr-defined]
    assert (await store.head(key)).size == 3_000_000


async def test_a_large_body_goes_in_parts(s3: object, store: ObjectStore, key: str) -> None:
    body = os.urandom(33 << 20)
    stored = await store.put(key, body, "image/png")
    assert await store.get(key, stored.sha256) == body


async def test_many_at_once_keep_apart(store: ObjectStore, key: str) -> None:
    bodies = [os.urandom(20_000) for _ in range(100)]
    stored = await asyncio.gather(*(store.put(f"{key}/{i}", body, "image/png") for i, body in enumerate(bodies)))
    read = await asyncio.gather(*(store.get(one.key, one.sha256) for one in stored))
    assert list(read) == bodies


async def test_a_store_that_does_not_answer_is_unavailable() -> None:
    nowhere = S3Settings(endpoint_url="http://127.0.0.1:1", access_key="a", secret_key="b")
    async with open_store(nowhere) as store:
        with pytest.raises(StoreUnavailable):
            await store.get("a/b")
        with pytest.raises(StoreUnavailable):
            await store.put("a/b", b"", "image/png")


async def test_a_bucket_is_made_once(s3: object, request: pytest.FixtureRequest) -> None:
    settings = request.getfixturevalue("s3").s3.model_copy(update={"bucket": "another"})
    async with open_store(settings) as store:
        assert isinstance(store, S3ObjectStore)
        await store.ensure_bucket()
        await store.ensure_bucket()
        await store.put("a/b", b"1", "image/png")

"""The object store on anything that speaks S3, through one aioboto3 client a process.

One client and one pool of connections live as long as the process (a session a request leaks); every body is closed,
read or not, or its connection would stay taken. Retries are botocore's own, bounded; what still fails is
StoreUnavailable. Checksums beyond what S3 requires are off: not every server understands them, and the sha256 in the
log is checked instead.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aioboto3
from aioboto3.session import AioConfig
from botocore.exceptions import BotoCoreError, ClientError

from infra import failpoints
from infra.s3 import bulk
from infra.s3.faults import status_of, translated
from infra.s3.store import (
    ListedObject,
    ObjectHead,
    ObjectNotFound,
    ObjectTooLarge,
    SignedPut,
    StoredBytes,
    checked,
)
from infra.settings import S3Settings

PART_BYTES = 5 << 20
_SINGLE_PUT_BYTES_MAX = 32 << 20
_CHUNK_BYTES = 256 << 10
_HASH_IN_THREAD_BYTES = 1 << 20
_CONNECTIONS_MAX = 64
_ATTEMPTS_MAX = 3


@asynccontextmanager
async def open_store(settings: S3Settings) -> AsyncGenerator[S3ObjectStore]:
    """Open the process's client; closed when the block ends."""
    config = AioConfig(
        max_pool_connections=_CONNECTIONS_MAX,
        connect_timeout=3,
        read_timeout=30,
        retries={"max_attempts": _ATTEMPTS_MAX, "mode": "standard"},
        user_agent="darkroom",  # the library's own is put together anew for each request: a tenth of a call's time
        signature_version="s3v4",
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path"},
    )
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(_client(settings, settings.endpoint_url, config))
        client.meta.events.register("before-call.s3.DeleteObjects", bulk.checked_by_md5)
        signing = client
        if (
            settings.public_endpoint_url is not None
        ):  # the host is part of what is signed; nothing is sent with this one
            signing = await stack.enter_async_context(_client(settings, settings.public_endpoint_url, config))
        yield S3ObjectStore(client, settings.bucket, signing)


def _client(settings: S3Settings, endpoint_url: str | None, config: AioConfig) -> Any:
    return aioboto3.Session().client(
        "s3",
        endpoint_url=endpoint_url,
        region_name=settings.region,
        aws_access_key_id=settings.access_key or None,
        aws_secret_access_key=settings.secret_key.get_secret_value() or None,
        config=config,
    )


class S3ObjectStore:
    """`ObjectStore` in one bucket. `signing` is the client whose endpoint stands in signed URLs."""

    def __init__(self, client: Any, bucket: str, signing: Any) -> None:
        self._client, self._bucket, self._signing = client, bucket, signing

    async def ensure_bucket(self) -> None:
        """Create the bucket if it is not there. Idempotent."""
        with translated(self._bucket):
            try:
                await self._client.head_bucket(Bucket=self._bucket)
            except ClientError as error:
                if status_of(error) != 404:
                    raise
                await self._client.create_bucket(Bucket=self._bucket)

    async def put(self, key: str, body: bytes, content_type: str) -> StoredBytes:
        if len(body) > _SINGLE_PUT_BYTES_MAX:
            return await self.put_stream(key, _parts(body), content_type, len(body))
        digest = await _sha256(body)
        with translated(key):
            await self._client.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=content_type)
        return StoredBytes(key, len(body), digest)

    async def put_stream(
        self, key: str, chunks: AsyncIterator[bytes], content_type: str, bytes_max: int
    ) -> StoredBytes:
        upload = _Upload(self._client, {"Bucket": self._bucket, "Key": key}, content_type)
        try:
            async for chunk in chunks:
                if upload.size + len(chunk) > bytes_max:
                    raise ObjectTooLarge(f"more than {bytes_max} bytes")
                with translated(key):
                    await upload.write(chunk)
            with translated(key):
                await upload.finish()
        except BaseException:
            await asyncio.shield(upload.abort())
            raise
        return StoredBytes(key, upload.size, upload.hash.hexdigest())

    async def get(self, key: str, sha256: str | None = None) -> bytes:
        with translated(key):
            answer = await self._client.get_object(Bucket=self._bucket, Key=key)
            async with answer["Body"] as body:
                content: bytes = await body.read()
        if len(content) > _HASH_IN_THREAD_BYTES:
            return await asyncio.to_thread(checked, key, content, sha256)
        return checked(key, content, sha256)

    async def stream(self, key: str, start: int | None = None, end: int | None = None) -> AsyncIterator[bytes]:
        if end is not None and end <= (start or 0):
            await self.head(key)
            return
        bounds = {} if start is None and end is None else {"Range": _range(start, end)}
        with translated(key):
            answer = await self._client.get_object(Bucket=self._bucket, Key=key, **bounds)
            async with answer["Body"] as body:
                while chunk := await body.content.read(_CHUNK_BYTES):
                    yield chunk

    async def head(self, key: str) -> ObjectHead:
        with translated(key):
            answer = await self._client.head_object(Bucket=self._bucket, Key=key)
        return ObjectHead(key, answer["ContentLength"], answer["ContentType"])

    async def exists(self, key: str) -> bool:
        try:
            await self.head(key)
        except ObjectNotFound:
            return False
        return True

    async def delete(self, key: str) -> None:
        try:
            with translated(key):
                await self._client.delete_object(Bucket=self._bucket, Key=key)
        except ObjectNotFound:
            pass  # some servers say so, and gone is what was asked for

    async def signed_put(self, key: str, expires_s: int, size: int | None = None) -> SignedPut:
        sized = {} if size is None else {"ContentLength": size}
        place = {"Bucket": self._bucket, "Key": key, **sized}
        url = await self._signing.generate_presigned_url("put_object", Params=place, ExpiresIn=expires_s)
        return SignedPut(url, {} if size is None else {"Content-Length": str(size)})

    async def delete_many(self, keys: Sequence[str]) -> None:
        await bulk.delete_objects(self._client, self._bucket, keys)

    def pages(self, prefix: str = "") -> AsyncIterator[Sequence[ListedObject]]:
        return bulk.listed_pages(self._client, self._bucket, prefix)

    async def abort_uploads(self, before_ms: int) -> int:
        return await bulk.abort_uploads(self._client, self._bucket, before_ms)


async def _parts(body: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(body), PART_BYTES):
        yield body[at : at + PART_BYTES]


class _Upload:
    """One object on its way: a single put when it fits into a part, else a multipart upload."""

    def __init__(self, client: Any, place: dict[str, str], content_type: str) -> None:
        self.size = 0
        self.hash = hashlib.sha256()
        self._client, self._place, self._content_type = client, place, content_type
        self._buffer = bytearray()
        self._upload_id: str | None = None
        self._parts: list[dict[str, object]] = []

    async def write(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self.hash.update(chunk)
        self._buffer += chunk
        while len(self._buffer) >= PART_BYTES:
            await self._send_part(bytes(self._buffer[:PART_BYTES]))
            del self._buffer[:PART_BYTES]

    async def finish(self) -> None:
        if self._upload_id is None:
            await self._client.put_object(**self._place, Body=bytes(self._buffer), ContentType=self._content_type)
            return
        if self._buffer:
            await self._send_part(bytes(self._buffer))
        await self._client.complete_multipart_upload(
            **self._place, UploadId=self._upload_id, MultipartUpload={"Parts": self._parts}
        )

    async def abort(self) -> None:
        """Forget what was sent; a server that cannot be reached drops it by its own rules."""
        if self._upload_id is None:
            return
        try:
            await self._client.abort_multipart_upload(**self._place, UploadId=self._upload_id)
        except (ClientError, BotoCoreError, OSError):
            pass  # the first failure is the one to report

    async def _send_part(self, body: bytes) -> None:
        if self._upload_id is None:
            made = await self._client.create_multipart_upload(**self._place, ContentType=self._content_type)
            self._upload_id = made["UploadId"]
        number = len(self._parts) + 1
        failpoints.passed("store.put-part.before")
        sent = await self._client.upload_part(**self._place, UploadId=self._upload_id, PartNumber=number, Body=body)
        failpoints.passed("store.put-part.after")
        self._parts.append({"ETag": sent["ETag"], "PartNumber": number})


def _range(start: int | None, end: int | None) -> str:
    return f"bytes={start or 0}-{'' if end is None else end - 1}"


async def _sha256(body: bytes) -> str:
    if len(body) > _HASH_IN_THREAD_BYTES:
        return (await asyncio.to_thread(hashlib.sha256, body)).hexdigest()
    return hashlib.sha256(body).hexdigest()

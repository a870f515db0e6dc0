"""Requests about many objects at once: listing, deleting, and forgetting uploads that were cut off."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

from infra.s3.faults import translated
from infra.s3.store import ListedObject, ObjectNotFound, StoreUnavailable

_KEYS_A_DELETE_MAX = 1_000
_GONE = frozenset({"NoSuchKey", "NotFound"})


async def delete_objects(client: Any, bucket: str, keys: Sequence[str]) -> None:
    """See `infra.s3.store.ObjectStore.delete_many`."""
    for at in range(0, len(keys), _KEYS_A_DELETE_MAX):
        some = [{"Key": key} for key in keys[at : at + _KEYS_A_DELETE_MAX]]
        with translated(bucket):
            answer = await client.delete_objects(Bucket=bucket, Delete={"Objects": some, "Quiet": True})
        kept = [error for error in answer.get("Errors", ()) if error.get("Code") not in _GONE]
        if kept:
            raise StoreUnavailable(f"the object store kept {len(kept)} objects, one of them: {kept[0]}")


async def listed_pages(client: Any, bucket: str, prefix: str) -> AsyncIterator[Sequence[ListedObject]]:
    """See `infra.s3.store.ObjectStore.pages`."""
    token: dict[str, str] = {}
    while True:
        with translated(bucket):
            answer = await client.list_objects_v2(Bucket=bucket, Prefix=prefix, **token)
        if answer.get("Contents"):
            yield [
                ListedObject(found["Key"], found["Size"], _ms(found["LastModified"])) for found in answer["Contents"]
            ]
        if not answer.get("IsTruncated"):
            return
        token = {"ContinuationToken": answer["NextContinuationToken"]}


async def abort_uploads(client: Any, bucket: str, before_ms: int) -> int:
    """See `infra.s3.store.ObjectStore.abort_uploads`."""
    aborted, markers = 0, dict[str, str]()
    while True:
        with translated(bucket):
            answer = await client.list_multipart_uploads(Bucket=bucket, **markers)
        for upload in answer.get("Uploads", ()):
            if _ms(upload["Initiated"]) < before_ms:
                await _abort(client, bucket, upload["Key"], upload["UploadId"])
                aborted += 1
        if not answer.get("IsTruncated"):
            return aborted
        markers = {"KeyMarker": answer["NextKeyMarker"], "UploadIdMarker": answer["NextUploadIdMarker"]}


def checked_by_md5(params: dict[str, Any], **_: Any) -> None:
    """S3 wants the body of DeleteObjects checked; every server knows the oldest checksum, not every one a newer."""
    digest = hashlib.md5(params["body"], usedforsecurity=False).digest()
    params["context"].pop("checksum", None)
    params["headers"]["Content-MD5"] = b64encode(digest).decode()


async def _abort(client: Any, bucket: str, key: str, upload: str) -> None:
    try:
        with translated(key):
            await client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
    except ObjectNotFound:
        pass  # finished or aborted meanwhile


def _ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)

"""What was sealed, opened for its owner. A key that was erased leaves null; so does a text that nothing opens."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from infra.http.problems import Problem
from infra.logs import get_logger
from infra.s3.store import ObjectNotFound, ObjectStore, StoreUnavailable
from infra.sealing.cipher import SealBroken
from infra.sealing.content import (
    ALBUM,
    ASSET,
    JOB,
    AlbumSecrets,
    AssetSecrets,
    JobSecrets,
    decode_album_secrets,
    decode_asset_secrets,
    decode_job_secrets,
)
from infra.sealing.keys import KeyRing, KeyStoreUnavailable
from schemas.commands import SealedPart

_log = get_logger(__name__)


async def job_secrets(keys: KeyRing, account: str, sealed: str) -> JobSecrets:
    """Metadata and free texts of a job. Raises Problem 503 while the keys cannot be asked."""
    content = await _opened(keys, account, sealed, JOB)
    try:
        return JobSecrets() if content is None else decode_job_secrets(content)
    except msgspec.DecodeError:
        _log.error("sealed-text-not-readable", purpose=JOB)
        return JobSecrets()


async def asset_secrets(keys: KeyRing, account: str, sealed: str) -> AssetSecrets:
    """The file name of an asset. Raises Problem 503 while the keys cannot be asked."""
    content = await _opened(keys, account, sealed, ASSET)
    try:
        return AssetSecrets() if content is None else decode_asset_secrets(content)
    except msgspec.DecodeError:
        _log.error("sealed-text-not-readable", purpose=ASSET)
        return AssetSecrets()


async def album_secrets(keys: KeyRing, account: str, sealed: str) -> AlbumSecrets:
    """The name of an album. Raises Problem 503 while the keys cannot be asked."""
    content = await _opened(keys, account, sealed, ALBUM)
    try:
        return AlbumSecrets() if content is None else decode_album_secrets(content)
    except msgspec.DecodeError:
        _log.error("sealed-text-not-readable", purpose=ALBUM)
        return AlbumSecrets()


async def sealed_parts(objects: ObjectStore, parts: Iterable[SealedPart]) -> dict[SealedPart, str]:
    """The sealed texts that stand in objects, each object read once; those whose object is gone are left out.

    Raises Problem 503 while the store is away.
    """
    by_key: dict[str, list[SealedPart]] = {}
    for part in parts:
        by_key.setdefault(part.key, []).append(part)
    found: dict[SealedPart, str] = {}
    for key, wanted in by_key.items():
        start, end = min(part.start for part in wanted), max(part.start + part.bytes for part in wanted)
        try:
            content = b"".join([chunk async for chunk in objects.stream(key, start, end)])
        except ObjectNotFound:
            continue
        except StoreUnavailable as error:
            detail = "The sealed texts cannot be read now; try again."
            raise Problem(503, "unavailable", detail, headers={"Retry-After": "1"}) from error
        for part in wanted:
            at = part.start - start
            found[part] = content[at : at + part.bytes].decode("ascii", "replace")
    return found


async def _opened(keys: KeyRing, account: str, sealed: str, purpose: str) -> bytes | None:
    try:
        return await keys.open(account, sealed, purpose)
    except SealBroken:
        _log.error("sealed-text-not-readable", purpose=purpose)
        return None
    except KeyStoreUnavailable as error:
        detail = "The keys do not answer now; try again."
        raise Problem(503, "unavailable", detail, headers={"Retry-After": "1"}) from error

"""What was sealed, opened for its owner. A key that was erased leaves null; so does a text that nothing opens."""

from __future__ import annotations

import msgspec

from infra.http.problems import Problem
from infra.logs import get_logger
from infra.sealing.cipher import SealBroken
from infra.sealing.content import (
    ASSET,
    JOB,
    AssetSecrets,
    JobSecrets,
    decode_asset_secrets,
    decode_job_secrets,
)
from infra.sealing.keys import KeyRing, KeyStoreUnavailable

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


async def _opened(keys: KeyRing, account: str, sealed: str, purpose: str) -> bytes | None:
    try:
        return await keys.open(account, sealed, purpose)
    except SealBroken:
        _log.error("sealed-text-not-readable", purpose=purpose)
        return None
    except KeyStoreUnavailable as error:
        detail = "The keys do not answer now; try again."
        raise Problem(503, "unavailable", detail, headers={"Retry-After": "1"}) from error

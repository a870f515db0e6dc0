"""The table of wrapped data keys that the projector makes of the topic `keys`, as sealing looks them up."""

from __future__ import annotations

from collections.abc import Mapping

from infra.postgres.readers import Reads

_KEYS = "SELECT key_id, wrapped FROM data_keys WHERE account = $1"


async def data_keys(reads: Reads, account: str) -> Mapping[str, bytes]:
    """The account's living keys by id, wrapped. Raises asyncpg's errors."""
    return {key_id: bytes(wrapped) for key_id, wrapped in await reads.rows(_KEYS, account)}

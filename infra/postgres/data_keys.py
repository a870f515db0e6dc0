"""The table of wrapped data keys that the projector makes of the topic `keys`, as sealing looks them up."""

from __future__ import annotations

from collections.abc import Mapping

import asyncpg

_KEYS = "SELECT key_id, wrapped FROM data_keys WHERE account = $1"


async def data_keys(pool: asyncpg.Pool, account: str) -> Mapping[str, bytes]:
    """The account's living keys by id, wrapped. Raises asyncpg's errors."""
    return {key_id: bytes(wrapped) for key_id, wrapped in await pool.fetch(_KEYS, account)}

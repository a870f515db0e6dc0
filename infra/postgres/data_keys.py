"""The table of wrapped data keys that the projector makes of the topic `keys`, as sealing looks them up."""

from __future__ import annotations

from collections.abc import Mapping

import asyncpg

from infra.postgres.readers import Reads

_KEYS = "SELECT key_id, wrapped FROM data_keys WHERE account = $1"
_APPLIED = """
SELECT split_part(t.application_name, '.', 3)::int AS partition, t.notification_id
FROM public.tracking AS t JOIN public.generations AS g
    ON starts_with(t.application_name, g.model || '.' || g.generation || '.')
WHERE g.state = 'live' AND g.model = 'keys'
"""


class PostgresKeyTable:
    """Implements `infra.sealing.topic.KeyTable`. Raises asyncpg's errors."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def find(self, account: str) -> Mapping[str, bytes]:
        return {key_id: bytes(wrapped) for key_id, wrapped in await self._reads.rows(_KEYS, account)}

    async def applied(self) -> Mapping[int, int]:
        try:
            return {row["partition"]: row["notification_id"] for row in await self._reads.rows(_APPLIED)}
        except asyncpg.UndefinedTableError:
            return {}  # nothing was ever applied to a database without tables

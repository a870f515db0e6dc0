"""Which objects the read models name, account by account: assets and thumbnails that live, and sealed parts of jobs."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from infra.postgres.readers import Reads

_KNOWN = "SELECT account FROM accounts WHERE account = ANY($1)"
_NAMED = """
SELECT account, key FROM assets WHERE account = ANY($1) AND gone IS NULL
UNION ALL
SELECT account, (thumbnail::json)->>'key' FROM assets
WHERE account = ANY($1) AND gone IS NULL AND thumbnail IS NOT NULL
UNION ALL
SELECT j.account, j.sealed_at->>0 FROM jobs AS j JOIN accounts AS a ON a.account = j.account
WHERE j.account = ANY($1) AND j.sealed_at IS NOT NULL AND j.accepted_ms > coalesce(a.erased_ms, 0)
"""


class PostgresObjectNames:
    """Implements `projections.sweep.Names`; the keys of one page's accounts stand in memory at a time."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def of(self, accounts: Collection[str]) -> Mapping[str, Collection[str]]:
        """See the port. Raises asyncpg's errors."""
        asked = list(accounts)
        known: dict[str, set[str]] = {row["account"]: set() for row in await self._reads.rows(_KNOWN, asked)}
        for row in await self._reads.rows(_NAMED, asked):
            known.setdefault(row["account"], set()).add(row["key"])
        return known

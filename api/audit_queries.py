"""SQL about the trail of accesses."""

from __future__ import annotations

from typing import Any

import asyncpg

from api.reading import NEWEST, OLDEST, QueryBase

_LAST = "SELECT place FROM accesses WHERE account = $1 ORDER BY place DESC LIMIT 1"
_PAGE = """
SELECT place, at_ms, actor, role, action, operation, objects, status, address, trace, times FROM accesses
WHERE account = $1 AND place <= $2 AND place {after} $3
    AND ($5::text IS NULL OR action = $5) AND ($6::text IS NULL OR $6 = ANY(string_to_array(objects, ' ')))
    AND ($7::bigint IS NULL OR at_ms > $7) AND ($8::bigint IS NULL OR at_ms < $8)
ORDER BY place {order} LIMIT $4
"""


class AuditQueries(QueryBase):
    """Reads of the trail."""

    async def last_access(self, account: str) -> int:
        """The place of the account's newest entry, -1 for none."""
        row = await self._row(_LAST, account)
        return -1 if row is None else int(row[0])

    async def accesses(
        self, account: str, *filters: Any, newest_first: bool, pin: int, after: int, limit: int
    ) -> list[asyncpg.Record]:
        """Entries up to place `pin` beyond place `after`; filters are action, object, after and before (ms)."""
        statement = _PAGE.format(**(NEWEST if newest_first else OLDEST))
        return await self._rows(statement, account, pin, after, limit, *filters)

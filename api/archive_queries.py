"""SQL of the archive: events as they stand in the event store, by account and version."""

from __future__ import annotations

import asyncio

from api.reading import QueryBase
from infra.http.problems import Problem
from infra.postgres.readers import Readers
from schemas.positions import Position

WAIT_S = 2.0
_LOOK_EVERY_S = 0.02

_EVENTS = """
SELECT state FROM stored_events WHERE originator_id = $1 AND originator_version > $2 AND originator_version <= $3
ORDER BY originator_version
"""
_JOB_EVENTS = """
SELECT state FROM stored_events WHERE originator_id = $1 AND split_part(topic, ' ', 2) = $2 AND topic LIKE '% %'
ORDER BY originator_version
"""
_REACHED = """
SELECT t.source_offset, t.source_index, t.source_ordinal FROM public.tracking t JOIN public.generations g
    ON t.application_name = g.model || '.' || g.generation || '.' || $1::text
WHERE g.model = 'archive' AND g.state = 'live'
"""


class ArchiveQueries(QueryBase):
    """Reads of the archive. `reach` comes first."""

    def __init__(self, readers: Readers, wait_s: float = WAIT_S) -> None:
        super().__init__(readers)
        self._wait_s = wait_s

    async def reach(self, position: Position) -> None:
        """Return when the archive holds the event at the position. Raises Problem 503 after the wait."""
        end_s = asyncio.get_running_loop().time() + self._wait_s
        while True:
            row = await self._row(_REACHED, str(position.partition))
            if row is not None and tuple(row) >= (position.offset, position.index, position.ordinal):
                return
            if asyncio.get_running_loop().time() >= end_s:
                detail = f"The archive has not come to {position} yet; try again."
                raise Problem(503, "not-reached", detail, headers={"Retry-After": "1"})
            await asyncio.sleep(_LOOK_EVERY_S)

    async def account_events(self, account: str, after: int, through: int) -> list[bytes]:
        """The account's events beyond version `after` up to `through`, as on the topic."""
        return [bytes(row[0]) for row in await self._rows(_EVENTS, account, after, through)]

    async def job_events(self, account: str, job: str) -> list[bytes]:
        """A job's events in order, as on the topic."""
        return [bytes(row[0]) for row in await self._rows(_JOB_EVENTS, account, job)]

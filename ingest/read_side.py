"""The read models as ingest asks them: when they do not answer, nothing is known, and the log's own answer counts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import TypeVar

import asyncpg

from infra.logs import get_logger
from infra.postgres.outcomes import (
    JobOutcome,
    KnownAsset,
    Owner,
    asset_sizes,
    job_outcome,
    job_outcomes,
    job_owner,
    known_asset,
    live_jobs_on,
    numbered_asset,
    public_owner,
    results_of,
    shown_elsewhere,
)
from infra.postgres.pool import UNAVAILABLE
from infra.postgres.positions import reached_positions
from infra.postgres.readers import Reads
from infra.postgres.spending import Spending, spending_of
from ingest.envelopes import unavailable
from ingest.ports import Size
from schemas.positions import Position

_log = get_logger(__name__)
T = TypeVar("T")
D = TypeVar("D")


class PostgresReadSide:
    """Implements `ingest.ports.ReadSide`."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._asking: asyncio.Task[Mapping[int, Position]] | None = None

    async def job(self, account: str, job: str) -> JobOutcome | None:
        return await _answer_or(None, job_outcome(self._reads, account, job))

    async def outcomes(self, account: str, jobs: Sequence[str]) -> Mapping[str, JobOutcome]:
        return await _answer_or({}, job_outcomes(self._reads, account, jobs))

    async def asset_sizes(self, account: str, assets: Sequence[str]) -> Mapping[str, Size]:
        return await _answer_or({}, asset_sizes(self._reads, account, assets))

    async def asset(self, account: str, asset: str) -> KnownAsset | None:
        return await _answer_or(None, known_asset(self._reads, account, asset))

    async def numbered_asset(self, account: str, number: int) -> KnownAsset | None:
        try:
            return await numbered_asset(self._reads, account, number)
        except (*UNAVAILABLE, asyncpg.PostgresError) as error:
            _log.warning("read-side-did-not-answer", reason=str(error))
            raise unavailable("The read models do not say which asset has the number; try again.") from error

    async def live_jobs_on(self, account: str, asset: str, most: int) -> Sequence[str]:
        return await _answer_or((), live_jobs_on(self._reads, account, asset, most))

    async def results_of(self, account: str, asset: str, most: int) -> Mapping[str, str]:
        return await _answer_or({}, results_of(self._reads, account, asset, most))

    async def shown_elsewhere(self, account: str, asset: str, job: str) -> bool:
        try:
            return await shown_elsewhere(self._reads, account, asset, job)
        except (*UNAVAILABLE, asyncpg.PostgresError) as error:
            _log.warning("read-side-did-not-answer", reason=str(error))
            raise unavailable("The read models do not say what else shows the picture; try again.") from error

    async def public_owner(self, asset: str) -> Owner | None:
        return await _answer_or(None, public_owner(self._reads, asset))

    async def spending(self, account: str, partition: int) -> Spending | None:
        return await _answer_or(None, spending_of(self._reads, account, partition))

    async def owner(self, job: str, account: str | None) -> Owner | None:
        try:
            return await job_owner(self._reads, job, account)
        except (*UNAVAILABLE, asyncpg.PostgresError) as error:
            _log.warning("read-side-did-not-answer", reason=str(error))
            detail = "The read models do not say whose job this is; name its account, or try again."
            raise unavailable(detail) from error

    async def has_reached(self, position: Position) -> bool:
        """As the port says. All who ask while a question is under way share its answer: many requests wait at a time,
        and one that learns of its position a question later has lost a few milliseconds.
        """
        asking = self._asking
        if asking is None or asking.done():
            asking = self._asking = asyncio.create_task(reached_positions(self._reads.rows), name="ask how far")
        try:
            reached = (await asyncio.shield(asking)).get(position.partition)
        except (*UNAVAILABLE, asyncpg.PostgresError) as error:
            _log.warning("read-side-did-not-answer", reason=str(error))
            return False
        return reached is not None and reached.source >= position.source


async def _answer_or(otherwise: D, asking: Awaitable[T]) -> T | D:
    """What the read models say, or `otherwise` where they do not answer."""
    try:
        return await asking
    except (*UNAVAILABLE, asyncpg.PostgresError) as error:
        _log.warning("read-side-did-not-answer", reason=str(error))
        return otherwise

"""Reads that ingest and api share, by account and id: how a job stands, and how large an asset is."""

from __future__ import annotations

import msgspec

from infra.postgres.readers import Reads
from schemas.commands import StoredObject

TERMINAL = frozenset({"succeeded", "failed", "canceled", "expired"})

_OUTCOME = """
SELECT status, cost, charged, balance, asset, result, reason, detail, position, accepted_at
FROM jobs WHERE account = $1 AND job = $2
"""

_SIZE = "SELECT width, height FROM assets WHERE account = $1 AND asset = $2"


class JobOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the read model has it. `balance` is what could be spent after the job's last booking.

    `result` and `asset` are there for succeeded, `reason` (a word) and `detail` (a sentence) for failed; `position` is
    that of the last event that changed the job, `accepted_at` the one of its acceptance.
    """

    status: str
    cost: int
    charged: int
    balance: int
    asset: str | None
    result: StoredObject | None
    reason: str | None
    detail: str | None
    position: str
    accepted_at: str

    @property
    def has_ended(self) -> bool:
        """True once nothing can change the job's status any more."""
        return self.status in TERMINAL


async def job_outcome(reads: Reads, account: str, job: str) -> JobOutcome | None:
    """The job, or None when the read model has none of this id in this account. Raises asyncpg's errors."""
    row = await reads.row(_OUTCOME, account, job)
    if row is None:
        return None
    status, cost, charged, balance, asset, result, reason, detail, position, accepted_at = row
    return JobOutcome(
        status=status,
        cost=cost,
        charged=charged,
        balance=balance,
        asset=asset,
        result=None if result is None else msgspec.json.decode(result, type=StoredObject),
        reason=reason,
        detail=detail,
        position=position,
        accepted_at=accepted_at,
    )


async def asset_size(reads: Reads, account: str, asset: str) -> tuple[int, int] | None:
    """(width, height) in pixels, or None when the read model has no such asset. Raises asyncpg's errors."""
    row = await reads.row(_SIZE, account, asset)
    return None if row is None else (row[0], row[1])

"""Reads that ingest and api share, by account and id: how a job stands, what an asset is, and who works on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
import msgspec

from infra.postgres.readers import Reads
from schemas.commands import EngineRun, Json, StoredObject

TERMINAL = frozenset({"succeeded", "failed", "canceled", "expired"})

_COLUMNS = (
    "status, cost, charged, balance, asset, result, reason, detail, position, accepted_at, accepted_ms, queued_ms, "
    "running_ms, ended_ms, model, params, input, asset_number, thumbnail, run, model_ms, reused_of, hidden_ms, job"
)
_OUTCOME = f"SELECT {_COLUMNS} FROM jobs WHERE account = $1 AND job = $2"
_OUTCOMES = f"SELECT {_COLUMNS} FROM jobs WHERE account = $1 AND job = ANY($2)"
_OWNER = "SELECT account, product FROM jobs WHERE job = $1 AND ($2::text IS NULL OR account = $2) LIMIT 1"
_SIZES = "SELECT asset, width, height FROM assets WHERE account = $1 AND asset = ANY($2)"

_ASSET = """
SELECT key, bytes, sha256, format, width, height, duration_ms, position, gone, number, asset, job FROM assets
WHERE account = $1 AND asset = $2
"""
_NUMBERED = """
SELECT key, bytes, sha256, format, width, height, duration_ms, position, gone, number, asset, job FROM assets
WHERE account = $1 AND number = $2
"""

_LIVE_JOBS_ON = """
SELECT job FROM jobs WHERE account = $1 AND outcome IS NULL AND (input = $2 OR mask = $2) LIMIT $3
"""

_RESULTS_OF = """
SELECT job, asset FROM jobs
WHERE account = $1 AND input = $2 AND outcome = 'succeeded' AND result_gone IS NULL ORDER BY version LIMIT $3
"""

_SHOWN_ELSEWHERE = """
SELECT EXISTS(SELECT 1 FROM jobs WHERE account = $1 AND input = $2 AND hidden_ms IS NULL AND job <> $3)
    OR EXISTS(SELECT 1 FROM jobs WHERE account = $1 AND asset = $2 AND hidden_ms IS NULL AND job <> $3)
"""

_PUBLIC = """
SELECT a.account, c.product FROM assets a JOIN accounts c USING (account)
WHERE a.asset = $1 AND a.public AND a.gone IS NULL
"""


_stored = msgspec.json.Decoder(StoredObject)
_DECODERS: Mapping[str, msgspec.json.Decoder[Any]] = {
    "result": _stored,
    "thumbnail": _stored,
    "run": msgspec.json.Decoder(EngineRun),
    "params": msgspec.json.Decoder(dict[str, Json]),
}
"""The columns that are JSON."""


class Owner(msgspec.Struct, frozen=True):
    """Whose a job or an asset is."""

    account: str
    product: str


class KnownAsset(msgspec.Struct, frozen=True, kw_only=True):
    """An asset as the read model has it; `gone` is the word of why access to it has ended.

    `number` is its own in its account; `job` made it, None for what was uploaded.
    """

    object: StoredObject
    position: str
    gone: str | None = None
    number: int = 0
    asset: str = ""
    job: str | None = None


class JobOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the read model has it. `balance` is what could be spent after the job's last booking.

    `result` and `asset` are there for succeeded, `reason` (a word) and `detail` (a sentence) for failed; `position` is
    that of the last event that changed the job, `accepted_at` the one of its acceptance. Times are UTC ms; `queued_ms`
    and `running_ms` are those of the last attempt, None where there was none. `reused_of` names the earlier job whose
    result this is; of such a one there is no `model_ms` and no `run`. `hidden_ms`: out of its account's histories.
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
    accepted_ms: int = 0
    queued_ms: int | None = None
    running_ms: int | None = None
    ended_ms: int | None = None
    model: str = ""
    params: Mapping[str, Json] = msgspec.field(default_factory=dict)
    input: str | None = None
    asset_number: int | None = None
    thumbnail: StoredObject | None = None
    run: EngineRun | None = None
    model_ms: int | None = None
    reused_of: str | None = None
    hidden_ms: int | None = None

    @property
    def has_ended(self) -> bool:
        """True once nothing can change the job's status any more."""
        return self.status in TERMINAL


async def job_outcome(reads: Reads, account: str, job: str) -> JobOutcome | None:
    """The job, or None when the read model has none of this id in this account. Raises asyncpg's errors."""
    row = await reads.row(_OUTCOME, account, job)
    return None if row is None else _outcome(row)


async def job_outcomes(reads: Reads, account: str, jobs: Sequence[str]) -> dict[str, JobOutcome]:
    """Those of the jobs that the read model has in this account, by id. Raises asyncpg's errors."""
    return {row["job"]: _outcome(row) for row in await reads.rows(_OUTCOMES, account, list(jobs))}


def _outcome(row: asyncpg.Record) -> JobOutcome:
    values = dict(row)
    del values["job"]
    for name, decoder in _DECODERS.items():
        if values[name] is not None:
            values[name] = decoder.decode(values[name])
    return JobOutcome(**values)


async def job_owner(reads: Reads, job: str, account: str | None) -> Owner | None:
    """Whose job it is. Without an account this reads the whole table: for operators. Raises asyncpg's errors."""
    row = await reads.row(_OWNER, job, account)
    return None if row is None else Owner(row["account"], row["product"])


async def asset_sizes(reads: Reads, account: str, assets: Sequence[str]) -> dict[str, tuple[int, int]]:
    """(width, height) in pixels of those of the assets that the read model has. Raises asyncpg's errors."""
    rows = await reads.rows(_SIZES, account, list(assets))
    return {row["asset"]: (row["width"], row["height"]) for row in rows}


async def known_asset(reads: Reads, account: str, asset: str) -> KnownAsset | None:
    """The asset, also one that has ended; None when the read model has no such asset. Raises asyncpg's errors."""
    return _known(await reads.row(_ASSET, account, asset))


async def numbered_asset(reads: Reads, account: str, number: int) -> KnownAsset | None:
    """The account's asset of this number, also one that has ended. Raises asyncpg's errors."""
    return _known(await reads.row(_NUMBERED, account, number))


def _known(row: asyncpg.Record | None) -> KnownAsset | None:
    if row is None:
        return None
    *stored, position, gone, number, asset, job = row
    known = StoredObject(*stored)
    return KnownAsset(object=known, position=position, gone=gone, number=number, asset=asset, job=job)


async def live_jobs_on(reads: Reads, account: str, asset: str, most: int) -> list[str]:
    """At most `most` jobs of the account that have not ended and work on the asset. Raises asyncpg's errors."""
    return [row[0] for row in await reads.rows(_LIVE_JOBS_ON, account, asset, most)]


async def results_of(reads: Reads, account: str, asset: str, most: int) -> dict[str, str]:
    """At most `most` results that are there of jobs on the asset, oldest first, by job. Raises asyncpg's errors."""
    return {row["job"]: row["asset"] for row in await reads.rows(_RESULTS_OF, account, asset, most)}


async def shown_elsewhere(reads: Reads, account: str, asset: str, job: str) -> bool:
    """Whether another job than `job` that is not hidden works on the asset or has made it. Raises asyncpg's errors."""
    row = await reads.row(_SHOWN_ELSEWHERE, account, asset, job)
    return row is not None and bool(row[0])


async def public_owner(reads: Reads, asset: str) -> Owner | None:
    """Whose public asset it is; None for one that is private, gone or not there. Raises asyncpg's errors."""
    row = await reads.row(_PUBLIC, asset)
    return None if row is None else Owner(row["account"], row["product"])

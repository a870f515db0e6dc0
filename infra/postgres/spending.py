"""What an account could spend, as the read models have it: balance, windows, lots, what waits, the plan in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import asyncpg
import msgspec

from infra.postgres.readers import Reads
from schemas.plans import Plan
from schemas.spendable import LotLeft

_ACCOUNT = """
SELECT p.plan AS terms, a.product, a.plan, a.since_ms,
    a.granted + a.regenerated + a.refunded - a.captured - a.reserved - a.expired AS available,
    (SELECT json_agg(json_build_array(w.kind, w.start_ms, w.used)) FROM account_windows w
        WHERE w.account = $1) AS windows,
    (SELECT json_agg(json_build_array(l.lot, l.units_left, l.expires_ms, l.priority)) FROM lots l
        WHERE l.account = $1 AND NOT l.closed AND l.units_left > 0) AS lots,
    (SELECT json_object_agg(q.lane, q.jobs) FROM (
        SELECT lane, count(*) AS jobs FROM jobs WHERE account = $1 AND outcome IS NULL
            AND status IN ('accepted', 'queued') GROUP BY lane) q) AS waiting
FROM partitions p LEFT JOIN accounts a ON a.account = $1 WHERE p.partition = $2 AND p.plan IS NOT NULL
"""
_plan_decoder = msgspec.json.Decoder(Plan)
_windows_decoder = msgspec.json.Decoder(list[tuple[str, int, int]])
_lots_decoder = msgspec.json.Decoder(list[tuple[str, int, int | None, int]])
_waiting_decoder = msgspec.json.Decoder(dict[str, int])


class Spending(msgspec.Struct, frozen=True, kw_only=True):
    """An account by its last event; `plan_name` and `available` are None for one that is not open.

    `windows` are (kind, start in ms, units used), `waiting` counts the jobs that wait in each lane.
    """

    plan: Plan
    plan_name: str | None = None
    available: int | None = None
    since_ms: int | None = None
    windows: Sequence[tuple[str, int, int]] = ()
    lots: Sequence[LotLeft] = ()
    waiting: Mapping[str, int] = {}


async def spending_of(reads: Reads, account: str, partition: int) -> Spending | None:
    """The account's standing; None while no plan is in force. Raises asyncpg's errors."""
    row = await reads.row(_ACCOUNT, account, partition)
    return None if row is None else _spending(row)


@lru_cache(maxsize=16)
def _plan_in_force(text: str) -> Plan:
    """The plan in force, decoded once for all requests."""
    return _plan_decoder.decode(text)


def _spending(row: asyncpg.Record) -> Spending:
    plan = _plan_in_force(row["terms"])
    if row["product"] is None:
        return Spending(plan=plan)
    return Spending(
        plan=plan,
        plan_name=row["plan"],
        available=row["available"],
        since_ms=row["since_ms"],
        windows=_windows_decoder.decode(row["windows"] or "[]"),
        lots=[LotLeft(*lot) for lot in _lots_decoder.decode(row["lots"] or "[]")],
        waiting=_waiting_decoder.decode(row["waiting"] or "{}"),
    )

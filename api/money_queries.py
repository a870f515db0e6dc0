"""SQL about money: the account now and at an earlier moment, its ledger, its days, and the plans it stood under."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec

from api.reading import NEWEST, OLDEST, PIN, QueryBase, last_within
from infra.postgres.readers import Readers, Reads
from schemas.amounts import window_start_ms
from schemas.plans import Plan

_ACCOUNT = """
SELECT a.product, a.plan, a.granted, a.regenerated, a.refunded, a.captured, a.reserved, a.expired, a.since_ms,
    a.position, a.version, p.plan_version,
    (SELECT json_agg(json_build_array(w.kind, w.start_ms, w.used)) FROM account_windows w
        WHERE w.account = $1) AS windows,
    (SELECT json_agg(json_build_array(l.lot, l.units_left, l.expires_ms, l.priority) ORDER BY l.version) FROM lots l
        WHERE l.account = $1 AND NOT l.closed AND l.units_left > 0) AS lots
FROM partitions p LEFT JOIN accounts a ON a.account = $1 WHERE p.partition = $2 AND p.plan_version IS NOT NULL
"""
_PLAN = "SELECT plan FROM partitions WHERE partition = $1 AND plan IS NOT NULL"
_PLANS = "SELECT plan_version, published_ms, position FROM plans WHERE partition = $1 ORDER BY plan_version DESC"
_PLAN_OF_VERSION = "SELECT plan FROM plans WHERE partition = $1 AND plan_version = $2"
_PLAN_AT = "SELECT plan FROM plans WHERE partition = $1 AND published_ms <= $2 ORDER BY plan_version DESC LIMIT 1"
_LINE = "version, kind, amount, balance, job, plan_version, reason, time_ms, position, lot, windows, lots, since_ms"
_SHOWN = "NOT (amount = 0 AND kind IN ('regenerated', 'expired'))"
_LEDGER = (
    f"SELECT {_LINE}, {PIN} FROM ledger WHERE account = $1 AND version <= least($2::bigint, $5::bigint) "
    f"AND version > $4 AND version {{after}} $3 AND {_SHOWN} {{filters}} ORDER BY version {{order}} LIMIT $6"
)
KINDS = ("granted", "regenerated", "reserved", "captured", "released", "refunded", "expired")
_LINE_AT_TIME = last_within("ledger", "r.time_ms")
_LINE_AT_POSITION = last_within("ledger", "string_to_array(r.position, '.')::bigint[]")
_SUMS = "granted, regenerated, refunded, captured, reserved, expired"
_LAST_LINE = f"SELECT {_LINE} FROM ledger WHERE account = $1 AND version <= $2 ORDER BY version DESC LIMIT 1"
_DAYS_BEFORE = f"""
SELECT {", ".join(f"coalesce(sum({name}), 0)::bigint AS {name}" for name in _SUMS.split(", "))}
FROM account_days WHERE account = $1 AND day_ms < $2
"""
_KINDS_SINCE = """
SELECT kind, sum(amount)::bigint AS amount FROM ledger WHERE account = $1 AND version > $2 AND version <= $3 GROUP BY 1
"""
_WINDOWS_SINCE = """
SELECT w->>0 AS kind, (w->>1)::bigint AS start_ms,
    sum((w->>2)::bigint * CASE l.kind WHEN 'reserved' THEN 1 ELSE -1 END)::bigint AS used
FROM ledger l, json_array_elements(l.windows::json) AS w
WHERE l.account = $1 AND l.version > $2 AND l.version <= $3 AND l.windows IS NOT NULL GROUP BY 1, 2
"""
_LOTS_THEN = """
SELECT t.lot, t.expires_ms, t.priority, t.granted + coalesce((
    SELECT sum((u->>1)::bigint * CASE l.kind WHEN 'released' THEN 1 ELSE -1 END)
    FROM ledger l, json_array_elements(l.lots::json) AS u
    WHERE l.account = $1 AND l.version >= t.version AND l.version <= $2 AND l.lots IS NOT NULL AND u->>0 = t.lot
), 0)::bigint AS units
FROM lots t WHERE t.account = $1 AND t.version <= $2 AND NOT EXISTS (
    SELECT FROM ledger e WHERE e.account = $1 AND e.kind = 'expired' AND e.lot = t.lot AND e.version <= $2
) ORDER BY t.version
"""
_REGENERATED_THEN = """
SELECT version, since_ms FROM ledger
WHERE account = $1 AND kind = 'regenerated' AND version <= $2 ORDER BY version DESC LIMIT 1
"""
_PLAN_AT_TIME, _PLAN_AT_POSITION = (
    f"SELECT plan, version, time_ms FROM account_plans WHERE account = $1 AND {mark} <= $2 "
    "ORDER BY version DESC LIMIT 1"
    for mark in ("time_ms", "string_to_array(position, '.')::bigint[]")
)
_OPENED = "SELECT version, time_ms, position FROM account_plans WHERE account = $1 ORDER BY version LIMIT 1"
_PRODUCT = "SELECT product FROM accounts WHERE account = $1"
_THRESHOLDS = """
SELECT measure, percent, used, limit_units, resets_ms, time_ms, position FROM thresholds
WHERE account = $1 AND time_ms >= $2 ORDER BY version DESC LIMIT 100
"""


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """An account as its ledger line `version` left it; `windows` and `lots` as the account's row has them."""

    version: int
    position: str
    time_ms: int
    product: str
    plan_name: str
    sums: dict[str, int]
    since_ms: int
    windows: list[tuple[str, int, int]]
    lots: list[tuple[str, int, int | None, int]]


class MoneyQueries(QueryBase):
    """Reads of balances, ledger and plans."""

    def __init__(self, readers: Readers) -> None:
        super().__init__(readers)
        self._plans: dict[int, tuple[int, Plan]] = {}

    async def account(self, account: str, partition: int) -> asyncpg.Record | None:
        """The account's row beside its partition's plan version (columns are null for an account without events).

        None while no plan is in force.
        """
        return await self._row(_ACCOUNT, account, partition)

    async def account_under_plan(self, account: str, partition: int) -> tuple[asyncpg.Record, Plan] | None:
        """`account`, and the plan in force with it, kept until its version changes; both as of one moment."""
        row = await self.account(account, partition)
        known = self._plans.get(partition)
        if row is None or (known is not None and known[0] == row["plan_version"]):
            return None if row is None or known is None else (row, known[1])

        async def both(reads: Reads) -> tuple[asyncpg.Record | None, asyncpg.Record | None]:
            return await reads.row(_ACCOUNT, account, partition), await reads.row(_PLAN, partition)

        row, text = await self._again(lambda: self._readers.snapshot(both))
        if row is None or text is None:
            return None
        plan = msgspec.json.decode(text[0], type=Plan)
        self._plans[partition] = (row["plan_version"], plan)
        return row, plan

    async def plans(self, partition: int) -> list[asyncpg.Record]:
        """Versions of plans that came into force in the partition, the newest first."""
        return await self._rows(_PLANS, partition)

    async def plan_of_version(self, partition: int, version: int) -> Plan | None:
        """The plan under which a charge was made."""
        return _plan(await self._row(_PLAN_OF_VERSION, partition, version))

    async def plan_at(self, partition: int, time_ms: int) -> Plan | None:
        """The plan that was in force at the time."""
        return _plan(await self._row(_PLAN_AT, partition, time_ms))

    async def ledger(
        self,
        account: str,
        *,
        newest_first: bool,
        pin: int,
        after: int,
        limit: int,
        kind: str | None = None,
        versions: Sequence[int] | None = None,
        after_ms: int | None = None,
        before_ms: int | None = None,
    ) -> list[asyncpg.Record]:
        """Lines up to version `pin` beyond version `after`, in order; of these `versions` where they are given."""
        low = 0 if after_ms is None else await self._number(_LINE_AT_TIME, account, after_ms)
        high = pin if before_ms is None else await self._number(_LINE_AT_TIME, account, before_ms - 1)
        filters, arguments = "", list[Any]()
        if kind in KINDS:
            filters += f" AND kind = '{kind}'"
        if versions is not None:
            filters += " AND version = ANY($7::bigint[])"
            arguments.append(list(versions))
        statement = _LEDGER.format(**(NEWEST if newest_first else OLDEST), filters=filters)
        return await self._rows(statement, account, pin, after, low, high, limit, *arguments)

    async def moment_at_time(self, account: str, time_ms: int) -> Moment | None:
        """The account as of a time; None before its first booking."""
        return await self._moment(account, _LINE_AT_TIME, _PLAN_AT_TIME, time_ms)

    async def moment_at_position(self, account: str, position: Sequence[int]) -> Moment | None:
        """The account as of a position (its four numbers); None before its first booking."""
        return await self._moment(account, _LINE_AT_POSITION, _PLAN_AT_POSITION, list(position))

    async def _moment(self, account: str, find: str, find_plan: str, mark: Any) -> Moment | None:
        async def read(reads: Reads) -> Moment | None:
            found = await reads.row(find, account, mark)
            line = await reads.row(_LAST_LINE, account, 0 if found is None else found[0])
            plan = await reads.row(find_plan, account, mark)
            return None if line is None or plan is None else await _moment_of(reads, account, line, plan)

        return await self._again(lambda: self._readers.snapshot(read))

    async def opened(self, account: str) -> asyncpg.Record | None:
        """When the account opened: `version`, `time_ms`, `position`."""
        return await self._row(_OPENED, account)

    async def thresholds(self, account: str, since_ms: int) -> list[asyncpg.Record]:
        """Thresholds reached since the time, the newest first."""
        return await self._rows(_THRESHOLDS, account, since_ms)


async def _moment_of(reads: Reads, account: str, line: asyncpg.Record, plan: asyncpg.Record) -> Moment:
    version = line["version"]
    product = await reads.row(_PRODUCT, account)
    assert product is not None
    sums = await _sums(reads, account, version, line["time_ms"])
    regenerated = await reads.row(_REGENERATED_THEN, account, version)
    grew = regenerated is not None and regenerated["version"] > plan["version"]  # a plan that is taken begins anew
    since_ms = regenerated["since_ms"] if regenerated is not None and grew else plan["time_ms"]
    month = await reads.row(_LINE_AT_TIME, account, line["time_ms"] - _MONTH_MS)
    windows = await reads.rows(_WINDOWS_SINCE, account, 0 if month is None else month[0], version)
    lots = await reads.rows(_LOTS_THEN, account, version)
    return Moment(
        version=version,
        position=line["position"],
        time_ms=line["time_ms"],
        product=product[0],
        plan_name=plan["plan"],
        sums=sums,
        since_ms=since_ms,
        windows=[tuple(row) for row in windows],
        lots=[(row["lot"], row["units"], row["expires_ms"], row["priority"]) for row in lots if row["units"] > 0],
    )


_MONTH_MS = 31 * 86_400_000


async def _sums(reads: Reads, account: str, version: int, time_ms: int) -> dict[str, int]:
    """Totals up to a line: those of the days before it, and of the lines of its day."""
    day_ms = window_start_ms("day", time_ms)
    days = await reads.row(_DAYS_BEFORE, account, day_ms)
    begun = await reads.row(_LINE_AT_TIME, account, day_ms - 1)
    lines = await reads.rows(_KINDS_SINCE, account, 0 if begun is None else begun[0], version)
    sums = {name: int(days[name]) if days is not None else 0 for name in _SUMS.split(", ")}
    for kind, amount in lines:
        if kind in sums:
            sums[kind] += amount
        if kind in ("captured", "released"):
            sums["reserved"] -= amount
    return sums


def _plan(row: asyncpg.Record | None) -> Plan | None:
    return None if row is None else msgspec.json.decode(row[0], type=Plan)

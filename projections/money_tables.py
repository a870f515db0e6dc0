"""The read models `balances` and `partitions` as SQL."""

from collections.abc import Mapping

from projections import rows as r
from projections.statements import added, coalesced, inserted, populated, upserted

_TOTALS = ("granted", "regenerated", "refunded", "captured", "reserved", "expired")
_DAY = tuple(name for name in r.AccountDay.__struct_fields__ if name not in ("account", "day_ms"))
_LOT = ("account", "lot", "version", "granted", "expires_ms", "priority", "units_left", "closed")
_TERMS = ("version", "granted", "expires_ms", "priority")

VERSION_HOLES: Mapping[type[r.Row], str] = {
    r.AccountChange: """
        SELECT u.account AS stream, coalesce(t.version, 0) AS known, u.first_version AS next
        FROM json_to_recordset(%s::json) AS u(account text, first_version bigint)
        LEFT JOIN accounts t ON t.account = u.account
        WHERE u.first_version <> coalesce(t.version, 0) + 1""",
    r.PartitionChange: """
        SELECT 'partition-' || u.partition AS stream, coalesce(t.version, 0) AS known, u.first_version AS next
        FROM json_to_recordset(%s::json) AS u(partition int, first_version bigint)
        LEFT JOIN partitions t ON t.partition = u.partition
        WHERE u.first_version <> coalesce(t.version, 0) + 1""",
}
"""Streams whose next event does not follow the last one; to be asked before the rows are written."""

STATEMENTS: Mapping[type[r.Row], str] = {
    r.AccountChange: f"""
        INSERT INTO accounts AS t {populated("accounts")}
        ON CONFLICT (account) DO UPDATE SET version = excluded.version, position = excluded.position,
            {coalesced("product", "plan", "opened_ms", "since_ms", "erased_ms", source="excluded")},
            {added(*_TOTALS)}""",
    r.AccountDay: f"""
        INSERT INTO account_days AS t {populated("account_days")}
        ON CONFLICT (account, day_ms) DO UPDATE SET {added(*_DAY)}""",
    r.WindowChange: f"""
        INSERT INTO account_windows AS t {populated("account_windows")}
        ON CONFLICT (account, kind) DO UPDATE SET start_ms = excluded.start_ms,
            used = excluded.used + CASE WHEN t.start_ms = excluded.start_ms THEN t.used ELSE 0 END
        WHERE t.start_ms <= excluded.start_ms""",
    r.LotChange: f"""
        {upserted("lots", _LOT, "account, lot")} DO UPDATE SET {coalesced(*_TERMS, source="excluded")},
            closed = t.closed OR excluded.closed,
            units_left = CASE WHEN t.closed OR excluded.closed THEN 0 ELSE t.units_left + excluded.units_left END""",
    r.PartitionChange: f"""
        INSERT INTO partitions AS t {populated("partitions")}
        ON CONFLICT (partition) DO UPDATE SET version = excluded.version,
            {coalesced("plan_version", "plan", source="excluded")}""",
    r.PublishedPlan: f"{inserted('plans')} ON CONFLICT (partition, plan_version) DO NOTHING",
}

_LINE = ("text", "int8", "text", "int8", "int8", "int8", "text", "text", "int8", "text", "int8", "text", "text", "text")

COPIES: Mapping[type[r.Row], tuple[str, tuple[str, ...]]] = {
    r.LedgerLine: ("ledger", _LINE),
    r.PlanTaken: ("account_plans", ("text", "int8", "text", "int8", "int8", "text")),
    r.Threshold: ("thresholds", ("text", "int8", "text", "int4", "int8", "int8", "int8", "int8", "text")),
}

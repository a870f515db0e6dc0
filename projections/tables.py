"""Each kind of row change as SQL. Column names are the rows' field names.

Rows that may meet others reach PostgreSQL as one JSON array a statement: encoding it costs this process little, and the
server takes it apart on a core of its own. Rows that are only added go by COPY. Statements keep the order below.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from projections import rows as r


def _coalesced(*columns: str) -> str:
    return ", ".join(f"{column} = coalesce(u.{column}, t.{column})" for column in columns)


def _added(*columns: str) -> str:
    return ", ".join(f"{column} = t.{column} + excluded.{column}" for column in columns)


def _inserted(table: str) -> str:
    return f"INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, %s::json)"


_TOTALS = ("granted", "regenerated", "refunded", "captured", "reserved", "expired")

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
    r.NewJob: _inserted("jobs"),
    r.JobChange: f"""
        UPDATE jobs AS t SET position = u.position, {
        _coalesced(
            "status",
            "charged",
            "balance",
            "attempts",
            "queued_ms",
            "running_ms",
            "ended_ms",
            "asset",
            "result",
            "reason",
            "detail",
        )
    }
        FROM json_populate_recordset(NULL::jobs, %s::json) AS u
        WHERE t.account = u.account AND t.job = u.job""",
    r.AccountChange: f"""
        INSERT INTO accounts AS t SELECT * FROM json_populate_recordset(NULL::accounts, %s::json)
        ON CONFLICT (account) DO UPDATE SET version = excluded.version, position = excluded.position,
            product = coalesce(excluded.product, t.product), plan = coalesce(excluded.plan, t.plan),
            opened_ms = coalesce(excluded.opened_ms, t.opened_ms),
            since_ms = coalesce(excluded.since_ms, t.since_ms), {_added(*_TOTALS)}""",
    r.WindowChange: """
        INSERT INTO account_windows AS t
        SELECT * FROM json_populate_recordset(NULL::account_windows, %s::json)
        ON CONFLICT (account, kind) DO UPDATE SET start_ms = excluded.start_ms,
            used = excluded.used + CASE WHEN t.start_ms = excluded.start_ms THEN t.used ELSE 0 END
        WHERE t.start_ms <= excluded.start_ms""",
    r.PartitionChange: """
        INSERT INTO partitions AS t SELECT * FROM json_populate_recordset(NULL::partitions, %s::json)
        ON CONFLICT (partition) DO UPDATE SET version = excluded.version,
            plan_version = coalesce(excluded.plan_version, t.plan_version),
            plan = coalesce(excluded.plan, t.plan)""",
    r.DataKey: """
        WITH changes AS (
            SELECT account, key_id, wrapped FROM json_to_recordset(%s::json)
                AS u(account text, key_id text, wrapped text)
        ), erased AS (
            DELETE FROM data_keys AS t USING changes AS u
            WHERE u.wrapped IS NULL AND t.account = u.account AND t.key_id = u.key_id
        )
        INSERT INTO data_keys SELECT account, key_id, decode(wrapped, 'base64') FROM changes WHERE wrapped IS NOT NULL
        ON CONFLICT (account, key_id) DO UPDATE SET wrapped = excluded.wrapped""",
}

COPIES: Mapping[type[r.Row], tuple[str, tuple[str, ...]]] = {
    r.JobEvents: ("job_events", ("text", "text", "int8", "text")),
    r.LedgerLine: ("ledger", ("text", "int8", "text", "int8", "int8", "int8", "text", "text", "int8", "text")),
    r.NewAsset: (
        "assets",
        ("text", "text", "int8", "text", "int8", "text", "text", "int4", "int4", "int8", "text", "text", "text"),
    ),
}
"""Rows that are only ever added, the most of all: table and column types for COPY, in the order of the row's fields."""

_encoder = msgspec.json.Encoder()


def rows_json(rows: Sequence[r.Row]) -> str:
    """The parameter of a kind's statement."""
    text = _encoder.encode(rows).decode()
    return _encoder.encode(_storable(msgspec.to_builtins(rows))).decode() if "\\u0000" in text else text


def copy_statement(kind: type[r.Row]) -> str:
    """COPY of the kind's fields into its table."""
    return f"COPY {COPIES[kind][0]} ({', '.join(kind.__struct_fields__)}) FROM STDIN (FORMAT BINARY)"


def copied(row: r.Row) -> tuple[Any, ...]:
    """The fields of a row for COPY."""
    return tuple(_storable(value) for value in msgspec.structs.astuple(row))


def _storable(value: Any) -> Any:
    """PostgreSQL's text cannot hold U+0000: it becomes U+FFFD, so that no text can stop the read models for ever."""
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, str):
        return value.replace("\0", "\ufffd") if "\0" in value else value
    if isinstance(value, Mapping):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_storable(item) for item in value]
    return value

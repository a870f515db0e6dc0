"""What each kind of row change does to tables in memory: the twin of the SQL in `projections.tables`."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from projections import rows as r
from projections.ports import Hole
from schemas.durations import NO_BUCKET, bucket_of

Row = dict[str, Any]
Table = dict[tuple[Any, ...], Row]
Tables = Mapping[str, Table]

KEYS: Mapping[str, tuple[str, ...]] = {
    "jobs": ("account", "job"),
    "job_events": ("account", "job", "version"),
    "job_groups": ("account", "group_id"),
    "job_counts": ("account", "day_ms", "model", "status", "wait", "run"),
    "not_made": ("account", "subject", "version"),
    "accounts": ("account",),
    "account_days": ("account", "day_ms"),
    "account_windows": ("account", "kind"),
    "account_plans": ("account", "version"),
    "lots": ("account", "lot"),
    "ledger": ("account", "version"),
    "thresholds": ("account", "version"),
    "assets": ("account", "asset"),
    "albums": ("account", "album"),
    "album_assets": ("account", "album", "asset"),
    "partitions": ("partition",),
    "plans": ("partition", "plan_version"),
    "data_keys": ("account", "key_id"),
}
"""Every table with its primary key."""

_TOTALS = ("granted", "regenerated", "refunded", "captured", "reserved", "expired")
_NOT_STORED = ("first_version", "seen")


def apply_row(tables: Tables, row: r.Row) -> list[Hole]:
    """Change the tables as the row's statement does; what the log must have left out."""
    kind = type(row)
    values = msgspec.to_builtins(row, builtin_types=(bytes,))
    if kind in _CHANGES:
        return _CHANGES[kind](tables, values) or []
    table, merge = _UPSERTS[kind]
    _upsert(tables[table], KEYS[table], values, merge)
    return []


Merge = Callable[[Row, Row], Row]


def _upsert(table: Table, names: Iterable[str], values: Row, merge: Merge) -> None:
    key = tuple(values[name] for name in names)
    before = table.get(key)
    table[key] = values if before is None else merge(before, values)


def _newer(before: Row, values: Row) -> Row:
    return {**before, **{name: value for name, value in values.items() if value is not None}}


def _kept(before: Row, _: Row) -> Row:
    return before


def _refused(before: Row, values: Row) -> Row:
    raise AssertionError(f"{values} is there: {before}")


def _summed(*names: str) -> Merge:
    def merge(before: Row, values: Row) -> Row:
        return {**_newer(before, values), **{name: before[name] + values[name] for name in names}}

    return merge


def _window(before: Row, values: Row) -> Row:
    if values["start_ms"] < before["start_ms"]:
        return before
    same = values["start_ms"] == before["start_ms"]
    return {**values, "used": values["used"] + (before["used"] if same else 0)}


def _lot(before: Row, values: Row) -> Row:
    closed = before["closed"] or values["closed"]
    left = 0 if closed else before["units_left"] + values["units_left"]
    return {**_newer(before, values), "closed": closed, "units_left": left}


_DAY = tuple(name for name in r.AccountDay.__struct_fields__ if name not in ("account", "day_ms"))

_UPSERTS: Mapping[type[r.Row], tuple[str, Merge]] = {
    r.NewJob: ("jobs", _refused),
    r.JobEvents: ("job_events", _refused),
    r.NewGroup: ("job_groups", _refused),
    r.NotMade: ("not_made", _refused),
    r.AccountDay: ("account_days", _summed(*_DAY)),
    r.WindowChange: ("account_windows", _window),
    r.LotChange: ("lots", _lot),
    r.PlanTaken: ("account_plans", _refused),
    r.LedgerLine: ("ledger", _refused),
    r.Threshold: ("thresholds", _refused),
    r.NewAsset: ("assets", _refused),
    r.AlbumChange: ("albums", _newer),
    r.AlbumMember: ("album_assets", _newer),
    r.PublishedPlan: ("plans", _kept),
}


def _stream(table: str, merge: Merge) -> Callable[[Tables, Row], list[Hole]]:
    """A row that also says which versions of its stream it sums up."""

    def change(tables: Tables, values: Row) -> list[Hole]:
        key = tuple(values[name] for name in KEYS[table])
        known = tables[table].get(key, {}).get("version", 0)
        first = values["first_version"]
        stored = {name: value for name, value in values.items() if name not in _NOT_STORED}
        _upsert(tables[table], KEYS[table], stored, merge)
        return [Hole("version", f"{key} goes on with version {first} after {known}")] if first != known + 1 else []

    return change


def _job_change(tables: Tables, values: Row) -> list[Hole]:
    key = (values["account"], values["job"])
    if key not in tables["jobs"]:
        return [Hole("job", f"{key} was never accepted")]
    tables["jobs"][key] = _newer(tables["jobs"][key], values)
    return []


def _job_hide(tables: Tables, values: Row) -> None:
    row = tables["jobs"].get((values["account"], values["job"]))
    if row is not None:
        row.update(values)


def _result_gone(tables: Tables, values: Row) -> None:
    for row in tables["jobs"].values():
        if (row["account"], row["asset"]) == (values["account"], values["asset"]):
            row["result_gone"] = values["reason"]


def _results_erased(tables: Tables, values: Row) -> None:
    for row in tables["jobs"].values():
        number = row["asset_number"] if row["account"] == values["account"] else None
        if number is not None and number <= values["through"] and row.get("result_gone") is None:
            row["result_gone"] = "erased"


def _job_count(tables: Tables, values: Row) -> None:
    status = values["status"]
    job = tables["jobs"].get((values["account"], values["job"]))
    if job is None:
        return
    wait = run = NO_BUCKET
    if status in ("succeeded", "failed") and job["running_ms"] is not None:
        wait, run = bucket_of(job["running_ms"] - job["accepted_ms"]), bucket_of(job["ended_ms"] - job["running_ms"])
    credits = {"succeeded": job["charged"], "refunded": job["refunded"]}.get(status, 0)
    count = {"account": values["account"], "day_ms": values["day_ms"], "model": job["model"], "status": status}
    count |= {"wait": wait, "run": run, "jobs": 1, "credits": credits}
    _upsert(tables["job_counts"], KEYS["job_counts"], count, _summed("jobs", "credits"))


def _asset_change(tables: Tables, values: Row) -> None:
    row = tables["assets"].get((values["account"], values["asset"]))
    if row is not None:
        views = row["views"] + values.get("views", 0)
        row.update(_newer(row, values), views=views)


def _assets_erased(tables: Tables, values: Row) -> None:
    for row in tables["assets"].values():
        if row["account"] == values["account"] and row["number"] <= values["through"] and row["gone"] is None:
            row.update(gone="erased", gone_ms=values["gone_ms"])


def _data_key(tables: Tables, values: Row) -> None:
    key = (values["account"], values["key_id"])
    if values["wrapped"] is None:
        tables["data_keys"].pop(key, None)
    else:
        tables["data_keys"][key] = values


_CHANGES: Mapping[type[r.Row], Callable[[Tables, Row], list[Hole] | None]] = {
    r.AccountChange: _stream("accounts", _summed(*_TOTALS)),
    r.PartitionChange: _stream("partitions", _newer),
    r.JobChange: _job_change,
    r.JobHide: _job_hide,
    r.ResultGone: _result_gone,
    r.ResultsErased: _results_erased,
    r.JobCount: _job_count,
    r.AssetChange: _asset_change,
    r.AssetsErased: _assets_erased,
    r.DataKey: _data_key,
}

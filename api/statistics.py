"""Reads of counts: what an account uses of its plan, and how its jobs did; for operators over all accounts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api.accounts import account_now
from api.documents import day_of
from api.lists import answer
from api.money_documents import entitlements_document, quota_document, threshold_document
from api.money_shapes import StatisticsQuery
from api.ports import ApiPorts
from infra.http.auth import caller_of
from infra.http.requests import query_of
from infra.http.routing import port_of
from schemas.amounts import DAY_MS, window_start_ms
from schemas.durations import percentile_ms

_YEAR_MS = 366 * DAY_MS
_PERCENTS = (50, 90, 99)
_JOBS = ("submitted", "succeeded", "failed", "canceled", "expired")
Row = Mapping[str, Any]


async def get_usage(request: Request) -> Response:
    """GET /v1/usage."""
    ports, caller = port_of(request, ApiPorts), caller_of(request)
    now = await account_now(request, ports, caller)
    time_ms = ports.clock.now_ms()
    today_ms, month_ms = window_start_ms("day", time_ms), window_start_ms("month", time_ms)
    rows = await ports.queries.days(caller.account, time_ms - _YEAR_MS)
    months: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        months[day_of(row["day_ms"])[:7]].append(row)
    thresholds = await ports.queries.thresholds(caller.account, month_ms)
    document = {
        "plan": now.plan_name,
        "quota": quota_document(now.terms, now.standing.windows, time_ms),
        "entitlements": entitlements_document(now.terms),
        "today": counts_document(row for row in rows if row["day_ms"] == today_ms),
        "days": [day_document(row) for row in rows if row["day_ms"] >= month_ms],
        "months": [{"month": month, **counts_document(months[month])} for month in sorted(months)[-12:]],
        "thresholds": [threshold_document(row) for row in thresholds],
    }
    return answer(document)


async def get_statistics(request: Request) -> Response:
    """GET /v1/statistics."""
    ports, account = port_of(request, ApiPorts), caller_of(request).account
    query = query_of(request, StatisticsQuery)
    await ports.consistency.ready(request, account)
    return answer(await statistics(ports, account, query.days))


async def get_all_statistics(request: Request) -> Response:
    """GET /v1/admin/statistics."""
    ports, query = port_of(request, ApiPorts), query_of(request, StatisticsQuery)
    return answer(await statistics(ports, None, query.days))


async def statistics(ports: ApiPorts, account: str | None, days: int) -> dict[str, Any]:
    """The document of `StatisticsModel` of an account, or of all."""
    today_ms = window_start_ms("day", ports.clock.now_ms())
    since_ms = today_ms - (days - 1) * DAY_MS
    rows = await ports.queries.days(account, since_ms)
    counts = await ports.queries.duration_counts(account, since_ms)
    by_model: defaultdict[str, list[Row]] = defaultdict(list)
    for row in counts:
        by_model[row["model"]].append(row)
    return {
        "from_date": day_of(since_ms),
        "to_date": day_of(today_ms),
        "totals": counts_document(rows),
        "days": [day_document(row) for row in rows],
        "models": [model_document(model, by_model[model]) for model in sorted(by_model)],
    }


def day_document(row: Row) -> dict[str, Any]:
    """The document of `DayModel`."""
    return {"date": day_of(row["day_ms"]), **counts_document([row])}


def counts_document(rows: Iterable[Row]) -> dict[str, Any]:
    """The document of `CountsModel` for the sum of the rows."""
    sums = dict.fromkeys((*_JOBS, "credits"), 0)
    for row in rows:
        for name in _JOBS:
            sums[name] += row[f"jobs_{name}"]
        sums["credits"] += row["captured"] - row["refunded"]
    return {**sums, "success_rate": success_rate(sums["succeeded"], sums["failed"])}


def success_rate(succeeded: int, failed: int) -> float | None:
    """Succeeded of succeeded and failed; canceled and expired jobs say nothing about success."""
    return None if succeeded + failed == 0 else round(succeeded / (succeeded + failed), 4)


def model_document(model: str, rows: Iterable[Row]) -> dict[str, Any]:
    """The document of `ModelStatisticsModel` out of counts by status and buckets."""
    jobs: defaultdict[str, int] = defaultdict(int)
    waits: defaultdict[int, int] = defaultdict(int)
    runs: defaultdict[int, int] = defaultdict(int)
    credits = 0
    for row in rows:
        jobs[row["status"]] += row["jobs"]
        credits += row["credits"] * {"succeeded": 1, "refunded": -1}.get(row["status"], 0)
        if row["run"] >= 0:
            waits[row["wait"]] += row["jobs"]
            runs[row["run"]] += row["jobs"]
    return {
        "model": model,
        **{status: jobs[status] for status in _JOBS[1:]},
        "credits": credits,
        "success_rate": success_rate(jobs["succeeded"], jobs["failed"]),
        "wait_ms": {f"p{percent}": percentile_ms(waits, percent) for percent in _PERCENTS},
        "run_ms": {f"p{percent}": percentile_ms(runs, percent) for percent in _PERCENTS},
    }

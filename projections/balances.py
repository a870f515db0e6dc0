"""Read model `balances`: each account's totals, windows and lots, sums of each day, and the lines of its ledger.

Totals are sums of what events say, so a change adds and never reads. The law of design section 4 holds at every event:
granted + regenerated + refunded = captured + reserved + expired + available. The sums of days are checkpoints: what an
account had at any moment is the sum of the days before and of that day's lines up to it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from projections.account_totals import Totals
from projections.row_base import Logged, Rows, rows_of
from projections.rows import AccountChange, AccountDay, LedgerLine, LotChange, PlanTaken, Threshold, WindowChange
from schemas import events as ev
from schemas.identifiers import is_partition_stream

NAME = "balances"
TOTALS = ("granted", "regenerated", "refunded", "captured", "reserved", "expired")
Line = dict[str, Any]


def _opened(totals: Totals, event: ev.Event, data: ev.AccountOpened) -> None:
    totals.columns.update(product=event.product, plan=data.plan, opened_ms=event.time_ms, since_ms=event.time_ms)


def _plan_changed(totals: Totals, event: ev.Event, data: ev.PlanChanged) -> None:
    totals.columns.update(plan=data.plan, since_ms=event.time_ms)


def _erased(totals: Totals, event: ev.Event, _: ev.AccountErased) -> None:
    totals.columns["erased_ms"] = event.time_ms


def _granted(totals: Totals, event: ev.Event, data: ev.CreditsGranted) -> Line:
    totals.day["granted"] += data.amount
    line: Line = {"kind": "granted", "amount": data.amount, "balance": data.balance, "reason": data.reason}
    if data.amount < 0:
        line["lots"] = totals.use_lots(data.lots, -1)
    elif data.expires_ms is not None or data.priority != 0:
        terms = {"version": event.version, "expires_ms": data.expires_ms, "priority": data.priority}
        totals.lot(event.position).update(granted=data.amount, units_left=data.amount, **terms)
        line["lot"] = event.position
    return line


def _regenerated(totals: Totals, _: ev.Event, data: ev.CreditsRegenerated) -> Line:
    totals.day["regenerated"] += data.amount
    totals.columns["since_ms"] = data.since_ms
    return {"kind": "regenerated", "amount": data.amount, "balance": data.balance, "since_ms": data.since_ms}


def _expired(totals: Totals, _: ev.Event, data: ev.CreditsExpired) -> Line:
    totals.day["expired"] += data.units
    lot = totals.lot(data.lot)
    lot["units_left"], lot["closed"] = 0, True
    return {"kind": "expired", "amount": data.units, "balance": data.balance, "lot": data.lot}


def _reserved(totals: Totals, _: ev.Event, data: ev.CreditsReserved) -> Line:
    totals.day["reserved"] += data.units
    return {
        "kind": "reserved",
        "amount": data.units,
        "balance": data.balance,
        "job": data.job,
        "plan_version": data.plan_version,
        "windows": totals.use(data.windows, +1),
        "lots": totals.use_lots(data.lots, -1),
    }


def _captured(totals: Totals, _: ev.Event, data: ev.CreditsCaptured) -> Line:
    totals.day["reserved"] -= data.units
    totals.day["captured"] += data.units
    line: Line = {"kind": "captured", "amount": data.units, "balance": data.balance, "job": data.job}
    line["plan_version"] = data.plan_version
    return line


def _released(totals: Totals, _: ev.Event, data: ev.CreditsReleased) -> Line:
    totals.day["reserved"] -= data.units
    return {
        "kind": "released",
        "amount": data.units,
        "balance": data.balance,
        "job": data.job,
        "reason": data.reason,
        "windows": totals.use(data.windows, -1),
        "lots": totals.use_lots(data.lots, +1),
    }


def _refunded(totals: Totals, _: ev.Event, data: ev.CreditsRefunded) -> Line:
    totals.day["refunded"] += data.units
    return {
        "kind": "refunded",
        "amount": data.units,
        "balance": data.balance,
        "job": data.job,
        "plan_version": data.plan_version,
        "reason": data.reason,
        "windows": totals.use(data.windows, -1),
    }


def _counted(column: str) -> Callable[[Totals, ev.Event, Any], None]:
    def count(totals: Totals, _: ev.Event, __: Any) -> None:
        totals.day[column] += 1

    return count


def _reused(totals: Totals, _: ev.Event, __: ev.JobReused) -> None:
    totals.day["jobs_submitted"] += 1
    totals.day["jobs_succeeded"] += 1


HANDLERS: Mapping[type[ev.EventData], Callable[[Totals, ev.Event, Any], Line | None]] = {
    ev.AccountOpened: _opened,
    ev.PlanChanged: _plan_changed,
    ev.AccountErased: _erased,
    ev.CreditsGranted: _granted,
    ev.CreditsRegenerated: _regenerated,
    ev.CreditsExpired: _expired,
    ev.CreditsReserved: _reserved,
    ev.CreditsCaptured: _captured,
    ev.CreditsReleased: _released,
    ev.CreditsRefunded: _refunded,
    ev.JobAccepted: _counted("jobs_submitted"),
    ev.JobReused: _reused,
    ev.JobSucceeded: _counted("jobs_succeeded"),
    ev.JobFailed: _counted("jobs_failed"),
    ev.JobCanceled: _counted("jobs_canceled"),
    ev.JobExpired: _counted("jobs_expired"),
}


def _plan_taken(event: ev.Event, data: ev.AccountOpened | ev.PlanChanged) -> PlanTaken:
    return PlanTaken(
        account=event.account,
        version=event.version,
        plan=data.plan,
        plan_version=data.plan_version,
        time_ms=event.time_ms,
        position=event.position,
    )


def _threshold(event: ev.Event, data: ev.ThresholdReached) -> Threshold:
    return Threshold(
        account=event.account,
        version=event.version,
        measure=data.of,
        percent=data.percent,
        used=data.used,
        limit_units=data.limit,
        resets_ms=data.resets_ms,
        time_ms=event.time_ms,
        position=event.position,
    )


OTHERS: Mapping[type[ev.EventData], Callable[[ev.Event, Any], Any]] = {
    ev.AccountOpened: _plan_taken,
    ev.PlanChanged: _plan_taken,
    ev.ThresholdReached: _threshold,
}
"""Events that make rows of other tables."""

VERSION_ONLY: frozenset[type[ev.EventData]] = frozenset(
    {
        ev.AssetRegistered,
        ev.AssetDeleted,
        ev.VisibilityChanged,
        ev.AssetsViewed,
        ev.AlbumCreated,
        ev.AlbumDeleted,
        ev.AssetsMoved,
        ev.PurgeReleased,
        ev.BytesPurged,
        ev.GroupAccepted,
        ev.AttemptReleased,
        ev.JobStarted,
        ev.LeaseRenewed,
        ev.AttemptEnded,
        ev.JobRequeued,
        ev.JobHidden,
        ev.IdempotencyForgotten,
        ev.CommandRefused,
        ev.CommandDuplicate,
        ev.CommandIgnored,
        ev.CommandUnreadable,
        ev.CommandQuarantined,
        ev.PlanPublished,
        ev.PartitionResumed,
    }
)
"""Types that move an account's version and no money (some stand only in a partition's own stream)."""


def fold_balances(batch: Sequence[Logged]) -> Rows:
    """Changes of accounts, windows, lots and days, new ledger lines, plans taken and thresholds reached."""
    accounts: dict[str, Totals] = {}
    lines: list[LedgerLine] = []
    others: dict[type[Any], list[Any]] = {}
    for logged in batch:
        event = logged.event
        account = event.account
        totals = accounts.get(account)
        if totals is None:
            if is_partition_stream(account):
                continue
            totals = accounts[account] = Totals(event)
        columns = totals.columns
        columns["seen"] += 1
        columns["version"] = event.version
        columns["position"] = event.position
        kind = type(event.data)
        handler = HANDLERS.get(kind)
        if handler is not None:
            totals.turn_to(event.time_ms)
            line = handler(totals, event, event.data)
            if line is not None:
                line.update(account=account, version=event.version, position=event.position, time_ms=event.time_ms)
                lines.append(LedgerLine(**line))
        if kind in OTHERS:
            row = OTHERS[kind](event, event.data)
            others.setdefault(type(row), []).append(row)
    return rows_of(*_changes(accounts), lines, *others.values())


def _changes(accounts: Mapping[str, Totals]) -> tuple[Sequence[Any], ...]:
    for totals in accounts.values():
        for day in totals.days.values():
            for column in TOTALS:
                if column in day:
                    totals.columns[column] = totals.columns.get(column, 0) + day[column]
    changed = [AccountChange(**totals.columns) for totals in accounts.values()]
    days = [
        AccountDay(account=account, day_ms=day_ms, **day)
        for account, totals in accounts.items()
        for day_ms, day in totals.days.items()
        if day
    ]
    windows = [
        WindowChange(account=account, kind=kind, start_ms=start_ms, used=used)
        for account, totals in accounts.items()
        for kind, (start_ms, used) in totals.windows.items()
    ]
    lots = [LotChange(**lot) for totals in accounts.values() for lot in totals.lots.values()]
    return changed, days, windows, lots

"""Read model `balances`: each account's totals and windows, and the lines of its ledger.

Totals are sums of what events say, so a change adds and never reads. The law of design section 4 holds at every event:
granted + regenerated + refunded = captured + reserved + expired + available.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from projections.rows import AccountChange, LedgerLine, Logged, Rows, WindowChange, rows_of
from schemas import events as ev
from schemas.identifiers import is_partition_stream

NAME = "balances"


class Totals:
    """An account's change in the making."""

    __slots__ = ("columns", "windows")

    def __init__(self, event: ev.Event) -> None:
        self.columns: dict[str, Any] = {"account": event.account, "first_version": event.version, "seen": 0}
        self.windows: dict[str, tuple[int, int]] = {}

    def add(self, column: str, amount: int) -> None:
        """Add to one of the sums."""
        self.columns[column] = self.columns.get(column, 0) + amount

    def use(self, windows: Sequence[ev.WindowUse], sign: int) -> None:
        """Take units from windows (give them back); of each kind the newest window counts."""
        for window in windows:
            start_ms, used = self.windows.get(window.kind, (window.start_ms, 0))
            if window.start_ms > start_ms:
                start_ms, used = window.start_ms, 0
            if window.start_ms == start_ms:
                used += sign * window.units
            self.windows[window.kind] = (start_ms, used)


Line = dict[str, Any]


def _opened(totals: Totals, event: ev.Event, data: ev.AccountOpened) -> None:
    totals.columns.update(product=event.product, plan=data.plan, opened_ms=event.time_ms, since_ms=event.time_ms)


def _granted(totals: Totals, _: ev.Event, data: ev.CreditsGranted) -> Line:
    totals.add("granted", data.amount)
    return {"kind": "granted", "amount": data.amount, "balance": data.balance, "reason": data.reason}


def _regenerated(totals: Totals, _: ev.Event, data: ev.CreditsRegenerated) -> Line | None:
    totals.add("regenerated", data.amount)
    totals.columns["since_ms"] = data.since_ms
    if data.amount == 0:
        return None
    return {"kind": "regenerated", "amount": data.amount, "balance": data.balance}


def _reserved(totals: Totals, _: ev.Event, data: ev.CreditsReserved) -> Line:
    totals.add("reserved", data.units)
    totals.use(data.windows, +1)
    line: Line = {"kind": "reserved", "amount": data.units, "balance": data.balance, "job": data.job}
    line["plan_version"] = data.plan_version
    return line


def _captured(totals: Totals, _: ev.Event, data: ev.CreditsCaptured) -> Line:
    totals.add("reserved", -data.units)
    totals.add("captured", data.units)
    line: Line = {"kind": "captured", "amount": data.units, "balance": data.balance, "job": data.job}
    line["plan_version"] = data.plan_version
    return line


def _released(totals: Totals, _: ev.Event, data: ev.CreditsReleased) -> Line:
    totals.add("reserved", -data.units)
    totals.use(data.windows, -1)
    line: Line = {"kind": "released", "amount": data.units, "balance": data.balance, "job": data.job}
    line["reason"] = data.reason
    return line


HANDLERS: Mapping[type[ev.EventData], Callable[[Totals, ev.Event, Any], Line | None]] = {
    ev.AccountOpened: _opened,
    ev.CreditsGranted: _granted,
    ev.CreditsRegenerated: _regenerated,
    ev.CreditsReserved: _reserved,
    ev.CreditsCaptured: _captured,
    ev.CreditsReleased: _released,
}

VERSION_ONLY: frozenset[type[ev.EventData]] = frozenset(
    {
        ev.AssetRegistered,
        ev.JobAccepted,
        ev.AttemptReleased,
        ev.JobStarted,
        ev.LeaseRenewed,
        ev.AttemptEnded,
        ev.JobRequeued,
        ev.JobSucceeded,
        ev.JobFailed,
        ev.JobCanceled,
        ev.JobExpired,
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
    """Changes of accounts and windows, and new ledger lines."""
    accounts: dict[str, Totals] = {}
    lines: list[LedgerLine] = []
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
        handler = HANDLERS.get(type(event.data))
        line = None if handler is None else handler(totals, event, event.data)
        if line is not None:
            lines.append(
                LedgerLine(
                    account=account, version=event.version, position=event.position, time_ms=event.time_ms, **line
                )
            )
    changed = [AccountChange(**totals.columns) for totals in accounts.values()]
    windows = [
        WindowChange(account=account, kind=kind, start_ms=start_ms, used=used)
        for account, totals in accounts.items()
        for kind, (start_ms, used) in totals.windows.items()
    ]
    return rows_of(changed, windows, lines)

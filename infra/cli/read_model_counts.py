"""How many rows the log says there are in the tables that are not compared row by row, and what they sum up to.

By account and by what is counted; the audit's own counting, which shares no code with the projections.
"""

from __future__ import annotations

from typing import Protocol

from processors.audit_spill import Shelf
from schemas import events as ev

BY_MODEL = {
    "jobs": ("events of jobs", "groups", "not made", "ends", "credits of ends"),
    "balances": ("lines", "units of lines", "jobs of days", "credits of days", "units of lots", "plans", "thresholds"),
    "assets": ("assets in albums",),
    "archive": ("archived",),
}
"""What is counted in the tables of each model."""

_LINES = (
    *(ev.CreditsGranted, ev.CreditsRegenerated, ev.CreditsExpired, ev.CreditsReserved, ev.CreditsCaptured),
    *(ev.CreditsReleased, ev.CreditsRefunded),
)
_ENDS = (ev.JobReused, ev.JobSucceeded, ev.JobFailed, ev.JobCanceled, ev.JobExpired, ev.CreditsRefunded)
_OF_DAYS = (ev.JobAccepted, ev.JobSucceeded, ev.JobFailed, ev.JobCanceled, ev.JobExpired)

_COUNTED = """
SELECT 'events of jobs', account, sum(length(events) - length(replace(events, E'\\n', '')) + 1)
    FROM job_events GROUP BY 2
UNION ALL SELECT 'groups', account, count(*) FROM job_groups GROUP BY 2
UNION ALL SELECT 'not made', account, count(*) FROM not_made GROUP BY 2
UNION ALL SELECT 'ends', account, sum(jobs) FROM job_counts GROUP BY 2
UNION ALL SELECT 'credits of ends', account, sum(credits) FROM job_counts GROUP BY 2
UNION ALL SELECT 'lines', account, count(*) FROM ledger GROUP BY 2
UNION ALL SELECT 'units of lines', account, sum(amount) FROM ledger GROUP BY 2
UNION ALL SELECT 'jobs of days', account,
    sum(jobs_submitted + jobs_succeeded + jobs_failed + jobs_canceled + jobs_expired) FROM account_days GROUP BY 2
UNION ALL SELECT 'credits of days', account,
    sum(granted + regenerated + refunded - captured - reserved - expired) FROM account_days GROUP BY 2
UNION ALL SELECT 'units of lots', account, sum(units_left) FROM lots GROUP BY 2
UNION ALL SELECT 'plans', account, count(*) FROM account_plans GROUP BY 2
UNION ALL SELECT 'thresholds', account, count(*) FROM thresholds GROUP BY 2
UNION ALL SELECT 'assets in albums', account, count(*) FROM album_assets WHERE present GROUP BY 2
UNION ALL SELECT 'archived', originator_id, max(originator_version) FROM stored_events
    WHERE originator_id LIKE 'acct\\_%' GROUP BY 2 HAVING count(*) = max(originator_version)
"""

_ORDER = 'ORDER BY account COLLATE "C", what COLLATE "C"'
SELECT = f"SELECT account, what, n FROM ({_COUNTED}) AS c(what, account, n) WHERE n <> 0 {_ORDER}"
"""What stands in the tables of all models, by account and what is counted, in that order."""

OF_MODEL = {what: model for model, kinds in BY_MODEL.items() for what in kinds}


class Found:
    """Sums by account and what is summed up; what comes to nothing is not there."""

    def __init__(self, shelf: Shelf) -> None:
        self.sums = shelf.mapping("counts", int)

    def more(self, account: str, what: str, by: int) -> None:
        """Add to a sum."""
        if by:
            key = f"{account} {what}"
            total = (self.sums.get(key) or 0) + by
            if total:
                self.sums[key] = total
            else:
                del self.sums[key]


class Counts(Protocol):
    """What the events added so far come to; `found` has it by account and, after a blank, what is counted."""

    found: Found

    def add(self, event: ev.Event) -> None:
        """Take the next event of an account."""
        ...


class ArchiveCounts:
    """Of the archive: every event."""

    def __init__(self, shelf: Shelf) -> None:
        self.found = Found(shelf)

    def add(self, event: ev.Event) -> None:
        """See the port."""
        self.found.more(event.account, "archived", 1)


class JobCounts:
    """Of the model `jobs`."""

    def __init__(self, shelf: Shelf) -> None:
        self.found = Found(shelf)

    def add(self, event: ev.Event) -> None:
        """See the port."""
        account, data, more = event.account, event.data, self.found.more
        more(account, "events of jobs", hasattr(data, "job"))
        more(account, "ends", isinstance(data, _ENDS))
        more(account, "groups", isinstance(data, ev.GroupAccepted))
        if isinstance(data, ev.CommandRefused | ev.CommandDuplicate):
            more(account, "not made", data.subject is not None)
        if isinstance(data, ev.CreditsCaptured | ev.CreditsRefunded):
            more(account, "credits of ends", data.units)


class BalanceCounts:
    """Of the model `balances`."""

    def __init__(self, shelf: Shelf) -> None:
        self.found = Found(shelf)
        self._lots = shelf.mapping("lots", int)

    def add(self, event: ev.Event) -> None:
        """See the port."""
        account, data, more = event.account, event.data, self.found.more
        more(account, "jobs of days", isinstance(data, _OF_DAYS) + 2 * isinstance(data, ev.JobReused))
        more(account, "plans", isinstance(data, ev.AccountOpened | ev.PlanChanged))
        more(account, "thresholds", isinstance(data, ev.ThresholdReached))
        if isinstance(data, _LINES):
            self._line(event, data)

    def _line(self, event: ev.Event, data: ev.EventData) -> None:
        account, more = event.account, self.found.more
        units = int(getattr(data, "units", 0) or getattr(data, "amount", 0))
        more(account, "lines", 1)
        more(account, "units of lines", units)
        sign = {ev.CreditsReserved: -1, ev.CreditsExpired: -1, ev.CreditsCaptured: 0}.get(type(data), 1)
        more(account, "credits of days", sign * units)
        if isinstance(data, ev.CreditsGranted) and data.amount > 0 and (data.expires_ms is not None or data.priority):
            self._lot(account, event.position, data.amount)
        elif isinstance(data, ev.CreditsExpired):
            self._lot(account, data.lot, -(self._lots.get(data.lot) or 0))
        else:
            for use in getattr(data, "lots", ()):
                self._lot(account, use.lot, use.units if isinstance(data, ev.CreditsReleased) else -use.units)

    def _lot(self, account: str, lot: str, by: int) -> None:
        self._lots[lot] = (self._lots.get(lot) or 0) + by
        self.found.more(account, "units of lots", by)


class AssetCounts:
    """Of the model `assets`."""

    def __init__(self, shelf: Shelf) -> None:
        self.found = Found(shelf)
        self._members = shelf.mapping("members", bool)

    def add(self, event: ev.Event) -> None:
        """See the port."""
        account, data = event.account, event.data
        if isinstance(data, ev.AssetRegistered) and data.album is not None:
            self._member(account, data.album, data.asset, present=True)
        elif isinstance(data, ev.AssetsMoved):
            for asset in (*data.moved, *data.already):
                if data.from_album is not None:
                    self._member(account, data.from_album, asset, present=False)
                self._member(account, data.album, asset, present=True)

    def _member(self, account: str, album: str, asset: str, *, present: bool) -> None:
        key = f"{account} {album} {asset}"
        before = bool(self._members.get(key))
        self._members[key] = present
        self.found.more(account, "assets in albums", present - before)

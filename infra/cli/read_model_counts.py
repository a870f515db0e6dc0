"""How many rows the log says there are in the tables that are not compared row by row, and what they sum up to.

By account and by what is counted; the audit's own counting, which shares no code with the projections.
"""

from __future__ import annotations

from collections import Counter

import asyncpg

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

_SELECT = """
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

Counted = tuple[str, str]


class Counts:
    """What the events added so far come to, by what is counted and account."""

    def __init__(self) -> None:
        self._counts: Counter[Counted] = Counter()
        self._lots: dict[str, int] = {}
        self._members: dict[tuple[str, str, str], bool] = {}

    def add(self, event: ev.Event) -> None:
        """Take the next event of an account."""
        account, data, counts = event.account, event.data, self._counts
        counts["archived", account] += 1
        counts["events of jobs", account] += hasattr(data, "job")
        counts["ends", account] += isinstance(data, _ENDS)
        counts["jobs of days", account] += isinstance(data, _OF_DAYS) + 2 * isinstance(data, ev.JobReused)
        counts["plans", account] += isinstance(data, ev.AccountOpened | ev.PlanChanged)
        counts["thresholds", account] += isinstance(data, ev.ThresholdReached)
        counts["groups", account] += isinstance(data, ev.GroupAccepted)
        if isinstance(data, ev.CommandRefused | ev.CommandDuplicate):
            counts["not made", account] += data.subject is not None
        if isinstance(data, ev.CreditsCaptured | ev.CreditsRefunded):
            counts["credits of ends", account] += data.units
        if isinstance(data, _LINES):
            self._line(event, data)
        self._albums(account, data)

    def found(self, model: str) -> dict[Counted, int]:
        """What the model's tables have to come to; nothing is left out."""
        counts = Counter({place: n for place, n in self._counts.items() if place[0] in BY_MODEL[model]})
        if model == "assets":
            for account, _, _ in (place for place, present in self._members.items() if present):
                counts["assets in albums", account] += 1
        return {place: n for place, n in counts.items() if n}

    def _line(self, event: ev.Event, data: ev.EventData) -> None:
        account, counts = event.account, self._counts
        units = int(getattr(data, "units", 0) or getattr(data, "amount", 0))
        counts["lines", account] += 1
        counts["units of lines", account] += units
        sign = {ev.CreditsReserved: -1, ev.CreditsExpired: -1, ev.CreditsCaptured: 0}.get(type(data), 1)
        counts["credits of days", account] += sign * units
        before = sum(self._lots.get(lot, 0) for lot in self._named(event, data))
        if isinstance(data, ev.CreditsGranted) and data.amount > 0 and (data.expires_ms is not None or data.priority):
            self._lots[event.position] = data.amount
        elif isinstance(data, ev.CreditsExpired):
            self._lots[data.lot] = 0
        else:
            for use in getattr(data, "lots", ()):
                self._lots[use.lot] += use.units if isinstance(data, ev.CreditsReleased) else -use.units
        after = sum(self._lots.get(lot, 0) for lot in self._named(event, data))
        counts["units of lots", account] += after - before

    @staticmethod
    def _named(event: ev.Event, data: ev.EventData) -> set[str]:
        lot = [data.lot] if isinstance(data, ev.CreditsExpired) else []
        return {event.position, *lot, *(use.lot for use in getattr(data, "lots", ()))}

    def _albums(self, account: str, data: ev.EventData) -> None:
        if isinstance(data, ev.AssetRegistered) and data.album is not None:
            self._members[account, data.album, data.asset] = True
        elif isinstance(data, ev.AssetsMoved):
            for asset in (*data.moved, *data.already):
                if data.from_album is not None:
                    self._members[account, data.from_album, asset] = False
                self._members[account, data.album, asset] = True


async def counted(connection: asyncpg.Connection) -> dict[Counted, int]:
    """What stands in the tables; accounts with nothing of a kind are left out."""
    rows = await connection.fetch(_SELECT)
    return {(what, account): int(number) for what, account, number in rows if number}

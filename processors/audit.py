"""The laws of design section 4, checked on a partition's events without trusting what decided them. Pure, streaming.

The checker keeps books of its own from the events' plain meanings; it shares no arithmetic with `evolve`. What it
remembers of ended jobs, of keys and of what is stored stands in the mappings of a shelf, which need not be in memory.
"""

from collections import Counter

import msgspec

from processors.audit_jobs import JobBooks
from processors.audit_spill import InMemory, Shelf, sorted_items
from processors.audit_stored import StoredAudit
from processors.audit_terms import TermAudit
from schemas import events as ev
from schemas.identifiers import is_partition_stream
from schemas.positions import Position

LISTED_MAX = 1_000
"""So many violations are kept whole; the rest is counted."""

_ENDED, _SUCCEEDED, _REFUNDED = -1, -2, -3  # how a job ended; from 0 on: what it was charged


class Violation(msgspec.Struct, frozen=True):
    """A law that does not hold, where, what stands there instead, and the events that show it, a line each."""

    law: str
    position: str
    account: str
    detail: str
    shown: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.law} at {self.position} ({self.account}): {self.detail}"


class Violations:
    """What was found: `listed` holds the first, `counts` says how often each law was broken."""

    def __init__(self) -> None:
        self.listed: list[Violation] = []
        self.counts: Counter[str] = Counter()

    def add(self, violation: Violation) -> None:
        """Take one more."""
        self.counts[violation.law] += 1
        if len(self.listed) < LISTED_MAX:
            self.listed.append(violation)


class Books(msgspec.Struct, array_like=True):
    """An account's money by the plain meaning of its events."""

    version: int = 0
    granted: int = 0
    regenerated: int = 0
    refunded: int = 0
    expired: int = 0
    captured: int = 0
    reserved: int = 0
    open: dict[str, int] = {}
    jobs: JobBooks = msgspec.field(default_factory=JobBooks)

    @property
    def available(self) -> int:
        added = self.granted + self.regenerated + self.refunded
        return added - self.captured - self.reserved - self.expired


class PartitionAudit:
    """Feed every event of a partition in order, then `finish`; `violations` holds what did not hold.

    `drift_units` is by how many units the balances that the events name differ from the books, over all accounts.
    """

    def __init__(self, partition: int, shelf: Shelf | None = None) -> None:
        shelf = shelf or InMemory()
        self.partition = partition
        self.events = 0
        self.commands = 0
        self.books = shelf.mapping("books", Books)
        self.found = Violations()
        self._past = shelf.mapping("past", int)  # how each job has ended, by account and job
        self._stored = StoredAudit(shelf)
        self._terms = TermAudit(shelf)
        self._drift: dict[str, int] = {}
        self._ending: list[tuple[str, str]] = []
        self._last: ev.Event | None = None
        self._last_at = Position(partition, -1, 0, 0)

    @property
    def violations(self) -> list[Violation]:
        return self.found.listed

    @property
    def last_source(self) -> tuple[int, int]:
        """(offset, index) of the last command whose events were seen."""
        return self._last_at.source

    @property
    def drift_units(self) -> int:
        return sum(self._drift.values())

    def add(self, event: ev.Event) -> None:
        """Check the next event."""
        self.events += 1
        self._check_frame(event)
        books = self.books.get(event.account) or Books()
        if event.version != books.version + 1:
            self.violated("versions-gapless", event, f"version {event.version} follows {books.version}")
        books.version = event.version
        if isinstance(event.data, ev.PlanPublished):
            self._terms.publish(event.data.plan)
        if not is_partition_stream(event.account):
            self._book(books, event)
        self.books[event.account] = books
        if event.last and self._ending:
            self._check_settled(event)
        self._last = event

    def finish(self, *, quiet: bool = False) -> None:
        """Check what must hold at the end; `quiet` says that every job has had time to end."""
        if self._last is not None and not self._last.last:
            self.violated("commands-whole", self._last, "the last command's events are cut off")
        for account, books in sorted_items(self.books):
            jobs = books.jobs
            if books.reserved != sum(books.open.values()):
                self._add("reservations-add-up", account, f"{books.reserved} against {sum(books.open.values())}")
            if quiet and (jobs.live or books.open or jobs.slots):
                self._add("every-job-ends", account, f"{len(jobs.live)} live jobs, {len(books.open)} reservations")

    def _check_frame(self, event: ev.Event) -> None:
        at, before, last = event.at, self._last_at, self._last
        self._last_at = at
        if at.partition != self.partition:
            self.violated("positions-in-order", event, f"stands in partition {self.partition}")
        if last is not None and event.time_ms < last.time_ms:
            self.violated("time-never-runs-backwards", event, f"{event.time_ms} follows {last.time_ms}", last)
        if last is not None and at.source == before.source:
            if at.ordinal != before.ordinal + 1 or last.last:
                self.violated("events-of-a-command-whole", event, f"follows ordinal {before.ordinal}", last)
            return
        self.commands += 1
        whole = last is None or last.last
        if at.ordinal != 0 or not whole or not _follows(before, at):
            self.violated("positions-in-order", event, f"follows {before if last else 'nothing'}", last)

    def _book(self, books: Books, event: ev.Event) -> None:
        data = event.data
        if isinstance(data, ev.JobAccepted | ev.JobReused):
            self._begin_job(books, event, data)
        for law, detail in books.jobs.add(data):
            self.violated(law, event, detail)
        if isinstance(data, ev.JobSucceeded | ev.JobFailed | ev.JobCanceled | ev.JobExpired):
            self._end_job(event.account, data)
        self._book_money(books, event)
        self._check_sums(books, event)
        for law, detail in self._stored.add(event.account, data):
            self.violated(law, event, detail)
        for law, detail in self._terms.add(event):
            self.violated(law, event, detail)

    def _begin_job(self, books: Books, event: ev.Event, data: ev.JobAccepted | ev.JobReused) -> None:
        place = f"{event.account}|{data.job}"
        if data.job in books.jobs.live or place in self._past:
            self.violated("a-job-is-accepted-once", event, data.job)
        if isinstance(data, ev.JobAccepted):
            books.jobs.accept(data)
            return
        if self._past.get(f"{event.account}|{data.of}", _ENDED) == _ENDED:
            self.violated("what-is-reused-had-succeeded", event, data.of)
        self._past[place] = _SUCCEEDED

    def _end_job(self, account: str, data: ev.JobSucceeded | ev.JobFailed | ev.JobCanceled | ev.JobExpired) -> None:
        place = f"{account}|{data.job}"
        if place not in self._past:
            self._past[place] = _SUCCEEDED if isinstance(data, ev.JobSucceeded) else _ENDED
        self._ending.append((account, data.job))

    def _book_money(self, books: Books, event: ev.Event) -> None:
        data = event.data
        match data:
            case ev.CreditsGranted(amount=amount):
                books.granted += amount
            case ev.CreditsRegenerated(amount=amount):
                books.regenerated += amount
            case ev.CreditsExpired(units=units):
                books.expired += units
            case ev.CreditsRefunded(job=job, units=units):
                place = f"{event.account}|{job}"
                if self._past.get(place) != units:
                    self.violated("a-charge-is-given-back-at-most-once", event, job)
                self._past[place] = _REFUNDED
                books.refunded += units
            case ev.CreditsReserved(job=job, units=units):
                if job in books.open:
                    self.violated("a-reservation-is-made-once", event, job)
                books.open[job] = units
                books.reserved += units
            case ev.CreditsCaptured(job=job, units=units):
                self._capture(books, event, job, units)
            case ev.CreditsReleased(job=job, units=units):
                self._settle(books, event, job, units)
            case ev.JobHidden():
                pass
            case _:
                return
        if data.balance != books.available:
            self.violated("balance-is-what-the-books-say", event, f"{data.balance} against {books.available}")
            self._drift[event.account] = abs(data.balance - books.available)
        else:
            self._drift.pop(event.account, None)

    def _capture(self, books: Books, event: ev.Event, job: str, units: int) -> None:
        place = f"{event.account}|{job}"
        past = self._past.get(place)
        if past is not None and (past >= 0 or past == _REFUNDED):
            self.violated("at-most-one-charge-a-job", event, job)
        elif past != _SUCCEEDED:
            self.violated("only-a-success-is-charged", event, job)
        self._settle(books, event, job, units)
        self._past[place] = units
        books.captured += units

    def _settle(self, books: Books, event: ev.Event, job: str, units: int) -> None:
        held = books.open.pop(job, None)
        if held != units:
            self.violated("a-reservation-ends-once", event, f"{job}: {units} of {held} held")
        books.reserved -= held or 0

    def _check_sums(self, books: Books, event: ev.Event) -> None:
        if books.available < 0:
            self.violated("no-balance-below-zero", event, f"{books.available} available")
        least = min(books.regenerated, books.refunded, books.captured, books.reserved, books.expired)
        if least < 0:
            self.violated("no-sum-below-zero", event, f"{least}")

    def _check_settled(self, event: ev.Event) -> None:
        """A job that has ended has no reservation after the same command."""
        for account, job in self._ending:
            if job in (self.books.get(account) or Books()).open:
                self.violated("an-end-settles-its-reservation", event, job)
        self._ending.clear()

    def violated(self, law: str, event: ev.Event, detail: str, before: ev.Event | None = None) -> None:
        """Take a violation that the event shows, with the one before it where that matters."""
        shown = tuple(shown_event(one) for one in (before, event) if one is not None)
        self.found.add(Violation(law, event.position, event.account, detail, shown))

    def _add(self, law: str, account: str, detail: str) -> None:
        self.found.add(Violation(law, f"{self.partition}.end", account, detail))


def shown_event(event: ev.Event) -> str:
    """The event in one line: its position, its type and what it says."""
    return f"{event.position} {ev.event_type(event.data)} {msgspec.json.encode(event.data).decode()}"


def _follows(before: Position, at: Position) -> bool:
    """The next command: the next index of the same record, or the first of the next record."""
    same_record = at.offset == before.offset and at.index == before.index + 1
    return same_record or (at.offset == before.offset + 1 and at.index == 0)

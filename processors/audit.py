"""The laws of design section 4, checked on a partition's events without trusting what decided them. Pure, streaming.

The checker keeps books of its own from the events' plain meanings; it shares no arithmetic with `evolve`. What it
knows of ended jobs is one id each.
"""

from dataclasses import dataclass, field

import msgspec

from processors.audit_stored import StoredBooks
from schemas import events as ev
from schemas.identifiers import is_partition_stream
from schemas.positions import Position


class Violation(msgspec.Struct, frozen=True):
    """A law that does not hold, where, and what stands there instead."""

    law: str
    position: str
    account: str
    detail: str

    def __str__(self) -> str:
        return f"{self.law} at {self.position} ({self.account}): {self.detail}"


@dataclass(slots=True)
class Books:
    """An account's money by the plain meaning of its events."""

    version: int = 0
    granted: int = 0
    regenerated: int = 0
    refunded: int = 0
    expired: int = 0
    captured: int = 0
    reserved: int = 0
    open: dict[str, int] = field(default_factory=dict)
    live: dict[str, str] = field(default_factory=dict)  # lane of each job
    ended: set[str] = field(default_factory=set)
    charges: dict[str, int] = field(default_factory=dict)  # units of each charged job that was not given back
    charged_jobs: set[str] = field(default_factory=set)
    stored: StoredBooks = field(default_factory=StoredBooks)
    slots: dict[str, str] = field(default_factory=dict)  # lane of each job whose attempt holds a slot
    slots_max: dict[str, int] = field(default_factory=dict)

    @property
    def available(self) -> int:
        added = self.granted + self.regenerated + self.refunded
        return added - self.captured - self.reserved - self.expired

    def running(self, lane: str) -> int:
        """Slots taken in the lane."""
        return sum(held == lane for held in self.slots.values())


class PartitionAudit:
    """Feed every event of a partition in order, then `finish`; `violations` holds what did not hold."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.events = 0
        self.commands = 0
        self.books: dict[str, Books] = {}
        self.violations: list[Violation] = []
        self._last: ev.Event | None = None

    def add(self, event: ev.Event) -> None:
        """Check the next event."""
        self.events += 1
        self._check_frame(event)
        books = self.books.setdefault(event.account, Books())
        if event.version != books.version + 1:
            self._violated("versions-gapless", event, f"version {event.version} follows {books.version}")
        books.version = event.version
        if not is_partition_stream(event.account):
            self._book(books, event)
            for law, detail in books.stored.add(event.data):
                self._violated(law, event, detail)
            if books.available < 0:
                self._violated("no-balance-below-zero", event, f"{books.available} available")
        self._last = event

    def finish(self, *, quiet: bool = False) -> None:
        """Check what must hold at the end; `quiet` says that every job has had time to end."""
        if self._last is not None and not self._last.last:
            self._violated("commands-whole", self._last, "the last command's events are cut off")
        for account, books in self.books.items():
            if books.reserved != sum(books.open.values()):
                self._add("reservations-add-up", account, f"{books.reserved} against {sum(books.open.values())}")
            if quiet and (books.live or books.open or books.slots):
                self._add("every-job-ends", account, f"{len(books.live)} live jobs, {len(books.open)} reservations")

    def _check_frame(self, event: ev.Event) -> None:
        at, last = event.at, self._last
        if at.partition != self.partition:
            self._violated("positions-in-order", event, f"stands in partition {self.partition}")
        if last is None:
            self.commands += 1
            return
        before = last.at
        if event.time_ms < last.time_ms:
            self._violated("time-never-runs-backwards", event, f"{event.time_ms} follows {last.time_ms}")
        if at.source == before.source:
            if at.ordinal != before.ordinal + 1 or last.last:
                self._violated("events-of-a-command-whole", event, f"follows ordinal {before.ordinal}")
            return
        self.commands += 1
        if at.ordinal != 0 or not last.last or not _follows(before, at):
            self._violated("positions-in-order", event, f"follows {last.position}")

    def _book(self, books: Books, event: ev.Event) -> None:
        match event.data:
            case ev.CreditsGranted(amount=amount, balance=balance):
                books.granted += amount
                self._check_balance(books, event, balance)
            case ev.CreditsRegenerated(amount=amount, balance=balance):
                books.regenerated += amount
                self._check_balance(books, event, balance)
            case ev.CreditsExpired(units=units, balance=balance):
                books.expired += units
                self._check_balance(books, event, balance)
            case ev.CreditsRefunded(job=job, units=units, balance=balance):
                if books.charges.pop(job, None) != units:
                    self._violated("a-charge-is-given-back-at-most-once", event, job)
                books.refunded += units
                self._check_balance(books, event, balance)
            case ev.JobReused(job=job, of=of):
                if job in books.live or job in books.ended:
                    self._violated("a-job-is-accepted-once", event, job)
                if of not in books.ended:
                    self._violated("what-is-reused-had-succeeded", event, of)
                books.ended.add(job)
            case ev.JobAccepted(job=job, lane=lane, in_flight_jobs_max=limit):
                if job in books.live or job in books.ended:
                    self._violated("a-job-is-accepted-once", event, job)
                books.live[job] = lane
                books.slots_max[lane] = max(limit, books.running(lane))
            case ev.CreditsReserved(job=job, units=units, balance=balance):
                if job in books.open:
                    self._violated("a-reservation-is-made-once", event, job)
                books.open[job] = units
                books.reserved += units
                self._check_balance(books, event, balance)
            case ev.CreditsCaptured(job=job, units=units, balance=balance):
                if job in books.charged_jobs:
                    self._violated("at-most-one-charge-a-job", event, job)
                self._settle(books, event, job, units)
                books.charged_jobs.add(job)
                books.charges[job] = units
                books.captured += units
                self._check_balance(books, event, balance)
            case ev.CreditsReleased(job=job, units=units, balance=balance):
                self._settle(books, event, job, units)
                self._check_balance(books, event, balance)
            case _:
                self._follow_job(books, event)

    def _settle(self, books: Books, event: ev.Event, job: str, units: int) -> None:
        held = books.open.pop(job, None)
        if held != units:
            self._violated("a-reservation-ends-once", event, f"{job}: {units} of {held} held")
        books.reserved -= held or 0

    def _check_balance(self, books: Books, event: ev.Event, balance: int) -> None:
        if balance != books.available:
            self._violated("balance-is-what-the-books-say", event, f"{balance} against {books.available}")

    def _follow_job(self, books: Books, event: ev.Event) -> None:
        match event.data:
            case ev.AttemptReleased(job=job):
                if job not in books.live or job in books.slots:
                    self._violated("one-attempt-at-a-time", event, job)
                lane = books.slots[job] = books.live.get(job, "")
                running, limit = books.running(lane), books.slots_max.get(lane, 0)
                if running > limit:
                    self._violated("running-attempts-within-limit", event, f"{running} of {limit} in {lane}")
            case ev.AttemptEnded(job=job):
                books.slots.pop(job, None)
            case ev.JobSucceeded(job=job) | ev.JobFailed(job=job):
                books.slots.pop(job, None)
                self._end(books, event, job)
            case ev.JobCanceled(job=job) | ev.JobExpired(job=job):
                self._end(books, event, job)
            case ev.JobHidden(job=job, balance=balance):
                if job in books.live:
                    self._violated("only-what-has-ended-is-hidden", event, job)
                self._check_balance(books, event, balance)
            case _:
                pass

    def _end(self, books: Books, event: ev.Event, job: str) -> None:
        if job not in books.live:
            self._violated("at-most-one-terminal-state", event, job)
        books.live.pop(job, None)
        books.ended.add(job)

    def _violated(self, law: str, event: ev.Event, detail: str) -> None:
        self.violations.append(Violation(law, event.position, event.account, detail))

    def _add(self, law: str, account: str, detail: str) -> None:
        self.violations.append(Violation(law, f"{self.partition}.end", account, detail))


def _follows(before: Position, at: Position) -> bool:
    """The next command: the next index of the same record, or the first of the next record."""
    same_record = at.offset == before.offset and at.index == before.index + 1
    return same_record or (at.offset == before.offset + 1 and at.index == 0)

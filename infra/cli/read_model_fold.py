"""What the log says of a partition's rows: the audit's own fold, which shares no code with the projections."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from infra.cli.read_model_counts import Counts
from infra.kafka.ports import LogReader
from processors.audit import Books, PartitionAudit
from schemas import events as ev
from schemas.events import decode_event
from schemas.identifiers import is_partition_stream
from schemas.topics import EVENTS

_TERMINAL = {
    ev.JobSucceeded: "succeeded",
    ev.JobFailed: "failed",
    ev.JobCanceled: "canceled",
    ev.JobExpired: "expired",
}


@dataclass(frozen=True)
class JobSaid:
    """How a job stands, what it was charged, what came back, and whether it is hidden."""

    status: str = ""
    charged: int = 0
    refunded: int = 0
    hidden: bool = False


@dataclass(frozen=True)
class AssetSaid:
    """A picture's number, why it is gone (None: it is not), whether everybody reads it, and how often others did."""

    number: int
    gone: str | None = None
    public: bool = False
    views: int = 0


class Fold:
    """What the log says of a partition up to an offset; by account and id."""

    def __init__(self, partition: int) -> None:
        self.audit = PartitionAudit(partition)
        self.jobs: dict[tuple[str, str], JobSaid] = {}
        self.assets: dict[tuple[str, str], AssetSaid] = {}
        self.albums: dict[str, int] = {}
        self.counts = Counts()

    def add(self, event: ev.Event) -> None:
        """Take the next event into the books."""
        self.audit.add(event)
        self._add_job(event.account, event.data)
        self._add_asset(event.account, event.data)
        if not is_partition_stream(event.account):
            self.counts.add(event)

    def totals(self) -> dict[str, tuple[int, ...]]:
        """Version and sums of each account."""
        return {name: _totals(books) for name, books in self.audit.books.items() if name.startswith("acct_")}

    def _add_job(self, account: str, data: ev.EventData) -> None:
        match data:
            case ev.JobAccepted(job=job) | ev.JobRequeued(job=job):
                self._job(account, job, status="accepted")
            case ev.AttemptReleased(job=job):
                self._job(account, job, status="queued")
            case ev.JobStarted(job=job):
                self._job(account, job, status="running")
            case ev.AttemptEnded(job=job, retry_at_ms=retry_at_ms) if retry_at_ms is not None:
                self._job(account, job, status="accepted")
            case ev.JobSucceeded(job=job) | ev.JobFailed(job=job) | ev.JobCanceled(job=job) | ev.JobExpired(job=job):
                self._job(account, job, status=_TERMINAL[type(data)])
            case ev.JobReused(job=job):
                self._job(account, job, status="succeeded")
            case ev.CreditsCaptured(job=job, units=units):
                self._job(account, job, charged=units)
            case ev.CreditsRefunded(job=job, units=units):
                self._job(account, job, refunded=units)
            case ev.JobHidden(job=job) if (account, job) in self.jobs:
                self._job(account, job, hidden=True)
            case _:
                pass

    def _add_asset(self, account: str, data: ev.EventData) -> None:
        match data:
            case ev.AssetRegistered() | ev.JobSucceeded() | ev.JobReused():
                self.assets[account, data.asset] = AssetSaid(data.number)
            case ev.AssetDeleted(asset=asset, reason=reason):
                self._asset(account, asset, gone=reason)
            case ev.VisibilityChanged(asset=asset, public=public):
                self._asset(account, asset, public=public)
            case ev.AssetsViewed(views=views):
                for asset, times in views:
                    self._asset(account, asset, views=self.assets[account, asset].views + times)
            case ev.AlbumCreated():
                self.albums[account] = self.albums.get(account, 0) + 1
            case ev.AlbumDeleted():
                self.albums[account] -= 1
            case ev.AccountErased(assets_through=through):
                for owner, asset in [place for place in self.assets if place[0] == account]:
                    said = self.assets[owner, asset]
                    if said.gone is None and said.number <= through:
                        self._asset(account, asset, gone="erased")
            case _:
                pass

    def _job(self, account: str, job: str, **changed: Any) -> None:
        self.jobs[account, job] = replace(self.jobs.get((account, job), JobSaid()), **changed)

    def _asset(self, account: str, asset: str, **changed: Any) -> None:
        self.assets[account, asset] = replace(self.assets[account, asset], **changed)


async def fold_of_log(reader: LogReader, partition: int, through: int) -> Fold:
    """The fold of a partition's events up to and with the offset `through`; nothing for -1."""
    fold = Fold(partition)
    begin = await reader.begin_offset(EVENTS, partition)
    if through >= begin:
        async for records in reader.read(EVENTS, partition, begin, through + 1):
            for record in records:
                fold.add(decode_event(record.value or b""))
    return fold


def _totals(books: Books) -> tuple[int, ...]:
    sums = (books.granted, books.regenerated, books.refunded, books.captured, books.reserved, books.expired)
    return (books.version, *sums)

"""What the log says of the rows of each read model: the audit's own folds, which share no code with the projections.

A fold holds a mapping for each table that is compared row by row, and one for what the other tables are counted by.
Keys are the account and, after a blank, the id, so that they sort as PostgreSQL sorts the columns.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec.structs import replace

from infra.cli.read_model_counts import ArchiveCounts, AssetCounts, BalanceCounts, Counts, JobCounts
from processors.audit_spill import InMemory, Shelf, sorted_items
from schemas import events as ev
from schemas.identifiers import is_partition_stream

_TERMINAL = {
    ev.JobSucceeded: "succeeded",
    ev.JobFailed: "failed",
    ev.JobCanceled: "canceled",
    ev.JobExpired: "expired",
}


class JobSaid(msgspec.Struct, frozen=True, array_like=True):
    """How a job stands, what it was charged, what came back, and whether it is hidden."""

    status: str = ""
    charged: int = 0
    refunded: int = 0
    hidden: bool = False


class AssetSaid(msgspec.Struct, frozen=True, array_like=True):
    """A picture's number, why it is gone (None: it is not), whether everybody reads it, and how often others did."""

    number: int
    gone: str | None = None
    public: bool = False
    views: int = 0


class Totals(NamedTuple):
    """Version and sums of an account."""

    version: int = 0
    granted: int = 0
    regenerated: int = 0
    refunded: int = 0
    captured: int = 0
    reserved: int = 0
    expired: int = 0

    @property
    def available(self) -> int:
        return self.granted + self.regenerated + self.refunded - self.captured - self.reserved - self.expired


class ModelFold(Protocol):
    """What the log says of one read model; `tables` are those that are compared row by row."""

    counts: Counts

    @property
    def tables(self) -> dict[str, MutableMapping[str, Any]]:
        """The rows by table; a row without meaning (nothing is left of it) is None or 0."""
        ...

    def add(self, event: ev.Event) -> None:
        """Take the next event of an account."""
        ...


class JobsFold:
    """The read model `jobs`."""

    def __init__(self, shelf: Shelf) -> None:
        self.jobs = shelf.mapping("jobs", JobSaid)
        self.counts: Counts = JobCounts(shelf)

    @property
    def tables(self) -> dict[str, MutableMapping[str, Any]]:
        """See the port."""
        return {"jobs": self.jobs}

    def add(self, event: ev.Event) -> None:
        """See the port."""
        self.counts.add(event)
        account, data = event.account, event.data
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
            case ev.JobHidden(job=job) if f"{account} {job}" in self.jobs:
                self._job(account, job, hidden=True)
            case _:
                pass

    def _job(self, account: str, job: str, **changed: Any) -> None:
        key = f"{account} {job}"
        self.jobs[key] = replace(self.jobs.get(key) or JobSaid(), **changed)


class BalancesFold:
    """The read model `balances`."""

    def __init__(self, shelf: Shelf) -> None:
        self.accounts = shelf.mapping("accounts", Totals)
        self._open = shelf.mapping("open", int)  # units of each reservation
        self.counts: Counts = BalanceCounts(shelf)

    @property
    def tables(self) -> dict[str, MutableMapping[str, Any]]:
        """See the port."""
        return {"balances": self.accounts}

    def add(self, event: ev.Event) -> None:
        """See the port."""
        self.counts.add(event)
        account, data = event.account, event.data
        sums = (self.accounts.get(account) or Totals())._replace(version=event.version)
        match data:
            case ev.CreditsGranted(amount=amount):
                sums = sums._replace(granted=sums.granted + amount)
            case ev.CreditsRegenerated(amount=amount):
                sums = sums._replace(regenerated=sums.regenerated + amount)
            case ev.CreditsExpired(units=units):
                sums = sums._replace(expired=sums.expired + units)
            case ev.CreditsRefunded(units=units):
                sums = sums._replace(refunded=sums.refunded + units)
            case ev.CreditsReserved(job=job, units=units):
                self._open[f"{account} {job}"] = units
                sums = sums._replace(reserved=sums.reserved + units)
            case ev.CreditsCaptured(job=job, units=units):
                held = self._open.pop(f"{account} {job}", 0)
                sums = sums._replace(reserved=sums.reserved - held, captured=sums.captured + units)
            case ev.CreditsReleased(job=job):
                held = self._open.pop(f"{account} {job}", 0)
                sums = sums._replace(reserved=sums.reserved - held)
            case _:
                pass
        self.accounts[account] = sums


class AssetsFold:
    """The read model `assets`."""

    def __init__(self, shelf: Shelf) -> None:
        self.assets = shelf.mapping("assets", AssetSaid)
        self.albums = shelf.mapping("albums", int)
        self.counts: Counts = AssetCounts(shelf)

    @property
    def tables(self) -> dict[str, MutableMapping[str, Any]]:
        """See the port."""
        return {"assets": self.assets, "albums": self.albums}

    def add(self, event: ev.Event) -> None:
        """See the port."""
        self.counts.add(event)
        account, data = event.account, event.data
        match data:
            case ev.AssetRegistered() | ev.JobSucceeded() | ev.JobReused():
                self.assets[f"{account} {data.asset}"] = AssetSaid(data.number)
            case ev.AssetDeleted(asset=asset, reason=reason):
                self._asset(account, asset, gone=reason)
            case ev.VisibilityChanged(asset=asset, public=public):
                self._asset(account, asset, public=public)
            case ev.AssetsViewed(views=views):
                for asset, times in views:
                    self._asset(account, asset, views=self.assets[f"{account} {asset}"].views + times)
            case ev.AlbumCreated():
                self.albums[account] = (self.albums.get(account) or 0) + 1
            case ev.AlbumDeleted():
                self.albums[account] = (self.albums.get(account) or 0) - 1
            case ev.AccountErased(assets_through=through):
                self._erase(account, through)
            case _:
                pass

    def _erase(self, account: str, through: int) -> None:
        erased = []
        for key, said in sorted_items(self.assets, account + " "):
            if not key.startswith(account + " "):
                break
            if said.gone is None and said.number <= through:
                erased.append((key, said))
        for key, said in erased:
            self.assets[key] = replace(said, gone="erased")

    def _asset(self, account: str, asset: str, **changed: Any) -> None:
        key = f"{account} {asset}"
        self.assets[key] = replace(self.assets.get(key) or AssetSaid(0), **changed)


class ArchiveFold:
    """The archive: every event of an account."""

    def __init__(self, shelf: Shelf) -> None:
        self.counts: Counts = ArchiveCounts(shelf)

    @property
    def tables(self) -> dict[str, MutableMapping[str, Any]]:
        """See the port."""
        return {}

    def add(self, event: ev.Event) -> None:
        """See the port."""
        self.counts.add(event)


FOLDS: dict[str, type[JobsFold] | type[BalancesFold] | type[AssetsFold] | type[ArchiveFold]] = {
    "jobs": JobsFold,
    "balances": BalancesFold,
    "assets": AssetsFold,
    "archive": ArchiveFold,
}
"""The fold of each read model that is compared."""


class ShelfOf:
    """A part of a shelf, whose names carry the part's name."""

    def __init__(self, shelf: Shelf, name: str) -> None:
        self._shelf, self._name = shelf, name

    def mapping(self, name: str, kind: type[Any]) -> MutableMapping[str, Any]:
        """See `Shelf.mapping`."""
        return self._shelf.mapping(f"{self._name} {name}", kind)


def folds(shelf: Shelf | None = None) -> dict[str, ModelFold]:
    """A fold for each model, before the first event."""
    made = {model: ShelfOf(shelf or InMemory(), model) for model in FOLDS}
    return {model: FOLDS[model](part) for model, part in made.items()}


def add_to_all(models: Sequence[ModelFold], event: ev.Event) -> None:
    """Let each of them take the event; a partition's own stream has no rows."""
    if not is_partition_stream(event.account):
        for fold in models:
            fold.add(event)

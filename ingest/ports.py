"""What ingest needs from outside, in one record that the composition root fills."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from infra.clock import Clock
from infra.http.last_positions import LastPositions
from infra.http.media_links import MediaLinks
from infra.ids import IdSource
from infra.kafka.ports import Appender
from infra.postgres.outcomes import JobOutcome, KnownAsset, Owner
from infra.postgres.spending import Spending
from infra.remote.fetch import GuardedFetcher, RemoteFetcher
from infra.s3.store import ObjectStore
from infra.sealing.keys import KeyRing
from ingest.replies import Waiters
from schemas.catalogue import Catalogue
from schemas.plans import Plan
from schemas.positions import Position

Size = tuple[int, int]


class ReadSide(Protocol):
    """What ingest asks the read models. They may be behind or away: None says no more than "not known"."""

    async def job(self, account: str, job: str) -> JobOutcome | None:
        """How the job stands."""
        ...

    async def outcomes(self, account: str, jobs: Sequence[str]) -> Mapping[str, JobOutcome]:
        """How these jobs stand, as far as they are known."""
        ...

    async def asset_sizes(self, account: str, assets: Sequence[str]) -> Mapping[str, Size]:
        """Width and height in pixels of these assets, as far as they are known."""
        ...

    async def asset(self, account: str, asset: str) -> KnownAsset | None:
        """An asset, also one that has ended."""
        ...

    async def numbered_asset(self, account: str, number: int) -> KnownAsset | None:
        """The account's asset of this number, also one that has ended.

        Raises Problem 503 where the read models do not answer: nothing else knows numbers.
        """
        ...

    async def live_jobs_on(self, account: str, asset: str, most: int) -> Sequence[str]:
        """Jobs that have not ended and work on the asset, as far as they are known."""
        ...

    async def results_of(self, account: str, asset: str, most: int) -> Mapping[str, str]:
        """Results that are there of jobs on the asset, oldest first, by job, as far as they are known."""
        ...

    async def shown_elsewhere(self, account: str, asset: str, job: str) -> bool:
        """Whether another job than `job` that is not hidden works on the asset or has made it.

        Raises Problem 503 where the read models do not answer: what it is asked for cannot be taken back.
        """
        ...

    async def public_owner(self, asset: str) -> Owner | None:
        """Whose public asset it is; None for one that is private, gone or not known."""
        ...

    async def spending(self, account: str, partition: int) -> Spending | None:
        """What the account has, and the plan in force; None where nobody says."""
        ...

    async def owner(self, job: str, account: str | None) -> Owner | None:
        """Whose job it is; without an account every one is searched. None for a job that is not there.

        Unlike the others it raises Problem 503 where the read models do not answer: nothing else knows.
        """
        ...

    async def has_reached(self, position: Position) -> bool:
        """Whether every command up to `position` is in the read models."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestPorts:
    """Ports and settings of the writing side. `decision_wait_s` bounds how long an answer waits for its decision.

    `plan` is the one of this gateway's plan file: what may be told before a decision, which goes by the plan in force.
    """

    appender: Appender
    waiters: Waiters
    read_side: ReadSide
    keys: KeyRing
    objects: ObjectStore
    catalogue: Catalogue
    clock: Clock
    ids: IdSource
    last_positions: LastPositions
    identifier_key: bytes
    partitions: int
    base_url: str
    links: MediaLinks
    plan: Plan
    remote: RemoteFetcher = field(default_factory=GuardedFetcher)
    decision_wait_s: float = 10.0
    ask_read_side_after_s: float = 1.0
    catch_up_wait_s: float = 1.0


class MemoryReadSide:
    """`ReadSide` over dictionaries."""

    def __init__(self) -> None:
        self.jobs: dict[tuple[str, str], JobOutcome] = {}
        self.sizes: dict[tuple[str, str], Size] = {}
        self.assets: dict[tuple[str, str], KnownAsset] = {}
        self.jobs_on: dict[tuple[str, str], tuple[str, ...]] = {}
        self.results: dict[tuple[str, str], Mapping[str, str]] = {}
        self.public: dict[str, Owner] = {}
        self.products: dict[str, str] = {}
        self.spendings: dict[str, Spending] = {}
        self.unopened: Spending | None = None
        self.is_current = True

    async def job(self, account: str, job: str) -> JobOutcome | None:
        return self.jobs.get((account, job))

    async def outcomes(self, account: str, jobs: Sequence[str]) -> Mapping[str, JobOutcome]:
        return {job: self.jobs[account, job] for job in jobs if (account, job) in self.jobs}

    async def asset_sizes(self, account: str, assets: Sequence[str]) -> Mapping[str, Size]:
        return {asset: self.sizes[account, asset] for asset in assets if (account, asset) in self.sizes}

    async def asset(self, account: str, asset: str) -> KnownAsset | None:
        return self.assets.get((account, asset))

    async def numbered_asset(self, account: str, number: int) -> KnownAsset | None:
        return next((a for (owner, _), a in self.assets.items() if owner == account and a.number == number), None)

    async def live_jobs_on(self, account: str, asset: str, most: int) -> Sequence[str]:
        return self.jobs_on.get((account, asset), ())[:most]

    async def results_of(self, account: str, asset: str, most: int) -> Mapping[str, str]:
        return dict(list(self.results.get((account, asset), {}).items())[:most])

    async def shown_elsewhere(self, account: str, asset: str, job: str) -> bool:
        return any(
            owner == account and name != job and known.hidden_ms is None and asset in (known.input, known.asset)
            for (owner, name), known in self.jobs.items()
        )

    async def public_owner(self, asset: str) -> Owner | None:
        return self.public.get(asset)

    async def spending(self, account: str, partition: int) -> Spending | None:
        return self.spendings.get(account, self.unopened)

    async def owner(self, job: str, account: str | None) -> Owner | None:
        found = next((owner for owner, name in self.jobs if name == job and account in (None, owner)), None)
        return None if found is None else Owner(found, self.products.get(found, "darkroom"))

    async def has_reached(self, position: Position) -> bool:
        return self.is_current


class KnownSizes:
    """Sizes of assets that this gateway took in, in front of the read models; bounded."""

    def __init__(self, read_side: ReadSide, assets_max: int = 50_000) -> None:
        self._read_side, self._assets_max = read_side, assets_max
        self._sizes: dict[tuple[str, str], Size] = {}

    def note(self, account: str, asset: str, size: Size) -> None:
        """Remember an asset's size: it never changes."""
        if len(self._sizes) >= self._assets_max:
            del self._sizes[next(iter(self._sizes))]
        self._sizes[account, asset] = size

    async def of(self, account: str, assets: Collection[str]) -> dict[str, Size]:
        """The sizes of these assets; those that nobody knows yet are left out."""
        found = {asset: size for asset in assets if (size := self._sizes.get((account, asset))) is not None}
        if len(found) < len(set(assets)):
            missing = [asset for asset in dict.fromkeys(assets) if asset not in found]
            for asset, size in (await self._read_side.asset_sizes(account, missing)).items():
                self.note(account, asset, size)
                found[asset] = size
        return found

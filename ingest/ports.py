"""What ingest needs from outside, in one record that the composition root fills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from infra.clock import Clock
from infra.http.last_positions import LastPositions
from infra.ids import IdSource
from infra.kafka.ports import Appender
from infra.postgres.outcomes import JobOutcome, KnownAsset
from infra.remote.fetch import GuardedFetcher, RemoteFetcher
from infra.s3.store import ObjectStore
from infra.sealing.keys import KeyRing
from ingest.replies import Waiters
from schemas.catalogue import Catalogue
from schemas.positions import Position

Size = tuple[int, int]


class ReadSide(Protocol):
    """What ingest asks the read models. They may be behind or away: None says no more than "not known"."""

    async def job(self, account: str, job: str) -> JobOutcome | None:
        """How the job stands."""
        ...

    async def asset_size(self, account: str, asset: str) -> Size | None:
        """Width and height of an asset in pixels."""
        ...

    async def asset(self, account: str, asset: str) -> KnownAsset | None:
        """An asset, also one that has ended."""
        ...

    async def live_jobs_on(self, account: str, asset: str, most: int) -> Sequence[str]:
        """Jobs that have not ended and work on the asset, as far as they are known."""
        ...

    async def has_reached(self, position: Position) -> bool:
        """Whether every command up to `position` is in the read models."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestPorts:
    """Ports and settings of the writing side. `decision_wait_s` bounds how long an answer waits for its decision."""

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
        self.is_current = True

    async def job(self, account: str, job: str) -> JobOutcome | None:
        return self.jobs.get((account, job))

    async def asset_size(self, account: str, asset: str) -> Size | None:
        return self.sizes.get((account, asset))

    async def asset(self, account: str, asset: str) -> KnownAsset | None:
        return self.assets.get((account, asset))

    async def live_jobs_on(self, account: str, asset: str, most: int) -> Sequence[str]:
        return self.jobs_on.get((account, asset), ())[:most]

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

    async def of(self, account: str, asset: str) -> Size | None:
        """The size, None where nobody knows it yet."""
        known = self._sizes.get((account, asset))
        if known is None:
            known = await self._read_side.asset_size(account, asset)
            if known is not None:
                self.note(account, asset, known)
        return known

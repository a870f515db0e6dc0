"""State records of assets, albums and bytes to purge. See processors/accounts/state.py for how records stand."""

import msgspec

from schemas.commands import StoredObject
from schemas.events import WindowUse


class Charge(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a job's result was charged, so that it can be given back once."""

    units: int
    windows: tuple[WindowUse, ...]
    plan_version: int
    refunded: bool = False


class Asset(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A live asset of the account; ends at `expires_ms`. A result has a `charge` and, where it may serve identical
    jobs, the key `reuse` of the entry that names it."""

    number: int
    object: StoredObject
    thumbnail: StoredObject | None = None
    expires_ms: int | None = None
    public: bool = False
    albums: tuple[str, ...] = ()
    charge: Charge | None = None
    reuse: str | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """Its objects in the store."""
        return (self.object.key,) if self.thumbnail is None else (self.object.key, self.thumbnail.key)


class Album(msgspec.Struct, frozen=True, gc=False):
    """A live album. Which assets are in it, the assets know."""

    created_ms: int


class Shared(msgspec.Struct, frozen=True, gc=False):
    """How many live assets refer to an object; without this record it is one. It stays until the last one ends."""

    references: int


class Reuse(msgspec.Struct, frozen=True, gc=False):
    """The result that identical jobs get until `until_ms`: job `job` made asset `asset`."""

    job: str
    asset: str
    until_ms: int


class Purge(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Bytes that are being deleted, under `prefix` those from before `at_ms`; told again at `retry_at_ms`."""

    keys: tuple[str, ...]
    attempt: int
    retry_at_ms: int
    prefix: str | None = None
    at_ms: int = 0


def result_asset(job: str) -> str:
    """The id of the asset that the job's result becomes."""
    return "asset_" + job.partition("_")[2]


def asset_key(account: str, asset: str) -> str:
    return f"{account}|asset|{asset}"


def album_key(account: str, album: str) -> str:
    return f"{account}|album|{album}"


def shared_key(account: str, key: str) -> str:
    return f"{account}|shared|{key}"


def reuse_key(account: str, content: str) -> str:
    return f"{account}|reuse|{content}"


def purge_key(account: str, purge: str) -> str:
    return f"{account}|purge|{purge}"

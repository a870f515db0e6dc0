"""Events of assets, albums and the bytes behind them. `schemas.events` names them all."""

from typing import Literal

from schemas.commands import StoredObject
from schemas.event_base import EventData, IdempotencyUse


class AssetRegistered(EventData, frozen=True, omit_defaults=True, tag="asset-registered"):
    """Stored bytes became asset number `number` of the account, kept until `expires_ms` where its plan says so."""

    asset: str
    number: int
    object: StoredObject
    sealed: str | None
    idempotency: IdempotencyUse | None
    album: str | None = None
    expires_ms: int | None = None


class AssetDeleted(EventData, frozen=True, omit_defaults=True, tag="asset-deleted"):
    """Access to the asset ended: its owner deleted it, its time was over, or its job is done and wanted no original.

    `canceled` are the jobs that were ended before it for that.
    """

    asset: str
    reason: Literal["deleted", "expired", "original-processed"]
    idempotency: IdempotencyUse | None
    canceled: tuple[str, ...] = ()


class VisibilityChanged(EventData, frozen=True, tag="visibility-changed"):
    """Others may read the asset, or no longer."""

    asset: str
    public: bool


class AssetsViewed(EventData, frozen=True, tag="assets-viewed"):
    """Others have read public assets: (asset, times)."""

    views: tuple[tuple[str, int], ...]


class AlbumCreated(EventData, frozen=True, tag="album-created"):
    """An empty album; `sealed` holds its name."""

    album: str
    sealed: str | None
    idempotency: IdempotencyUse | None


class AlbumDeleted(EventData, frozen=True, tag="album-deleted"):
    """The album ended; its assets stay."""

    album: str


class AssetsMoved(EventData, frozen=True, tag="assets-moved"):
    """`moved` are in `album` now and out of `from_album`, `already` were there before, `unknown` are no live assets."""

    album: str
    from_album: str | None
    moved: tuple[str, ...]
    already: tuple[str, ...]
    unknown: tuple[str, ...]


class PurgeReleased(EventData, frozen=True, tag="purge-released"):
    """Bytes are to be deleted: the objects `keys`, or everything under `prefix`; told again at `retry_at_ms`.

    `purge` is the position of its first release.
    """

    purge: str
    attempt: int
    keys: tuple[str, ...]
    prefix: str | None
    retry_at_ms: int


class BytesPurged(EventData, frozen=True, tag="bytes-purged"):
    """The bytes are gone from the object store."""

    purge: str


class AccountErased(EventData, frozen=True, tag="account-erased"):
    """Every asset up to number `assets_through` ended; the keys of its sealed texts are destroyed beside this."""

    assets_through: int

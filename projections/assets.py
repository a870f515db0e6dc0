"""Read model `assets`: what an account's pictures and videos are and where their bytes lie, and its albums.

Uploads and results alike. What ended stays as a row that says why: its owner gets 410 for it, everybody else 404. An
asset that began in the same batch is changed in its own new row, because new rows are written last.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from projections.row_base import Logged, Rows, rows_of
from projections.rows import AlbumChange, AlbumMember, AssetChange, AssetsErased, NewAsset
from schemas import events as ev
from schemas.codec import encode_json
from schemas.commands import StoredObject

NAME = "assets"
ERASED = "erased"


class Changes:
    """What a batch does to assets and albums, in the making."""

    def __init__(self) -> None:
        self.new: dict[tuple[str, str], dict[str, Any]] = {}
        self.changed: dict[tuple[str, str], dict[str, Any]] = {}
        self.erased: dict[str, AssetsErased] = {}
        self.albums: dict[tuple[str, str], dict[str, Any]] = {}
        self.members: dict[tuple[str, str, str], AlbumMember] = {}

    def asset(self, event: ev.Event, asset: str) -> dict[str, Any]:
        """The columns of an asset that changes, its own new row where it began in this batch."""
        place = (event.account, asset)
        row = self.new.get(place)
        if row is None:
            row = self.changed.setdefault(place, {"account": event.account, "asset": asset})
        row["position"] = event.position
        return row

    def album(self, event: ev.Event, album: str) -> dict[str, Any]:
        """The columns of an album."""
        row = self.albums.setdefault((event.account, album), {"account": event.account, "album": album})
        row["position"] = event.position
        return row

    def put(self, event: ev.Event, album: str, asset: str, present: bool) -> None:
        """The asset is in the album from now on, or no longer."""
        self.members[event.account, album, asset] = AlbumMember(
            account=event.account, album=album, asset=asset, present=present, since_ms=event.time_ms
        )


def _new(changes: Changes, event: ev.Event, asset: str, number: int, stored: StoredObject, **more: Any) -> None:
    changes.new[event.account, asset] = {
        "account": event.account,
        "asset": asset,
        "number": number,
        "version": event.version,
        "key": stored.key,
        "bytes": stored.bytes,
        "sha256": stored.sha256,
        "format": stored.format,
        "width": stored.width,
        "height": stored.height,
        "duration_ms": stored.duration_ms,
        "created_ms": event.time_ms,
        "position": event.position,
        **more,
    }


def _registered(changes: Changes, event: ev.Event, data: ev.AssetRegistered) -> None:
    _new(changes, event, data.asset, data.number, data.object, sealed=data.sealed, expires_ms=data.expires_ms)
    if data.album is not None:
        changes.put(event, data.album, data.asset, True)


def _result(changes: Changes, event: ev.Event, data: ev.JobSucceeded | ev.JobReused) -> None:
    thumbnail = None if data.thumbnail is None else encode_json(data.thumbnail).decode()
    more = {"job": data.job, "thumbnail": thumbnail, "expires_ms": data.expires_ms}
    _new(changes, event, data.asset, data.number, data.result, **more)


def _deleted(changes: Changes, event: ev.Event, data: ev.AssetDeleted) -> None:
    changes.asset(event, data.asset).update(gone=data.reason, gone_ms=event.time_ms)


def _visibility(changes: Changes, event: ev.Event, data: ev.VisibilityChanged) -> None:
    changes.asset(event, data.asset).update(public=data.public, changed_ms=event.time_ms)


def _viewed(changes: Changes, event: ev.Event, data: ev.AssetsViewed) -> None:
    for asset, times in data.views:
        row = changes.asset(event, asset)
        row["views"] = row.get("views", 0) + times


def _album_created(changes: Changes, event: ev.Event, data: ev.AlbumCreated) -> None:
    changes.album(event, data.album).update(version=event.version, created_ms=event.time_ms, sealed=data.sealed)


def _album_deleted(changes: Changes, event: ev.Event, data: ev.AlbumDeleted) -> None:
    changes.album(event, data.album)["gone_ms"] = event.time_ms


def _moved(changes: Changes, event: ev.Event, data: ev.AssetsMoved) -> None:
    for asset in (*data.moved, *data.already):
        if data.from_album is not None:
            changes.put(event, data.from_album, asset, False)
        if asset in data.moved or data.from_album == data.album:
            changes.put(event, data.album, asset, True)


def _erased(changes: Changes, event: ev.Event, data: ev.AccountErased) -> None:
    account, through = event.account, data.assets_through
    # of several in a batch the first counts for what is there already: it took all of it
    changes.erased.setdefault(account, AssetsErased(account=account, through=through, gone_ms=event.time_ms))
    for (owner, _), row in changes.new.items():
        if owner == account and row["number"] <= through and row.get("gone") is None:
            row.update(gone=ERASED, gone_ms=event.time_ms)


HANDLERS: Mapping[type[ev.EventData], Callable[[Changes, ev.Event, Any], None]] = {
    ev.AssetRegistered: _registered,
    ev.JobSucceeded: _result,
    ev.JobReused: _result,
    ev.AssetDeleted: _deleted,
    ev.VisibilityChanged: _visibility,
    ev.AssetsViewed: _viewed,
    ev.AlbumCreated: _album_created,
    ev.AlbumDeleted: _album_deleted,
    ev.AssetsMoved: _moved,
    ev.AccountErased: _erased,
}


def fold_assets(batch: Sequence[Logged]) -> Rows:
    """New assets, what became of earlier ones, albums and what is in them."""
    changes = Changes()
    for logged in batch:
        handler = HANDLERS.get(type(logged.event.data))
        if handler is not None:
            handler(changes, logged.event, logged.event.data)
    return rows_of(
        [NewAsset(**row) for row in changes.new.values()],
        [AssetChange(**row) for row in changes.changed.values()],
        list(changes.erased.values()),
        [AlbumChange(**row) for row in changes.albums.values()],
        list(changes.members.values()),
    )

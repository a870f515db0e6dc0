"""What events about assets, albums and bytes change. See processors/evolve.py for the contract."""

from msgspec.structs import replace

from processors.accounts.evolve import remember
from processors.assets.state import (
    Album,
    Asset,
    Purge,
    Reuse,
    Shared,
    album_key,
    asset_key,
    purge_key,
    reuse_key,
    shared_key,
)
from processors.overlay import Overlay
from schemas import events as ev
from schemas.replies import AlbumAccepted, AssetAccepted, AssetDeletion


def asset_of(state: Overlay, account: str, name: str) -> Asset:
    """The record of a live asset; events about one that has ended are a bug."""
    record = state.get(asset_key(account, name))
    assert isinstance(record, Asset), f"{name} has ended before"
    return record


def add_asset(state: Overlay, account: str, name: str, asset: Asset) -> None:
    """The account with one more asset, numbered after all before it."""
    header = state.header(account)
    state.changes[asset_key(account, name)] = asset
    state.put_header(account, replace(header, assets=max(header.assets, asset.number)))


def asset_registered(state: Overlay, event: ev.Event, data: ev.AssetRegistered) -> None:
    albums = () if data.album is None else (data.album,)
    asset = Asset(data.number, data.object, expires_ms=data.expires_ms, albums=albums)
    add_asset(state, event.account, data.asset, asset)
    answer = AssetAccepted(data.asset, data.number, data.object, event.time_ms)
    remember(state, event, data.idempotency, data.asset, answer)


def asset_deleted(state: Overlay, event: ev.Event, data: ev.AssetDeleted) -> None:
    account = event.account
    asset = asset_of(state, account, data.asset)
    state.changes[asset_key(account, data.asset)] = None
    if asset.reuse is not None:
        entry = state.get(reuse_key(account, asset.reuse))
        if isinstance(entry, Reuse) and entry.asset == data.asset:
            state.changes[reuse_key(account, asset.reuse)] = None
    shared = state.get(shared_key(account, asset.object.key))
    if isinstance(shared, Shared):
        left = shared.references - 1
        state.changes[shared_key(account, asset.object.key)] = Shared(left) if left else None
    answer = AssetDeletion(data.asset, data.canceled, state.header(account).available)
    remember(state, event, data.idempotency, data.asset, answer)


def refer_again(state: Overlay, account: str, key: str) -> None:
    """One more asset refers to the object."""
    shared = state.get(shared_key(account, key))
    references = shared.references if isinstance(shared, Shared) else 1
    state.changes[shared_key(account, key)] = Shared(references + 1)


def visibility_changed(state: Overlay, event: ev.Event, data: ev.VisibilityChanged) -> None:
    asset = asset_of(state, event.account, data.asset)
    state.changes[asset_key(event.account, data.asset)] = replace(asset, public=data.public)


def album_created(state: Overlay, event: ev.Event, data: ev.AlbumCreated) -> None:
    header = state.header(event.account)
    state.changes[album_key(event.account, data.album)] = Album(event.time_ms)
    state.put_header(event.account, replace(header, albums=header.albums + 1))
    remember(state, event, data.idempotency, data.album, AlbumAccepted(data.album))


def album_deleted(state: Overlay, event: ev.Event, data: ev.AlbumDeleted) -> None:
    header = state.header(event.account)
    state.changes[album_key(event.account, data.album)] = None
    state.put_header(event.account, replace(header, albums=header.albums - 1))


def assets_moved(state: Overlay, event: ev.Event, data: ev.AssetsMoved) -> None:
    account = event.account
    for name in (*data.moved, *data.already):
        asset = asset_of(state, account, name)
        others = (album for album in asset.albums if album not in (data.album, data.from_album))
        live = tuple(album for album in others if state.get(album_key(account, album)) is not None)
        state.changes[asset_key(account, name)] = replace(asset, albums=(*live, data.album))


def purge_released(state: Overlay, event: ev.Event, data: ev.PurgeReleased) -> None:
    before = state.get(purge_key(event.account, data.purge))
    at_ms = before.at_ms if isinstance(before, Purge) else event.time_ms
    purge = Purge(data.keys, data.attempt, data.retry_at_ms, data.prefix, at_ms)
    state.changes[purge_key(event.account, data.purge)] = purge


def bytes_purged(state: Overlay, event: ev.Event, data: ev.BytesPurged) -> None:
    state.changes[purge_key(event.account, data.purge)] = None


def account_erased(state: Overlay, event: ev.Event, data: ev.AccountErased) -> None:
    header = state.header(event.account)
    erased = replace(header, erasures=header.erasures + 1, erased_through=data.assets_through)
    state.put_header(event.account, erased)

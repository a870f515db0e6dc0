"""Decisions about assets, albums, views and the bytes behind them. Pure."""

from processors.accounts.entry import admitted, idempotency_use, ignore, ignore_late, opened_account, refuse
from processors.assets.purges import end_asset, live_asset, release_purge
from processors.assets.state import Album, album_key, purge_key, result_asset
from processors.draft import Draft
from processors.jobs.endings import cancel
from processors.jobs.round import live_job
from processors.jobs.state import Ending
from processors.overlay import typed
from schemas import commands as cmd
from schemas import events as ev
from schemas import refusals as no
from schemas.replies import AlbumAccepted, AssetAccepted, AssetDeletion, AssetsMovedAnswer, Done

ALBUMS_AN_ASSET_MAX = 50


def register_asset(draft: Draft, command: cmd.RegisterAsset) -> None:
    """Number the asset; it is usable at once, because the decider knows it before any projection does."""
    account = draft.envelope.account
    opened = admitted(draft)
    if opened is None:
        return
    header, terms, _ = opened
    known = live_asset(draft, account, command.asset)
    if known is not None:
        ignore(draft, account, "asset-exists", command.asset)
        draft.answer(draft.envelope.reply, account, AssetAccepted(command.asset, known.number, known.object))
        return
    if command.album is not None and draft.get(album_key(account, command.album)) is None:
        refuse(draft, account, no.AlbumUnknown(command.album))
        return
    registered = ev.AssetRegistered(
        asset=command.asset,
        number=header.assets + 1,
        object=command.object,
        sealed=command.sealed,
        idempotency=idempotency_use(draft, terms),
        album=command.album,
        expires_ms=None if terms.uploads_ttl_ms is None else draft.time_ms + terms.uploads_ttl_ms,
    )
    draft.emit(account, registered)
    answer = AssetAccepted(command.asset, registered.number, command.object, draft.time_ms)
    draft.answer(draft.envelope.reply, account, answer)


def delete_asset(draft: Draft, command: cmd.DeleteAsset) -> None:
    """Cancel the named jobs, as far as they live and use the asset, then end access to it, and to wanted results."""
    account = draft.envelope.account
    opened = admitted(draft)
    if opened is None:
        return
    asset = live_asset(draft, account, command.asset)
    if asset is None:
        refuse(draft, account, no.AssetUnknown(command.asset))
        return
    canceled = []
    for name in command.cancel_jobs:
        job = live_job(draft, account, name)
        if job is not None and command.asset in (job.input, job.mask) and not isinstance(job.phase, Ending):
            cancel(draft, account, name, job, None)
            canceled.append(name)
        result = live_asset(draft, account, result_asset(name)) if command.results else None
        if result is not None and result_asset(name) != command.asset:
            end_asset(draft, account, result_asset(name), result, "deleted")
    if live_asset(draft, account, command.asset) is not None:  # a canceled job may have taken its original along
        use = idempotency_use(draft, opened[1])
        end_asset(draft, account, command.asset, asset, "deleted", use, tuple(canceled))
    answer = AssetDeletion(command.asset, tuple(canceled), draft.header(account).available)
    draft.answer(draft.envelope.reply, account, answer)


def set_visibility(draft: Draft, command: cmd.SetVisibility) -> None:
    """Open the asset to others, or close it; saying it again changes nothing."""
    account = draft.envelope.account
    if opened_account(draft) is None:
        return
    asset = live_asset(draft, account, command.asset)
    if asset is None:
        refuse(draft, account, no.AssetUnknown(command.asset))
        return
    if asset.public == command.public:
        ignore(draft, account, "visibility-as-it-is", command.asset)
    else:
        draft.emit(account, ev.VisibilityChanged(command.asset, command.public))
    draft.answer(draft.envelope.reply, account, Done())


def create_album(draft: Draft, command: cmd.CreateAlbum) -> None:
    """Make an empty album."""
    account = draft.envelope.account
    opened = admitted(draft)
    if opened is None:
        return
    header, terms, _ = opened
    if draft.get(album_key(account, command.album)) is not None:
        ignore(draft, account, "album-exists", command.album)
    elif header.albums >= terms.albums_max:
        refuse(draft, account, no.AlbumsFull(terms.albums_max))
        return
    else:
        draft.emit(account, ev.AlbumCreated(command.album, command.sealed, idempotency_use(draft, terms)))
    draft.answer(draft.envelope.reply, account, AlbumAccepted(command.album))


def delete_album(draft: Draft, command: cmd.DeleteAlbum) -> None:
    """End the album; its assets stay where they are otherwise."""
    account = draft.envelope.account
    if opened_account(draft) is None:
        return
    if draft.get(album_key(account, command.album)) is None:
        refuse(draft, account, no.AlbumUnknown(command.album))
        return
    draft.emit(account, ev.AlbumDeleted(command.album))
    draft.answer(draft.envelope.reply, account, Done())


def move_assets(draft: Draft, command: cmd.MoveAssets) -> None:
    """Put each asset into the album that can be; the answer says what became of each."""
    account = draft.envelope.account
    if opened_account(draft) is None:
        return
    for album in (command.album, command.from_album):
        if album is not None and typed(draft.get(album_key(account, album)), Album) is None:
            refuse(draft, account, no.AlbumUnknown(album))
            return
    moved: list[str] = []
    already: list[str] = []
    unknown: list[str] = []
    for name in dict.fromkeys(command.assets):
        asset = live_asset(draft, account, name)
        if asset is None or (command.album not in asset.albums and len(asset.albums) >= ALBUMS_AN_ASSET_MAX):
            unknown.append(name)
        else:
            (already if command.album in asset.albums else moved).append(name)
    what = tuple(moved), tuple(already), tuple(unknown)
    draft.emit(account, ev.AssetsMoved(command.album, command.from_album, *what))
    draft.answer(draft.envelope.reply, account, AssetsMovedAnswer(command.album, *what))


def record_views(draft: Draft, command: cmd.RecordViews) -> None:
    """Count views of what is public still."""
    account = draft.envelope.account
    if draft.account(account) is None:
        ignore_late(draft, "account-not-open", "")
        return
    views = tuple((name, n) for name, n in command.views if n > 0 and _is_public(draft, account, name))
    if views:
        draft.emit(account, ev.AssetsViewed(views))
    else:
        ignore(draft, account, "nothing-public")


def _is_public(draft: Draft, account: str, name: str) -> bool:
    asset = live_asset(draft, account, name)
    return asset is not None and asset.public


def erase_account(draft: Draft, command: cmd.EraseAccount) -> None:
    """End everything the account has stored, at whatever number of assets; its totals stay."""
    account = draft.envelope.account
    header = draft.account(account)
    if header is None:
        ignore_late(draft, "account-not-open", account)
    else:
        draft.emit(account, ev.AccountErased(header.assets))
        release_purge(draft, account, (), account + "/")
    draft.answer(draft.envelope.reply, account, Done())


def record_purge(draft: Draft, command: cmd.RecordPurge) -> None:
    """The bytes are gone; a report that was made before is ignored."""
    account = draft.envelope.account
    if draft.get(purge_key(account, command.purge)) is None:
        ignore_late(draft, "purge-not-awaited", command.purge)
    else:
        draft.emit(account, ev.BytesPurged(command.purge))

"""The end of assets, and the bytes behind them. Pure.

Theory of operation of a purge: access to an asset ends with `asset-deleted`; its bytes, once no other asset refers to
them, are named by `purge-released`, which also hands them to the housekeepers. They delete and report; until the report
comes the purge is released again, later and later. Deleting twice is harmless, so nothing here has to be exactly once.
"""

from typing import Literal

from processors.assets.state import Asset, Purge, Shared, asset_key, shared_key
from processors.draft import Draft
from processors.overlay import typed
from schemas import commands as cmd
from schemas import events as ev

PURGE_RETRY_MS = 60_000
PURGE_RETRY_DOUBLINGS_MAX = 6


def live_asset(draft: Draft, account: str, asset: str) -> Asset | None:
    """The record of a live asset, None where it has ended or never was."""
    record = typed(draft.get(asset_key(account, asset)), Asset)
    return None if record is None or record.number <= draft.header(account).erased_through else record


def end_asset(
    draft: Draft,
    account: str,
    name: str,
    asset: Asset,
    reason: Literal["deleted", "expired", "original-processed"],
    idempotency: ev.IdempotencyUse | None = None,
    canceled: tuple[str, ...] = (),
) -> None:
    """End access to the asset, and release its bytes to be purged where nothing else refers to them."""
    shared = typed(draft.get(shared_key(account, asset.object.key)), Shared)
    draft.emit(account, ev.AssetDeleted(name, reason, idempotency, canceled))
    if shared is None or shared.references <= 1:
        release_purge(draft, account, asset.keys)


def release_purge(draft: Draft, account: str, keys: tuple[str, ...], prefix: str | None = None) -> None:
    """Hand bytes to the housekeepers for the first time."""
    retry_at_ms = draft.time_ms + PURGE_RETRY_MS
    draft.emit(account, ev.PurgeReleased(draft.next_position, 1, keys, prefix, retry_at_ms))


def release_purge_again(draft: Draft, account: str, name: str, purge: Purge) -> None:
    """The same after a silence."""
    pause_ms = PURGE_RETRY_MS << min(purge.attempt, PURGE_RETRY_DOUBLINGS_MAX)
    released = ev.PurgeReleased(name, purge.attempt + 1, purge.keys, purge.prefix, draft.time_ms + pause_ms)
    draft.emit(account, released)


def purge_unused_result(draft: Draft, account: str, asset: str, outcome: cmd.Succeeded) -> None:
    """Purge the bytes of an outcome that does not count, unless they are those of one that did."""
    if draft.account(account) is None:
        return
    kept = typed(draft.get(asset_key(account, asset)), Asset)
    shared = draft.get(shared_key(account, outcome.result.key))
    if shared is None and (kept is None or kept.object.key != outcome.result.key):
        thumbnail = () if outcome.thumbnail is None else (outcome.thumbnail.key,)
        release_purge(draft, account, (outcome.result.key, *thumbnail))

"""Assets, albums, views, purges and erasure."""

from typing import Any

from msgspec.structs import replace

from processors.assets.purges import PURGE_RETRY_MS
from processors.assets.state import Album, Asset
from schemas import commands as cmd
from schemas import events as ev
from schemas import refusals as no
from schemas.replies import AlbumAccepted, AssetDeletion, AssetsMovedAnswer, Done
from tests.specification.given import (
    ANNA,
    BEN,
    DAY,
    HOUR,
    PICTURE,
    T0,
    World,
    outcome,
    plan,
    result_of,
    submit,
    terms,
)


def stored(**changes: Any) -> World:
    """ANNA has the picture asset_p."""
    return World(plan(terms(**changes))).given(cmd.RegisterAsset("asset_p", PICTURE))


def asset(world: World, name: str = "asset_p") -> Asset | None:
    """The record of an asset."""
    record = world.store.read(f"{ANNA}|asset|{name}")
    assert record is None or isinstance(record, Asset)
    return record


def test_deleting_ends_access_and_purges_the_bytes() -> None:
    world = stored()
    then = world.when(cmd.DeleteAsset("asset_p"), reply="r")
    assert then.events == [
        ev.AssetDeleted("asset_p", "deleted", None),
        ev.PurgeReleased("0.2.0.1", 1, (PICTURE.key,), None, T0 + PURGE_RETRY_MS),
    ]
    assert then.answers == [("r", AssetDeletion("asset_p", (), 10))]
    assert [(p.purge, p.account, p.keys) for p in then.purges] == [("0.2.0.1", ANNA, (PICTURE.key,))]
    refused = world.when(submit("job_1", "upscale", input="asset_p"))
    assert refused.events == [ev.CommandRefused("submit-job", no.AssetUnknown("asset_p"), "job_1")]


def test_deleting_cancels_the_named_jobs_that_use_the_asset() -> None:
    world = stored().given(submit("job_1", "upscale", input="asset_p"), submit("job_2"), reply="w")
    then = world.when(cmd.DeleteAsset("asset_p", ("job_1", "job_2", "job_9")), key=("k", "f"), reply="r")
    assert then.types == ["job-canceled", "credits-released", "asset-deleted", "purge-released"]
    assert then.answers[-1] == ("r", AssetDeletion("asset_p", ("job_1",), 9))
    assert world.job("job_2") is not None
    again = world.when(cmd.DeleteAsset("asset_p", ("job_1",)), key=("k", "f"), reply="s")
    assert again.answers == [("s", AssetDeletion("asset_p", ("job_1",), 9))]


def test_results_of_the_named_jobs_end_with_the_asset_where_that_is_wanted() -> None:
    world = stored().given(submit("job_1", "upscale", input="asset_p"))
    world.given(outcome("job_1"), submit("job_2", "upscale", input="asset_p"))
    then = world.when(cmd.DeleteAsset("asset_p", ("job_1", "job_2", "job_9"), True), reply="r")
    assert [e.asset for e in then.events if isinstance(e, ev.AssetDeleted)] == ["asset_1", "asset_p"]
    assert [purge.keys for purge in then.purges] == [(result_of("job_1").key,), (PICTURE.key,)]
    assert then.answers[-1] == ("r", AssetDeletion("asset_p", ("job_2",), 9))
    kept = stored().given(submit("job_1", "upscale", input="asset_p")).given(outcome("job_1"))
    assert kept.when(cmd.DeleteAsset("asset_p", ("job_1",))).types == ["asset-deleted", "purge-released"]
    assert asset(kept, "asset_1") is not None
    own = stored().given(submit("job_1")).given(outcome("job_1")).when(cmd.DeleteAsset("asset_1", ("job_1",), True))
    assert own.types == ["asset-deleted", "purge-released"], "a result that is its own asset ends once"


def test_an_unknown_or_strange_asset_cannot_be_deleted() -> None:
    world = stored()
    for account in (ANNA, BEN):
        then = world.when(cmd.DeleteAsset("asset_x" if account == ANNA else "asset_p"), account=account)
        assert then.types[-1] == "command-refused"
    assert asset(world) is not None


def test_a_purge_is_told_again_until_it_is_done() -> None:
    world = stored().given(cmd.DeleteAsset("asset_p"))
    assert world.tick(PURGE_RETRY_MS - 1).purges == []
    again = world.tick(PURGE_RETRY_MS)
    assert [p.purge for p in again.purges] == ["0.2.0.1"]
    assert again.all_events == [
        (ANNA, ev.PurgeReleased("0.2.0.1", 2, (PICTURE.key,), None, T0 + PURGE_RETRY_MS + 2 * PURGE_RETRY_MS))
    ]
    assert world.when(cmd.RecordPurge("0.2.0.1")).events == [ev.BytesPurged("0.2.0.1")]
    late = world.when(cmd.RecordPurge("0.2.0.1"))
    assert late.events == [ev.CommandIgnored("record-purge", "purge-not-awaited", "0.2.0.1")]
    assert world.tick(DAY).purges == []


def test_results_end_when_their_time_is_over() -> None:
    world = World(plan(terms(results_ttl_ms=DAY))).given(submit("job_1"))
    then = world.when(outcome("job_1"), at=HOUR)
    assert isinstance(then.events[0], ev.JobSucceeded)
    assert then.events[0].expires_ms == T0 + HOUR + DAY
    ended = world.tick(HOUR + DAY)
    assert ended.all_events[0] == (ANNA, ev.AssetDeleted("asset_1", "expired", None))
    assert ended.purges[0].keys == (result_of("job_1").key,)
    assert asset(world, "asset_1") is None


def test_uploads_end_when_their_time_is_over() -> None:
    world = stored(uploads_ttl_ms=HOUR)
    assert world.tick(HOUR).all_events[0][1] == ev.AssetDeleted("asset_p", "expired", None)


def test_an_original_goes_with_its_job_where_the_plan_says_so() -> None:
    world = stored(originals="purge").given(submit("job_1", "upscale", input="asset_p"))
    then = world.when(outcome("job_1"))
    assert then.types == ["job-succeeded", "credits-captured", "asset-deleted", "purge-released"]
    assert then.events[2] == ev.AssetDeleted("asset_p", "original-processed", None)
    assert asset(world) is None


def test_a_thumbnail_is_purged_with_its_video() -> None:
    still = replace(PICTURE, key="acct_anna/job_1/thumbnail")
    world = World(plan()).given(submit("job_1"))
    world.given(outcome("job_1", 1, cmd.Succeeded(result_of("job_1"), 5, still)))
    assert world.when(cmd.DeleteAsset("asset_1")).purges[0].keys == (result_of("job_1").key, still.key)


def test_visibility_changes_once() -> None:
    world = stored()
    then = world.when(cmd.SetVisibility("asset_p", True), reply="r")
    assert (then.events, then.answers) == ([ev.VisibilityChanged("asset_p", True)], [("r", Done())])
    same = world.when(cmd.SetVisibility("asset_p", True), reply="r")
    assert (same.types, same.answers) == (["command-ignored"], [("r", Done())])
    assert world.when(cmd.SetVisibility("asset_x", True)).types == ["command-refused"]


def test_only_views_of_what_is_public_count() -> None:
    world = stored()
    views = cmd.RecordViews((("asset_p", 3), ("asset_x", 1)))
    assert world.when(views).types == ["command-ignored"]
    world.given(cmd.SetVisibility("asset_p", True))
    assert world.when(views).events == [ev.AssetsViewed((("asset_p", 3),))]
    assert world.when(views, account=BEN).types == ["command-ignored"]


def test_albums_hold_assets_until_either_ends() -> None:
    world = stored()
    made = world.when(cmd.CreateAlbum("album_a", "sealed-name"), reply="r")
    assert made.events == [ev.AlbumCreated("album_a", "sealed-name", None)]
    assert made.answers == [("r", AlbumAccepted("album_a"))]
    world.given(cmd.CreateAlbum("album_b"))
    moved = world.when(cmd.MoveAssets("album_a", ("asset_p", "asset_x")), reply="r")
    assert moved.events == [ev.AssetsMoved("album_a", None, ("asset_p",), (), ("asset_x",))]
    assert moved.answers == [("r", AssetsMovedAnswer("album_a", ("asset_p",), (), ("asset_x",)))]
    again = world.when(cmd.MoveAssets("album_a", ("asset_p",)))
    assert again.events == [ev.AssetsMoved("album_a", None, (), ("asset_p",), ())]
    world.given(cmd.MoveAssets("album_b", ("asset_p",), "album_a"))
    record = asset(world)
    assert record is not None
    assert record.albums == ("album_b",)
    assert world.when(cmd.DeleteAlbum("album_b")).events == [ev.AlbumDeleted("album_b")]
    assert isinstance(world.store.read(f"{ANNA}|album|album_a"), Album)
    assert asset(world) is not None
    assert world.when(cmd.MoveAssets("album_b", ("asset_p",))).events == [
        ev.CommandRefused("move-assets", no.AlbumUnknown("album_b"))
    ]


def test_an_upload_goes_straight_into_an_album() -> None:
    world = World(plan()).given(cmd.CreateAlbum("album_a"))
    world.given(cmd.RegisterAsset("asset_p", PICTURE, album="album_a"))
    record = asset(world)
    assert record is not None
    assert record.albums == ("album_a",)
    refused = world.when(cmd.RegisterAsset("asset_q", PICTURE, album="album_x"))
    assert refused.events == [ev.CommandRefused("register-asset", no.AlbumUnknown("album_x"), "asset_q")]


def test_albums_are_bounded_by_the_plan() -> None:
    world = World(plan(terms(albums_max=1))).given(cmd.CreateAlbum("album_a"))
    refused = world.when(cmd.CreateAlbum("album_b"))
    assert refused.events == [ev.CommandRefused("create-album", no.AlbumsFull(1), "album_b")]
    world.given(cmd.DeleteAlbum("album_a"))
    assert world.when(cmd.CreateAlbum("album_b")).types == ["album-created"]


def test_erasing_ends_every_asset_at_once_and_keeps_every_total() -> None:
    world = stored().given(
        submit("job_1"), outcome("job_1"), submit("job_2"), submit("job_3", "upscale", input="asset_p")
    )
    before = world.header()
    then = world.when(cmd.EraseAccount(), reply="r")
    assert then.events[0] == ev.AccountErased(2)
    assert [(p.keys, p.prefix) for p in then.purges] == [((), ANNA + "/")]
    assert then.answers == [("r", Done())]
    after = world.header()
    assert (after.granted, after.captured, after.reserved) == (before.granted, before.captured, before.reserved)
    assert world.when(cmd.DeleteAsset("asset_p")).types == ["command-refused"]
    assert world.when(cmd.RefundJob("job_1", "why")).types == ["command-refused"]


def test_a_job_from_before_the_erasure_ends_uncharged_and_leaves_no_bytes() -> None:
    world = World(plan()).given(submit("job_1"), cmd.EraseAccount())
    then = world.when(outcome("job_1"))
    assert then.types == ["job-failed", "credits-released", "purge-released"]
    assert then.purges[0].keys == (result_of("job_1").key,)
    world.given(submit("job_2"))
    assert world.when(outcome("job_2")).types[0] == "job-succeeded"


def test_erasing_an_account_that_never_was_is_harmless() -> None:
    then = World(plan()).when(cmd.EraseAccount(), reply="r")
    assert (then.all_events[0][1], then.answers) == (
        ev.CommandIgnored("erase-account", "account-not-open", ANNA),
        [("r", Done())],
    )

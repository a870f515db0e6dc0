"""Purges: what they delete, what they leave, and when the decider hears of it."""

from collections.abc import Sequence

import msgspec
import pytest

from infra.clock import ManualClock
from infra.s3.memory import MemoryObjectStore
from infra.s3.store import StoreUnavailable
from processors.dispatch.housekeeping import Housekeeper
from processors.dispatch.sender import MemoryCommandSender
from schemas.commands import RecordPurge
from schemas.work import PurgeItem

NOW_MS = 1_800_000_000_000
PURGE = PurgeItem(purge="3.7.0.1", account="acct_a", product="darkroom", keys=(), at_ms=NOW_MS)


class World:
    def __init__(self) -> None:
        self.clock = ManualClock(NOW_MS)
        self.store = MemoryObjectStore(self.clock)
        self.sender = MemoryCommandSender()
        self.keeper = Housekeeper(self.store, self.sender, self.clock)

    async def put(self, *keys: str) -> None:
        for key in keys:
            await self.store.put(key, b"1", "image/png")

    async def run(self, **changes: object) -> None:
        await self.keeper.run(msgspec.structs.replace(PURGE, **changes))


@pytest.fixture
def world() -> World:
    return World()


async def test_named_objects_go_and_the_decider_hears_of_it(world: World) -> None:
    await world.put("acct_a/asset_1", "acct_a/asset_2", "acct_a/asset_3", "acct_b/asset_1")
    await world.run(keys=("acct_a/asset_1", "acct_a/asset_3", "acct_a/gone"))
    assert world.store.keys() == ["acct_a/asset_2", "acct_b/asset_1"]
    assert world.sender.sent == [RecordPurge("3.7.0.1")]


async def test_a_purge_that_comes_again_is_acknowledged_again(world: World) -> None:
    await world.put("acct_a/asset_1")
    for _ in range(2):
        await world.run(keys=("acct_a/asset_1",))
    assert world.store.keys() == []
    assert world.sender.sent == [RecordPurge("3.7.0.1")] * 2


async def test_under_a_prefix_goes_what_was_there_and_stays_what_came_later(world: World) -> None:
    await world.put(*(f"acct_a/asset_{number:04}" for number in range(2_100)), "acct_ab/asset_1")
    world.clock.advance(5_000)
    await world.put("acct_a/later")
    await world.run(prefix="acct_a/", at_ms=NOW_MS + 3_000)
    assert world.store.keys() == ["acct_ab/asset_1", "acct_a/later"]
    assert world.sender.sent == [RecordPurge("3.7.0.1")]


@pytest.mark.parametrize(
    "changes",
    [
        {"keys": ("acct_a/asset_1", "acct_b/asset_1")},
        {"keys": ("acct_a/",)},
        {"keys": ("acct_a",)},
        {"keys": ("acct_a/../acct_b/asset_1",)},
        {"keys": ("",)},
        {"prefix": ""},
        {"prefix": "acct_"},
        {"prefix": "acct_a"},
        {"prefix": "acct_a/../"},
        {"account": "", "prefix": "/"},
    ],
)
async def test_bytes_of_another_account_are_never_touched(world: World, changes: dict[str, object]) -> None:
    await world.put("acct_a/asset_1", "acct_ab/asset_1", "acct_b/asset_1")
    await world.run(**changes)
    assert len(world.store.keys()) == 3
    assert world.sender.sent == []


async def test_what_the_store_did_not_delete_is_not_acknowledged(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(keys: Sequence[str]) -> None:
        raise StoreUnavailable("no answer")

    await world.put("acct_a/asset_1")
    monkeypatch.setattr(world.store, "delete_many", away)
    await world.run(keys=("acct_a/asset_1",))
    await world.run(prefix="acct_a/")
    assert world.sender.sent == []
    monkeypatch.undo()
    await world.run(keys=("acct_a/asset_1",))
    assert world.sender.sent == [RecordPurge("3.7.0.1")]

"""What an erasure deletes is what was there when it was decided, however often the purge has to be told."""

from msgspec.structs import replace

from processors.assets.purges import PURGE_RETRY_MS
from schemas import commands as cmd
from schemas.work import PurgeItem
from tests.specification.given import ANNA, PICTURE, PRODUCT, SECOND, T0, World, plan


def test_a_purge_that_is_told_again_spares_what_came_after_the_erasure() -> None:
    world = World(plan()).given(cmd.RegisterAsset("asset_p", PICTURE))
    first = world.when(cmd.EraseAccount(), at=5 * SECOND)
    (item,) = first.purges
    assert item == PurgeItem(
        purge=item.purge, account=ANNA, product=PRODUCT, keys=(), at_ms=T0 + 5 * SECOND, prefix=ANNA + "/"
    )
    world.given(cmd.RegisterAsset("asset_q", replace(PICTURE, key="acct_anna/asset_q")), at=30 * SECOND)
    for attempt in (1, 2):
        (again,) = world.tick(5 * SECOND + attempt * 2 * PURGE_RETRY_MS).purges
        assert again == item
    assert "bytes-purged" in world.when(cmd.RecordPurge(item.purge)).types
    assert world.store.next_due_ms() is None

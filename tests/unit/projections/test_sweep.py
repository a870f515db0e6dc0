"""The sweep: what no event names goes once it is old, everything else stays."""

from collections.abc import Collection, Mapping

import pytest

from infra.clock import ManualClock
from infra.s3.memory import MemoryObjectStore
from infra.s3.store import ListedObject
from projections.sweep import Swept, sweep

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000
ANNA, BEN, NOBODY = (f"acct_{letter * 26}" for letter in "abn")


class Named:
    """What the read models know; counts how often it was asked."""

    def __init__(self, names: Mapping[str, Collection[str]]) -> None:
        self.names, self.asked = names, list[str]()

    async def of(self, accounts: Collection[str]) -> Mapping[str, Collection[str]]:
        self.asked += accounts
        return {account: self.names[account] for account in accounts if account in self.names}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_MS - 2 * DAY_MS)


@pytest.fixture
async def store(clock: ManualClock) -> MemoryObjectStore:
    store = MemoryObjectStore(clock)
    for key in ("asset_1", "asset_2", "incoming/asset_3", "job_1/1-aaaa", "job_1/2-bbbb"):
        await store.put(f"{ANNA}/{key}", b"123", "image/png")
    await store.put(f"{BEN}/asset_1", b"1", "image/png")
    await store.put(f"{NOBODY}/asset_1", b"1", "image/png")
    await store.put("deployment/notes", b"1", "text/plain")
    clock.advance(2 * DAY_MS)
    await store.put(f"{ANNA}/asset_9", b"1", "image/png")
    return store


NAMES = {ANNA: {f"{ANNA}/asset_1", f"{ANNA}/job_1/2-bbbb"}, BEN: {f"{BEN}/asset_1"}}
ORPHANS = [f"{ANNA}/{key}" for key in ("asset_2", "incoming/asset_3", "job_1/1-aaaa")]


async def test_what_is_old_and_not_named_goes_and_everything_else_stays(store: MemoryObjectStore) -> None:
    before, told = set(store.keys()), list[ListedObject]()
    swept = await sweep(store, Named(NAMES), NOW_MS - DAY_MS, tell=told.append)
    assert before - set(store.keys()) == set(ORPHANS)
    assert [found.key for found in told] == ORPHANS
    assert swept == Swept(looked_at=9, orphans=3, orphan_bytes=9, of_unknown_accounts=1, strange=1)
    again = await sweep(store, Named(NAMES), NOW_MS - DAY_MS)
    assert again == Swept(looked_at=6, of_unknown_accounts=1, strange=1)


async def test_a_dry_run_only_tells(store: MemoryObjectStore) -> None:
    before, told = store.keys(), list[ListedObject]()
    swept = await sweep(store, Named(NAMES), NOW_MS - DAY_MS, dry_run=True, tell=told.append)
    assert (store.keys(), swept.orphans, [found.key for found in told]) == (before, 3, ORPHANS)


async def test_an_empty_log_removes_nothing_unless_an_operator_says_so(store: MemoryObjectStore) -> None:
    before = store.keys()
    swept = await sweep(store, Named({}), NOW_MS - DAY_MS)
    assert (store.keys(), swept.orphans, swept.of_unknown_accounts) == (before, 0, 7)
    await sweep(store, Named(NAMES), NOW_MS - DAY_MS, unknown_accounts=True)
    assert not await store.exists(f"{NOBODY}/asset_1")
    assert await store.exists(f"{BEN}/asset_1")


async def test_an_account_over_many_pages_is_asked_for_once(clock: ManualClock) -> None:
    store = MemoryObjectStore(clock)
    keys = [f"{ANNA}/asset_{number:04}" for number in range(2_500)]
    for key in (*keys, f"{BEN}/asset_1"):
        await store.put(key, b"1", "image/png")
    names = Named({ANNA: set(keys[::2]), BEN: {f"{BEN}/asset_1"}})
    assert (await sweep(store, names, NOW_MS)).orphans == 1_250
    assert names.asked == [ANNA, BEN]
    assert store.keys() == [*keys[::2], f"{BEN}/asset_1"]

"""The ring makes one key where there is none, remembers it, and forgets what was erased."""

import asyncio
from collections.abc import Mapping

import pytest

from infra.ids import SeededIds
from infra.sealing.cipher import new_secret, open_sealed, seal
from infra.sealing.keys import KeyStoreUnavailable, MemoryKeyStore, StoredKeyRing

WRAPPING = new_secret()


def ring(store: MemoryKeyStore, seed: int = 1, accounts_max: int = 10) -> StoredKeyRing:
    return StoredKeyRing(store, WRAPPING, SeededIds(seed), accounts_max)


async def test_many_first_users_at_once_make_one_key() -> None:
    store = MemoryKeyStore()
    made = ring(store)
    keys = await asyncio.gather(*(made.key_for("acct_1") for _ in range(20)))
    assert len({key.key_id for key in keys}) == 1
    assert len(await store.find("acct_1")) == 1


async def test_another_process_finds_the_key_and_opens() -> None:
    store = MemoryKeyStore()
    first, second = ring(store, 1), ring(store, 2)
    sealed = seal(await first.key_for("acct_1"), "acct_1", "job", b"hello")
    assert await second.open("acct_1", sealed, "job") == b"hello"
    assert (await second.key_for("acct_1")).key_id == (await first.key_for("acct_1")).key_id


async def test_a_tombstone_closes_what_was_sealed_and_the_next_key_is_a_new_one() -> None:
    store = MemoryKeyStore()
    made = ring(store)
    before = await made.key_for("acct_1")
    sealed = seal(before, "acct_1", "job", b"hello")
    store.erase("acct_1")
    assert await made.open("acct_1", sealed, "job") is None
    assert made.known("acct_1") is None
    assert (await made.key_for("acct_1")).key_id != before.key_id
    assert await ring(store, 3).open("acct_1", sealed, "job") is None


async def test_memory_is_bounded() -> None:
    made = ring(MemoryKeyStore(), accounts_max=3)
    for number in range(9):
        await made.key_for(f"acct_{number}")
    assert made.known("acct_0") is None
    assert made.known("acct_8") is not None


class _Deaf(MemoryKeyStore):
    def __init__(self, *, writes: bool) -> None:
        super().__init__()
        self.writes = writes

    async def find(self, account: str) -> Mapping[str, bytes]:
        raise KeyStoreUnavailable("no answer")

    async def put(self, account: str, key_id: str, wrapped: bytes) -> None:
        if not self.writes:
            raise KeyStoreUnavailable("no answer")
        await super().put(account, key_id, wrapped)


async def test_a_store_that_cannot_be_read_gets_a_key_more_and_one_that_cannot_be_written_none() -> None:
    key = await ring(_Deaf(writes=True)).key_for("acct_1")
    assert open_sealed(key, "acct_1", "job", seal(key, "acct_1", "job", b"x")) == b"x"
    with pytest.raises(KeyStoreUnavailable):
        await ring(_Deaf(writes=False)).key_for("acct_1")

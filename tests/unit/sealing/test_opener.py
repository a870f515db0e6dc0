"""Opening without sealing: the quick place first, the certain one where that is behind or away."""

from collections.abc import Mapping

import pytest

from infra.ids import SeededIds
from infra.sealing.cipher import seal
from infra.sealing.keys import KeyStoreUnavailable, MemoryKeyStore, StoredKeyRing
from infra.sealing.opener import REMEMBERED_S, KeyOpener

WRAPPING = b"w" * 32


class Counted(MemoryKeyStore):
    """Counts questions, and may be away."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.away = False

    async def find(self, account: str) -> Mapping[str, bytes]:
        self.asked += 1
        if self.away:
            raise KeyStoreUnavailable("away")
        return await super().find(account)


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Places:
    """A table that may be behind the log, and an opener over both."""

    def __init__(self) -> None:
        self.table, self.log, self.clock = Counted(), Counted(), Clock()
        self.opener = KeyOpener(self.table, self.log, WRAPPING, self.clock)

    async def sealed(self, *stores: MemoryKeyStore) -> str:
        """A text whose key stands in these places."""
        source = MemoryKeyStore()
        key = await StoredKeyRing(source, WRAPPING, SeededIds(3)).key_for("acct_a")
        for store in stores:
            await store.put("acct_a", key.key_id, (await source.find("acct_a"))[key.key_id])
        return seal(key, "acct_a", "job", b"hello")


@pytest.fixture
def places() -> Places:
    return Places()


async def test_a_key_in_the_table_is_asked_for_once_in_a_while(places: Places) -> None:
    sealed = await places.sealed(places.table, places.log)
    for _ in range(3):
        assert await places.opener.open("acct_a", sealed, "job") == b"hello"
    assert (places.table.asked, places.log.asked) == (1, 0)
    places.table.erase("acct_a")
    places.log.erase("acct_a")
    places.clock.now_s += REMEMBERED_S
    assert await places.opener.open("acct_a", sealed, "job") is None


async def test_a_key_that_the_table_does_not_have_yet_comes_from_the_log(places: Places) -> None:
    sealed = await places.sealed(places.log)
    assert await places.opener.open("acct_a", sealed, "job") == b"hello"
    assert (places.table.asked, places.log.asked) == (1, 1)


async def test_without_the_table_the_log_answers_and_without_both_nobody_does(places: Places) -> None:
    sealed = await places.sealed(places.log)
    places.table.away = True
    assert await places.opener.open("acct_a", sealed, "job") == b"hello"
    places.clock.now_s += REMEMBERED_S
    places.log.away = True
    with pytest.raises(KeyStoreUnavailable):
        await places.opener.open("acct_a", sealed, "job")

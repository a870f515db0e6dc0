"""Key stores: one suite for memory and for the topic `keys`."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import pytest

from infra.ids import SystemIds
from infra.kafka.client import start_client
from infra.kafka.reader import KafkaLogReader
from infra.kafka.records import KafkaRecords
from infra.sealing.cipher import new_secret, seal
from infra.sealing.keys import KeyStore, MemoryKeyStore, StoredKeyRing
from infra.sealing.opener import LogKeys
from infra.sealing.topic import KeyTable, TopicKeyStore, beats, living_keys, parse_record_key, record_key
from infra.settings import Settings
from schemas.topics import KEYS
from tests.servers import Servers

Erase = Callable[[str, str], Awaitable[None]]
WRAPPING = new_secret()


class LateTable:
    """A table that stands still while the topic goes on."""

    def __init__(self, rows: Mapping[str, bytes], applied: Mapping[int, int]) -> None:
        self._rows, self._applied = rows, applied

    async def find(self, account: str) -> Mapping[str, bytes]:
        return self._rows

    async def applied(self) -> Mapping[int, int]:
        return self._applied


@asynccontextmanager
async def topic_store(settings: Settings, table: KeyTable | None = None) -> AsyncIterator[TopicKeyStore]:
    client = await start_client(settings.kafka)
    store = TopicKeyStore(settings, KafkaLogReader(client), table, watch_every_s=0.1)
    try:
        await store.start()
        yield store
    finally:
        await store.stop()
        await client.close()


@pytest.fixture(params=["memory", pytest.param("topic", marks=pytest.mark.servers)])
async def store(request: pytest.FixtureRequest, servers: Servers) -> AsyncIterator[tuple[KeyStore, Erase]]:
    if request.param == "memory":
        memory = MemoryKeyStore()

        async def erase(account: str, _: str) -> None:
            memory.erase(account)

        yield memory, erase
        return
    async with topic_store(servers.need("kafka")) as made:
        yield made, made.erase


def account() -> str:
    return f"acct_{uuid.uuid4().hex}"


async def test_a_key_is_found_and_opens_until_it_is_erased(store: tuple[KeyStore, Erase]) -> None:
    keys, erase = store
    name = account()
    ring = StoredKeyRing(keys, WRAPPING, SystemIds())
    assert await keys.find(name) == {}
    key = await ring.key_for(name)
    assert list(await keys.find(name)) == [key.key_id]
    sealed = seal(key, name, "job", b"hello")
    assert await StoredKeyRing(keys, WRAPPING, SystemIds()).open(name, sealed, "job") == b"hello"
    assert not keys.erased(name, key.key_id)
    await erase(name, key.key_id)
    assert keys.erased(name, key.key_id)
    assert await ring.open(name, sealed, "job") is None
    assert await keys.find(name) == {}


@pytest.mark.servers
async def test_another_process_reads_the_topic_and_sees_tombstones(servers: Servers) -> None:
    settings, name = servers.need("kafka"), account()
    async with topic_store(settings) as first:
        ring = StoredKeyRing(first, WRAPPING, SystemIds())
        key = await ring.key_for(name)
        async with topic_store(settings) as second:
            other = StoredKeyRing(second, WRAPPING, SystemIds())
            assert await other.key_for(name) == key
            await first.erase(name, key.key_id)
            async with asyncio.timeout(10):
                while not second.erased(name, key.key_id):
                    await asyncio.sleep(0.05)
            assert other.known(name) is None


@pytest.mark.servers
async def test_a_key_that_was_erased_is_not_used_although_the_table_still_has_it(servers: Servers) -> None:
    settings, name = servers.need("kafka"), account()
    async with _reader(settings) as reader, topic_store(settings) as topic:
        ends = {p: await reader.end_offset(KEYS, p) - 1 for p in range(settings.partitions)}
        key = await StoredKeyRing(topic, WRAPPING, SystemIds()).key_for(name)
        late = LateTable(await topic.find(name), ends)
        assert await living_keys(reader, name, settings.partitions) == [key.key_id]
        await topic.erase(name, key.key_id)
        assert await living_keys(reader, name, settings.partitions) == []
    async with topic_store(settings, late) as store:
        ring = StoredKeyRing(store, WRAPPING, SystemIds())
        assert await ring.open(name, seal(key, name, "job", b"hello"), "job") is None
        assert (await ring.key_for(name)).key_id != key.key_id


@pytest.mark.servers
async def test_records_that_only_move_the_topic_along_are_no_keys(servers: Servers) -> None:
    settings, name = servers.need("kafka"), account()
    client = await start_client(settings.kafka)
    try:
        await KafkaRecords(client).append(beats(settings.partitions))
    finally:
        await client.close()
    async with topic_store(settings) as store:
        key = await StoredKeyRing(store, WRAPPING, SystemIds()).key_for(name)
        assert list(await store.find(name)) == [key.key_id]


@asynccontextmanager
async def _reader(settings: Settings) -> AsyncIterator[KafkaLogReader]:
    client = await start_client(settings.kafka)
    try:
        yield KafkaLogReader(client)
    finally:
        await client.close()


def test_record_keys() -> None:
    assert parse_record_key(record_key("acct_a", "key_b")) == ("acct_a", "key_b")
    assert parse_record_key(b"nothing") is None
    assert parse_record_key(b".x") is None


@pytest.mark.servers
async def test_the_topic_alone_tells_which_keys_an_account_has(kafka: Settings) -> None:
    """What dispatchers ask where the table lacks a key."""
    client = await start_client(kafka.kafka)
    certain = LogKeys(KafkaLogReader(client), kafka.partitions)
    name, other = account(), account()
    async with topic_store(kafka) as written:
        await written.put(name, "key_a", b"one")
        await written.put(other, "key_a", b"other")
        await written.put(name, "key_b", b"two")
        assert await certain.find(name) == {"key_a": b"one", "key_b": b"two"}
        await written.erase(name, "key_a")
        assert await certain.find(name) == {"key_b": b"two"}
    assert await certain.find(account()) == {}
    await client.close()

"""Key stores: one suite for memory and for the topic `keys`."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from infra.ids import SystemIds
from infra.kafka.client import start_client
from infra.kafka.reader import KafkaLogReader
from infra.sealing.cipher import new_secret, seal
from infra.sealing.keys import KeyStore, MemoryKeyStore, StoredKeyRing
from infra.sealing.topic import TopicKeyStore, parse_record_key, record_key
from infra.settings import Settings
from tests.servers import Servers

Erase = Callable[[str, str], Awaitable[None]]
WRAPPING = new_secret()


@asynccontextmanager
async def topic_store(settings: Settings) -> AsyncIterator[TopicKeyStore]:
    client = await start_client(settings.kafka)
    store = TopicKeyStore(settings, KafkaLogReader(client), watch_every_s=0.1)
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


def test_record_keys() -> None:
    assert parse_record_key(record_key("acct_a", "key_b")) == ("acct_a", "key_b")
    assert parse_record_key(b"nothing") is None
    assert parse_record_key(b".x") is None

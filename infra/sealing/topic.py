"""The topic `keys` as a key store: written with acks=all, read by a fold of the topic or through a table made of it.

Record key `<account>.<key id>`, value the wrapped key, no value = erased; an account's keys stand in the partition that
owns the account. Without a `table` the store folds the whole topic at start and stays current. With one (the projected
table) the ring asks there, and the store watches for tombstones from where the table stood at the start: what came
before is in the table, so no erased key is ever taken for a living one, whichever of the two is behind. A tombstone is
known to every process `watch_every_s` after it stands on the topic.

A wrapped key vanishes from the brokers' disks when its partition is compacted, and only closed segments are: on a quiet
topic a tombstone would wait for ever in the open one. So records of no account are appended to each partition now and
then (`beats`), by which segments get closed (`schemas.topics` has the times).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from infra import failpoints
from infra.kafka.client import connection_arguments, retry_until
from infra.kafka.ports import LogReader, Outgoing, ReadFault, Record
from infra.logs import get_logger
from infra.sealing.keys import KeyStoreUnavailable
from infra.settings import Settings
from schemas.identifiers import partition_of
from schemas.topics import KEYS

BEAT = b"beat"
"""The key of records that only move a partition along; it names no account, so every reader passes it over."""

WATCH_EVERY_S = 2.0
"""After at most this time (and a read) every process knows a tombstone."""

_LOOKUP_TIMEOUT_S = 1.0
_PUT_TIMEOUT_S = 5.0
_log = get_logger(__name__)


class KeyTable(Protocol):
    """The topic as a table that a projector makes."""

    async def find(self, account: str) -> Mapping[str, bytes]:
        """The account's keys, wrapped."""
        ...

    async def applied(self) -> Mapping[int, int]:
        """Up to which offset of each partition the table is; partitions that have not begun are left out."""
        ...


def record_key(account: str, key_id: str) -> bytes:
    """The record key of a data key."""
    return f"{account}.{key_id}".encode()


def parse_record_key(key: bytes) -> tuple[str, str] | None:
    """(account, key id), or None for a key of another form."""
    account, dot, key_id = key.decode("utf-8", "replace").partition(".")
    return (account, key_id) if dot and account and key_id else None


def beats(partitions: int) -> list[Outgoing]:
    """A record for each partition that only moves it along."""
    return [Outgoing(KEYS, partition, BEAT, b"1") for partition in range(partitions)]


async def living_keys(reader: LogReader, account: str, partitions: int) -> list[str]:
    """The ids of the account's keys that stand on the topic now and have no tombstone. Raises ReadFault."""
    living: dict[str, None] = {}
    partition = partition_of(account, partitions)
    async for batch in reader.read(KEYS, partition, await reader.begin_offset(KEYS, partition)):
        for owner, key_id, wrapped in _changes(batch):
            if owner == account:
                living[key_id] = None
                if wrapped is None:
                    del living[key_id]
    return list(living)


def tombstones(account: str, key_ids: Sequence[str], partitions: int) -> list[Outgoing]:
    """The records that erase these keys of the account."""
    partition = partition_of(account, partitions)
    return [Outgoing(KEYS, partition, record_key(account, key_id), None) for key_id in key_ids]


class TopicKeyStore:
    """Implements `infra.sealing.keys.KeyStore`; call `start` before use and `stop` at the end."""

    def __init__(
        self,
        settings: Settings,
        reader: LogReader,
        table: KeyTable | None = None,
        *,
        watch_every_s: float = WATCH_EVERY_S,
    ) -> None:
        self._settings, self._reader, self._table, self._watch_every_s = settings, reader, table, watch_every_s
        self._producer: AIOKafkaProducer | None = None
        self._positions: dict[int, int] = {}
        self._folded: dict[str, dict[str, bytes]] = {}
        self._erased: set[tuple[str, str]] = set()
        self._watching: asyncio.Task[None] | None = None

    async def start(self, deadline_s: float = 30.0) -> None:
        """Connect, and read the topic (what the table has not applied). Raises BrokersUnreachable, ReadFault."""
        self._producer = await retry_until(self._connect, self._settings.kafka, deadline_s)
        applied = {} if self._table is None else await self._table.applied()
        for partition in range(self._settings.partitions):
            begin = await self._reader.begin_offset(KEYS, partition)
            self._positions[partition] = max(begin, applied.get(partition, -1) + 1)
            await self._read_on(partition)
        self._watching = asyncio.create_task(self._watch(), name="watch keys")

    async def stop(self) -> None:
        """Close the connection and end the watch."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        if self._producer is not None:
            await self._producer.stop()

    async def find(self, account: str) -> Mapping[str, bytes]:
        if self._table is None:
            return dict(self._folded.get(account, {}))
        try:
            async with asyncio.timeout(_LOOKUP_TIMEOUT_S):
                return await self._table.find(account)
        except Exception as error:
            raise KeyStoreUnavailable(f"the table of keys did not answer: {error}") from error

    async def put(self, account: str, key_id: str, wrapped: bytes) -> None:
        failpoints.passed("gateway.put-key.before")
        await self._send(partition_of(account, self._settings.partitions), record_key(account, key_id), wrapped)
        failpoints.passed("gateway.put-key.after")
        if self._table is None:
            self._folded.setdefault(account, {})[key_id] = wrapped

    async def erase(self, account: str, key_id: str) -> None:
        """Write the key's tombstone; every process that watches forgets it."""
        await self._send(partition_of(account, self._settings.partitions), record_key(account, key_id), None)
        self._apply([(account, key_id, None)])

    def erased(self, account: str, key_id: str) -> bool:
        return (account, key_id) in self._erased

    async def _send(self, partition: int, key: bytes, value: bytes | None) -> None:
        assert self._producer is not None, "start comes first"
        try:
            async with asyncio.timeout(_PUT_TIMEOUT_S):
                await self._producer.send_and_wait(KEYS, value, key, partition)
        except (KafkaError, TimeoutError, OSError) as error:
            raise KeyStoreUnavailable(f"the topic of keys took no record: {error}") from error

    async def _connect(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            acks="all", enable_idempotence=True, client_id="darkroom-keys", **connection_arguments(self._settings.kafka)
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._watch_every_s)
            for partition in self._positions:
                try:
                    await self._read_on(partition)
                except ReadFault as error:
                    _log.warning("keys-not-read", partition=partition, reason=str(error))

    async def _read_on(self, partition: int) -> None:
        """Apply what came since the last call."""
        async for batch in self._reader.read(KEYS, partition, self._positions[partition]):
            self._apply(_changes(batch))
            self._positions[partition] = batch[-1].offset + 1

    def _apply(self, changes: Sequence[tuple[str, str, bytes | None]]) -> None:
        for account, key_id, wrapped in changes:
            if wrapped is None:
                self._erased.add((account, key_id))
                self._folded.get(account, {}).pop(key_id, None)
            elif self._table is None:
                self._folded.setdefault(account, {})[key_id] = wrapped


def _changes(batch: Sequence[Record]) -> list[tuple[str, str, bytes | None]]:
    places = [(parse_record_key(record.key or b""), record.value) for record in batch]
    return [(*place, value) for place, value in places if place is not None]

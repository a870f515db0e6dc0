"""Opening what was sealed, for processes that never seal: the table of keys first, the topic where the table is behind.

Theory of operation. A job may be here before the projector has put its account's new key into the table, so a key that
the table lacks is looked for on the topic itself, whose partition is read to its end: only what is not there either was
erased. Keys are remembered for REMEMBERED_S, so a dispatcher may open for that long after an erasure; the erasure has
ended the account's jobs by then.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Protocol

from infra.kafka.ports import LogReader, ReadFault
from infra.logs import get_logger
from infra.sealing.cipher import DataKey, key_id_of, open_sealed, unwrap
from infra.sealing.keys import KeyStoreUnavailable
from infra.sealing.topic import parse_record_key
from schemas.identifiers import partition_of
from schemas.topics import KEYS

REMEMBERED_S = 60.0
KEYS_MAX = 10_000
_log = get_logger(__name__)


class Opener(Protocol):
    """Opens sealed texts."""

    async def open(self, account: str, sealed: str, purpose: str) -> bytes | None:
        """What was sealed; None where its key was erased. Raises SealBroken and KeyStoreUnavailable."""
        ...


class Keys(Protocol):
    """Where wrapped keys stand."""

    async def find(self, account: str) -> Mapping[str, bytes]:
        """The account's keys, wrapped, as far as they are known there. Raises KeyStoreUnavailable."""
        ...


class LogKeys:
    """`Keys` out of the topic itself: certain, and as slow as its partition is long."""

    def __init__(self, reader: LogReader, partitions: int) -> None:
        self._reader, self._partitions = reader, partitions

    async def find(self, account: str) -> Mapping[str, bytes]:
        partition, found = partition_of(account, self._partitions), dict[str, bytes]()
        try:
            begin = await self._reader.begin_offset(KEYS, partition)
            async for batch in self._reader.read(KEYS, partition, begin):
                for record in batch:
                    owner, key_id = parse_record_key(record.key or b"") or ("", "")
                    if owner == account and record.value is None:
                        found.pop(key_id, None)
                    elif owner == account and record.value is not None:
                        found[key_id] = record.value
        except ReadFault as error:
            raise KeyStoreUnavailable(f"the topic of keys could not be read: {error}") from error
        return found


class KeyOpener:
    """`Opener` over a quick place that may be behind and a certain one."""

    def __init__(
        self, quick: Keys, certain: Keys, wrapping_key: bytes, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._quick, self._certain, self._wrapping_key, self._clock = quick, certain, wrapping_key, clock
        self._known: OrderedDict[tuple[str, str], tuple[DataKey, float]] = OrderedDict()

    async def open(self, account: str, sealed: str, purpose: str) -> bytes | None:
        key = await self._key(account, key_id_of(sealed))
        return None if key is None else open_sealed(key, account, purpose, sealed)

    async def _key(self, account: str, key_id: str) -> DataKey | None:
        known = self._known.get((account, key_id))
        if known is not None and self._clock() < known[1]:
            return known[0]
        wrapped = (await self._quickly(account)).get(key_id) or (await self._certain.find(account)).get(key_id)
        if wrapped is None:
            return None
        key = unwrap(self._wrapping_key, account, key_id, wrapped)
        self._known[account, key_id] = (key, self._clock() + REMEMBERED_S)
        self._known.move_to_end((account, key_id))
        if len(self._known) > KEYS_MAX:
            self._known.popitem(last=False)
        return key

    async def _quickly(self, account: str) -> Mapping[str, bytes]:
        try:
            return await self._quick.find(account)
        except KeyStoreUnavailable as error:
            _log.warning("keys-not-quick", reason=str(error))
            return {}

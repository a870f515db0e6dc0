"""The keys of accounts as a port, and the ring that finds, makes and remembers them.

Theory of operation. A ring looks for an account's key in its memory, then in the key store, and makes one only where
neither has any; the new key is acknowledged by the store before anyone may seal with it, so no sealed text is ever
without its key. An account may come to have several keys (two gateways, a store that did not answer in time); a sealed
text names its own. A tombstone in the store erases a key: the ring forgets it when it sees it, and `open` then answers
None for ever.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Protocol

from infra.ids import IdSource
from infra.logs import get_logger
from infra.sealing.cipher import DataKey, SealBroken, key_id_of, new_secret, open_sealed, unwrap, wrap

_log = get_logger(__name__)


class KeyStoreUnavailable(Exception):
    """The store did not answer; the same call may work later."""


class KeyStore(Protocol):
    """Wrapped keys by account and key id."""

    async def find(self, account: str) -> Mapping[str, bytes]:
        """The account's living keys, wrapped. Raises KeyStoreUnavailable."""
        ...

    async def put(self, account: str, key_id: str, wrapped: bytes) -> None:
        """On return the key is on the log (acks=all). Raises KeyStoreUnavailable."""
        ...

    def erased(self, account: str, key_id: str) -> bool:
        """Whether a tombstone of this key has been seen in this process."""
        ...


class KeyRing(Protocol):
    """What sealing and opening need."""

    def known(self, account: str) -> DataKey | None:
        """A key of the account that is in memory."""
        ...

    async def key_for(self, account: str) -> DataKey:
        """A key to seal with; made, and on the log, where there was none. Raises KeyStoreUnavailable."""
        ...

    async def open(self, account: str, sealed: str, purpose: str) -> bytes | None:
        """What was sealed; None where its key was erased. Raises SealBroken and KeyStoreUnavailable."""
        ...


class StoredKeyRing:
    """`KeyRing` over a `KeyStore`, bounded in memory."""

    def __init__(self, store: KeyStore, wrapping_key: bytes, ids: IdSource, accounts_max: int = 50_000) -> None:
        self._store, self._wrapping_key, self._ids, self._accounts_max = store, wrapping_key, ids, accounts_max
        self._keys: OrderedDict[str, dict[str, DataKey]] = OrderedDict()
        self._making: dict[str, asyncio.Task[DataKey]] = {}

    def known(self, account: str) -> DataKey | None:
        keys = self._keys.get(account)
        if not keys:
            return None
        for key in keys.values():
            if not self._store.erased(account, key.key_id):
                return key
        del self._keys[account]
        return None

    async def key_for(self, account: str) -> DataKey:
        known = self.known(account)
        if known is not None:
            return known
        making = self._making.get(account)
        if making is None:
            making = self._making[account] = asyncio.create_task(self._find_or_make(account))
            making.add_done_callback(lambda _: self._making.pop(account, None))
        return await asyncio.shield(making)

    async def open(self, account: str, sealed: str, purpose: str) -> bytes | None:
        key_id = key_id_of(sealed)
        if self._store.erased(account, key_id):
            return None
        key = self._keys.get(account, {}).get(key_id) or (await self._fetch(account)).get(key_id)
        return None if key is None else open_sealed(key, account, purpose, sealed)

    async def _find_or_make(self, account: str) -> DataKey:
        try:
            found = await self._fetch(account)
        except KeyStoreUnavailable:
            _log.warning("key-store-did-not-answer")
            found = {}  # one key more does no harm, and commands must not wait for the read side
        if found:
            return next(iter(found.values()))
        key = DataKey(self._ids.mint("key"), new_secret())
        await self._store.put(account, key.key_id, wrap(self._wrapping_key, account, key))
        self._remember(account, {key.key_id: key})
        return key

    async def _fetch(self, account: str) -> dict[str, DataKey]:
        wrapped = await self._store.find(account)
        keys = {}
        for key_id, content in wrapped.items():
            if self._store.erased(account, key_id):
                continue  # the tombstone was seen here before the store's table has applied it
            try:
                keys[key_id] = unwrap(self._wrapping_key, account, key_id, content)
            except SealBroken:
                _log.error("key-not-usable", key_id=key_id)
        if keys:
            self._remember(account, keys)
        return keys

    def _remember(self, account: str, keys: Mapping[str, DataKey]) -> None:
        self._keys.setdefault(account, {}).update(keys)
        self._keys.move_to_end(account)
        if len(self._keys) > self._accounts_max:
            self._keys.popitem(last=False)


class MemoryKeyStore:
    """`KeyStore` in memory."""

    def __init__(self) -> None:
        self._wrapped: dict[str, dict[str, bytes]] = {}
        self._erased: set[tuple[str, str]] = set()

    async def find(self, account: str) -> Mapping[str, bytes]:
        return dict(self._wrapped.get(account, {}))

    async def put(self, account: str, key_id: str, wrapped: bytes) -> None:
        self._wrapped.setdefault(account, {})[key_id] = wrapped

    def erased(self, account: str, key_id: str) -> bool:
        return (account, key_id) in self._erased

    def erase(self, account: str) -> None:
        """Erase the account's keys, as tombstones in the topic do."""
        self._erased.update((account, key_id) for key_id in self._wrapped.pop(account, {}))

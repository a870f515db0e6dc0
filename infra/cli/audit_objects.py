"""The object store against the log: what the log says is stored is there, whole, and as it was written.

Theory of operation. Events are read first and the store is listed afterwards, so whatever they name was written before
the listing began; only a purge can have taken it since. So what is missing is asked for once more after the events
that came meanwhile: where none of them purged it, it is lost. Owed keys and listing are both in the order of keys and
are held side by side, so that neither stands in memory.

Sizes are compared of every object, sha256 of a sample, and of each whose bytes were written a while after the event
that names them: nothing may write there again, unless it be the same bytes.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Awaitable, Callable, Iterator

import msgspec

from infra.s3.store import ListedObject, ObjectNotFound, ObjectStore
from processors.audit_spill import Shelf, sorted_items
from schemas import events as ev
from schemas.commands import StoredObject

LAW_THERE = "what-is-stored-is-there"
LAW_SAME = "what-is-stored-is-what-was-written"
LAW_ONCE = "an-object-is-written-once"
LISTED_MAX = 1_000
WRITTEN_AGAIN_AFTER_MS = 60_000


class Owed(msgspec.Struct, frozen=True, array_like=True):
    """What the event at `position` says of an object."""

    size: int
    sha256: str
    position: str
    account: str
    time_ms: int


class Wrong(msgspec.Struct, frozen=True):
    """An object that is not what its event says."""

    law: str
    key: str
    owed: Owed
    detail: str

    def __str__(self) -> str:
        return f"{self.law} at {self.owed.position} ({self.owed.account}): {self.key} {self.detail}"


class ObjectsAudit:
    """What was found; `orphans` lists the first objects that no event names, which is no violation."""

    def __init__(self) -> None:
        self.objects = 0
        self.hashed = 0
        self.wrong: list[Wrong] = []
        self.orphans: list[ListedObject] = []
        self.orphan_count = 0
        self.orphan_bytes = 0


class StoredObjects:
    """What the log says is stored now, by key."""

    def __init__(self, shelf: Shelf) -> None:
        self.owed = shelf.mapping("owed objects", Owed)
        self.wrong: list[Wrong] = []

    def add(self, event: ev.Event) -> None:
        """Take the next event of any partition, each partition's in order."""
        match event.data:
            case ev.AssetRegistered(object=stored):
                self._owe(event, stored)
            case ev.JobSucceeded(result=result, thumbnail=thumbnail):
                self._owe(event, result)
                if thumbnail is not None:
                    self._owe(event, thumbnail)
            case ev.PurgeReleased(keys=keys, prefix=prefix):
                for key in keys:
                    self.owed.pop(key, None)
                if prefix is not None:
                    self._purge(prefix)
            case _:
                pass

    def _owe(self, event: ev.Event, stored: StoredObject) -> None:
        owed = Owed(stored.bytes, stored.sha256, event.position, event.account, event.time_ms)
        before = self.owed.get(stored.key)
        if before is not None and len(self.wrong) < LISTED_MAX:
            self.wrong.append(Wrong(LAW_ONCE, stored.key, owed, f"stood there since {before.position}"))
        self.owed[stored.key] = owed

    def _purge(self, prefix: str) -> None:
        gone = []
        for key, _ in sorted_items(self.owed, prefix):
            if not key.startswith(prefix):
                break
            gone.append(key)
        for key in gone:
            del self.owed[key]


async def audit_objects(
    store: ObjectStore, said: StoredObjects, sample: int | None, read_on: Callable[[], Awaitable[None]]
) -> ObjectsAudit:
    """Compare listing and log; `sample` objects are hashed (None: all). `read_on` feeds `said` what came meanwhile.

    Raises StoreUnavailable.
    """
    found = ObjectsAudit()
    chosen = _Sample(sample)
    missing = await _side_by_side(store, said, found, chosen)
    for key, owed in chosen.taken():
        found.hashed += 1
        if not await _is_as_written(store, key, owed, found):
            missing.append((key, owed))
    if missing:
        await read_on()
    for key, owed in missing:
        if said.owed.get(key) == owed:
            _note(found, Wrong(LAW_THERE, key, owed, "is not there, and no purge of it stands on the log"))
    found.wrong += said.wrong
    return found


class _Sample:
    """So many of what passes by, each with the same chance, and all that has to be among them."""

    def __init__(self, size: int | None) -> None:
        self._size = size
        self._draw = random.Random(0)  # nosec B311 # a sample, no secret
        self._kept: list[tuple[str, Owed]] = []
        self._forced: list[tuple[str, Owed]] = []
        self._seen = 0

    def offer(self, key: str, owed: Owed, *, forced: bool) -> None:
        """Perhaps take it."""
        if forced and len(self._forced) < LISTED_MAX:
            self._forced.append((key, owed))
            return
        self._seen += 1
        if self._size is None or len(self._kept) < self._size:
            self._kept.append((key, owed))
        elif (at := self._draw.randrange(self._seen)) < self._size:
            self._kept[at] = key, owed

    def taken(self) -> Iterator[tuple[str, Owed]]:
        """What was taken."""
        yield from self._forced
        yield from self._kept


async def _side_by_side(
    store: ObjectStore, said: StoredObjects, found: ObjectsAudit, chosen: _Sample
) -> list[tuple[str, Owed]]:
    """What is owed and not listed; the rest is counted, compared by size and offered to the sample."""
    missing: list[tuple[str, Owed]] = []
    owed = sorted_items(said.owed)
    there = next(owed, None)
    async for page in store.pages():
        for listed in page:
            found.objects += 1
            while there is not None and there[0] < listed.key:
                missing.append(there)
                there = next(owed, None)
            if there is None or there[0] != listed.key:
                _orphan(found, listed)
                continue
            if listed.size != there[1].size:
                _note(found, Wrong(LAW_SAME, there[0], there[1], f"has {listed.size} of {there[1].size} bytes"))
            else:
                again = listed.modified_ms > there[1].time_ms + WRITTEN_AGAIN_AFTER_MS
                chosen.offer(*there, forced=again)
            there = next(owed, None)
    if there is not None:
        missing += [there, *owed]
    return missing


async def _is_as_written(store: ObjectStore, key: str, owed: Owed, found: ObjectsAudit) -> bool:
    """Compare the bytes; False where there are none."""
    digest = hashlib.sha256()
    try:
        async for chunk in store.stream(key):
            digest.update(chunk)
    except ObjectNotFound:
        return False
    if digest.hexdigest() != owed.sha256:
        _note(found, Wrong(LAW_SAME, key, owed, f"hashes to {digest.hexdigest()}, {owed.sha256} was written"))
    return True


def _orphan(found: ObjectsAudit, listed: ListedObject) -> None:
    found.orphan_count += 1
    found.orphan_bytes += listed.size
    if len(found.orphans) < LISTED_MAX:
        found.orphans.append(listed)


def _note(found: ObjectsAudit, wrong: Wrong) -> None:
    if len(found.wrong) < LISTED_MAX:
        found.wrong.append(wrong)

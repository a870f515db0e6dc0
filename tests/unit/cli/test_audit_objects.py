"""The object store against the log, over a store in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from infra.cli.audit_objects import ObjectsAudit, StoredObjects, audit_objects
from infra.s3.memory import MemoryObjectStore
from processors.audit_spill import Spill
from schemas import events as ev
from schemas.commands import StoredObject
from tests.unit.cli.test_read_model_fold import ACCOUNT

CONTENT = {f"{ACCOUNT}/job_{number}/1": f"picture {number}".encode() for number in range(40)}


def event(position: str, data: ev.AnyEvent) -> ev.Event:
    return ev.Event(position, ACCOUNT, "darkroom", 1, 4_000_000_000_000, "cmd_1", "user", data, last=True)


def succeeded(number: int, key: str, content: bytes) -> ev.Event:
    stored = StoredObject(key, len(content), hashlib.sha256(content).hexdigest(), "png", 8, 8)
    return event(f"0.{number}.0.0", ev.JobSucceeded(f"job_{number}", 1, f"asset_{number}", number, stored, 1))


def purged(*keys: str, prefix: str | None = None) -> ev.Event:
    return event("0.99.0.0", ev.PurgeReleased("0.99.0.0", 1, keys, prefix, 0))


async def stored(content: dict[str, bytes]) -> MemoryObjectStore:
    store = MemoryObjectStore()
    for key, body in content.items():
        await store.put(key, body, "image/png")
    return store


async def audited(
    store: MemoryObjectStore, events: Sequence[ev.Event], sample: int | None = None, later: Sequence[ev.Event] = ()
) -> ObjectsAudit:
    with Spill(hot_max=8) as shelf:
        said = StoredObjects(shelf)
        for one in events:
            said.add(one)

        async def read_on() -> None:
            for one in later:
                said.add(one)

        return await audit_objects(store, said, sample, read_on)


EVENTS = [succeeded(number, key, content) for number, (key, content) in enumerate(CONTENT.items())]
FIRST, SECOND = list(CONTENT)[:2]


def laws(found: ObjectsAudit) -> list[tuple[str, str]]:
    return [(wrong.law, wrong.key) for wrong in found.wrong]


async def test_what_is_there_as_it_was_written_passes() -> None:
    found = await audited(await stored(CONTENT), EVENTS)
    assert (laws(found), found.objects, found.hashed, found.orphan_count) == ([], 40, 40, 0)


@pytest.mark.parametrize("sample", [0, 7, 100])
async def test_no_more_is_hashed_than_was_asked_for(sample: int) -> None:
    found = await audited(await stored(CONTENT), EVENTS, sample)
    assert (laws(found), found.hashed) == ([], min(sample, 40))


async def test_what_is_missing_or_shorter_is_found_without_a_hash() -> None:
    store = await stored({**CONTENT, FIRST: b"p"})
    await store.delete(SECOND)
    found = await audited(store, EVENTS, 0)
    assert laws(found) == [("what-is-stored-is-what-was-written", FIRST), ("what-is-stored-is-there", SECOND)]
    assert str(found.wrong[1]).startswith(f"what-is-stored-is-there at 0.1.0.0 ({ACCOUNT}): {SECOND}")


async def test_other_bytes_of_the_same_size_are_found_by_their_hash() -> None:
    found = await audited(await stored({**CONTENT, FIRST: b"picture X"}), EVENTS)
    assert laws(found) == [("what-is-stored-is-what-was-written", FIRST)]


async def test_what_was_written_long_after_its_event_is_hashed_whatever_the_sample() -> None:
    early = [replace(one, time_ms=0) for one in EVENTS[:1]]
    found = await audited(await stored({FIRST: b"picture X"}), early, 0)
    assert laws(found) == [("what-is-stored-is-what-was-written", FIRST)]


async def test_what_was_purged_may_be_gone_also_when_the_purge_came_meanwhile() -> None:
    store = await stored(CONTENT)
    await store.delete(FIRST)
    assert laws(await audited(store, [*EVENTS, purged(FIRST)])) == []
    assert laws(await audited(store, EVENTS, later=[purged(FIRST)])) == []
    assert laws(await audited(store, EVENTS, later=[purged(SECOND)])) == [("what-is-stored-is-there", FIRST)]


async def test_an_erased_account_is_owed_nothing_but_what_it_stored_since() -> None:
    store = await stored({})
    since = succeeded(50, f"{ACCOUNT}/job_50/1", b"x")
    found = await audited(store, [*EVENTS, purged(prefix=f"{ACCOUNT}/"), since])
    assert laws(found) == [("what-is-stored-is-there", f"{ACCOUNT}/job_50/1")]


async def test_a_key_that_is_named_twice_is_found() -> None:
    again = succeeded(41, FIRST, CONTENT[FIRST])
    assert laws(await audited(await stored(CONTENT), [*EVENTS, again])) == [("an-object-is-written-once", FIRST)]


async def test_what_no_event_names_is_listed_and_is_no_violation() -> None:
    found = await audited(await stored({**CONTENT, f"{ACCOUNT}/stray": b"12345"}), EVENTS)
    assert (laws(found), found.orphan_count, found.orphan_bytes) == ([], 1, 5)
    assert [orphan.key for orphan in found.orphans] == [f"{ACCOUNT}/stray"]

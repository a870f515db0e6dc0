"""The store: what it writes, what it forgets, and which timers it wakes."""

import gc
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.kafka.ports import Record
from processors import alarms
from processors import store as store_module
from processors.accounts.state import Idempotency, Queued, idempotency_key, queued_key
from processors.assets.state import Purge, purge_key
from processors.effects import REPLIES_A_RECORD_MAX, reply_records
from processors.store import Store
from schemas.codec import STATE_VERSION, StateTooNew, encode_state
from schemas.replies import Done, Reply, decode_replies

ANNA = "acct_anna"


def key_record(expires_ms: int) -> Idempotency:
    """A record that waits for a tick."""
    return Idempotency("f", "0.0.0.0", "job_1", Done(), expires_ms)


def test_what_came_and_went_between_two_writes_never_reaches_the_topic() -> None:
    store = Store(0)
    key = queued_key(ANNA, "standard", 0)
    store.change({key: Queued("job_1")})
    store.change({key: None})
    assert store.take_writes() == []
    assert store.read(key) is None


def test_what_ended_gets_one_tombstone() -> None:
    store = Store(0)
    key = queued_key(ANNA, "standard", 0)
    store.change({key: Queued("job_1")})
    assert store.take_writes() == [(key.encode(), encode_state(Queued("job_1"), 0))]
    store.change({key: None})
    assert store.take_writes() == [(key.encode(), None)]
    assert store.take_writes() == []
    assert len(store) == 0


def test_records_that_were_not_used_lately_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "HOT_RECORDS_MAX", 10)
    store = Store(0)
    records = {queued_key(ANNA, "standard", number): Queued(f"job_{number}") for number in range(50)}
    store.change(dict(records))
    store.take_writes()
    assert len(store._hot) <= 10
    assert {key: store.read(key) for key in records} == records


def test_a_key_is_kept_as_bytes_alone_once_it_is_written() -> None:
    store = Store(0)
    key = idempotency_key(ANNA, "1")
    store.change({key: key_record(7)})
    assert store.read(key) == key_record(7)
    store.take_writes()
    assert store._hot == {}
    assert store.read(key) == key_record(7)


def test_a_record_of_a_newer_release_is_refused_at_load() -> None:
    with pytest.raises(StateTooNew):
        Store(0).load([Record(0, 0, b"acct_anna|job|job_1", bytes((STATE_VERSION + 1,)) + bytes(8) + b"{}")])


def purge(retry_at_ms: int) -> Purge:
    """A record that waits for a tick as well, but not for days."""
    return Purge(("key",), 1, retry_at_ms)


moves = st.lists(st.tuples(st.integers(0, 5), st.one_of(st.none(), st.integers(1, 50))), max_size=60)


@settings(derandomize=True, deadline=None, max_examples=80)
@given(moves, st.integers(0, 60), st.integers(1, 4))
def test_due_is_what_a_search_through_everything_would_find(
    steps: list[tuple[int, int | None]], now_ms: int, items_max: int
) -> None:
    store, expected = Store(0), dict[str, int]()
    for number, due in steps:
        key = (purge_key if number % 2 else idempotency_key)(ANNA, str(number))
        store.change({key: None if due is None else purge(due) if number % 2 else key_record(due)})
        store.take_writes()
        expected.pop(key, None)
        if due is not None:
            expected[key] = due
    waiting = sorted((due, key) for key, due in expected.items())
    for _ in range(2):  # asking changes nothing
        assert store.due(now_ms, items_max) == tuple(key for due, key in waiting if due <= now_ms)[:items_max]
        assert store.next_due_ms() == (waiting[0][0] if waiting else None)


def test_timers_stay_bounded_while_a_lease_is_renewed_again_and_again() -> None:
    store = Store(0)
    key = idempotency_key(ANNA, "k")
    for due in range(1, 20_000):
        store.change({key: key_record(due)})
        store.take_writes()
    assert len(store._alarms) < 5_000
    assert store.next_due_ms() == 19_999


def test_keys_that_wait_are_not_gone_through_again_as_they_become_more(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at, looked = list[str](), alarms._Heap.counts

    def counts(heap: alarms._Heap, alarm: tuple[int, str]) -> bool:
        looked_at.append(alarm[1])
        return looked(heap, alarm)

    monkeypatch.setattr(alarms._Heap, "counts", counts)
    store, lease = Store(0), purge_key(ANNA, "p")
    for number in range(20_000):
        store.change({idempotency_key(ANNA, str(number)): key_record(1_000 + number), lease: purge(number + 1)})
        store.take_writes()
    assert set(looked_at) == {lease}


def test_a_store_that_is_thrown_away_is_gone_at_once() -> None:
    store = Store(0)
    store.change({idempotency_key(ANNA, "1"): key_record(7)})
    store.take_writes()
    gone = weakref.ref(store)
    gc.disable()
    try:
        del store
        assert gone() is None
    finally:
        gc.enable()


def test_timers_of_what_has_ended_are_cleared_away() -> None:
    store = Store(0)
    keys = [idempotency_key(ANNA, str(number)) for number in range(10_000)]
    store.change({key: key_record(7) for key in keys})
    store.take_writes()
    store.change(dict.fromkeys(keys[1:]))
    store.take_writes()
    assert len(store._alarms) == 1
    assert store.next_due_ms() == 7


def test_replies_are_packed_by_gateway_in_order() -> None:
    answers = [(f"gw_{number % 2}", Reply(str(number), ANNA, "0.0.0.0", Done())) for number in range(500)]
    records = reply_records(answers, 3, 7)
    assert {(record.key, record.partition) for record in records} == {(b"gw_0", 3), (b"gw_1", 3)}
    found: dict[bytes, list[str]] = {b"gw_0": [], b"gw_1": []}
    for record in records:
        replies = decode_replies(record.value or b"")
        assert len(replies) <= REPLIES_A_RECORD_MAX
        found[record.key or b""] += [reply.correlation for reply in replies]
    assert found == {b"gw_0": [str(n) for n in range(0, 500, 2)], b"gw_1": [str(n) for n in range(1, 500, 2)]}

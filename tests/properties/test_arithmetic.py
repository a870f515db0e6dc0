"""Windows, regeneration, packing, positions and partitions over random values."""

import calendar
import datetime

import pytest
from aiokafka.partitioner import murmur2 as kafka_murmur2
from hypothesis import given
from hypothesis import strategies as st

from schemas.amounts import DAY_MS, WindowKind, regenerated_units, window_end_ms, window_start_ms
from schemas.codec import (
    STATE_VERSION,
    StateTooNew,
    Unreadable,
    encode_state,
    pack_items,
    packed_size,
    state_due_ms,
    state_json,
    unpack_items,
)
from schemas.identifiers import account_id, murmur2, partition_of
from schemas.positions import Position, parse_position

times = st.integers(0, 4_102_444_800_000)  # until 2100
kinds = st.sampled_from(("day", "month"))
items = st.lists(st.binary(max_size=200), min_size=1, max_size=20)
U31, U63 = st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1)


def utc(*parts: int) -> int:
    """Milliseconds of a UTC date."""
    return int(datetime.datetime(*parts, tzinfo=datetime.UTC).timestamp()) * 1000  # type: ignore[misc,arg-type]


@given(kinds, times)
def test_windows_follow_each_other_without_gap(kind: WindowKind, time_ms: int) -> None:
    start, end = window_start_ms(kind, time_ms), window_end_ms(kind, time_ms)
    assert start <= time_ms < end
    assert window_start_ms(kind, start) == start == window_start_ms(kind, end - 1)
    assert window_start_ms(kind, end) == end


@given(times)
def test_a_month_has_the_days_of_the_calendar(time_ms: int) -> None:
    moment = datetime.datetime.fromtimestamp(time_ms // 1000, tz=datetime.UTC)
    days = calendar.monthrange(moment.year, moment.month)[1]
    assert window_end_ms("month", time_ms) - window_start_ms("month", time_ms) == days * DAY_MS


@pytest.mark.parametrize(
    ("within", "start", "end"),
    [
        (utc(2028, 2, 29, 23, 59), utc(2028, 2, 1), utc(2028, 3, 1)),
        (utc(2027, 2, 28, 12), utc(2027, 2, 1), utc(2027, 3, 1)),
        (utc(2100, 2, 28), utc(2100, 2, 1), utc(2100, 3, 1)),
        (utc(2027, 12, 31, 23, 59, 59), utc(2027, 12, 1), utc(2028, 1, 1)),
        (utc(2027, 1, 1), utc(2027, 1, 1), utc(2027, 2, 1)),
    ],
)
def test_month_ends(within: int, start: int, end: int) -> None:
    assert (window_start_ms("month", within), window_end_ms("month", within)) == (start, end)


@given(
    st.integers(1, 5),
    st.integers(1, 1_000),
    st.integers(0, 50),
    st.integers(0, 60),
    st.lists(st.integers(0, 5_000), max_size=8),
)
def test_splitting_a_span_regenerates_the_same_sum(
    units: int, every_ms: int, cap: int, available: int, pauses: list[int]
) -> None:
    def at(time_ms: int, held: int, since_ms: int) -> tuple[int, int]:
        gained, since = regenerated_units(
            units=units, every_ms=every_ms, cap=cap, available=held, since_ms=since_ms, time_ms=time_ms
        )
        assert gained >= 0
        assert held + gained <= max(cap, held)
        return held + gained, since

    whole, _ = at(sum(pauses), available, 0)
    balance, since_ms, now = available, 0, 0
    for pause in pauses:
        now += pause
        balance, since_ms = at(now, balance, since_ms)
        assert since_ms <= now
    assert balance == whole


@given(items)
def test_packed_items_come_back(packed: list[bytes]) -> None:
    value = pack_items(packed)
    assert unpack_items(value) == packed
    assert packed_size(packed) == len(value)


@given(items, st.data())
def test_a_cut_record_loses_nothing_before_the_cut(packed: list[bytes], data: st.DataObject) -> None:
    value = pack_items(packed)
    cut = data.draw(st.integers(0, len(value) - 1))
    found = unpack_items(value[:cut])
    whole = found[:-1] if isinstance(found[-1], Unreadable) else found
    assert whole == packed[: len(whole)]
    assert found
    left = packed_size(packed[: len(whole)])
    if isinstance(found[-1], Unreadable):
        assert found[-1].data == value[left:cut] or cut <= 1
    else:
        assert left == cut


@given(items, st.data())
def test_a_broken_length_loses_nothing_before_it(packed: list[bytes], data: st.DataObject) -> None:
    value = bytearray(pack_items(packed))
    broken = data.draw(st.integers(0, len(packed) - 1))
    at = packed_size(packed[:broken])
    value[at : at + 4] = b"\xff\xff\xff\xff"
    found = unpack_items(bytes(value))
    assert found[:broken] == packed[:broken]
    assert found[broken:] == [Unreadable(bytes(value[at:]), "broken-length")]


@given(st.binary(max_size=300))
def test_any_bytes_make_at_least_one_item(value: bytes) -> None:
    assert unpack_items(value)
    assert unpack_items(None) == [Unreadable(b"", "empty-record")]


@given(st.dictionaries(st.text(), st.integers()), st.integers(0, 2**63))
def test_a_state_value_begins_with_its_version_and_due_time(record: dict[str, int], due: int) -> None:
    value = encode_state(record, due)
    assert value[0] == STATE_VERSION
    assert state_due_ms(value) == due == int.from_bytes(value[1:9], "big")
    assert bytes(state_json(value)).startswith(b"{")


def test_a_newer_state_is_refused() -> None:
    with pytest.raises(StateTooNew, match="schema version 2"):
        state_due_ms(bytes((STATE_VERSION + 1,)) + encode_state({}, 0)[1:])


@given(st.binary(max_size=100))
def test_murmur2_is_kafkas(data: bytes) -> None:
    assert murmur2(data) == kafka_murmur2(data) & 0xFFFFFFFF


@given(st.text(min_size=1, max_size=40), st.integers(1, 64))
def test_an_account_has_one_partition(subject: str, partitions: int) -> None:
    account = account_id(b"key", "darkroom", subject)
    assert len(account) == 31
    assert account == account.lower()
    assert partition_of(account, partitions) == (kafka_murmur2(account.encode()) & 0x7FFFFFFF) % partitions


@given(U31, U63, U31, U31)
def test_a_position_is_read_as_it_is_written(partition: int, offset: int, index: int, ordinal: int) -> None:
    position = Position(partition, offset, index, ordinal)
    assert parse_position(str(position)) == position
    assert position.source == (offset, index)


@pytest.mark.parametrize("text", ["", "1.2.3", "1.2.3.4.5", "01.2.3.4", "-1.2.3.4", "1.2.3.x", "1.2.3.4\n", "١.2.3.4"])
def test_anything_else_is_no_position(text: str) -> None:
    assert parse_position(text) is None


@given(st.tuples(U31, U31, U31), st.tuples(U31, U31, U31))
def test_positions_of_a_partition_are_ordered_by_place(one: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    assert (Position(0, *one) < Position(0, *other)) == (one < other)

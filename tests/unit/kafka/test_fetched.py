"""What a Fetch answer holds, against what aiokafka's own consumer makes of the same bytes."""

import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record import MemoryRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.kafka.fetched import decode_fetched
from infra.kafka.ports import Record

_CONTROL = 0x20
_ATTRIBUTES = slice(21, 23)
_CRC = slice(17, 21)

numbers = st.integers(0, 3)
batches = st.lists(
    st.one_of(
        st.tuples(st.just("plain"), numbers, st.integers(0, 6)),
        st.tuples(st.just("transactional"), numbers, st.integers(0, 6)),
        st.tuples(st.sampled_from(["commit", "abort"]), numbers, st.just(1)),
    ),
    max_size=12,
)


def batch(kind: str, producer: int, base: int, offsets: list[int], last: int) -> bytes:
    """One record batch as it stands in a log: records at `offsets`, what compaction took left out."""
    builder = DefaultRecordBatchBuilder(2, 0, int(kind != "plain"), producer, 0, 0, 1 << 20)
    for offset in offsets:
        if kind in ("commit", "abort"):
            builder.append(offset - base, 5, bytes((0, 0, 0, int(kind == "commit"))), b"\0" * 6, [])
        else:
            headers: list[tuple[str, bytes | None]] = [("h", b"1")] if offset % 3 == 0 else []
            builder.append(offset - base, 5 + offset, b"k%d" % offset, b"v" * (offset % 4), headers)
    data = bytearray(builder.build())
    data[0:8] = base.to_bytes(8, "big")
    data[23:27] = (last - base).to_bytes(4, "big")
    if kind in ("commit", "abort"):
        data[_ATTRIBUTES] = (int.from_bytes(data[_ATTRIBUTES], "big") | _CONTROL).to_bytes(2, "big")
    data[_CRC] = _checksum(bytes(data[21:])).to_bytes(4, "big")
    return bytes(data)


def _checksum(data: bytes) -> int:
    from aiokafka.record.util import calc_crc32c  # compiled, and named nowhere in its stubs

    return int(calc_crc32c(data))


@st.composite
def logs(draw: st.DrawFn) -> tuple[bytes, list[tuple[int, int]], int]:
    """The bytes of an answer, its aborted transactions, and the position that was asked for."""
    stored: list[tuple[int, bytes]] = []
    aborted: list[tuple[int, int]] = []
    opened: dict[int, int] = {}
    base = 0
    for kind, producer, taken in draw(batches):
        count = 1 if kind in ("commit", "abort") else max(1, taken)
        offsets = [base + number for number in range(count) if kind != "plain" or draw(st.booleans()) or count == 1]
        last = base + count - 1
        stored.append((last, batch(kind, producer, base, offsets or [base], last)))
        if kind == "transactional":
            opened.setdefault(producer, base)
        elif kind in ("commit", "abort"):
            first = opened.pop(producer, None)
            if kind == "abort" and first is not None:
                aborted.append((producer, first))
        base += count
    position = draw(st.integers(0, base))
    answer = b"".join(data for last, data in stored if last >= position)  # a broker begins with the batch that holds it
    return answer, draw(st.permutations(aborted)), position


def as_aiokafka(data: bytes, aborted: list[tuple[int, int]], position: int, isolation: int) -> tuple[list[Record], int]:
    """The same by the library."""
    place = TopicPartition("events", 0)
    found = PartitionRecords(place, MemoryRecords(data), aborted, position, None, None, True, isolation)
    records = [Record(one.offset, one.timestamp, one.key, one.value, tuple(one.headers)) for one in found]
    return records, found.next_fetch_offset


@settings(deadline=None, max_examples=300)
@given(logs())
def test_it_reads_what_the_librarys_consumer_reads(log: tuple[bytes, list[tuple[int, int]], int]) -> None:
    data, aborted, position = log
    records, following = as_aiokafka(data, aborted, position, READ_COMMITTED)
    assert decode_fetched("events-0", data, aborted, position) == (records, max(position, following))
    records, following = as_aiokafka(data, aborted, position, READ_UNCOMMITTED)
    assert decode_fetched("events-0", data, None, position) == (records, max(position, following))


def test_a_batch_whose_checksum_is_wrong_is_refused_by_name() -> None:
    data = bytearray(batch("plain", 1, 40, [40, 41], 41))
    data[-1] ^= 1
    with pytest.raises(CorruptRecordException, match="events-0 holds a batch at 40"):
        decode_fetched("events-0", bytes(data), None, 0)


def test_an_answer_without_records_leaves_the_position() -> None:
    assert decode_fetched("events-0", b"", [], 17) == ([], 17)

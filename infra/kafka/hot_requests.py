"""Produce and Fetch as aiokafka sends them, written and read in one go.

aiokafka takes each field of a request and of an answer through several calls: a follower's Fetch of eight partitions
costs more that way than everything else in following them. The versions that aiokafka agrees on with every broker of
today (Produce 7, Fetch 11) are written and read by structs here; any other version goes the library's own way.
"""

# aiokafka ships no types, so its base classes are Any here.
# mypy: disable-error-code="misc"

from __future__ import annotations

from io import BytesIO
from struct import Struct
from typing import Any

from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v11, FetchResponse_v11
from aiokafka.protocol.produce import ProduceRequest, ProduceRequest_v7, ProduceResponse_v7

_COUNT = Struct(">i")
_LENGTH = Struct(">h")
_PRODUCE_HEAD = Struct(">hhii")  # no transactional id, acks, timeout, count of topics
_PRODUCE_ROW = Struct(">ii")  # partition, length of its batch
_PRODUCED_ROW = Struct(">ihqqq")  # partition, error, offset, time, begin of the log
_FETCH_HEAD = Struct(">iiiibiii")  # replica, wait, bytes (least, most), isolation, session (id, epoch), count of topics
_FETCH_ROW = Struct(">iiqqi")  # partition, leader epoch, offset, begin of the log, bytes at most
_FETCHED_HEAD = Struct(">ihii")  # throttle time, error, session id, count of topics
_FETCHED_ROW = Struct(">ihqqqi")  # partition, error, high watermark, LSO, begin of the log, count of aborted ones
_ABORTED = Struct(">qq")  # producer id, first offset
_CONTENT = Struct(">ii")  # preferred replica, length of the batches


class HotProduce(ProduceRequest):
    """aiokafka's request, for appends outside of transactions."""

    def build(self, request_struct_class: Any) -> Any:
        return super().build(_Produce7 if request_struct_class is ProduceRequest_v7 else request_struct_class)


class HotFetch(FetchRequest):
    """aiokafka's request."""

    def build(self, request_struct_class: Any) -> Any:
        return super().build(_Fetch11 if request_struct_class is FetchRequest_v11 else request_struct_class)


class _Produced7(ProduceResponse_v7):
    @classmethod
    def decode(cls, data: BytesIO) -> Any:
        topics = []
        for _ in range(_read(data, _COUNT)[0]):
            name = _read_name(data)
            rows = [_read(data, _PRODUCED_ROW) for _ in range(_read(data, _COUNT)[0])]
            topics.append((name, rows))
        return cls(topics, _read(data, _COUNT)[0])


class _Produce7(ProduceRequest_v7):
    RESPONSE_TYPE = _Produced7

    def encode(self) -> bytes:
        assert self.transactional_id is None, "a transaction's records go another way"
        parts = [_PRODUCE_HEAD.pack(-1, self.required_acks, self.timeout, len(self.topics))]
        for name, rows in self.topics:
            parts += [_name(name), _COUNT.pack(len(rows))]
            for partition, batch in rows:
                parts += [_PRODUCE_ROW.pack(partition, len(batch)), batch]
        return b"".join(parts)


class _Fetched11(FetchResponse_v11):
    @classmethod
    def decode(cls, data: BytesIO) -> Any:
        throttle_ms, code, session, count = _read(data, _FETCHED_HEAD)
        topics = []
        for _ in range(count):
            name = _read_name(data)
            topics.append((name, [_fetched_row(data) for _ in range(_read(data, _COUNT)[0])]))
        return cls(throttle_ms, code, session, topics)


def _fetched_row(data: BytesIO) -> tuple[Any, ...]:
    *numbers, count = _read(data, _FETCHED_ROW)
    aborted = None if count < 0 else [_read(data, _ABORTED) for _ in range(count)]
    replica, length = _read(data, _CONTENT)
    return (*numbers, aborted, replica, None if length < 0 else _read_bytes(data, length))


class _Fetch11(FetchRequest_v11):
    RESPONSE_TYPE = _Fetched11

    def encode(self) -> bytes:
        head = (self.replica_id, self.max_wait_time, self.min_bytes, self.max_bytes, self.isolation_level)
        parts = [_FETCH_HEAD.pack(*head, self.session_id, self.session_epoch, len(self.topics))]
        for name, rows in self.topics:
            parts += [_name(name), _COUNT.pack(len(rows)), *[_FETCH_ROW.pack(*row) for row in rows]]
        parts += [_COUNT.pack(0), _name(self.rack_id)]  # no session, so no topic was ever to be forgotten
        return b"".join(parts)


def _name(text: str) -> bytes:
    encoded = text.encode()
    return _LENGTH.pack(len(encoded)) + encoded


def _read_name(data: BytesIO) -> str:
    return _read_bytes(data, _read(data, _LENGTH)[0]).decode()


def _read(data: BytesIO, form: Struct) -> tuple[Any, ...]:
    return form.unpack(data.read(form.size))


def _read_bytes(data: BytesIO, length: int) -> bytes:
    """So many bytes. Raises ValueError where the answer ends before."""
    read = data.read(length)
    if len(read) != length:
        raise ValueError(f"the answer ends {length - len(read)} bytes too early")
    return read

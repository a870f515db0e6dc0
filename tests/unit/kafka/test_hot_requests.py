"""Requests that are written and answers that are read in one go, against the library's own way with the same bytes."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v11, FetchResponse_v11
from aiokafka.protocol.produce import ProduceRequest, ProduceRequest_v7, ProduceResponse_v7
from hypothesis import given
from hypothesis import strategies as st

from infra.kafka.hot_requests import HotFetch, HotProduce

names = st.text(min_size=1, max_size=20)
short, small, large = (
    st.integers(-(2**15), 2**15 - 1),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**63), 2**63 - 1),
)
contents = st.binary(max_size=200)


def topics(row: st.SearchStrategy[Any]) -> st.SearchStrategy[list[tuple[str, list[Any]]]]:
    return st.lists(st.tuples(names, st.lists(row, max_size=9)), max_size=3)


produced = topics(st.tuples(small, short, large, large, large))
aborted = st.none() | st.lists(st.tuples(large, large), max_size=3)
fetched = topics(st.tuples(small, short, large, large, large, aborted, small, st.none() | contents))


def agreed(request: Any, key: int, version: int) -> Any:
    """The request as it is sent to a broker that speaks this version and no other."""
    return request.prepare({key: (version, version)})


@given(timeout_ms=small, rows=topics(st.tuples(small, contents)))
def test_a_produce_has_the_bytes_of_the_library(timeout_ms: int, rows: list[Any]) -> None:
    for version in (3, 7):
        hot, own = (agreed(kind(None, -1, timeout_ms, rows), 0, version) for kind in (HotProduce, ProduceRequest))
        assert (hot.API_KEY, hot.API_VERSION, hot.encode()) == (own.API_KEY, own.API_VERSION, own.encode())


@given(numbers=st.tuples(small, small, small, st.sampled_from([0, 1])), rows=topics(st.tuples(small, large, small)))
def test_a_fetch_has_the_bytes_of_the_library(numbers: tuple[int, ...], rows: list[Any]) -> None:
    for version in (4, 11):
        hot, own = (agreed(kind(*numbers, rows), 1, version) for kind in (HotFetch, FetchRequest))
        assert (hot.API_KEY, hot.API_VERSION, hot.encode()) == (own.API_KEY, own.API_VERSION, own.encode())


@given(rows=produced, throttle_ms=small)
def test_an_answer_to_a_produce_is_read_as_by_the_library(rows: list[Any], throttle_ms: int) -> None:
    data = ProduceResponse_v7(rows, throttle_ms).encode()
    read = agreed(HotProduce(None, -1, 0, []), 0, 7).RESPONSE_TYPE.decode(BytesIO(data))
    assert read == ProduceResponse_v7.decode(data)
    assert read.topics == rows


@given(rows=fetched, head=st.tuples(small, short, small))
def test_an_answer_to_a_fetch_is_read_as_by_the_library(rows: list[Any], head: tuple[int, int, int]) -> None:
    data = FetchResponse_v11(*head, rows).encode()
    read = agreed(HotFetch(0, 0, 0, 0, []), 1, 11).RESPONSE_TYPE.decode(BytesIO(data))
    assert read == FetchResponse_v11.decode(data)
    assert read.topics == rows


def test_what_aiokafka_agrees_on_with_a_new_broker_is_what_is_written_here() -> None:
    hot = HotProduce(None, -1, 0, []).prepare({0: (3, 99)}), HotFetch(0, 0, 0, 0, []).prepare({1: (4, 99)})
    assert [type(request).__mro__[1] for request in hot] == [ProduceRequest_v7, FetchRequest_v11]
    assert all(type(request).RESPONSE_TYPE not in (ProduceResponse_v7, FetchResponse_v11) for request in hot)


@pytest.mark.parametrize("left_out", [1, 5])
def test_an_answer_that_is_cut_off_is_not_read(left_out: int) -> None:
    row: tuple[Any, ...] = (1, 0, 2, 2, 0, [], -1, b"batches")
    data = FetchResponse_v11(0, 0, 0, [("replies", [row])]).encode()
    with pytest.raises(ValueError, match="too early"):
        agreed(HotFetch(0, 0, 0, 0, []), 1, 11).RESPONSE_TYPE.decode(BytesIO(data[:-left_out]))

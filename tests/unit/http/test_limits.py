"""Moving windows in memory, and the refusal to run two gateways without a shared store."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import OperatorError
from infra.http.limits import GatewayLock, Limiter, LimitSettings, WindowStorage


@given(st.lists(st.integers(0, 30), max_size=60), st.integers(1, 5), st.integers(1, 20))
def test_no_window_ever_holds_more_than_its_limit(steps_s: list[int], limit: int, window_s: int) -> None:
    now_s = 0.0
    taken: list[float] = []
    storage = WindowStorage(lambda: now_s)
    for step_s in steps_s:
        now_s += step_s
        fits = sum(time_s > now_s - window_s for time_s in taken) < limit
        assert storage.acquire_entry("key", limit, window_s) is fits
        if fits:
            taken.append(now_s)
        inside = [time_s for time_s in taken if time_s > now_s - window_s]
        assert storage.get_moving_window("key", limit, window_s) == ((inside or [now_s])[0], len(inside))


def test_keys_are_bounded_and_more_than_the_limit_at_once_never_fits() -> None:
    storage = WindowStorage(lambda: 0.0, keys_max=2)
    for key in "abc":
        assert storage.acquire_entry(key, 1, 60)
    assert storage.get("a") == 0
    assert storage.get("c") == 1
    assert not storage.acquire_entry("d", 2, 60, amount=3)


async def test_limits_and_callers_are_counted_apart() -> None:
    limiter = Limiter(LimitSettings(requests=1, uploads=1), lambda: 100.0)
    assert (await limiter.hit("requests", "a")).allowed
    assert not (await limiter.hit("requests", "a")).allowed
    assert (await limiter.hit("requests", "b")).allowed
    assert (await limiter.hit("uploads", "a")).allowed


def test_more_gateways_need_a_shared_store() -> None:
    with pytest.raises(OperatorError, match="DARKROOM_LIMITS__STORE_URI"):
        Limiter(LimitSettings(gateways=2))


def test_a_second_gateway_of_a_data_directory_does_not_start(tmp_path: Path) -> None:
    settings = LimitSettings()
    with GatewayLock(tmp_path, "all", settings):
        with pytest.raises(OperatorError, match="Another gateway"), GatewayLock(tmp_path, "all", settings):
            pass
        with GatewayLock(tmp_path, "api", settings):
            pass
        with GatewayLock(tmp_path, "all", LimitSettings(store_uri="memory://")):
            pass
    with GatewayLock(tmp_path, "all", settings):
        pass

"""The door of a gateway whose event loop is late."""

import asyncio
import time

import pytest

from infra.http.pressure import LoopPressure
from infra.http.problems import Problem


def test_one_long_step_refuses_nobody_and_a_late_loop_everybody_until_it_has_caught_up() -> None:
    pressure = LoopPressure(0.25)
    for lag_s in (0.0, 3.0, 0.25, 3.0):
        pressure.note(lag_s)
        pressure.check()
    pressure.note(0.3)
    with pytest.raises(Problem) as refused:
        pressure.check()
    assert (refused.value.status, refused.value.code) == (503, "overloaded")
    assert refused.value.headers["Retry-After"] == "1"
    pressure.note(0.1)
    pressure.check()


async def test_it_sees_a_loop_that_is_blocked() -> None:
    pressure = LoopPressure(0.1)
    async with pressure.watched():
        deadline = time.monotonic() + 20
        while True:
            time.sleep(0.3)  # noqa: ASYNC251 - the loop is to be late
            try:
                pressure.check()
            except Problem:
                break
            assert time.monotonic() < deadline
            await asyncio.sleep(0)

"""Turns at the broker: at most so many at once, in order, and nobody for ever."""

import asyncio

import pytest

from processors.turns import Turns


async def test_at_most_so_many_run_at_once_in_the_order_of_asking() -> None:
    turns = Turns(at_once=2, patience_s=5)
    running, most, order = 0, 0, []

    async def work(number: int) -> None:
        nonlocal running, most
        async with turns.turn():
            running += 1
            most = max(most, running)
            order.append(number)
            await asyncio.sleep(0.001)
            running -= 1

    await asyncio.gather(*(work(number) for number in range(10)))
    assert most == 2
    assert order == list(range(10))


async def test_who_waits_behind_a_hung_turn_goes_without_one() -> None:
    turns = Turns(at_once=1, patience_s=0.01)
    hung = asyncio.Event()

    async def hang() -> None:
        async with turns.turn():
            await hung.wait()

    hanging = asyncio.create_task(hang())
    await asyncio.sleep(0)
    async with asyncio.timeout(2), turns.turn():
        assert not hanging.done()
    hung.set()
    await hanging
    async with asyncio.timeout(0.005), turns.turn():
        pass


async def test_a_failure_and_a_cancelled_wait_give_their_turn_back() -> None:
    turns = Turns(at_once=1, patience_s=5)
    with pytest.raises(ValueError, match="inside"):
        async with turns.turn():
            raise ValueError("inside")
    async with turns.turn():
        waiting = asyncio.create_task(turns.turn().__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with asyncio.timeout(0.1), turns.turn():
        pass

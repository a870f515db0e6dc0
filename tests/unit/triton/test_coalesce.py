"""Calls that wait travel together: fewer calls, the same answers, nobody blamed for another's failure."""

import asyncio

import numpy as np
import pytest

from infra.triton.coalesce import CoalescingEngine
from infra.triton.connection import Batching
from infra.triton.engine import EngineCrashed, PermanentFailure, Tensors, TransientFailure


class BatchedEcho:
    """A model like `sandbox/echo`: answers each row's seed; `busy_s` per call whatever its rows, and counts calls."""

    def __init__(self, batching: Batching, busy_s: float = 0.002) -> None:
        self.declared, self.busy_s = batching, busy_s
        self.rows: list[int] = []
        self.inside = self.most = 0
        self.crashes = False

    async def infer(self, model: str, version: str, inputs: Tensors, timeout_s: float) -> Tensors:
        seeds = inputs["SEED"]
        self.rows.append(len(seeds))
        self.inside += 1
        self.most = max(self.most, self.inside)
        await asyncio.sleep(self.busy_s)
        self.inside -= 1
        if self.crashes:
            raise EngineCrashed("died")
        if (seeds == 13).any():
            raise PermanentFailure("13 is not possible")
        return {"PIXELS": np.broadcast_to(seeds[:, :1, None, None], (len(seeds), 1, 4, 3)).astype(np.uint8)}

    async def ready(self) -> bool:
        return True

    async def batching(self, model: str, version: str) -> Batching:
        return self.declared


async def ask(engine: CoalescingEngine, seed: int, rows: int = 1, timeout_s: float = 5) -> int:
    answer = await engine.infer("echo", "1", {"SEED": np.full((rows, 1), seed, np.int32)}, timeout_s)
    assert answer["PIXELS"].shape == (rows, 1, 4, 3)
    assert len(set(answer["PIXELS"].ravel().tolist())) == 1
    return int(answer["PIXELS"][0, 0, 0, 0])


async def test_two_hundred_echoes_take_seven_calls_and_each_gets_its_own_answer() -> None:
    model = BatchedEcho(Batching(32, 1))
    engine = CoalescingEngine(model)
    answers = await asyncio.gather(*(ask(engine, seed) for seed in range(100, 250)))
    assert answers == list(range(100, 250))
    assert model.rows == [1, 32, 32, 32, 32, 21]
    assert model.most == 1
    plain = BatchedEcho(Batching())
    await asyncio.gather(*(ask(CoalescingEngine(plain), seed) for seed in range(100, 250)))
    assert len(plain.rows) == 150


async def test_a_lone_call_goes_at_once() -> None:
    model = BatchedEcho(Batching(32, 1), busy_s=0)
    engine = CoalescingEngine(model)
    for seed in range(5):
        assert await ask(engine, seed) == seed
    assert model.rows == [1] * 5
    await asyncio.sleep(0)  # until the call is known to have ended
    assert engine._groups == {}


async def test_all_instances_are_kept_busy() -> None:
    model = BatchedEcho(Batching(4, 3))
    await asyncio.gather(*(ask(CoalescingEngine(model), seed) for seed in range(3)))
    engine = CoalescingEngine(model)
    model.rows.clear()
    await asyncio.gather(*(ask(engine, seed) for seed in range(11)))
    assert model.rows == [1, 1, 1, 4, 4]
    assert model.most == 3


async def test_a_failure_of_some_is_asked_again_for_each_alone() -> None:
    model = BatchedEcho(Batching(8, 1))
    engine = CoalescingEngine(model)
    answers = await asyncio.gather(*(ask(engine, seed) for seed in (1, 12, 13, 14)), return_exceptions=True)
    assert [answers[0], answers[1], answers[3]] == [1, 12, 14]
    assert isinstance(answers[2], PermanentFailure)
    assert model.rows == [1, 3, 1, 1, 1]


async def test_a_crash_is_everybodys() -> None:
    model = BatchedEcho(Batching(8, 1))
    model.crashes = True
    engine = CoalescingEngine(model)
    answers = await asyncio.gather(*(ask(engine, seed) for seed in range(4)), return_exceptions=True)
    assert all(isinstance(answer, EngineCrashed) for answer in answers)
    assert model.rows == [1, 3]


async def test_who_gives_up_travels_with_nobody() -> None:
    model = BatchedEcho(Batching(8, 1), busy_s=0.05)
    engine = CoalescingEngine(model)
    first = asyncio.create_task(ask(engine, 1))
    await asyncio.sleep(0.01)
    with pytest.raises(TransientFailure, match="did not answer"):
        await ask(engine, 2, timeout_s=0.01)
    assert await first == 1
    assert model.rows == [1]


async def test_rows_fit_and_other_shapes_stay_apart() -> None:
    model = BatchedEcho(Batching(8, 1))
    engine = CoalescingEngine(model)
    wide = engine.infer("echo", "1", {"SEED": np.full((1, 2), 9, np.int32)}, 5)
    counts = [ask(engine, seed, rows) for seed, rows in ((1, 1), (2, 5), (3, 3), (4, 1))]
    answers, wide_answer = await asyncio.gather(asyncio.gather(*counts), wide)
    assert answers == [1, 2, 3, 4]
    assert wide_answer["PIXELS"].shape == (1, 1, 4, 3)
    assert model.rows == [1, 1, 8, 1]


class Short(BatchedEcho):
    """Forgets all rows but the first."""

    async def infer(self, model: str, version: str, inputs: Tensors, timeout_s: float) -> Tensors:
        return {"PIXELS": (await super().infer(model, version, inputs, timeout_s))["PIXELS"][:1]}


async def test_an_answer_of_other_rows_is_nobodys() -> None:
    model = Short(Batching(8, 1))
    engine = CoalescingEngine(model)
    assert await asyncio.gather(*(ask(engine, seed) for seed in range(3))) == [0, 1, 2]
    assert model.rows == [1, 2, 1, 1]

"""One suite for the engine: Triton and memory."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

import numpy as np
import pytest

from infra.triton.client import TritonEngine, open_engine
from infra.triton.engine import (
    Engine,
    EngineCrashed,
    EngineUnavailable,
    MemoryEngine,
    PermanentFailure,
    Tensors,
    TransientFailure,
    failure_of,
)
from tests.servers import LocalServers, Servers


def number(value: int) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return np.array([value], np.int32)


def echo(inputs: Tensors) -> Tensors:
    return {"PIXELS": np.full((1, 64, 64, 3), inputs["SEED"][0, 0], np.uint8)}


def cards(inputs: Tensors) -> Tensors:
    if inputs["FAILURES"][0] < 0:
        raise PermanentFailure("this model is made to fail")
    if inputs["ATTEMPT"][0] <= inputs["FAILURES"][0]:
        raise TransientFailure("attempt 1 of the 1 that were asked to fail")
    return {"PIXELS": np.zeros((64, 64, 3), np.uint8)}


@pytest.fixture(params=["memory", "triton"])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    if request.param == "memory":
        yield MemoryEngine({"sandbox_echo": echo, "sandbox_cards": cards})
        return
    settings = request.getfixturevalue("triton")
    async with open_engine(settings.triton_urls) as opened:
        yield opened


@pytest.fixture
async def served(triton: object, request: pytest.FixtureRequest) -> AsyncIterator[TritonEngine]:
    async with open_engine(request.getfixturevalue("triton").triton_urls) as opened:
        yield opened


async def test_a_model_answers(engine: Engine) -> None:
    answer = await engine.infer("sandbox_echo", "1", {"SEED": number(7)[None]}, 10)
    assert answer["PIXELS"].shape == (1, 64, 64, 3)
    assert answer["PIXELS"].dtype == np.uint8
    assert await engine.ready()


async def test_a_transient_failure_passes_with_the_attempt(engine: Engine) -> None:
    with pytest.raises(TransientFailure, match="attempt 1 of the 1 that were asked to fail"):
        await engine.infer("sandbox_cards", "1", {"FAILURES": number(1), "ATTEMPT": number(1)}, 10)
    answer = await engine.infer("sandbox_cards", "1", {"FAILURES": number(1), "ATTEMPT": number(2)}, 10)
    assert answer["PIXELS"].shape == (64, 64, 3)


async def test_a_permanent_failure_says_so(engine: Engine) -> None:
    with pytest.raises(PermanentFailure, match=r"^this model is made to fail$"):
        await engine.infer("sandbox_cards", "1", {"FAILURES": number(-1), "ATTEMPT": number(1)}, 10)


async def test_a_model_that_no_engine_has_is_not_the_jobs_fault(engine: Engine) -> None:
    with pytest.raises(EngineUnavailable):
        await engine.infer("nothing", "1", {"ATTEMPT": number(1)}, 10)


async def test_an_engine_that_is_not_there_is_unavailable() -> None:
    async with open_engine(["127.0.0.1:1"]) as nowhere:
        assert not await nowhere.ready()
        with pytest.raises(EngineUnavailable):
            await nowhere.infer("sandbox_echo", "1", {"SEED": number(7)[None]}, 10)
    absent = MemoryEngine({})
    absent.available = False
    assert not await absent.ready()
    with pytest.raises(EngineUnavailable):
        await absent.infer("sandbox_echo", "1", {}, 10)


async def test_another_server_serves_while_one_is_away(triton: object, request: pytest.FixtureRequest) -> None:
    urls = request.getfixturevalue("triton").triton_urls
    async with open_engine(["127.0.0.1:1", *urls]) as both:
        assert await both.ready()
        outcomes = []
        for _ in range(6):
            try:
                await both.infer("sandbox_echo", "1", {"SEED": number(7)[None]}, 10)
                outcomes.append(True)
            except EngineUnavailable:
                outcomes.append(False)
    assert all(outcomes)


async def test_a_refused_request_is_permanent(served: TritonEngine) -> None:
    with pytest.raises(PermanentFailure, match="Triton refused the request"):
        await served.infer("sandbox_echo", "1", {"WRONG": number(7)}, 10)


async def test_slow_requests_do_not_wait_for_each_other(served: TritonEngine) -> None:
    began = time.perf_counter()
    await asyncio.gather(*(served.infer("sandbox_cards", "1", {"SECONDS": number(1)}, 10) for _ in range(8)))
    assert 1 <= time.perf_counter() - began < 3


async def test_a_call_that_is_given_up_goes_on_and_harms_nobody(served: TritonEngine) -> None:
    with pytest.raises(TransientFailure, match=r"did not answer within 0\.2 s"):
        await served.infer("sandbox_cards", "1", {"SECONDS": number(1)}, 0.2)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(served.infer("sandbox_cards", "1", {"SECONDS": number(1)}, 10), 0.1)
    assert len(served._in_flight) == 2
    await asyncio.sleep(1.3)
    assert not served._in_flight
    assert await served.ready()


async def test_echo_is_batched_and_quick(served: TritonEngine) -> None:
    seeds = [np.array([[seed]], np.int32) for seed in range(200)]
    began = time.perf_counter()
    answers = await asyncio.gather(*(served.infer("sandbox_echo", "1", {"SEED": seed}, 10) for seed in seeds))
    assert time.perf_counter() - began < 5
    assert [int(answer["PIXELS"][0, 0, 0, 2]) for answer in answers] == list(range(200))


async def test_an_engine_that_dies_under_a_call_has_crashed_and_comes_back(
    servers: Servers, served: TritonEngine
) -> None:
    if not isinstance(servers, LocalServers):
        return  # somebody else's server is not ours to kill
    calls = [asyncio.create_task(served.infer("sandbox_cards", "1", {"SECONDS": number(30)}, 60)) for _ in range(3)]
    await asyncio.sleep(0.5)
    os.kill(servers.pid("triton"), signal.SIGKILL)
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(outcome, EngineCrashed)
    async with asyncio.timeout(90):
        while not await served.ready():
            await asyncio.sleep(0.2)
    answer = await served.infer("sandbox_echo", "1", {"SEED": number(7)[None]}, 10)
    assert answer["PIXELS"].shape == (1, 64, 64, 3)


def test_a_failure_without_a_word_is_transient() -> None:
    assert type(failure_of("Stub process is not healthy")) is TransientFailure
    assert type(failure_of("in model: permanent: too small")) is PermanentFailure
    assert type(failure_of("transient: later")) is TransientFailure
    assert len(failure_of("x" * 5_000).reason) == 300

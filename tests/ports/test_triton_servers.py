"""Crashes, repairs, failover and the quarantine on real Triton servers."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

import numpy as np
import pytest

from infra.postgres.exclusive import PostgresExclusive
from infra.settings import Settings
from infra.triton.client import TritonEngine, open_engine
from infra.triton.coalesce import CoalescingEngine
from infra.triton.connection import Batching, Connection
from infra.triton.engine import EngineCrashed, EngineUnavailable, Tensors
from infra.triton.quarantine import CLAIM, ClaimNotHad, Exclusive, LocalExclusive, TritonQuarantine
from tests.servers import LocalServers, Servers

SEED: Tensors = {"SEED": np.array([[7]], np.int32)}
ATTEMPT: Tensors = {"ATTEMPT": np.array([1], np.int32)}


def seconds(number: int) -> Tensors:
    return {"SECONDS": np.array([number], np.int32)}


@pytest.fixture
async def served(triton: Settings) -> AsyncIterator[TritonEngine]:
    async with open_engine(triton.triton_urls) as opened:
        yield opened


@pytest.fixture
def alone_settings(servers: Servers) -> Settings:
    return servers.need("postgres", "triton", "triton-quarantine")


@pytest.fixture
async def quarantine(alone_settings: Settings) -> AsyncIterator[TritonQuarantine]:
    assert alone_settings.triton_quarantine_url is not None
    exclusive = PostgresExclusive(alone_settings.postgres_dsn)
    made = TritonQuarantine(Connection(alone_settings.triton_quarantine_url), exclusive)
    yield made
    await made.close()


async def test_a_job_that_kills_its_model_leaves_its_neighbours_alone_and_the_model_comes_back(
    served: TritonEngine,
) -> None:
    neighbours = [asyncio.create_task(served.infer("sandbox_cards", "1", seconds(2), 20)) for _ in range(3)]
    await asyncio.sleep(0.1)
    for _ in range(2):
        with pytest.raises(EngineCrashed):
            await served.infer("sandbox_crash", "1", ATTEMPT, 20)
        with pytest.raises(EngineUnavailable):
            await served.infer("sandbox_crash", "1", ATTEMPT, 20)
        assert (await served.infer("sandbox_echo", "1", SEED, 20))["PIXELS"].shape == (1, 64, 64, 3)
        async with asyncio.timeout(20):
            while not served._servers[0].serves("sandbox_crash"):
                await asyncio.sleep(0.1)
    assert all(answer["PIXELS"].shape == (64, 64, 3) for answer in await asyncio.gather(*neighbours))


async def test_with_one_of_two_servers_down_no_call_is_lost(triton: Settings) -> None:
    async with open_engine(["127.0.0.1:1", *triton.triton_urls]) as both:
        answers = await asyncio.gather(*(both.infer("sandbox_echo", "1", SEED, 10) for _ in range(50)))
    assert len(answers) == 50


async def test_what_models_declare_is_read_from_the_server_and_calls_are_joined(served: TritonEngine) -> None:
    assert await served.batching("sandbox_echo", "1") == Batching(32, 1)
    assert (await served.batching("sandbox_cards", "1")).rows_max == 0
    calls = 0
    inner = served.infer

    async def counted(model: str, version: str, inputs: Tensors, timeout_s: float) -> Tensors:
        nonlocal calls
        calls += 1
        return await inner(model, version, inputs, timeout_s)

    served.infer = counted  # type: ignore[method-assign]
    engine = CoalescingEngine(served)
    seeds = [np.array([[seed]], np.int32) for seed in range(200)]
    answers = await asyncio.gather(*(engine.infer("sandbox_echo", "1", {"SEED": seed}, 10) for seed in seeds))
    assert [int(answer["PIXELS"][0, 0, 0, 2]) for answer in answers] == list(range(200))
    assert calls <= 10


async def test_a_suspect_runs_alone_on_a_server_that_has_only_its_model(
    quarantine: TritonQuarantine, alone_settings: Settings
) -> None:
    index = Connection(str(alone_settings.triton_quarantine_url))
    assert await index.loaded() == ()
    async with quarantine.alone("sandbox_echo", 20) as engine:
        assert await index.loaded() == ("sandbox_echo",)
        assert (await engine.infer("sandbox_echo", "1", SEED, 20))["PIXELS"].shape == (1, 64, 64, 3)
    async with quarantine.alone("sandbox_crash", 20) as engine:
        assert await index.loaded() == ("sandbox_crash",)
        with pytest.raises(EngineCrashed):
            await engine.infer("sandbox_crash", "1", ATTEMPT, 20)
    async with quarantine.alone("sandbox_crash", 20) as engine:
        with pytest.raises(EngineCrashed):
            await engine.infer("sandbox_crash", "1", ATTEMPT, 20)
    with pytest.raises(EngineUnavailable) as unavailable:
        async with quarantine.alone("nothing", 20):
            raise AssertionError
    assert unavailable.value.why == "quarantine-away"
    assert await index.loaded() == ()
    await index.close()


async def test_the_quarantine_is_one_callers_at_a_time(quarantine: TritonQuarantine, alone_settings: Settings) -> None:
    exclusive = PostgresExclusive(alone_settings.postgres_dsn)
    async with exclusive.held(f"{CLAIM} {alone_settings.triton_quarantine_url}", 5):
        with pytest.raises(EngineUnavailable) as unavailable:
            async with quarantine.alone("sandbox_echo", 0.5):
                raise AssertionError
    assert unavailable.value.why == "quarantine-busy"


async def test_a_quarantine_that_dies_is_a_crash_and_comes_back(
    servers: Servers, quarantine: TritonQuarantine, alone_settings: Settings
) -> None:
    if not isinstance(servers, LocalServers):
        return  # somebody else's server is not ours to kill
    async with quarantine.alone("sandbox_cards", 20) as engine:
        call = asyncio.create_task(engine.infer("sandbox_cards", "1", seconds(30), 60))
        await asyncio.sleep(0.3)
        os.kill(servers.pid("triton-quarantine"), signal.SIGKILL)
        with pytest.raises(EngineCrashed):
            await call
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            async with quarantine.alone("sandbox_echo", 20) as engine:
                assert await engine.ready()
            return
        except EngineUnavailable:
            await asyncio.sleep(0.2)
    raise AssertionError("the quarantine did not come back")


@pytest.fixture(params=["local", "postgres"])
def exclusive(request: pytest.FixtureRequest) -> Exclusive:
    if request.param == "local":
        return LocalExclusive()
    return PostgresExclusive(request.getfixturevalue("postgres").postgres_dsn)


async def test_a_claim_is_held_by_one_and_free_afterwards(exclusive: Exclusive) -> None:
    inside = most_inside = 0

    async def hold() -> None:
        nonlocal inside, most_inside
        async with exclusive.held("a place", 10):
            inside += 1
            most_inside = max(most_inside, inside)
            await asyncio.sleep(0.01)
            inside -= 1

    await asyncio.gather(*(hold() for _ in range(4)))
    assert most_inside == 1
    async with exclusive.held("a place", 5), exclusive.held("another place", 5):
        with pytest.raises(ClaimNotHad):
            async with exclusive.held("a place", 0.2):
                raise AssertionError
    async with exclusive.held("a place", 5):
        pass


async def test_without_the_database_there_is_no_claim() -> None:
    with pytest.raises(ClaimNotHad):
        async with PostgresExclusive("postgresql://127.0.0.1:1/none").held("a place", 1):
            raise AssertionError

"""Several servers behind one engine, each a fake that answers as it is told."""

import asyncio

import numpy as np
import pytest

from infra.triton.breaker import FAULTS_TO_OPEN
from infra.triton.client import TritonEngine
from infra.triton.connection import Batching, Connection, Faulty, NotControlled
from infra.triton.engine import (
    EngineCrashed,
    EngineError,
    EngineUnavailable,
    PermanentFailure,
    Tensors,
    TransientFailure,
)
from infra.triton.faults import fault_of
from infra.triton.server import Server, weight_of

INPUTS: Tensors = {"SEED": np.zeros((1, 1), np.int32)}
UNCONNECTED = ("StatusCode.UNAVAILABLE", "failed to connect to all addresses; last error: UNKNOWN: 10.0.0.1 refused")
UNKNOWN_MODEL = ("StatusCode.NOT_FOUND", "Request for unknown model: 'm' is not found")
LOST = ("StatusCode.UNAVAILABLE", "Stream removed (Socket closed)")
DEAD = ("StatusCode.INTERNAL", "Stub process 'm_0_1' is not healthy.")


class FakeConnection(Connection):
    """Answers `told`, one after the other and the last for ever; None answers the inputs."""

    def __init__(self, url: str, *told: tuple[str, str] | None) -> None:
        self.url, self.told = url, list(told) or [None]
        self.calls = 0
        self.controlled: list[str] = []
        self.alive = True
        self.gate: asyncio.Event | None = None
        self.refuses_control = False
        self.breaks_off = 0
        self.models = ("m",)

    async def infer(self, model: str, version: str, inputs: Tensors) -> Tensors:
        self.calls += 1
        answer = self.told.pop(0) if len(self.told) > 1 else self.told[0]
        if self.gate is not None:
            await self.gate.wait()
        if answer is not None:
            raise Faulty(fault_of(model, *answer))
        return inputs

    async def live(self) -> bool:
        return self.alive

    async def ready(self) -> bool:
        return self.alive

    async def batching(self, model: str, version: str) -> Batching:
        return Batching(8, 2)

    async def load(self, model: str) -> None:
        await asyncio.sleep(0.01)
        if self.breaks_off:
            self.breaks_off -= 1
            raise NotControlled("Stream removed (Socket closed)")
        self.controlled.append(f"load {model}")

    async def loaded(self) -> tuple[str, ...]:
        return self.models

    async def unload(self, model: str) -> None:
        if self.refuses_control:
            raise NotControlled("explicit model load / unload is not allowed")
        self.controlled.append(f"unload {model}")

    async def close(self) -> None:
        self.calls = -1


class Clock:
    """Seconds that stand still until they are moved."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Cluster:
    """An engine over fakes and their clock."""

    def __init__(self, *connections: FakeConnection) -> None:
        self.clock = Clock()
        self.servers = [Server(connection, self.clock) for connection in connections]
        self.engine = TritonEngine(self.servers)

    async def infer(self, timeout_s: float = 5) -> Tensors:
        return await self.engine.infer("m", "1", INPUTS, timeout_s)


@pytest.mark.parametrize(
    ("status", "message", "kind", "error"),
    [
        (*UNCONNECTED, "unconnected", EngineUnavailable),
        (*UNKNOWN_MODEL, "refused", EngineUnavailable),
        ("StatusCode.UNAVAILABLE", "Exceeds maximum queue size", "refused", EngineUnavailable),
        (*LOST, "lost", EngineCrashed),
        ("StatusCode.UNAVAILABLE", "something that nobody has seen yet", "lost", EngineCrashed),
        ("StatusCode.INTERNAL", "Received RST_STREAM with error code 2", "lost", EngineCrashed),
        (*DEAD, "stub-died", EngineCrashed),
        ("StatusCode.INVALID_ARGUMENT", "wrong shape", "answered", PermanentFailure),
        ("StatusCode.INTERNAL", "in model: permanent: too small", "answered", PermanentFailure),
        ("StatusCode.INTERNAL", "out of luck", "answered", TransientFailure),
    ],
)
def test_every_error_of_triton_has_its_meaning(status: str, message: str, kind: str, error: type[EngineError]) -> None:
    fault = fault_of("m", status, message)
    assert fault.kind == kind
    assert type(fault.error) is error
    assert "10.0.0.1" not in fault.error.reason or kind == "answered"


async def test_calls_go_where_least_is_under_way() -> None:
    busy, idle = FakeConnection("busy"), FakeConnection("idle")
    cluster = Cluster(busy, idle)
    busy.gate = asyncio.Event()
    large: Tensors = {"SEED": np.zeros((8 << 20,), np.uint8)}
    held = asyncio.create_task(cluster.engine.infer("m", "1", large, 5))
    await asyncio.sleep(0)
    for _ in range(6):
        await cluster.infer()
    assert (busy.calls, idle.calls) == (1, 6)
    busy.gate.set()
    await held
    for _ in range(6):
        await cluster.infer()
    assert (busy.calls, idle.calls) == (4, 9)
    assert weight_of(large) == 9.0


async def test_a_call_that_was_never_accepted_goes_to_the_next_server() -> None:
    for refusal in (UNCONNECTED, UNKNOWN_MODEL):
        away, there = FakeConnection("away", refusal), FakeConnection("there")
        cluster = Cluster(away, there)
        for _ in range(5):
            assert await cluster.infer() == INPUTS
        assert (away.calls, there.calls) == (1, 5)


@pytest.mark.parametrize("fault", [LOST, DEAD])
async def test_a_call_that_may_have_begun_is_never_sent_twice(fault: tuple[str, str]) -> None:
    first, second = FakeConnection("first", fault), FakeConnection("second")
    cluster = Cluster(first, second)
    with pytest.raises(EngineCrashed):
        await cluster.infer()
    assert (first.calls, second.calls) == (1, 0)
    assert await cluster.infer() == INPUTS
    assert (first.calls, second.calls) == (1, 1)


async def test_nobody_left_says_why() -> None:
    away = Cluster(FakeConnection("away", UNCONNECTED))
    for _ in range(2):
        with pytest.raises(EngineUnavailable) as unavailable:
            await away.infer()
        assert unavailable.value.why == "unreachable"
    strange = Cluster(FakeConnection("strange", UNKNOWN_MODEL))
    with pytest.raises(EngineUnavailable) as unavailable:
        await strange.infer()
    assert unavailable.value.why == "not-served"
    with pytest.raises(EngineUnavailable) as unavailable:
        await strange.infer()
    assert unavailable.value.why == "breaker-open"


async def test_a_server_that_is_back_is_found_by_the_probes() -> None:
    connection = FakeConnection("away", UNCONNECTED, None)
    cluster = Cluster(connection)
    with pytest.raises(EngineUnavailable):
        await cluster.infer()
    watching = asyncio.create_task(cluster.engine.watch())
    await asyncio.sleep(0.01)
    assert await cluster.infer() == INPUTS
    connection.alive = False
    cluster.servers[0].reachable = True
    await cluster.servers[0].look()
    assert not cluster.servers[0].serves("m")
    watching.cancel()


async def test_a_breaker_opens_for_its_model_alone_and_half_opens_by_time() -> None:
    connection = FakeConnection("one")
    cluster = Cluster(connection)
    connection.gate = asyncio.Event()
    for _ in range(FAULTS_TO_OPEN):
        with pytest.raises(TransientFailure, match="did not answer"):
            await cluster.infer(timeout_s=0.01)
    with pytest.raises(EngineUnavailable):
        await cluster.infer()
    assert connection.calls == FAULTS_TO_OPEN
    connection.gate.set()
    connection.gate = None
    assert await cluster.engine.infer("other", "1", INPUTS, 5) == INPUTS
    await asyncio.sleep(0)
    cluster.clock.now_s += 1
    assert await cluster.infer() == INPUTS


async def test_a_dead_instance_has_its_model_loaded_anew_and_blames_nobody_after_its_first() -> None:
    connection = FakeConnection("one", DEAD, None)
    cluster = Cluster(connection)
    server = cluster.servers[0]
    with pytest.raises(EngineCrashed):
        await cluster.infer()
    assert not server.serves("m")
    await asyncio.sleep(0.05)
    assert connection.controlled == ["unload m", "load m"]
    assert await cluster.infer() == INPUTS

    connection.refuses_control = True
    connection.told = [DEAD]
    with pytest.raises(EngineCrashed):
        await cluster.infer()
    for _ in range(3):
        cluster.clock.now_s += 20
        await asyncio.sleep(0)
        with pytest.raises(EngineUnavailable) as unavailable:
            await cluster.infer()
        assert unavailable.value.why == "instance-dead"


async def test_a_repair_that_the_server_broke_off_is_tried_again() -> None:
    dying = FakeConnection("dying", DEAD)
    dying.breaks_off = 1
    cluster = Cluster(dying)
    with pytest.raises(EngineCrashed):
        await cluster.infer()
    await asyncio.sleep(0.05)
    assert dying.controlled == ["unload m"]
    cluster.clock.now_s += 5
    with pytest.raises(EngineUnavailable):
        await cluster.infer()
    await asyncio.sleep(0.05)
    assert dying.controlled == ["unload m", "unload m", "load m"]


async def test_a_model_that_stays_away_is_looked_up_and_loaded_where_it_is_missing() -> None:
    for models, controlled in ((("other",), ["load m"]), (("m",), [])):
        unloaded = FakeConnection("unloaded", UNKNOWN_MODEL)
        unloaded.models = models
        cluster = Cluster(unloaded)
        for _ in range(4):
            with pytest.raises(EngineUnavailable):
                await cluster.infer()
            cluster.clock.now_s += 30
        await asyncio.sleep(0.05)
        assert unloaded.controlled == controlled


async def test_batching_is_the_least_that_all_servers_declare_and_closing_closes_all() -> None:
    connections = [FakeConnection("one"), FakeConnection("two")]
    cluster = Cluster(*connections)
    assert await cluster.engine.batching("m", "1") == Batching(8, 4)
    assert await cluster.engine.ready()
    await cluster.engine.close(0.1)
    assert [connection.calls for connection in connections] == [-1, -1]
    away = Cluster(FakeConnection("away", UNCONNECTED))
    away.servers[0].reachable = False
    assert await away.engine.batching("m", "1") == Batching()

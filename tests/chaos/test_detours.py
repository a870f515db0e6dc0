"""The detours themselves: what they do to TCP, HTTP and gRPC is what the table says, and counted as it is."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc  # type: ignore[import-untyped]
import httpx
import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from infra.failpoints import STEPS
from tests.chaos.arena import Arena
from tests.chaos.failpoint_steps import every_visit, steps_with_ways
from tests.chaos.faults import servers
from tests.chaos.faults.grpc_detour import INFER, GrpcDetour, meddled
from tests.chaos.faults.http_detour import HttpDetour
from tests.chaos.faults.servers import Meddler, Meddling, server_faults
from tests.chaos.faults.tcp_detour import TcpDetour, closed

DRAW = random.Random(1)
BODY = bytes(range(200))
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def before(detour: Meddler, serve: Serve) -> AsyncIterator[int]:
    """The port of the detour before a server."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    upstream: int = server.sockets[0].getsockname()[1]
    port = await detour.open(lambda: upstream)
    try:
        yield port
    finally:
        await detour.close()
        server.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(1000):
        writer.write(piece)
    await closed(writer)


async def store(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    writer.write(b'HTTP/1.1 200 OK\r\nETag: "abc"\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n')
    if not head.startswith(b"HEAD"):
        writer.write(b"c8\r\n" + BODY + b"\r\n0\r\n\r\n")
    await closed(writer)


def test_every_step_has_a_way_and_every_failpoint_is_visited_by_a_kill_and_a_failure() -> None:
    names = [name for step in STEPS for name in step.failpoints]
    assert steps_with_ways() == {step.name for step in STEPS}
    visited = [(visit.failpoint, visit.action) for visit in every_visit()]
    assert sorted(visited) == sorted((name, action) for name in names for action in ("kill", "raise"))


def test_faults_of_one_server_share_its_detour() -> None:
    detours = {id(fault.detour) for fault in server_faults()}
    servers = {fault.detour.server for fault in server_faults() if fault.detour is not None}
    assert (len(detours), servers) == (3, {"postgres", "s3", "triton"})


async def test_faults_that_share_a_detour_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "_LASTS_S", (0.01, 0.02))
    detour = HttpDetour()
    away, false = (Meddling(name, (name,), detour, "bad answers") for name in ("503", "wrong-etag"))
    async with before(detour, store) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        arena = cast(Arena, None)  # a detour needs none
        striking = asyncio.gather(*(fault.strike(arena, Always()) for fault in (away, false)))
        while not striking.done():
            await client.get("/object")
        struck = [set(one.counts) for one in await striking]
    assert struck == [{"answers 503"}, {"ETags falsified"}]


async def test_tcp_is_refused_cut_in_the_middle_of_an_answer_and_passed() -> None:
    detour = TcpDetour("postgres")
    async with before(detour, echo) as port:

        async def told(said: bytes) -> bytes:
            """What comes back until the connection ends or all is there."""
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(said)
                return await reader.readexactly(len(said))
            except asyncio.IncompleteReadError as error:
                return error.partial
            except ConnectionResetError:
                return b""
            finally:
                await closed(writer)

        assert await told(b"12345678") == b"12345678"
        await detour.begin("cut", DRAW)
        assert await told(b"12345678") == b"1234"
        await detour.begin("refuse", DRAW)
        assert await told(b"12345678") == b""
        assert detour.taken() == {"statements cut off": 1, "connections refused": 1}
        detour.end()
        assert await told(b"12345678") == b"12345678"
        assert detour.taken() == {}


class Always(random.Random):
    """Draws the last of each."""

    def choice(self, seq: Any) -> Any:
        return seq[-1]


async def test_http_answers_are_refused_cut_short_and_falsified() -> None:
    detour = HttpDetour()
    async with before(detour, store) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        plain = await client.get("/object")
        assert (plain.content, plain.headers["etag"]) == (BODY, '"abc"')
        await detour.begin("503", Always())
        assert (await client.put("/object", content=b"x")).status_code == 503
        await detour.begin("wrong-bytes", Always())
        false = (await client.get("/object")).content
        assert (len(false), sum(a != b for a, b in zip(false, BODY, strict=True))) == (len(BODY), 1)
        await detour.begin("wrong-etag", Always())
        assert (await client.head("/object")).headers["etag"] == '"0"'
        await detour.begin("truncate", Always())
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/object")
        detour.end()
        assert (await client.get("/object")).content == BODY
        assert detour.taken() == {
            "answers 503": 1,
            "bodies falsified": 1,
            "ETags falsified": 1,
            "bodies truncated": 1,
        }


def answer() -> bytes:
    """What a model tells, of three axes."""
    message: Any = service_pb2.ModelInferResponse(model_name="m")
    output = message.outputs.add()
    output.name, output.datatype = "PIXELS", "UINT8"
    output.shape.extend([3, 3, 2])
    message.raw_output_contents.append(bytes(18))
    return bytes(message.SerializeToString())


def test_answers_of_engines_are_made_unfit() -> None:
    def told(manner: Any) -> Any:
        return service_pb2.ModelInferResponse.FromString(meddled(answer(), manner))

    nan = told("nan")
    assert nan.outputs[0].datatype == "FP32"
    assert np.isnan(np.frombuffer(nan.raw_output_contents[0], np.float32)).sum() == 18
    assert list(told("wrong-shape").outputs[0].shape) == [3, 2, 3]
    assert len(told("short-bytes").raw_output_contents[0]) == 9
    assert list(told("no-output").outputs) == []


async def test_calls_pass_through_are_unavailable_and_fall_into_a_hole() -> None:
    server = grpc.aio.server()

    class Infer(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, details: Any) -> Any:
            async def handle(_: bytes, __: Any) -> bytes:
                return answer()

            return grpc.unary_unary_rpc_method_handler(handle)

    server.add_generic_rpc_handlers((Infer(),))
    upstream = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    detour = GrpcDetour()
    port = await detour.open(lambda: upstream)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(INFER)
        assert await call(b"") == answer()
        await detour.begin("unavailable", random.Random(1))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(b"")
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
        await detour.begin("nan", random.Random(1))
        assert await call(b"") == meddled(answer(), "nan")
        await detour.begin("black-hole", random.Random(1))
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await call(b"", timeout=0.3)
        assert late.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        detour.end()
        assert await call(b"") == answer()
    assert detour.taken() == {"inferences unavailable": 1, "answers nan": 1, "inferences never answered": 1}
    await detour.close()
    await server.stop(None)

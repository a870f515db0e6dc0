"""Limits below the application, on a real socket: heads that are too long, too slow, or none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from infra.http import protocol
from infra.http.protocol import LimitedProtocol

PIECES = [bytes([number % 251]) * size for number, size in enumerate([1, 700, 20_000, 300_000] * 20)]


class _Quiet(uvicorn.Server):
    def install_signal_handlers(self) -> None:
        return


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/refuse":  # without a look at the body, and the connection ends
        headers = [(b"content-length", b"2"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 400, "headers": headers})
        await send({"type": "http.response.body", "body": b"no"})
        return
    if scope["path"] == "/pieces":  # of all sizes, with turns of the loop in between, and the connection ends
        headers = [(b"content-length", b"%d" % len(b"".join(PIECES))), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for number, piece in enumerate(PIECES):
            await send({"type": "http.response.body", "body": piece, "more_body": number < len(PIECES) - 1})
            if number % 7 == 0:
                await asyncio.sleep(0)
        return
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    config = uvicorn.Config(_echo, port=0, http=LimitedProtocol, lifespan="off", log_config=None, log_level="warning")
    server = _Quiet(config)
    task = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await task


async def _send(port: int, data: bytes, then: bytes = b"") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        await writer.drain()
        if then:
            await asyncio.sleep(0.05)
            writer.write(then)
        return await asyncio.wait_for(reader.read(8000), 5)
    finally:
        writer.close()


GOOD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
MANY = b"GET / HTTP/1.1\r\n" + b"".join(b"x-%d: 1\r\n" % number for number in range(150)) + b"\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (GOOD, 204),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"x-%d: %s\r\n" % (i, b"a" * 900) for i in range(20)) + b"\r\n", 431),
        (MANY, 431),
        (b"GET / HTTP/1.1\r\nx: " + b"a" * 60_000, 431),
        (b"nonsense\r\n\r\n", 400),
    ],
)
async def test_heads_have_limits(port: int, data: bytes, status: int) -> None:
    answer = await _send(port, data)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    if status != 204:
        assert b"application/problem+json" in answer
        assert b"connection: close" in answer


async def test_a_head_that_comes_in_pieces_is_read_and_one_that_stops_is_not_waited_for(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await _send(port, GOOD[:9], GOOD[9:])).startswith(b"HTTP/1.1 204 ")
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.1)
    assert (await _send(port, GOOD[:9])).startswith(b"HTTP/1.1 408 ")


async def test_a_second_request_on_the_connection_has_its_own_limits(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(3):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nx: " + b"a" * 7000 + b"\r\n\r\n")
        assert b" 204 " in await asyncio.wait_for(reader.read(8000), 5)
    writer.close()


async def _sent_whole(port: int, size: int) -> bytes:
    """What a client reads that first sends all of its body, as most do."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(0, size, 1 << 20):
            writer.write(bytes(1 << 20))
            await writer.drain()
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


async def test_an_answer_that_ends_the_connection_is_read_by_who_still_sends(port: int) -> None:
    answer = await _sent_whole(port, 24 << 20)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b"\r\n\r\nno"), "one answer, then the end"
    assert (await _send(port, b"POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n" + GOOD)).endswith(b"no")


@pytest.mark.parametrize(("name", "value"), [("LINGER_BYTES_MAX", 1 << 20), ("LINGER_S", 0.05)])
async def test_nobody_is_read_over_for_ever(
    port: int, name: str, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, name, value)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n")
    with pytest.raises(ConnectionError):
        await _send_on(writer)
    writer.close()


async def _send_on(writer: asyncio.StreamWriter) -> None:
    for _ in range(500):
        writer.write(bytes(1 << 20))
        await writer.drain()
        await asyncio.sleep(0.001)


async def test_pieces_of_an_answer_come_whole_and_in_their_order(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /pieces HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(10):
        answer = await reader.read()
    assert answer.partition(b"\r\n\r\n")[2] == b"".join(PIECES)
    writer.close()


@pytest.mark.parametrize("then", [b"nonsense\r\n\r\n", MANY])
async def test_an_answer_goes_before_the_refusal_of_what_came_behind_it(port: int, then: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(GOOD)
    async with asyncio.timeout(5):
        assert b" 204 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(then)
        assert (await reader.read()).count(b"HTTP/1.1 4") == 1
    writer.close()


class _Socket(asyncio.Transport):
    """A transport that keeps what each system call would send."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.sent.append(b"".join(list_of_data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(("path", "status"), [(b"/", b"204"), (b"/refuse", b"400")])
async def test_head_and_body_leave_in_one_system_call(path: bytes, status: bytes) -> None:
    config = uvicorn.Config(_echo, http=LimitedProtocol, lifespan="off", log_config=None)
    config.load()
    connection, socket = LimitedProtocol(config, ServerState(), {}), _Socket()
    connection.connection_made(socket)
    connection.data_received(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(5):
        while not socket.sent:
            await asyncio.sleep(0)
    (answer,) = socket.sent
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert answer.endswith(b"\r\n\r\nno" if path == b"/refuse" else b"\r\n\r\n")
    connection.connection_lost(None)

"""Servers that send without end, drip, are silent, or are no web servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from infra.remote.fetch import GuardedFetcher, Patience, RemoteRefused
from tests.unit.remote.server import Network, WebServer, web_server
from tests.unit.remote.test_fetch import BODY, PUBLIC, fetched, fetcher


@pytest.fixture
async def server() -> AsyncIterator[WebServer]:
    async with web_server() as made:
        made.says("/a", BODY)
        yield made


async def test_too_many_bytes_are_refused_declared_or_not(server: WebServer) -> None:
    guarded, _ = fetcher(server)
    sent = 0

    async def endless(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(bytes(65_536))
            sent += 65_536
            await writer.drain()

    server.answers["/endless"] = endless
    with pytest.raises(RemoteRefused, match="more than 300000 bytes"):
        await fetched(guarded, "http://a.example/endless", 300_000)
    assert sent < 30 << 20
    with pytest.raises(RemoteRefused, match="more than 1000 bytes"):
        await fetched(guarded, "http://a.example/a", 1_000)
    assert len(await fetched(guarded, "http://a.example/a", len(BODY))) == len(BODY)


async def test_a_server_that_drips_is_left_in_time(server: WebServer) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async def silent(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(10)

    server.answers.update({"/drip": drip, "/silent": silent})
    guarded, _ = fetcher(server)
    for path in ("/drip", "/silent"):
        async with asyncio.timeout(4):
            with pytest.raises(RemoteRefused, match="too long"):
                await fetched(guarded, f"http://a.example{path}")


async def test_a_name_server_that_is_silent_is_left_in_time(server: WebServer) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        await asyncio.sleep(10)
        return [PUBLIC]

    guarded = GuardedFetcher(patience=Patience(0.1, 1.0), resolve=resolve, backend=Network(server.port))
    with pytest.raises(RemoteRefused):
        await fetched(guarded, "http://a.example/a")


async def test_what_is_no_plain_200_is_refused(server: WebServer) -> None:
    guarded, _ = fetcher(server)
    server.says("/gone", b"no", "404 Not Found")
    server.says("/packed", BODY, Content_Encoding="gzip")

    async def nonsense(writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")

    async def cut(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")

    server.answers.update({"/mail": nonsense, "/cut": cut})
    for path in ("/gone", "/packed", "/mail", "/cut"):
        with pytest.raises(RemoteRefused):
            await fetched(guarded, f"http://a.example{path}")


async def test_a_fetch_that_is_left_early_closes_its_connection(server: WebServer) -> None:
    closed = asyncio.Event()

    async def slow(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nabc")
        await writer.drain()
        try:
            while True:
                writer.write(bytes(65_536))
                await writer.drain()
                await asyncio.sleep(0.01)
        finally:
            closed.set()

    server.answers["/slow"] = slow
    guarded, _ = fetcher(server)
    chunks = guarded.chunks("http://a.example/slow", 1 << 30)
    await anext(chunks)
    await chunks.aclose()
    async with asyncio.timeout(2):
        await closed.wait()

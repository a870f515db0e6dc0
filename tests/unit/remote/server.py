"""A small web server that says what a test wants, and a network that leads public addresses to it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

import httpcore

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


class WebServer:
    """Answers by path; `heads` are the requests' heads."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answers: dict[str, Answer] = {}
        self.heads: list[str] = []

    def says(self, path: str, body: bytes, status: str = "200 OK", **headers: str) -> None:
        """A whole answer; header names have underscores for dashes."""

        async def answer(writer: asyncio.StreamWriter) -> None:
            named = {"Content_Length": str(len(body)), **headers}
            lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in named.items())
            writer.write(f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body)
            await writer.drain()

        self.answers[path] = answer

    def redirects(self, path: str, to: str) -> None:
        self.says(path, b"", "302 Found", Location=to)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            await self.answers[head.split(" ")[1]](writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has left
        finally:
            writer.close()


@asynccontextmanager
async def web_server(tls: ssl.SSLContext | None = None) -> AsyncIterator[WebServer]:
    """A server on a port of its own."""
    made = WebServer(0)
    listening = await asyncio.start_server(made._serve, "127.0.0.1", 0, ssl=tls)
    made.port = listening.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        listening.close()


class Network(httpcore.AnyIOBackend):
    """Leads every address to one server and notes which address was asked for."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.asked: list[tuple[str, int]] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.asked.append((host, port))
        return await super().connect_tcp("127.0.0.1", self.port, timeout)

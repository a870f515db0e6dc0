"""What the supervisor knows of a component: how to start it, how to ask for its health, what it may use."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from infra.local.process import Command


async def nothing() -> None:
    """The hook that does nothing."""


@dataclass(frozen=True)
class Component:
    """One supervised child.

    ``command`` is asked before each start, so that it may prepare files and name the current ports.
    ``healthy`` answers within two seconds and never raises. ``when_healthy`` runs after each start, before those
    that come ``after`` this one may start; its failure counts as a failed start. ``on_death`` runs after each
    unasked exit, before the restart.
    """

    name: str
    endpoint: str
    command: Callable[[], Awaitable[Command]]
    healthy: Callable[[], Awaitable[bool]]
    memory_cap_bytes: int
    after: tuple[str, ...] = ()
    when_healthy: Callable[[], Awaitable[None]] = nothing
    on_death: Callable[[], Awaitable[None]] = nothing
    on_stop: Callable[[], None] = field(default=lambda: None)
    start_limit_s: float = 120.0
    stop_limit_s: float = 10.0
    stop_signal: signal.Signals = signal.SIGTERM


async def http_ok(host: str, port: int, path: str) -> bool:
    """Whether a GET answers with a status below 400."""
    return await _ask(host, port, f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode(), _status_is_good)


async def http_answers(host: str, port: int) -> bool:
    """Whether anything that speaks HTTP listens there."""
    return await _ask(host, port, f"GET / HTTP/1.0\r\nHost: {host}\r\n\r\n".encode(), lambda b: b.startswith(b"HTTP/"))


async def listens(host: str, port: int) -> bool:
    """Whether a port takes connections, which the kernel does also for a process that gets no turn for a while."""
    try:
        async with asyncio.timeout(2.0):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            return True
    except (OSError, TimeoutError):
        return False


async def kafka_answers(host: str, port: int) -> bool:
    """Whether a broker answers ApiVersions (request version 0) without an error."""
    request = b"\x00\x12\x00\x00\x00\x00\x00\x01\x00\x08darkroom"
    return await _ask(host, port, len(request).to_bytes(4, "big") + request, lambda b: b[4:10] == b"\0\0\0\1\0\0")


async def postgres_answers(host: str, port: int) -> bool:
    """Whether PostgreSQL takes sessions: its answer to a nameless start-up is an error other than "starting up"."""
    body = b"\x00\x03\x00\x00user\x00health\x00database\x00health\x00\x00"
    return await _ask(
        host, port, (len(body) + 4).to_bytes(4, "big") + body, lambda b: b[:1] in (b"R", b"E") and b"57P03" not in b
    )


def _status_is_good(answer: bytes) -> bool:
    parts = answer.split(b" ", 2)
    return len(parts) > 1 and parts[1][:1] in (b"2", b"3")


async def _ask(host: str, port: int, request: bytes, good: Callable[[bytes], bool], limit_s: float = 2.0) -> bool:
    try:
        async with asyncio.timeout(limit_s):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request)
                return good(await reader.read(512))
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False

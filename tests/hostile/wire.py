"""Bytes to the gateway as no HTTP library would send them, and what comes back, byte by byte."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import NamedTuple

from tests.stack import Stack

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
_READ_LIMIT_S = 60.0


class Told(NamedTuple):
    """Everything that came until the server closed or the time was over."""

    content: bytes
    closed: bool

    @property
    def statuses(self) -> list[int]:
        """The status of each answer, in order."""
        return [int(found) for found in _STATUS.findall(self.content)]


@asynccontextmanager
async def connected(stack: Stack) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection of one's own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        try:
            await writer.wait_closed()
        except OSError:
            pass  # the server has reset it


async def sent(stack: Stack, content: bytes, *, limit_s: float = _READ_LIMIT_S, ends: bool = False) -> Told:
    """Send the bytes and read until the server closes; with `ends` our half is closed first."""
    async with connected(stack) as (reader, writer):
        try:
            writer.write(content)
            await writer.drain()
            if ends:
                writer.write_eof()
        except OSError:
            pass  # it has heard enough
        return await read(reader, limit_s)


async def read(reader: asyncio.StreamReader, limit_s: float) -> Told:
    """What comes until the end or the limit."""
    pieces: list[bytes] = []
    try:
        async with asyncio.timeout(limit_s):
            while piece := await reader.read(65_536):
                pieces.append(piece)
        return Told(b"".join(pieces), True)
    except ConnectionResetError:
        return Told(b"".join(pieces), True)
    except TimeoutError:
        return Told(b"".join(pieces), False)


def head(method: str, target: str | bytes, headers: Iterable[tuple[str, str]] = (), *, host: str = "h") -> bytes:
    """A request's head with `Connection: close`."""
    line = target if isinstance(target, bytes) else target.encode("latin-1")
    lines = [method.encode() + b" " + line + b" HTTP/1.1", b"Host: " + host.encode(), b"Connection: close"]
    lines += [f"{name}: {value}".encode("latin-1") for name, value in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"

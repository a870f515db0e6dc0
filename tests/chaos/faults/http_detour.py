"""A proxy that understands HTTP/1.1 as far as S3 needs it, and meddles with answers: the detour to the object store.

A request is read whole and then relayed on a connection of its own, so an answer can be replaced before anything
of it is sent. The host that was signed is relayed as it came, so signatures stay good.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

from tests.chaos.faults.tcp_detour import closed

_HOST = "127.0.0.1"
_HEAD_BYTES_MAX = 64 << 10
_BODYLESS = (204, 304)

Manner = Literal["pass", "503", "truncate", "wrong-bytes", "wrong-etag", "slow"]


@dataclass(frozen=True)
class Message:
    """A request or an answer: its first line, its headers as they came, and its body."""

    first: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header, in any case of letters."""
        return next((value for found, value in self.headers if found.lower() == name), None)

    def bytes(self, length: int | None = None) -> bytes:
        """As it goes over the wire; `length` is what is promised of the body instead of what there is."""
        told = [(n, v) for n, v in self.headers if n.lower() not in ("transfer-encoding", "content-length", "expect")]
        told.append(("Content-Length", str(len(self.body) if length is None else length)))
        lines = [self.first, *(f"{name}: {value}" for name, value in told)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


class HttpDetour:
    """Relays to the object store; `manner` says how answers come back, all or half of them; `met` counts those."""

    server = "s3"

    def __init__(self, seed: int = 0) -> None:
        self.manner: Manner = "pass"
        self._share, self._slow_s = 1.0, 1.0
        self.met: Counter[str] = Counter()
        self.turns = asyncio.Lock()
        self._draw = random.Random(seed)
        self._listening: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._upstream: Callable[[], int] = lambda: 0

    async def open(self, upstream: Callable[[], int]) -> int:
        """See `tests.chaos.faults.fault.Detour.open`."""
        self._upstream = upstream
        self._listening = await asyncio.start_server(self._accept, _HOST, 0, limit=_HEAD_BYTES_MAX)
        port: int = self._listening.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Let go of every connection."""
        assert self._listening is not None
        self._listening.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def begin(self, manner: str, draw: random.Random) -> None:
        """See `tests.chaos.faults.servers.Meddler`."""
        self._slow_s, self._share = draw.uniform(0.5, 3.0), draw.choice((0.5, 1.0))
        self.manner = cast(Manner, manner)

    def end(self) -> None:
        """See `tests.chaos.faults.servers.Meddler`."""
        self.manner = "pass"

    def taken(self) -> dict[str, int]:
        """What was met since the last call."""
        met, self.met = self.met, Counter()
        return dict(met)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            while (request := await _request(reader, writer)) is not None:
                if not await self._answered(request, writer):
                    return
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # a connection that ends, whoever ended it
        finally:
            await closed(writer)

    async def _answered(self, request: Message, writer: asyncio.StreamWriter) -> bool:
        """Relay the request and give its answer, meddled with or not; False where the connection has to end."""
        method = request.first.partition(" ")[0]
        manner = self.manner if self._draw.random() < self._share else "pass"
        if manner == "503":
            self.met["answers 503"] += 1
            writer.write(_UNAVAILABLE.bytes())
            await writer.drain()
            return True
        if manner == "slow":
            self.met["answers slowed down"] += 1
            await asyncio.sleep(self._slow_s)
        answer, length = await self._relayed(request, method)
        if manner == "truncate" and method == "GET" and len(answer.body) > 1:
            self.met["bodies truncated"] += 1
            writer.write(answer.bytes()[: -(len(answer.body) // 2)])
            await writer.drain()
            return False
        writer.write(self._meddled(answer, method, manner).bytes(length))
        await writer.drain()
        return True

    def _meddled(self, answer: Message, method: str, manner: Manner) -> Message:
        if manner == "wrong-bytes" and method == "GET" and answer.body and _is_object(answer):
            self.met["bodies falsified"] += 1
            middle = len(answer.body) // 2
            body = answer.body[:middle] + bytes([answer.body[middle] ^ 1]) + answer.body[middle + 1 :]
            return Message(answer.first, answer.headers, body)
        if manner == "wrong-etag" and answer.header("etag") is not None:
            self.met["ETags falsified"] += 1
            headers = tuple((n, '"0"' if n.lower() == "etag" else v) for n, v in answer.headers)
            return Message(answer.first, headers, answer.body)
        return answer

    async def _relayed(self, request: Message, method: str) -> tuple[Message, int | None]:
        """The store's answer, and the length that it tells of a body that does not come."""
        reader, writer = await asyncio.open_connection(_HOST, self._upstream(), limit=_HEAD_BYTES_MAX)
        try:
            writer.write(request.bytes())
            await writer.drain()
            while True:
                first, headers = await _head(reader)
                status = int(first.split(" ")[1])
                if status >= 200:
                    break
            head = Message(first, headers, b"")
            if method == "HEAD" or status in _BODYLESS:
                return head, int(head.header("content-length") or 0)
            return Message(first, headers, await _body(reader, head, to_end=True)), None
        finally:
            await closed(writer)


_UNAVAILABLE = Message(
    "HTTP/1.1 503 Service Unavailable",
    (("Content-Type", "application/xml"),),
    b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>",
)


def _is_object(answer: Message) -> bool:
    """Bytes of an object, not a listing."""
    return answer.header("content-type") != "application/xml"


async def _request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Message | None:
    """The next request with its whole body; None where the connection has ended."""
    try:
        first, headers = await _head(reader)
    except asyncio.IncompleteReadError:
        return None
    head = Message(first, headers, b"")
    if head.header("expect") is not None:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
    return Message(first, headers, await _body(reader, head, to_end=False))


async def _head(reader: asyncio.StreamReader) -> tuple[str, tuple[tuple[str, str], ...]]:
    text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = text.removesuffix("\r\n\r\n").split("\r\n")
    parted = (line.partition(":") for line in lines)
    return first, tuple((name, value.strip()) for name, _, value in parted)


async def _body(reader: asyncio.StreamReader, head: Message, *, to_end: bool) -> bytes:
    if (head.header("transfer-encoding") or "").lower() == "chunked":
        body = bytearray()
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
        return bytes(body)
    length = head.header("content-length")
    if length is None:
        return await reader.read() if to_end else b""
    return await reader.readexactly(int(length))

"""A TCP proxy that can refuse, cut and slow down: the detour to PostgreSQL, and the ground of others."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Literal, cast

_HOST = "127.0.0.1"
_CHUNK_BYTES = 64 << 10

Manner = Literal["pass", "refuse", "cut", "slow"]


class TcpDetour:
    """Relays to ``server``; `manner` says how, `met` counts what was done to whom since it was last taken.

    ``refuse`` closes every connection and lets no new one in. ``cut`` lets the first half of the next answer pass and
    then closes, so that a statement that was sent has an outcome that nobody was told. ``slow`` holds each piece.
    """

    def __init__(self, server: str) -> None:
        self.server = server
        self.manner: Manner = "pass"
        self._slow_s = 0.5
        self.met: Counter[str] = Counter()
        self.turns = asyncio.Lock()
        self._listening: asyncio.Server | None = None
        self._relays: set[asyncio.Task[None]] = set()
        self._upstream: Callable[[], int] = lambda: 0

    async def open(self, upstream: Callable[[], int]) -> int:
        """See `tests.chaos.faults.fault.Detour.open`."""
        self._upstream = upstream
        self._listening = await asyncio.start_server(self._accept, _HOST, 0)
        port: int = self._listening.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Let go of every connection."""
        assert self._listening is not None
        self._listening.close()
        await self._cut_all()

    async def begin(self, manner: str, draw: random.Random) -> None:
        """See `tests.chaos.faults.servers.Meddler`."""
        self._slow_s = draw.uniform(0.1, 0.6)
        self.manner = cast(Manner, manner)
        if manner == "refuse":
            await self._cut_all()

    def end(self) -> None:
        """See `tests.chaos.faults.servers.Meddler`."""
        self.manner = "pass"

    async def _cut_all(self) -> None:
        """Close what is open."""
        relays = [task for task in self._relays if not task.done()]
        for task in relays:
            task.cancel()
        await asyncio.gather(*relays, return_exceptions=True)

    def taken(self) -> dict[str, int]:
        """What was met since the last call."""
        met, self.met = self.met, Counter()
        return dict(met)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._relays.add(task)
        task.add_done_callback(self._relays.discard)
        try:
            if self.manner == "refuse":
                self.met["connections refused"] += 1
                return
            await self._relayed(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # a connection that ends, whoever ended it
        finally:
            await closed(writer)

    async def _relayed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(_HOST, self._upstream())
        asked = asyncio.Event()
        ways = [
            asyncio.create_task(self._asks(reader, upstream_writer, asked)),
            asyncio.create_task(self._answers(upstream_reader, writer, asked)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            await closed(upstream_writer)

    async def _asks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: asyncio.Event) -> None:
        while piece := await reader.read(_CHUNK_BYTES):
            if self.manner == "slow":
                self.met["statements slowed down"] += 1
                await asyncio.sleep(self._slow_s)
            writer.write(piece)
            await writer.drain()
            asked.set()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: asyncio.Event) -> None:
        while piece := await reader.read(_CHUNK_BYTES):
            if self.manner == "cut" and asked.is_set():
                self.met["statements cut off"] += 1
                writer.write(piece[: len(piece) // 2])
                await writer.drain()
                return
            asked.clear()
            writer.write(piece)
            await writer.drain()


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close a connection that may be broken already."""
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()

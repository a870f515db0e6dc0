"""How far the read models are, known without asking: a map that notices of the projector keep current.

Theory of operation. One connection of its own LISTENs. After LISTEN the table of positions is read once, so nothing is
missed between the two; from then on each notice moves the map and wakes whoever waits for less. A notice can only be
lost together with its connection: the table is read again every second, which finds a dead connection too, and a new
connection begins with the whole table. What the table says replaces the map, because a database that was made anew is
behind where the old one was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

import asyncpg

from infra.logs import get_logger
from infra.postgres.pool import UNAVAILABLE
from infra.postgres.positions import CHANNEL, parse_notice, reached_positions
from schemas.positions import Position

_CHECK_EVERY_S = 1.0
_ANSWER_WITHIN_S = 3.0
_RETRY_S = 0.2
_log = get_logger(__name__)

Source = tuple[int, int]


class Progress(Protocol):
    """What reads ask before they read."""

    def has_reached(self, partition: int, source: Source) -> bool:
        """Whether the command (offset, index) of the partition is applied in all read models."""
        ...

    async def wait(self, partition: int, source: Source, timeout_s: float) -> bool:
        """The same after at most `timeout_s`."""
        ...


class Reached:
    """The map, and those who wait on it. Only whole commands are ever announced, so ordinals do not matter."""

    def __init__(self) -> None:
        self._sources: dict[int, Source] = {}
        self._waiting: dict[int, list[tuple[Source, asyncio.Future[None]]]] = {}

    def has_reached(self, partition: int, source: Source) -> bool:
        """See `Progress`."""
        known = self._sources.get(partition)
        return known is not None and known >= source

    async def wait(self, partition: int, source: Source, timeout_s: float) -> bool:
        """See `Progress`."""
        if self.has_reached(partition, source):
            return True
        entry = (source, asyncio.get_running_loop().create_future())
        waiting = self._waiting.setdefault(partition, [])
        waiting.append(entry)
        try:
            async with asyncio.timeout(timeout_s):
                await entry[1]
            return True
        except TimeoutError:
            return False
        finally:
            if entry in waiting:
                waiting.remove(entry)

    def note(self, position: Position) -> None:
        """The read models of a partition have come so far."""
        known = self._sources.get(position.partition)
        if known is None or known < position.source:
            self._sources[position.partition] = position.source
            self._wake(position.partition)

    def replace(self, positions: Mapping[int, Position]) -> None:
        """Forget what was known; this is how far they are."""
        self._sources = {partition: position.source for partition, position in positions.items()}
        for partition in self._sources:
            self._wake(partition)

    def _wake(self, partition: int) -> None:
        known = self._sources[partition]
        waiting = self._waiting.get(partition)
        if waiting:
            for source, future in waiting:
                if source <= known and not future.done():
                    future.set_result(None)
            waiting[:] = [entry for entry in waiting if not entry[1].done()]


class Listener:
    """Keeps a `Reached` current from PostgreSQL. `connected` is False while nothing can be heard."""

    def __init__(self, dsn: str, reached: Reached) -> None:
        self._dsn, self._reached = dsn, reached
        self.connected = False

    async def run(self) -> None:
        """Until cancelled; connects again after every fault."""
        while True:
            try:
                await self._listen()
            except (*UNAVAILABLE, asyncpg.PostgresError) as error:
                if self.connected:
                    _log.warning("positions-not-heard", reason=repr(error))
            self.connected = False
            await asyncio.sleep(_RETRY_S)

    async def _listen(self) -> None:
        connection = await asyncpg.connect(
            self._dsn,
            timeout=_ANSWER_WITHIN_S,
            command_timeout=_ANSWER_WITHIN_S,
            server_settings={"application_name": "darkroom-api-positions"},
        )
        try:
            await connection.add_listener(CHANNEL, self._heard)
            while True:
                self._reached.replace(await reached_positions(connection.fetch))
                self.connected = True
                await asyncio.sleep(_CHECK_EVERY_S)
        finally:
            connection.terminate()

    def _heard(self, _connection: Any, _pid: int, _channel: str, text: object) -> None:
        for position in parse_notice(str(text)):
            self._reached.note(position)

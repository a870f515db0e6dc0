"""The quarantine: a server where one call runs alone, so that a crash there has only one possible reason.

The server runs with explicit model control and no model loaded. Whoever has the claim on it unloads what an earlier
owner may have left, loads the model, runs its calls and unloads it again. The claim is a port (`Exclusive`) that holds
across all dispatchers; it ends with the connection of a process that dies.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from infra.logs import get_logger
from infra.triton import metrics
from infra.triton.connection import Connection, Faulty, InFlight, NotControlled
from infra.triton.engine import Engine, EngineCrashed, EngineUnavailable, Tensors

CLAIM = "triton-quarantine"
_UNLOAD_LIMIT_S = 10.0
_log = get_logger(__name__)


class ClaimNotHad(Exception):
    """The claim could not be had in time."""


class Exclusive(Protocol):
    """A claim that one process at a time holds."""

    def held(self, name: str, wait_s: float) -> AbstractAsyncContextManager[None]:
        """Hold the claim for the block; raises ClaimNotHad when that takes longer than `wait_s`."""
        ...


class LocalExclusive:
    """`Exclusive` inside one process."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}

    @asynccontextmanager
    async def held(self, name: str, wait_s: float) -> AsyncGenerator[None]:
        lock = self._locks.setdefault(name, asyncio.Lock())
        try:
            async with asyncio.timeout(wait_s):
                await lock.acquire()
        except TimeoutError as error:
            raise ClaimNotHad(f"{name} was not free within {wait_s:g} s") from error
        try:
            yield
        finally:
            lock.release()


class Quarantine(Protocol):
    """Where a suspect runs alone."""

    def alone(self, model: str, wait_s: float) -> AbstractAsyncContextManager[Engine]:
        """An engine that has only this model and only this caller for the block. Raises EngineUnavailable."""
        ...


class TritonQuarantine:
    """`Quarantine` on a Triton server of its own."""

    def __init__(self, connection: Connection, exclusive: Exclusive) -> None:
        self._connection, self._exclusive = connection, exclusive

    @asynccontextmanager
    async def alone(self, model: str, wait_s: float) -> AsyncGenerator[Engine]:
        try:
            async with self._exclusive.held(f"{CLAIM} {self._connection.url}", wait_s):
                await self._prepare(model)
                try:
                    yield _Alone(self._connection)
                finally:
                    await self._clear(model)
        except ClaimNotHad as error:
            raise EngineUnavailable("the quarantine engine is busy", "quarantine-busy") from error

    async def close(self) -> None:
        """Close the channel."""
        await self._connection.close()

    async def _prepare(self, model: str) -> None:
        try:
            for left in await self._connection.loaded():
                await self._connection.unload(left)
            await self._connection.load(model)
        except NotControlled as error:
            _log.warning("quarantine-not-ready", model=model, reason=str(error))
            raise EngineUnavailable(f"the quarantine engine could not load {model}", "quarantine-away") from error

    async def _clear(self, model: str) -> None:
        try:
            async with asyncio.timeout(_UNLOAD_LIMIT_S):
                await self._connection.unload(model)
        except (NotControlled, TimeoutError) as error:
            _log.warning("quarantine-not-cleared", model=model, reason=str(error))  # the next owner clears it


class _Alone:
    """`Engine` over one connection, without breakers: what happens there concerns this caller only."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._in_flight = connection, InFlight()

    async def infer(self, model: str, version: str, inputs: Tensors, timeout_s: float) -> Tensors:
        return await self._in_flight.answer(model, self._call(model, version, inputs), timeout_s)

    async def ready(self) -> bool:
        return await self._connection.live()

    async def _call(self, model: str, version: str, inputs: Tensors) -> Tensors:
        try:
            return await self._connection.infer(model, version, inputs)
        except Faulty as faulty:
            if isinstance(faulty.fault.error, EngineCrashed):
                metrics.CRASHES.labels(self._connection.url, model).inc()
            raise faulty.fault.error from faulty

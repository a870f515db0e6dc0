"""Which engine serves an attempt: the first one, the second one, or the quarantine.

Theory of operation
-------------------
An attempt is tried on its model's own engine. Where that takes no calls now (`EngineUnavailable`: away on all servers,
breaker open, not loaded), the whole task runs on the model's second engine, if it has one; the first is asked again by
every later attempt, so it serves again as soon as its breaker lets a probe pass. `Trail` keeps who was passed over and
why, and travels with the outcome.

A crash never moves an attempt to the second engine: it is suspicion, and the decider counts it. A suspect runs on the
quarantine server with nothing else there; where there is none, on the common servers while nothing else of this
dispatcher is inside the same engine (`Gates`). A crash then is the job's own: `CrashedAlone`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from infra.triton.engine import Engine, EngineCrashed, EngineUnavailable, PermanentFailure, Tensors
from infra.triton.quarantine import Quarantine
from processors.dispatch import metrics
from processors.dispatch.tasks import Call, Product
from schemas.catalogue import Entry, fallback
from schemas.commands import EngineRun, PassedOver

Work = Callable[[Call, Entry], Awaitable[Product]]
"""Runs the model's task with the entry's engine."""

_GRAVEST = (EngineCrashed, PermanentFailure, EngineUnavailable)


class CrashedAlone(Exception):
    """The engine died, and this attempt was the only one there."""


class Trail:
    """The engines of one try; `run` is what travels."""

    def __init__(self, request: str) -> None:
        self._request = request
        self._passed_over: list[PassedOver] = []
        self._serving: Entry | None = None

    @property
    def run(self) -> EngineRun | None:
        """None as long as no engine was asked."""
        if self._serving is None:
            return None
        serving = self._serving
        return EngineRun(serving.engine, serving.engine_version, self._request, tuple(self._passed_over))

    def asks(self, entry: Entry) -> None:
        """The entry's engine is asked now."""
        self._serving = entry

    def passes_over(self, entry: Entry, why: str) -> None:
        """The entry's engine did not serve."""
        self._passed_over.append(PassedOver(entry.engine, entry.engine_version, why))
        metrics.FALLBACKS.labels(entry.engine, why).inc()


class Engines:
    """All engines of a dispatcher."""

    def __init__(self, engine: Engine, quarantine: Quarantine | None) -> None:
        self._engine, self._quarantine, self._gates = engine, quarantine, Gates()

    async def serve(self, entry: Entry, work: Work, remaining_s: Callable[[], float], trail: Trail) -> Product:
        """Run the task on the first engine that takes it. Raises the gravest failure of the last one asked."""
        first: EngineUnavailable | None = None
        candidate: Entry | None = entry
        while candidate is not None:
            trail.asks(candidate)
            try:
                async with self._gates.shared(candidate.engine):
                    return await _worked(work, self._engine, candidate, remaining_s)
            except EngineUnavailable as error:
                first = first or error
                trail.passes_over(candidate, error.why)
            candidate = fallback(candidate)
        assert first is not None
        raise first

    async def serve_alone(self, entry: Entry, work: Work, remaining_s: Callable[[], float], trail: Trail) -> Product:
        """Run the task with nothing else beside it. Raises CrashedAlone, and what `serve` raises."""
        trail.asks(entry)
        try:
            async with self._alone(entry, remaining_s()) as engine:
                made = await _worked(work, engine, entry, remaining_s)
        except EngineCrashed as error:
            metrics.QUARANTINED.labels("crashed").inc()
            raise CrashedAlone(error.reason) from error
        except BaseException:
            metrics.QUARANTINED.labels("failed").inc()
            raise
        metrics.QUARANTINED.labels("succeeded").inc()
        return made

    @asynccontextmanager
    async def _alone(self, entry: Entry, wait_s: float) -> AsyncGenerator[Engine]:
        if self._quarantine is not None:
            async with self._quarantine.alone(entry.engine, wait_s) as engine:
                yield engine
        else:
            async with self._gates.exclusive(entry.engine):
                yield self._engine


class Gates:
    """For each engine: many inside together, or one alone. Who wants to be alone lets nobody new pass meanwhile."""

    def __init__(self) -> None:
        self._inside: dict[str, int] = {}
        self._alone: set[str] = set()
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def shared(self, name: str) -> AsyncGenerator[None]:
        """Be inside beside others."""
        if name in self._alone:
            async with self._changed:
                await self._changed.wait_for(lambda: name not in self._alone)
        self._inside[name] = self._inside.get(name, 0) + 1
        try:
            yield
        finally:
            await self._left(name)

    @asynccontextmanager
    async def exclusive(self, name: str) -> AsyncGenerator[None]:
        """Be inside alone."""
        async with self._changed:
            await self._changed.wait_for(lambda: name not in self._alone)
            self._alone.add(name)
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: not self._inside.get(name))
            yield
        finally:
            self._alone.discard(name)
            async with self._changed:
                self._changed.notify_all()

    async def _left(self, name: str) -> None:
        self._inside[name] -= 1
        if name in self._alone:
            async with self._changed:
                self._changed.notify_all()


async def _worked(work: Work, engine: Engine, entry: Entry, remaining_s: Callable[[], float]) -> Product:
    async def call(name: str, inputs: Tensors) -> Tensors:
        return await engine.infer(name, entry.engine_version, inputs, remaining_s())

    try:
        return await work(call, entry)
    except ExceptionGroup as group:
        raise gravest(group) from group


def gravest(error: Exception) -> Exception:
    """The failure of a task group that says most: a crash before a verdict before an absence before the rest."""
    leaves = list(_leaves(error))
    for kind in _GRAVEST:
        for leaf in leaves:
            if isinstance(leaf, kind):
                return leaf
    return leaves[0]


def _leaves(error: Exception) -> list[Exception]:
    if not isinstance(error, ExceptionGroup):
        return [error]
    return [leaf for one in error.exceptions for leaf in _leaves(one)]

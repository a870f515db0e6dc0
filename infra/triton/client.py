"""Several Triton servers as one engine.

Theory of operation
-------------------
A call goes to the least loaded server among those that are reachable and whose breaker for the model lets it pass. Load
is what is in flight there, weighted by size, also what its caller has given up: it still runs. Where a server never
accepted the call, the next one gets it; a call that may have begun is never sent twice from here, because whether it
may run again is the decider's business. When no server is left the call is EngineUnavailable, with the word of why.

Servers that are away are probed four times a second, the others every two seconds, so a server that hangs is passed
over after three; calls that were given up unanswered count as faults of that model there.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from infra.triton import metrics
from infra.triton.connection import Batching, Connection, InFlight
from infra.triton.engine import EngineUnavailable, Tensors, TransientFailure
from infra.triton.server import Server

_LOOK_EVERY_S = 0.25
_LOOK_AT_REACHABLE_EVERY = 8


@asynccontextmanager
async def open_engine(urls: Sequence[str], closing_grace_s: float = 2.0) -> AsyncGenerator[TritonEngine]:
    """Open one client per `host:port` (`grpcs://host:port` for TLS); calls in flight end before they are closed."""
    engine = TritonEngine([Server(Connection(url)) for url in urls])
    watching = asyncio.create_task(engine.watch(), name="watch triton")
    try:
        yield engine
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        await engine.close(closing_grace_s)


class TritonEngine:
    """`Engine` over one or more servers."""

    def __init__(self, servers: Sequence[Server]) -> None:
        assert servers, "at least one Triton server has to be named"
        self._servers = tuple(servers)
        self._turns = itertools.count(1)
        self._in_flight = InFlight()

    async def infer(self, model: str, version: str, inputs: Tensors, timeout_s: float) -> Tensors:
        at: list[Server] = []
        try:
            return await self._in_flight.answer(model, self._serve(model, version, inputs, at), timeout_s)
        except TransientFailure as error:
            if at and isinstance(error.__cause__, TimeoutError):
                at[-1].gave_no_answer(model)
            raise

    async def ready(self) -> bool:
        # One that has come back takes no calls before a look has seen it.
        return any(await asyncio.gather(*(server.connection.ready() for server in self._servers if server.reachable)))

    async def batching(self, model: str, version: str) -> Batching:
        """How the model takes several requests in one call, over all servers that serve it now."""
        serving = [server for server in self._servers if server.serves(model)]
        declared = await asyncio.gather(*(server.batching(model, version) for server in serving))
        if not declared:
            return Batching()
        return Batching(min(one.rows_max for one in declared), sum(one.instances for one in declared))

    async def watch(self) -> None:
        """Probe the servers until cancelled."""
        for round_number in itertools.count():
            all_of_them = round_number % _LOOK_AT_REACHABLE_EVERY == 0
            looked_at = [server for server in self._servers if all_of_them or not server.reachable]
            await asyncio.gather(*(server.look() for server in looked_at))
            await asyncio.sleep(_LOOK_EVERY_S)

    async def close(self, grace_s: float) -> None:
        """Wait up to `grace_s` for calls in flight, then close the channels."""
        await self._in_flight.ended(grace_s)
        for server in self._servers:
            await server.close()

    async def _serve(self, model: str, version: str, inputs: Tensors, at: list[Server]) -> Tensors:
        """Offer the call to one server after the other until one has accepted it; `at` collects who was asked."""
        refusal: EngineUnavailable | None = None
        while (server := self._choose(model, at)) is not None:
            if refusal is not None:
                metrics.FAILOVERS.labels(model).inc()
            at.append(server)
            server.last_turn = next(self._turns)
            try:
                return await server.infer(model, version, inputs)
            except EngineUnavailable as error:
                refusal = error
        raise refusal or self._nobody(model)

    def _choose(self, model: str, asked: Sequence[Server]) -> Server | None:
        """The least loaded server that was not asked yet; among equals the one whose turn is longest past."""
        free = [server for server in self._servers if server not in asked and server.serves(model)]
        return min(free, key=lambda server: (server.load, server.last_turn), default=None)

    def _nobody(self, model: str) -> EngineUnavailable:
        if any(server.reachable for server in self._servers):
            return EngineUnavailable(f"no Triton server is trusted with {model} now", "breaker-open")
        return EngineUnavailable("no Triton server can be reached", "unreachable")

"""Faults between workers and Kafka: one chosen request or answer is held, dropped, delayed, or cut off."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.chaos.faults.fault import Fault, Kind, Struck
from tests.chaos.faults.processes import Restart
from tests.proxy import END_TXN, INIT_PRODUCER_ID, PRODUCE, Action, Caught, KafkaProxy

if TYPE_CHECKING:
    from tests.chaos.arena import Arena

FETCH, HEARTBEAT = 1, 12
API_KEYS = {
    "EndTxn": END_TXN,
    "Produce": PRODUCE,
    "InitProducerId": INIT_PRODUCER_ID,
    "Fetch": FETCH,
    "Heartbeat": HEARTBEAT,
}
_HOST = "127.0.0.1"
_MEETS_WITHIN_S = 6.0
_AT_ONCE = (2, 4)
_FORWARDED_AFTER_S = {"held": (2.0, 8.0), "delayed": (0.1, 1.0)}
_ACTIONS: dict[str, Action] = {"held": "hold", "dropped": "drop", "delayed": "hold", "cut": "cut"}
_MANNERS = ("held", "held", "held", "dropped", "dropped", "dropped", "delayed", "cut")


class _LateProxy(KafkaProxy):
    """A proxy that learns with each connection where the broker is."""

    def __init__(self, ask_port: Callable[[], int]) -> None:
        super().__init__(_HOST, 0)
        self._ask_port = ask_port

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.upstream = (_HOST, self._ask_port())
        await super()._accept(reader, writer)


class KafkaDetour:
    """The proxy that workers take to Kafka. Implements `tests.chaos.faults.fault.Detour`."""

    server = "kafka"

    def __init__(self) -> None:
        self._exits = AsyncExitStack()
        self.proxy: KafkaProxy

    async def open(self, upstream: Callable[[], int]) -> int:
        self.proxy = await self._exits.enter_async_context(_LateProxy(upstream))
        return self.proxy.port

    async def close(self) -> None:
        await self._exits.aclose()


@dataclass(frozen=True)
class _Plan:
    """What will be done with the next request, or answer, of a kind."""

    manner: str
    is_request: bool
    forwarded_after_s: float


@dataclass(frozen=True)
class Wire:
    """A few requests or answers of one kind."""

    api: str
    detour: KafkaDetour
    kind: Kind = "network"

    @property
    def name(self) -> str:
        return f"wire-{self.api.lower()}"

    async def strike(self, arena: Arena, draw: random.Random) -> Struck:
        plans = [_plan(draw) for _ in range(draw.randint(*_AT_ONCE))]
        meetings = [asyncio.create_task(self._meet(plan)) for plan in plans]
        counts: Counter[str] = Counter()
        if self.api == "InitProducerId":  # sent by new owners of partitions
            counts.update((await Restart("processor").strike(arena, draw)).counts)
        for met in await asyncio.gather(*meetings):
            counts.update(met)
        return Struck(counts)

    async def _meet(self, plan: _Plan) -> list[str]:
        """Wait for the request and do it; the name under which it counts, or none."""
        proxy, api_key = self.detour.proxy, API_KEYS[self.api]
        catch = proxy.catch_request if plan.is_request else proxy.catch_answer
        caught = catch(api_key, _ACTIONS[plan.manner])
        if not await _arrives(caught):
            proxy.forget(caught)
            return []
        await asyncio.sleep(plan.forwarded_after_s)
        await caught.forward()
        return [f"{plan.manner} {self.api} {'request' if plan.is_request else 'answer'}"]


def kafka_wire_faults() -> tuple[Fault, ...]:
    """One of each request kind, over one proxy."""
    detour = KafkaDetour()
    return tuple(Wire(api, detour) for api in API_KEYS)


def _plan(draw: random.Random) -> _Plan:
    manner = draw.choice(_MANNERS)
    return _Plan(manner, draw.random() < 0.5, draw.uniform(*_FORWARDED_AFTER_S.get(manner, (0.0, 0.0))))


async def _arrives(caught: Caught) -> bool:
    try:
        await caught.arrived(_MEETS_WITHIN_S)
    except TimeoutError:
        return False
    return True

"""Faults of PostgreSQL, the object store and Triton, as workers meet them: in detours that meddle for some seconds."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tests.chaos.faults.fault import Detour, Fault, Kind, Struck
from tests.chaos.faults.grpc_detour import GrpcDetour
from tests.chaos.faults.http_detour import HttpDetour
from tests.chaos.faults.tcp_detour import TcpDetour

if TYPE_CHECKING:
    from tests.chaos.arena import Arena

_LASTS_S = (1.0, 4.0)
_MEETS_WITHIN_S = 20.0
_LOOK_EVERY_S = 0.1


class Meddler(Detour, Protocol):
    """A detour that does something to what passes, until it is told to stop."""

    @property
    def turns(self) -> asyncio.Lock:
        """One fault at a time: they share what is done and what is counted."""

    @property
    def met(self) -> Counter[str]:
        """What was done to whom since it was last taken."""

    async def begin(self, manner: str, draw: random.Random) -> None:
        """Meddle in this manner from now on."""

    def end(self) -> None:
        """Let everything pass."""

    def taken(self) -> dict[str, int]:
        """What was met since the last call."""


@dataclass(frozen=True)
class Meddling:
    """One manner after the other, in a drawn order, each until somebody was met."""

    name: str
    manners: tuple[str, ...]
    detour: Meddler
    kind: Kind

    async def strike(self, arena: Arena, draw: random.Random) -> Struck:
        async with self.detour.turns:
            return await self._struck(draw)

    async def _struck(self, draw: random.Random) -> Struck:
        self.detour.taken()
        counts: Counter[str] = Counter()
        for manner in draw.sample(self.manners, len(self.manners)):
            await self.detour.begin(manner, draw)
            try:
                await self._until_met(draw.uniform(*_LASTS_S))
            finally:
                self.detour.end()
            counts.update(self.detour.taken())
        return Struck(counts)

    async def _until_met(self, lasts_s: float) -> None:
        """At least so long, and until somebody was met, unless nobody comes."""
        await asyncio.sleep(lasts_s)
        for _ in range(round(_MEETS_WITHIN_S / _LOOK_EVERY_S)):
            if self.detour.met:
                return
            await asyncio.sleep(_LOOK_EVERY_S)


def server_faults() -> tuple[Fault, ...]:
    """One of each, over one detour for each server."""
    postgres, s3, triton = TcpDetour("postgres"), HttpDetour(), GrpcDetour()
    return (
        Meddling("postgres-cut", ("refuse", "cut"), postgres, "network"),
        Meddling("postgres-slow", ("slow",), postgres, "network"),
        Meddling("s3-away", ("503", "slow"), s3, "bad answers"),
        Meddling("s3-false", ("truncate", "wrong-bytes", "wrong-etag"), s3, "bad answers"),
        Meddling("triton-away", ("black-hole", "unavailable"), triton, "bad answers"),
        Meddling("triton-false", ("nan", "wrong-shape", "short-bytes", "no-output"), triton, "bad answers"),
    )

"""Failpoints as faults: a worker dies, or fails, exactly before or after a durable step that the load passes."""

from __future__ import annotations

import asyncio
import itertools
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from infra.failpoints import FAILPOINTS
from tests.chaos.arming import Arming
from tests.chaos.faults.fault import Fault, Kind, Struck

if TYPE_CHECKING:
    from tests.chaos.arena import Arena

_STRUCK_WITHIN_S = 60.0
_LOOK_EVERY_S = 0.1
_BY_LOAD = (
    "gateway.append.",
    "gateway.put-object.",
    "gateway.note-accesses.",
    "processor.transaction.",
    "processor.produce.",
    "processor.end.",
    "processor.tick.",
    "dispatcher.offsets.",
    "dispatcher.started.",
    "dispatcher.put-result.",
    "dispatcher.outcome.",
    "projector.transaction.",
    "projector.archive.",
    "projector.trail.",
)
PASSED = tuple(name for name in FAILPOINTS if name.startswith(_BY_LOAD))
"""Those that any load passes; the others are for the sweep."""


@dataclass
class Armory:
    """What the faults of one arena share: one file of armed entries, and tags that were not used before."""

    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    arming: Arming | None = None

    def of(self, arena: Arena) -> Arming:
        """The arena's arming; made at the first strike."""
        if self.arming is None:
            self.arming = Arming(arena.stack.data)
        return self.arming


@dataclass(frozen=True)
class Failpoint:
    """One failpoint of those that the load passes, armed until it has struck."""

    action: Literal["kill", "raise"]
    armory: Armory
    kind: Kind = "dead worker"
    detour: None = None

    @property
    def name(self) -> str:
        return f"failpoint-{self.action}"

    async def strike(self, arena: Arena, draw: random.Random) -> Struck:
        failpoint, arming = draw.choice(PASSED), self.armory.of(arena)
        passing = draw.choice((1, 1, 2))
        entry = f"{failpoint}={self.action}@{passing}#{next(self.armory.numbers)}"
        arming.arm(entry)
        try:
            async with asyncio.timeout(_STRUCK_WITHIN_S):
                while not arming.has_struck(entry):
                    await asyncio.sleep(_LOOK_EVERY_S)
        except TimeoutError:
            return Struck({})
        finally:
            arming.disarm(entry)
        return Struck({f"failpoint {self.action}": 1})


def failpoint_faults() -> tuple[Fault, ...]:
    """One that kills and one that fails."""
    armory = Armory()
    return Failpoint("kill", armory), Failpoint("raise", armory)

"""A nemesis over a running stack under load, from one seed; afterwards everything is judged.

Theory of operation. The nemesis strikes in rounds: a melee, then strikes that come alone. In a melee several faults
are at work at any moment; each waits for nothing but its own target, so that faults meet each other, and those that are
not healed from before. Before a strike that comes alone, and after it, the stack has to be whole: every component
healthy and, at that moment, no partition waiting, so that no wait goes on from one strike into the next. What stands
still in between is its doing, and is counted under its kind.

Load goes on through all of it, from clients that repeat each command under its key until somebody answers. What a
strike counts is what it really hit, never what it meant to.
"""

from __future__ import annotations

import asyncio
import datetime
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.chaos.arena import Arena
from tests.chaos.faults.fault import Fault
from tests.chaos.footprint import Footprint, quarters
from tests.chaos.generations import generations
from tests.chaos.standstill import Standstill
from tests.chaos.table import OWNERS, Result, Strike, groups, slowest, standstills, totals
from tests.chaos.verdict import Paid, judge
from tests.chaos.workload import Workload
from tests.client import Client

USERS = 12
POOR_CREDITS = 5
RICH_CREDITS = 1_000_000
PATIENCE_S = 900.0
WHOLE_LIMIT_S = 600.0
_CALM_S = 0.5
_CALM_WAIT_S = 3.0  # ticks come each second, and a busy machine takes its time for them
_MELEE_S = (30.0, 75.0)
_ALONE_A_ROUND = 2
_OWNERS_SHARE = 0.75
_WEIGHTS = {"kill-": 5.0, "lose-": 1.0, "freeze-": 1.2, "restart-": 0.4, "wire-": 2.2, "full-disk": 0.2}
_OWN_WEIGHTS = {"kill-processor": 9.0, "freeze-processor": 2.0, "kill-kafka": 1.5, "kill-s3": 2.5, "kill-triton": 1.5}
_TELL_EVERY_S = 60.0
_TRIES = 3
_ENDLESS = 10_000_000


@dataclass(frozen=True)
class Asked:
    """How long and how much. It ends when either limit is reached.

    With ``each_once`` every fault strikes first, and those that met nothing strike again. With ``every_s`` there are no
    rounds: a fault begins each so many seconds. With ``alone`` there are no melees.
    """

    seed: int = 1
    minutes: float | None = None
    strikes: int | None = None
    commands_a_second: float = 15.0
    at_once: int = 5
    each_once: bool = False
    every_s: float | None = None
    alone: bool = False

    def is_over(self, began_s: float, struck: int) -> bool:
        late = self.minutes is not None and time.monotonic() - began_s >= 60 * self.minutes
        return late or (self.strikes is not None and struck >= self.strikes)


@dataclass
class Nemesis:
    """Strikes an arena with ``faults``; `strikes` holds what it did, `failed` what it could not do."""

    arena: Arena
    faults: Sequence[Fault]
    draw: random.Random
    still: Standstill
    strikes: list[Strike] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    _at_work: set[str] = field(default_factory=set)

    async def run(self, asked: Asked, began_s: float) -> None:
        """Rounds until it is enough; at the end the stack is whole."""

        def is_over() -> bool:
            return asked.is_over(began_s, len(self.strikes))

        if asked.each_once:
            await self._each(asked.at_once)
        while asked.every_s is not None and not is_over():
            pause = asyncio.create_task(asyncio.sleep(asked.every_s))
            await self._strike(self._drawn(), random.Random(self.draw.getrandbits(64)), alone=False)
            await pause
        while not is_over():
            if not asked.alone:
                ends_s = time.monotonic() + self.draw.uniform(*_MELEE_S)
                await self._melee(asked.at_once, partial(self._until, ends_s, is_over))
            for _ in range(_ALONE_A_ROUND):
                if not is_over():
                    await self.alone(self._drawn(owners_first=True))
        await self._until_whole()

    async def _each(self, at_once: int) -> None:
        """Every fault until it has struck, a few times at most."""
        for _ in range(_TRIES):
            met = {strike.fault for strike in self.strikes if strike.counts}
            left = [fault for fault in self.faults if fault.name not in met]
            self.draw.shuffle(left)
            await self._melee(at_once, lambda left=left: left.pop() if left else None)  # type: ignore[misc]

    def _until(self, ends_s: float, is_over: Callable[[], bool]) -> Fault | None:
        return None if is_over() or time.monotonic() > ends_s else self._drawn()

    async def _melee(self, at_once: int, following: Callable[[], Fault | None]) -> None:
        """So many at any moment, until none follows."""

        async def lane() -> None:
            while (fault := following()) is not None:
                draw = random.Random(self.draw.getrandbits(64))
                await asyncio.sleep(draw.uniform(0.0, 1.0))
                await self._strike(fault, draw, alone=False)

        await asyncio.gather(*(lane() for _ in range(at_once)))

    async def alone(self, fault: Fault) -> None:
        """Strike a whole stack with one fault, and wait until it is whole again."""
        await self._until_whole()
        await self._strike(fault, random.Random(self.draw.getrandbits(64)), alone=True)

    async def _strike(self, fault: Fault, draw: random.Random, *, alone: bool) -> None:
        began_s, clock = time.monotonic(), datetime.datetime.now(datetime.UTC).strftime("%H:%M:%S")
        self._at_work.add(fault.name)
        try:
            counts = dict((await fault.strike(self.arena, draw)).counts)
        except Exception as error:  # whatever a strike raises, the others go on and the judgement follows
            self.failed.append(f"{fault.name}: {error!r}")
            counts = {}
        self._at_work.discard(fault.name)
        if alone:
            await self._until_whole()
        self.strikes.append(Strike(fault.name, fault.kind, alone, began_s, time.monotonic(), counts, clock))

    def _drawn(self, *, owners_first: bool = False) -> Fault:
        """One that is not at work now; of heavier ones rather than lighter ones, or of those of partitions' owners."""
        idle = [fault for fault in self.faults if fault.name not in self._at_work] or self.faults
        owners = [fault for fault in idle if fault.kind in OWNERS]
        if owners_first and owners and self.draw.random() < _OWNERS_SHARE:
            idle = owners
        return self.draw.choices(idle, [_weight(fault.name) for fault in idle])[0]

    def not_whole(self) -> str:
        """What keeps the stack from being whole: components that are not healthy, and a partition that waits."""
        names = [name for name, row in self.arena.rows().items() if not row["healthy"]]
        if self.still.waiting_s > _CALM_WAIT_S:
            names.append(f"a partition that has waited for {self.still.waiting_s:.0f} s")
        return ", ".join(names)

    async def _until_whole(self) -> None:
        """Nothing is missing, for a moment, and nothing waits at its end."""
        deadline, calm_since = time.monotonic() + WHOLE_LIMIT_S, time.monotonic()
        while time.monotonic() - calm_since < _CALM_S or self.still.waiting_s > 0:
            await asyncio.sleep(0.1)
            if missing := self.not_whole():
                calm_since = time.monotonic()
                assert calm_since < deadline, f"not whole after {WHOLE_LIMIT_S:g} s: {missing}"


async def run(asked: Asked, faults: Sequence[Fault], folder: Path, tell: Callable[[str], None]) -> Result:
    """Everything from the start of a stack to its end; its data and what clients were told lie in ``folder``."""
    async with Arena(folder / "data", faults) as arena:
        paid = await _users(arena)
        users = [one.user for one in paid]
        try:
            workload = Workload(users, asked.seed, PATIENCE_S)
            began_s, before = time.monotonic(), await generations(arena.settings)
            footprint = Footprint(arena)
            nemesis, still = await _storm(arena, asked, faults, workload, tell, footprint)
            seconds = time.monotonic() - began_s
            after = await generations(arena.settings)
            tell(f"judging {len(workload.told)} answers after {seconds:.0f} s")
            return Result(
                seed=asked.seed,
                seconds=seconds,
                commands=len(workload.told),
                strikes=nemesis.strikes,
                standstill=standstills(nemesis.strikes, still.spells),
                rebalances={group: number - before.get(group, 0) for group, number in after.items()},
                failed=tuple(nemesis.failed),
                slowest=tuple(slowest(nemesis.strikes, still.spells)),
                footprint=quarters(footprint.samples),
                verdict=await judge(arena.stack, paid, workload, folder / "told.ndjson"),
            )
        finally:
            for user in users:
                await user.http.aclose()


async def _users(arena: Arena) -> list[Paid]:
    """One who cannot pay for much, and others who can."""
    paid = [Paid(Client(arena.stack), RICH_CREDITS if number else POOR_CREDITS) for number in range(USERS)]
    for one in paid:
        await one.user.grant(one.granted)
    return paid


async def _storm(
    arena: Arena,
    asked: Asked,
    faults: Sequence[Fault],
    workload: Workload,
    tell: Callable[[str], None],
    footprint: Footprint,
) -> tuple[Nemesis, Standstill]:
    """Load and strikes side by side, until the nemesis has had enough and every command is answered."""
    still = Standstill(arena.settings)
    nemesis = Nemesis(arena, faults, random.Random(asked.seed), still)
    async with asyncio.TaskGroup() as tasks:
        watching = (still.watch(), footprint.watch(), _tell(nemesis, workload, tell))
        beside = [tasks.create_task(one) for one in watching]
        striking = tasks.create_task(nemesis.run(asked, time.monotonic()))
        loading = tasks.create_task(workload.run(_ENDLESS, asked.commands_a_second, enough=striking.done))
        await asyncio.wait([striking, loading])
        for task in beside:
            task.cancel()
    return nemesis, still


async def _tell(nemesis: Nemesis, workload: Workload, tell: Callable[[str], None]) -> None:
    began_s = time.monotonic()
    while True:
        await asyncio.sleep(_TELL_EVERY_S)
        counts = ", ".join(f"{name} {count}" for name, count in groups(totals(nemesis.strikes)).items())
        so_far = f"{len(nemesis.strikes)} strikes, {len(workload.told)} answers"
        tell(f"{time.monotonic() - began_s:.0f} s: {so_far}; {counts}; not whole: {nemesis.not_whole() or '-'}")


def _weight(name: str) -> float:
    if name in _OWN_WEIGHTS:
        return _OWN_WEIGHTS[name]
    return next((weight for beginning, weight in _WEIGHTS.items() if name.startswith(beginning)), 0.7)

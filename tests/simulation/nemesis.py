"""The nemesis: kills, hangs, restarts, joins, leaves, clocks that jump, a broker that goes away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from schemas import topics
from tests.simulation.processes import Process, SkewedClock
from tests.simulation.world import PARTITIONS

if TYPE_CHECKING:
    from tests.simulation.life import Life, Place

HOUR_MS = 3_600_000
STRIKES_EVERY_S = 0.85
_KINDS = ("processor", "dispatcher", "projector", "gateway")


class Nemesis:
    """Strikes at random times until it is cancelled; `relent` undoes what lasts."""

    def __init__(self, life: Life) -> None:
        self._life, self._world, self._random = life, life.world, life.world.random
        self._hanging: list[asyncio.TimerHandle] = []

    async def rage(self) -> None:
        """One strike after the other."""
        strikes = (
            self._kill,
            self._kill_soon,
            self._hang,
            self._restart,
            self._join_or_leave,
            self._clock,
            self._broker,
        )
        while True:
            await asyncio.sleep(self._random.expovariate(1 / STRIKES_EVERY_S))
            self._random.choices(strikes, (4, 6, 4, 3, 3, 3, 1))[0]()

    def relent(self) -> None:
        """No more faults: what hangs goes on, every place is taken, all clocks agree on the latest time."""
        self._world.troubles.are_on = False
        self._world.broker.is_away = False
        for timer in self._hanging:
            timer.cancel()
        for place in self._life.places:
            place.is_taken = True
        for process in self._life.processes:
            process.go_on()
        self._agree()

    def _kill(self) -> None:
        if (found := self._some_process()) is not None:
            found[1].kill()
            self._saw(f"{found[0].kind} killed")

    def _kill_soon(self) -> None:
        """Between any two steps of what it does."""
        if (found := self._some_process()) is not None:
            found[1].kill_after(self._random.randint(1, 400))
            self._saw(f"{found[0].kind} killed between two steps")

    def _hang(self) -> None:
        """Often for longer than the group's session: it comes back as a zombie."""
        if (found := self._some_process()) is not None:
            place, process = found
            process.hang()
            for_s = self._random.choice((1.0, 3.0, 8.0, 14.0))
            self._hanging.append(asyncio.get_running_loop().call_later(for_s, process.go_on))
            self._saw(f"{place.kind} hung for {for_s:g} s")

    def _restart(self) -> None:
        if (found := self._some_process()) is not None:
            found[0].ask_to_stop()
            self._saw(f"{found[0].kind} restarted")

    def _join_or_leave(self) -> None:
        """A worker is added or taken away for good."""
        place = self._random.choice(self._life.places)
        others = [p for p in self._life.places if p.kind == place.kind and p is not place and p.is_taken]
        place.is_taken = not place.is_taken or not others
        if not place.is_taken:
            place.ask_to_stop()
        self._saw("workers joined or left")

    def _clock(self) -> None:
        clocks: list[tuple[str, SkewedClock]] = [(p.kind, p.process.clock) for p in self._life.places if p.process]
        name, clock = self._random.choice([("broker", self._world.broker.clock), *clocks])
        if self._random.random() < 0.25:
            clock.freeze()
            self._saw(f"clock of {name} froze")
            return
        skew_ms = self._random.choice((HOUR_MS, -HOUR_MS, 60_000, -60_000, 3_000, -3_000, 0, 0))
        if name == "broker" and self._random.random() < 0.7:
            skew_ms //= 60
        self._saw(f"clock of {name} jumped {'back' if skew_ms < clock.skew_ms else 'ahead'}")
        clock.jump(skew_ms)

    def _broker(self) -> None:
        broker = self._world.broker
        broker.is_away = True
        asyncio.get_running_loop().call_later(self._random.uniform(0.2, 4), setattr, broker, "is_away", False)
        self._saw("broker away")

    def _agree(self) -> None:
        """Time never runs backwards on the log: the latest command's is what all clocks go on from."""
        logs = (self._world.broker.partitions[topics.COMMANDS, partition] for partition in range(PARTITIONS))
        latest_ms = max((record.timestamp_ms for log in logs for record in log.entries if record), default=0)
        true = SkewedClock()
        skew_ms = self._life.skew_ms = max(0, latest_ms - true.now_ms())
        for clock in (self._world.broker.clock, *(process.clock for process in self._life.processes)):
            clock.jump(skew_ms)

    def _some_process(self) -> tuple[Place, Process] | None:
        kind = self._random.choices(_KINDS, (5, 3, 3, 1))[0]
        running = [
            (place, place.process)
            for place in self._life.places
            if place.kind == kind and place.process is not None and not place.process.is_over
        ]
        return self._random.choice(running) if running else None

    def _saw(self, what: str) -> None:
        self._world.troubles.saw(what)

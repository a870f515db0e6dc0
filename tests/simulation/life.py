"""One life of the whole pipeline from one seed: built, troubled, left alone, checked.

Theory of operation
-------------------
Places hold processes: three for processors, two for dispatchers, projectors and gateways each, one of each kind at
least taken. A place whose process has died or ended begins another one, as `darkroom up` does. For TROUBLED_S of
virtual time clients act and the nemesis strikes; then faults end, what hangs goes on, clocks agree on the latest time
that any command has seen, and everything has QUIET_WITHIN_S to end. Then the log, the state, the read models, the
store and what clients were told are compared (`tests.simulation.verdict`).

All randomness comes from the seed, all time from the loop: the same seed gives the same bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from tests.simulation.clients import Clients
from tests.simulation.nemesis import Nemesis
from tests.simulation.processes import Process
from tests.simulation.verdict import judge
from tests.simulation.virtual import run_virtually
from tests.simulation.watch import Watch
from tests.simulation.workers import Gateway, dispatcher, processor, projector
from tests.simulation.world import World

TROUBLED_S = 17.0
QUIET_WITHIN_S = 300.0
CLIENT_EVERY_S = 0.35
Main = Callable[[World, Process, asyncio.Event], Coroutine[Any, Any, None]]


class Place:
    """Where a process of one kind runs, one after the other, as long as it is taken."""

    def __init__(self, life: Life, kind: str, number: int, main: Main) -> None:
        self.kind, self.is_taken = kind, True
        self.process: Process | None = None
        self.gateway: Gateway | None = None
        self._life, self._number, self._main = life, number, main
        self._stop = asyncio.Event()
        self._begun = 0

    async def keep(self) -> None:
        """Begin a process, and another one after its end."""
        while True:
            if self.is_taken:
                self._begin()
                assert self.process is not None
                while not self.process.is_over:
                    await asyncio.sleep(0.3)
                self._seen_dead()
                self._note_end(self.process)
            await asyncio.sleep(self._life.world.random.uniform(0.1, 1.5))

    def ask_to_stop(self) -> None:
        """SIGTERM."""
        self._stop.set()

    def _begin(self) -> None:
        self._begun += 1
        process = self.process = Process(f"{self.kind}-{self._number}.{self._begun}")
        self._stop = asyncio.Event()
        process.clock.jump(self._life.skew_ms)
        self._life.processes.append(process)
        process.start(self._main(self._life.world, process, self._stop))

    def _note_end(self, process: Process) -> None:
        if process.state != "dead" and process.main is not None and not process.main.cancelled():
            error = process.main.exception()
            if error is not None:
                self._life.ends.append(f"{process.name} ended: {error!r}")

    def _seen_dead(self) -> None:
        """Half of the deaths are told to the group; the other half it finds out by itself."""
        assert self.process is not None
        if self._life.world.random.random() < 0.5:
            for group in self._life.world.groups.values():
                for incarnation in range(3):
                    group.remove(f"{self.process.name}#{incarnation}")


class Life:
    """Make it inside a running loop; `run` raises AssertionError where something does not hold.

    With `only`, nothing is killed and only the faults that it names strike, so many times as often as else.
    """

    def __init__(self, seed: int, only: Mapping[str, float] | None = None) -> None:
        self.world = World(seed)
        self._is_calm = only is not None
        if only is not None:
            self.world.troubles.factors.update(only)
            self.world.troubles.others = 0.0
        self.processes: list[Process] = []
        self.ends: list[str] = []
        self.skew_ms = 0
        self.watch = Watch(self.world.broker)
        self.clients = Clients(self.world, self._gateways)
        self.places = [
            *(Place(self, "processor", number, processor) for number in range(3)),
            *(Place(self, "dispatcher", number, dispatcher) for number in range(2)),
            *(Place(self, "projector", number, projector) for number in range(2)),
            *(Place(self, "gateway", number, self._serve) for number in range(2)),
        ]
        self.ended_after_s = 0.0

    async def run(self) -> None:
        """Live, and be judged."""
        with self.world.installed():
            try:
                await self._live()
            finally:
                await self._bury()
        await judge(self)

    def fingerprint(self) -> str:
        """A hash of every byte on the log and of everything that clients were told."""
        digest = hashlib.sha256()
        for place, log in self.world.broker.partitions.items():
            for record in log.entries:
                digest.update(repr((place, record)).encode())
        digest.update(repr([(told.envelope.id, told.how, told.replies) for told in self.clients.told]).encode())
        digest.update(repr(sorted(self.world.troubles.counts.items())).encode())
        return digest.hexdigest()

    async def _live(self) -> None:
        keeping = [asyncio.create_task(place.keep()) for place in self.places]
        try:
            await asyncio.sleep(0.5)
            await self.clients.publish()
            nemesis = Nemesis(self)
            self.world.troubles.are_on = True
            until_s = _now_s() + TROUBLED_S
            striking = asyncio.create_task(asyncio.sleep(0) if self._is_calm else nemesis.rage())
            while _now_s() < until_s:
                await asyncio.sleep(self.world.random.expovariate(1 / CLIENT_EVERY_S))
                self.clients.act()
            striking.cancel()
            nemesis.relent()
            await self._until_quiet()
        finally:
            self.world.network.is_closed = True  # the log stands still from here on
            for task in keeping:
                task.cancel()

    async def _until_quiet(self) -> None:
        begun_s = _now_s()
        await self.clients.finish()
        while (unended := self.watch.unended()) or not self._projected():
            assert not (found := self.watch.violations()), found
            for partition in self.watch.stopped():
                await self.clients.resume(partition)
            late = _now_s() - begun_s >= QUIET_WITHIN_S
            assert not late, f"after the last fault: {unended or 'not projected'}; {self.ends[-3:]}"
            await asyncio.sleep(1.0)
        self.ended_after_s = _now_s() - begun_s

    def _projected(self) -> bool:
        tracked = self.world.models.tracked
        return all(
            tracked[f"jobs.1.{partition}"].offset >= offsets[-1]
            for partition, offsets in enumerate(self.watch.offsets)
            if offsets and f"jobs.1.{partition}" in tracked
        ) and bool(tracked)

    def _gateways(self) -> list[tuple[Process, Gateway]]:
        found = [(p.process, p.gateway) for p in self.places if p.kind == "gateway" and p.process and p.gateway]
        return [pair for pair in found if pair[0].state != "dead"] or found

    async def _serve(self, world: World, process: Process, stop: asyncio.Event) -> None:
        place = next(place for place in self.places if place.process is process)
        place.gateway = Gateway(world, process)
        await place.gateway.run(stop)

    async def _bury(self) -> None:
        """Unwind every task of every process without any effect."""
        for process in self.processes:
            process.cut()
        mine = asyncio.current_task()
        for _ in range(20):  # what is cancelled may begin something to clean up
            left = [task for task in asyncio.all_tasks() if task is not mine]
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left, timeout=1.0)
            await asyncio.sleep(0.1)
        assert len(asyncio.all_tasks()) == 1, f"cannot be cancelled: {asyncio.all_tasks()}"


def play(seed: int) -> tuple[str, dict[str, int]]:
    """Play a life to its end: its fingerprint, and what struck. Raises what it found."""

    async def life() -> tuple[str, dict[str, int]]:
        one = Life(seed)
        await one.run()
        return one.fingerprint(), dict(one.world.troubles.counts)

    return run_virtually(life)


def _now_s() -> float:
    return asyncio.get_running_loop().time()

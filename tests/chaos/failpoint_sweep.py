"""Every failpoint of the product struck on a running stack, by a kill and by a failure, under load; then judged.

    python -m tests.chaos.failpoint_sweep [--only NAME,...] [--lanes LANE,...] [--minutes M] [--seed N] [--write FILE]

Theory of operation
-------------------
The stack runs with DARKROOM_FAILPOINTS=@armed, so the sweep arms a failpoint by writing the file, and its marker says
that it struck. Lanes go side by side, one for each kind of process: each arms one failpoint, takes the way that passes
it (`failpoint_steps`) until the marker is there, and waits until the process is healthy again. What an operator's
command was struck in is repeated until it succeeds. A workload whose every answer is kept goes on all the while.

Judged as after any storm: every answer is borne out by the log, every job has ended once and was charged as it ended,
the audit finds every law kept and the read models equal to the fold of the log.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos import arming
from tests.chaos.arming import Arming
from tests.chaos.asker import Asker, Person
from tests.chaos.failpoint_field import Field
from tests.chaos.failpoint_steps import BESIDE, Visit, every_visit
from tests.chaos.features import Record
from tests.chaos.journal import Journal, unfinished
from tests.chaos.leases import plan_with_short_leases
from tests.chaos.workload import Workload
from tests.client import Client
from tests.stack import Stack

USERS = 6
PEOPLE = 4
CREDITS = 100_000
COMMANDS_A_SECOND = 6.0
STRUCK_WITHIN_S = 240.0
READY_WITHIN_S = 300.0
HEALTHY_WITHIN_S = 180.0
CALM_S = 1.0
FINISHED_WITHIN_S = 240.0
QUIET_WITHIN_S = 240.0
_LOOK_EVERY_S = 0.1
_ENDLESS = 10_000_000
_PATIENCE_S = 600.0
_LANES = ("gateway", "processor", "dispatcher", "projector", "operator", "rebuild")
ENVIRONMENT = {**arming.ENVIRONMENT, "DARKROOM_SWEEP__EVERY_S": "0"}
"""Of the stack; the operator alone sweeps its store."""
_OF_OPERATORS = ("operator", "rebuild")


@dataclass(frozen=True)
class Strike:
    """A visit that struck, and the seconds until it did and until all was well again."""

    visit: Visit
    struck_s: float
    well_s: float


@dataclass
class Sweep:
    """One sweep over ``visits``, or as many as fit into ``minutes``.

    `strikes` holds those that struck, `wrong` whatever should not have been.
    """

    stack: Stack
    visits: Sequence[Visit]
    seed: int
    minutes: float = math.inf
    strikes: list[Strike] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._arming = Arming(self.stack.data)
        self._done = False
        self._until = math.inf

    async def run(self) -> None:
        """Start the stack, through the failpoints of its start; sweep under load; judge; stop it."""
        await self._start()
        users = [Client(self.stack) for _ in range(USERS)]
        people = [Person(Client(self.stack)) for _ in range(PEOPLE)]
        for client in (*users, *(person.client for person in people)):
            await client.grant(CREDITS)
        async with Client(self.stack, "operator", role="admin") as operator:
            on = Field(self.stack, Asker(operator, self.seed), people)
            workload = Workload(users, self.seed, _PATIENCE_S)
            self._until = time.monotonic() + 60 * self.minutes
            loading = asyncio.create_task(workload.run(_ENDLESS, COMMANDS_A_SECOND, enough=lambda: self._done))
            async with asyncio.TaskGroup() as lanes:
                for lane in _LANES:
                    lanes.create_task(self._sweep_lane(on, [v for v in self.visits if v.lane == lane]))
            self._done = True
            await loading
            await self._judge(on, workload, users)
        for client in (*users, *(person.client for person in (*people, *on.newcomers))):
            await client.http.aclose()
        await asyncio.to_thread(self.stack.stop)

    async def _start(self) -> None:
        """Each failpoint of the start, in starts of Kafka alone, whose hook makes topics and publishes the plan."""
        for visit in (v for v in self.visits if v.lane == "start"):
            began = time.monotonic()
            self._arming.arm(*self._entries(visit))
            with _starting(self.stack) as starting:
                while not self._has_struck(visit) and starting.poll() is None:
                    if time.monotonic() - began > STRUCK_WITHIN_S:
                        break
                    await asyncio.sleep(_LOOK_EVERY_S)
                struck = time.monotonic()
                if not self._has_struck(visit):
                    self.wrong.append(f"{visit.failpoint} was not struck by {visit.action} at the start")
                elif visit.action == "raise" and not await asyncio.to_thread(_is_ready, starting):
                    self.wrong.append(f"the stack did not start after {visit}")
                else:
                    self._note(visit, began, struck)
            self._arming.disarm(*self._entries(visit))
            (self.stack.data / "plan.published").unlink(missing_ok=True)  # the next start publishes it anew
        await asyncio.to_thread(self.stack.start, READY_WITHIN_S)

    async def _sweep_lane(self, on: Field, visits: Sequence[Visit]) -> None:
        for visit in visits:
            if time.monotonic() > self._until:
                return
            try:
                await self._strike(on, visit)
            except Exception as error:
                self.wrong.append(f"{visit} could not be tried: {error!r}")

    async def _strike(self, on: Field, visit: Visit) -> None:
        began = time.monotonic()
        self._arming.arm(*self._entries(visit))
        ran = None
        while not self._has_struck(visit):
            if time.monotonic() - began > STRUCK_WITHIN_S:
                self.wrong.append(f"{visit.failpoint} was not struck by {visit.action}")
                self._arming.disarm(*self._entries(visit))
                return
            ran = await visit.way(on)
        struck = time.monotonic()
        self._arming.disarm(*self._entries(visit))
        if visit.lane in _OF_OPERATORS:
            while ran is not None and ran.returncode != 0:
                if time.monotonic() - struck > FINISHED_WITHIN_S:
                    self.wrong.append(f"after {visit}: {ran.stdout[-300:]} {ran.stderr[-600:]}")
                    break
                ran = await visit.way(on)
        elif not await self._well(visit):
            self.wrong.append(f"{visit.lane} is not well again after {visit}")
        self._note(visit, began, struck)

    async def _well(self, visit: Visit) -> bool:
        """Wait until what was killed is another process and all of its kind are healthy; False: that takes too long."""
        await asyncio.sleep(CALM_S)  # a failure may end its process, too, and whoever asks is answered meanwhile
        killed = self._arming.struck_pid(self._entries(visit)[0]) if visit.action == "kill" else 0
        deadline = time.monotonic() + HEALTHY_WITHIN_S
        while time.monotonic() < deadline:
            told = json.loads((self.stack.data / "run" / "status.json").read_text(encoding="utf-8"))
            rows = [row for row in told["components"] if row["name"].startswith(visit.lane)]
            if all(row["healthy"] and row["pid"] != killed for row in rows):
                return True
            await asyncio.sleep(_LOOK_EVERY_S)
        return False

    def _entries(self, visit: Visit) -> list[str]:
        """What is armed for a visit: its own entry first."""
        entries = [f"{visit.failpoint}={visit.action}#s{self.seed}"]
        beside = BESIDE.get(visit.step)
        if beside is not None:
            entries.append(f"{beside}#for-{visit.failpoint.rpartition('.')[2]}-{visit.action}")
        return entries

    def _has_struck(self, visit: Visit) -> bool:
        return self._arming.has_struck(self._entries(visit)[0])

    def _note(self, visit: Visit, began: float, struck: float) -> None:
        self.strikes.append(Strike(visit, struck - began, time.monotonic() - struck))
        print(f"{len(self.strikes)}/{len(self.visits)} {visit.failpoint} {visit.action}", file=sys.stderr, flush=True)

    async def _judge(self, on: Field, workload: Workload, users: list[Client]) -> None:
        """Every answer is borne out by the log, every job ended once, the books and the read models fit."""
        await _until_quiet([*users, *(person.client for person in (*on.people, *on.newcomers))])
        self.wrong += [f"nobody answered {command}" for command in (*workload.silent, *on.asker.silent)]
        self.wrong += [*workload.strange, *on.asker.wrong]
        journal = await _settled(self.stack)
        self.wrong += unfinished(journal)
        record = await asyncio.to_thread(lambda: Record.of(self.stack.each_event()))
        self.wrong += record.outstanding([*on.people, *on.newcomers])
        told = workload.write(self.stack.data / "told.ndjson")
        self.wrong += (await asyncio.to_thread(self.stack.audit, "--quiet-log", "--told", str(told)))["violations"]
        charged = sum(map(len, journal.charges.values()))
        answers = len(workload.told) + len(on.asker.answered)
        print(f"{answers} answers, {len(journal.accepted)} jobs, {charged} charges, {len(self.wrong)} wrong")


@contextmanager
def _starting(stack: Stack) -> Iterator[subprocess.Popen[str]]:
    """A start of the stack's Kafka, which is stopped at the end where it still runs."""
    argv = (sys.executable, "-m", "infra.cli.main", "up", "--port", str(stack.port), "--data", str(stack.data))
    environment = {**os.environ, **ENVIRONMENT}
    with subprocess.Popen(
        (*argv, "--only", "kafka"), env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as starting:
        try:
            yield starting
        finally:
            if starting.poll() is None:
                starting.terminate()


def _is_ready(starting: subprocess.Popen[str]) -> bool:
    """Whether the start ends well: it says so, or its output ends."""
    assert starting.stdout is not None
    return starting.stdout.readline().startswith("ready ")


async def _until_quiet(users: Iterable[Client]) -> None:
    """Until no job of any user is live."""
    deadline = time.monotonic() + QUIET_WITHIN_S
    for user in users:
        while (await user.account())["reserved"] != 0:
            assert time.monotonic() < deadline, f"{user.name} still has reserved credits"
            await asyncio.sleep(0.5)


async def _settled(stack: Stack, limit_s: float = 60.0) -> Journal:
    """The log once no attempt holds a slot any more."""
    deadline = time.monotonic() + limit_s
    while True:
        journal = Journal.of(await asyncio.to_thread(stack.events))
        if not journal.open_slots or time.monotonic() > deadline:
            return journal
        await asyncio.sleep(1)


async def swept(folder: Path, visits: Sequence[Visit], seed: int, minutes: float = math.inf) -> Sweep:
    """One sweep on a stack of its own in ``folder``; after so many minutes nothing more is struck."""
    environment = {**ENVIRONMENT, "DARKROOM_PLAN_PATH": str(plan_with_short_leases(folder))}
    sweep = Sweep(Stack(folder / "data", environment), visits, seed, minutes)
    try:
        await sweep.run()
    finally:
        sweep.stack.kill()
    return sweep


def table(sweep: Sweep) -> str:
    """A line for each failpoint: the seconds until all was well again after a kill and after a failure."""
    well = {(strike.visit.failpoint, strike.visit.action): f"{strike.well_s:.1f}" for strike in sweep.strikes}
    names = dict.fromkeys(visit.failpoint for visit in sweep.visits)
    lines = [f"{'failpoint':34} {'kill':>8} {'raise':>8}   (s until all was well again)"]
    lines += [f"{name:34} {well.get((name, 'kill'), '-'):>8} {well.get((name, 'raise'), '-'):>8}" for name in names]
    return "\n".join([*lines, f"{len(sweep.strikes)} strikes of {len(sweep.visits)}; {len(sweep.wrong)} wrong"])


def main() -> None:
    """Sweep, print the table and what was wrong; exit code 1 where anything was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="Begin of names of failpoints, with commas.")
    parser.add_argument("--lanes", default="", help="Whose processes are struck, with commas (all).")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=math.inf, help="After which nothing more is struck.")
    parser.add_argument("--write", type=Path, help="Where the strikes go as JSON.")
    asked = parser.parse_args()
    begins = tuple(name for name in asked.only.split(",") if name)
    lanes = tuple(name for name in asked.lanes.split(",") if name)
    visits = [
        visit
        for visit in every_visit()
        if (not begins or visit.failpoint.startswith(begins)) and (not lanes or visit.lane in lanes)
    ]
    with tempfile.TemporaryDirectory(prefix="failpoints-") as folder:
        began = time.monotonic()
        sweep = asyncio.run(swept(Path(folder), visits, asked.seed, asked.minutes))
    print(table(sweep))
    print(f"took {time.monotonic() - began:.0f} s")
    for line in sweep.wrong:
        print(f"WRONG {line}")
    if asked.write is not None:
        rows = [[s.visit.failpoint, s.visit.action, round(s.struck_s, 2), round(s.well_s, 2)] for s in sweep.strikes]
        asked.write.write_text(json.dumps({"seed": asked.seed, "strikes": rows, "wrong": sweep.wrong}, indent=1))
    is_whole = len(sweep.strikes) == len(visits) or asked.minutes < math.inf
    sys.exit(1 if sweep.wrong or not is_whole else 0)


if __name__ == "__main__":
    main()

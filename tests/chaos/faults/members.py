"""A storm of joins and leaves: more processors come into the group than it needs, and go, killed or in order."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from infra.errors import ServerUnreachable
from infra.kafka.groups import leave_group
from infra.local.layout import Layout
from tests.chaos.faults.fault import Kind, Struck

if TYPE_CHECKING:
    from tests.chaos.arena import Arena

_GUESTS = 3
_FIRST_INDEX = 10
_JOINS_WITHIN_S = 60.0


@dataclass(frozen=True)
class Guest:
    """A processor beside those of the stack, with the settings that they have."""

    process: asyncio.subprocess.Process
    member_file: Path

    async def joined(self) -> bool:
        """Whether it was given partitions, or none, before its time was over or it died."""
        try:
            async with asyncio.timeout(_JOINS_WITHIN_S):
                while self.process.returncode is None:
                    if self.member_file.is_file():
                        return True
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pass
        return False

    async def leave(self, arena: Arena, signum: signal.Signals) -> None:
        """Its end; one that is killed is reported, as a supervisor does."""
        if self.process.returncode is None:
            self.process.send_signal(signum)
        await self.process.wait()
        if signum == signal.SIGKILL and self.member_file.is_file():
            told = json.loads(self.member_file.read_text(encoding="utf-8"))
            with suppress(ServerUnreachable):  # while no broker answers nobody can report it, and its session ends
                await leave_group(arena.settings, told["group"], told["member_id"])
        self.member_file.unlink(missing_ok=True)


@dataclass(frozen=True)
class ComeAndGo:
    """Some join, one after the other; then every second one leaves."""

    name: str = "come-and-go"
    kind: Kind = "other worker"
    detour: None = None

    async def strike(self, arena: Arena, draw: random.Random) -> Struck:
        manners = [draw.choice((signal.SIGKILL, signal.SIGTERM)) for _ in range(_GUESTS)]
        _, pid = await arena.healthy_one(("processor-0", "processor-1"))
        try:
            environment = psutil.Process(pid).environ()
        except psutil.NoSuchProcess:
            return Struck({})
        counts: Counter[str] = Counter()
        guests = [await _start(arena, environment, _FIRST_INDEX + number) for number in range(_GUESTS)]
        try:
            for guest, signum in zip(guests, manners, strict=True):
                if await guest.joined():
                    counts["joined"] += 1
                    counts["left" if signum == signal.SIGTERM else "killed guest"] += 1
                await guest.leave(arena, signum)
                await asyncio.sleep(1.0)
        finally:
            for guest in guests:
                if guest.process.returncode is None:
                    guest.process.kill()
                    await guest.process.wait()
        return Struck(counts)


async def _start(arena: Arena, environment: dict[str, str], index: int) -> Guest:
    member_file = Layout(arena.stack.data).member_file(f"processor-{index}")
    member_file.unlink(missing_ok=True)
    own = {name: value for name, value in environment.items() if name != "DARKROOM_METRICS_PORT"}
    own["DARKROOM_WORKER_NAME"] = f"processor-{index}"
    argv = (sys.executable, "-m", "infra.cli.main", "serve", "processor", "--index", str(index))
    with (Layout(arena.stack.data).logs / f"processor-{index}.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(*argv, env=own, stdout=log, stderr=log, start_new_session=True)
    return Guest(process, member_file)

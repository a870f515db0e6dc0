"""Faults of processes: kill -9, a stop that outlives the session, a clean restart, a host that nobody sees die."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from infra.local.layout import Layout
from processors.agents import SESSION_MS
from tests.chaos.faults.fault import Fault, Kind, Struck

if TYPE_CHECKING:
    from tests.chaos.arena import Arena

COMPONENTS = {
    "gateway": ("gateway-0",),
    "processor": ("processor-0", "processor-1"),
    "dispatcher": ("dispatcher-0",),
    "projector": ("projector-0",),
    "kafka": ("kafka",),
    "postgres": ("postgres",),
    "s3": ("s3",),
    "triton": ("triton",),
}
_WORKERS = ("gateway", "processor", "dispatcher", "projector")
_MEMBERS = ("processor", "dispatcher")
_LONGER_THAN_SESSION_S = (SESSION_MS / 1000 + 1.5, SESSION_MS / 1000 + 3.0)
_STOP_SIGNALS = {"postgres": signal.SIGINT}


@dataclass(frozen=True)
class _OfComponent:
    """What faults of one kind of component share."""

    component: str
    detour: None = None

    async def pick(self, arena: Arena, draw: random.Random) -> tuple[str, int]:
        """A healthy process of the component: its name and its pid."""
        names = COMPONENTS[self.component]
        first = draw.randrange(len(names))
        return await arena.healthy_one((*names[first:], *names[:first]))


@dataclass(frozen=True)
class Kill(_OfComponent):
    """kill -9; the supervisor sees it and starts the next life."""

    @property
    def name(self) -> str:
        return f"kill-{self.component}"

    @property
    def kind(self) -> Kind:
        return kind_of(self.component, "dead worker")

    async def strike(self, arena: Arena, draw: random.Random) -> Struck:
        name, pid = await self.pick(arena, draw)
        return await ended(arena, name, pid, signal.SIGKILL, f"kill {self.component}")


@dataclass(frozen=True)
class LoseHost(_OfComponent):
    """kill -9 of a group member that nobody reports: its partitions wait until the broker ends its session."""

    @property
    def name(self) -> str:
        return f"lose-{self.component}"

    @property
    def kind(self) -> Kind:
        return kind_of(self.component, "lost host")

    async def strike(self, arena: Arena, draw: random.Random) -> Struck:
        name, pid = await self.pick(arena, draw)
        Layout(arena.stack.data).member_file(name).unlink(missing_ok=True)
        return await ended(arena, name, pid, signal.SIGKILL, f"lost {self.component}")


@dataclass(frozen=True)
class Restart(_OfComponent):
    """The signal that asks for a clean end; the supervisor starts the next life."""

    @property
    def name(self) -> str:
        return f"restart-{self.component}"

    @property
    def kind(self) -> Kind:
        return kind_of(self.component, "clean restart")

    async def strike(self, arena: Arena, draw: random.Random) -> Struck:
        name, pid = await self.pick(arena, draw)
        signum = _STOP_SIGNALS.get(self.component, signal.SIGTERM)
        return await ended(arena, name, pid, signum, f"restart {self.component}")


@dataclass(frozen=True)
class Freeze(_OfComponent):
    """SIGSTOP for longer than a group member's session, then SIGCONT: a zombie goes on where it was."""

    @property
    def name(self) -> str:
        return f"freeze-{self.component}"

    @property
    def kind(self) -> Kind:
        return kind_of(self.component, "hanging worker")

    async def strike(self, arena: Arena, draw: random.Random) -> Struck:
        _, pid = await self.pick(arena, draw)
        family = _family(pid)
        _signal_all(family, signal.SIGSTOP)
        try:
            await asyncio.sleep(draw.uniform(*_LONGER_THAN_SESSION_S))
            is_zombie = bool(family) and _is_stopped(family[0])
        finally:
            _signal_all(family, signal.SIGCONT)
        return Struck({f"zombie {self.component}": 1} if is_zombie else {})


def process_faults() -> tuple[Fault, ...]:
    """Of every component by name."""
    return (
        *(Kill(name) for name in COMPONENTS),
        *(Freeze(name) for name in COMPONENTS),
        *(Restart(name) for name in COMPONENTS),
        *(LoseHost(name) for name in _MEMBERS),
    )


def kind_of(component: str, of_owner: Kind) -> Kind:
    """Only processors own partitions."""
    if component == "processor":
        return of_owner
    return "other worker" if component in _WORKERS else "lost server"


async def ended(arena: Arena, name: str, pid: int, signum: signal.Signals, what: str) -> Struck:
    """Signal a process and wait for its end; nothing is counted for one that something else has ended before."""
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return Struck({})
    await arena.until_replaced(name, pid)
    return Struck({what: 1})


def _family(pid: int) -> list[psutil.Process]:
    try:
        leader = psutil.Process(pid)
        return [leader, *leader.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _signal_all(family: Iterable[psutil.Process], signum: signal.Signals) -> None:
    for process in family:
        try:
            process.send_signal(signum)
        except psutil.NoSuchProcess:
            continue


def _is_stopped(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_STOPPED)
    except psutil.NoSuchProcess:
        return False

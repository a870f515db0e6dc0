"""Where failpoints are passed on a stack: who asks, what operators run, and ways made of those."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from infra.cli.target import settings_for
from infra.settings import Settings
from tests.chaos.arming import ENVIRONMENT
from tests.chaos.asker import Asker, Person
from tests.client import Client
from tests.stack import Stack


@dataclass
class Field:
    """Where steps are taken: the stack, who asks, and numbers that nobody had before.

    `cut_off` says whom a command of an operator that has not ended well was about: it is repeated for the same one.
    """

    stack: Stack
    asker: Asker
    people: list[Person]
    newcomers: list[Person] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    cut_off: dict[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """With the direct ways to the servers."""
        return settings_for(self.stack.data)

    @property
    def person(self) -> Person:
        """Somebody with credits."""
        return self.asker.draw.choice(self.people)

    def newcomer(self) -> Person:
        """Somebody whom the deployment does not know yet, without credits."""
        self.newcomers.append(Person(Client(self.stack)))
        return self.newcomers[-1]

    async def told(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """What a command of the operator said."""
        return await asyncio.to_thread(self.stack.darkroom, *arguments, limit_s=300.0)

    async def upkeep(self, what: str) -> subprocess.CompletedProcess[str]:
        """What is done once an hour, now."""
        argv = (sys.executable, "-m", "tests.chaos.upkeep_now", what, str(self.stack.data))
        environment = {**os.environ, **ENVIRONMENT}
        return await asyncio.to_thread(
            subprocess.run, argv, env=environment, capture_output=True, text=True, timeout=300, check=False
        )

    async def account_of(self, person: Person) -> str:
        """The person's account, as soon as a gateway tells."""
        shown = await self.asker.read(lambda: person.client.http.get("/v1/account"))
        assert shown is not None, "no gateway answers"
        return str(shown["account"])

    def kill(self, kind: str) -> None:
        """SIGKILL for one process of the kind, which is started again."""
        rows = self.stack.status()
        pids = [row["pid"] for name, row in rows.items() if name.startswith(kind) and row["pid"] is not None]
        if pids:
            os.kill(self.asker.draw.choice(pids), signal.SIGKILL)


Ran = subprocess.CompletedProcess[str] | None
Way = Callable[[Field], Awaitable[Ran]]
"""Makes the stack pass the step; the answer is an operator's command that has ended."""


def asked(step: Callable[[Asker, Person], Awaitable[None]]) -> Way:
    """A person asks for it."""

    async def way(on: Field) -> None:
        await step(on.asker, on.person)

    return way


def told(*arguments: str) -> Way:
    """An operator runs a command."""

    async def way(on: Field) -> Ran:
        return await on.told(*arguments)

    return way


def upkeep(what: str) -> Way:
    """What is done once an hour is done now."""

    async def way(on: Field) -> Ran:
        return await on.upkeep(what)

    return way


def killed(kind: str) -> Way:
    """A process of the kind is killed: its successor passes it."""

    async def way(on: Field) -> None:
        """A process that dies has a successor, which begins at the beginning."""
        await asyncio.to_thread(on.kill, kind)
        await asyncio.sleep(5)

    return way

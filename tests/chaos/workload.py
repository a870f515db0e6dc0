"""A mixed workload by many users, and a log of every answer that they were told.

Each command is repeated under its own key until somebody answers it, as a careful client does: what is no answer
(no connection, a cut connection, a 5xx) is asked again. Duplicates repeat a key that was answered before.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.client import Client
from tests.pictures import encoded, scene

PRICE = 1
_CATCHES_UP_S = 2.0
_WEIGHTS = {"echo": 44, "flaky": 8, "broken": 8, "slow": 3, "upscale": 4, "upload": 9, "cancel": 12, "duplicate": 12}
_EXPECTED = {"upload": (201, 202), "cancel": (200, 202, 404, 409)}
_EXPECTED_OF_SUBMITS = (200, 202, 402)
_PICTURE = encoded(scene(40, 30, seed=3))


@dataclass(frozen=True)
class Told:
    """An answer: of what kind of command, to whom, under which key, about which job (of a cancel), and what it said."""

    kind: str
    user: Client
    key: str
    status: int
    body: dict[str, Any]
    position: str | None
    about: str | None = None
    asked_times: int = 1
    seconds: float = 0.0


@dataclass
class _Submit:
    """A submit that may be repeated under its key."""

    user: Client
    key: str
    model: str
    params: dict[str, object]
    asset: str | None
    prefer: str | None


@dataclass
class Workload:
    """Asks ``users`` for commands; `told` holds every answer in the order in which they came.

    `silent` names commands that nobody answered, and `strange` answers that such a command cannot have.
    """

    users: Sequence[Client]
    seed: int
    patience_s: float = 60.0
    told: list[Told] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._draw = random.Random(self.seed)
        self._submits: list[_Submit] = []
        self._assets: dict[str, list[str]] = {}
        self._jobs: list[tuple[Client, str]] = []

    async def run(
        self, commands: int, a_second: float, at_once: int = 48, enough: Callable[[], bool] = lambda: False
    ) -> None:
        """Send so many commands at this pace, at most so many at once, or fewer when it is enough.

        What could not be sent because too many were unanswered is not caught up with, but for a moment's worth.
        """
        room, due_s = asyncio.Semaphore(at_once), time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for number in range(commands):
                if enough():
                    return
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                await room.acquire()
                due_s = max(due_s + 1 / a_second, time.monotonic() - _CATCHES_UP_S)
                tasks.create_task(self._in(room, f"{self.seed}-{number}"))

    def write(self, path: Path) -> Path:
        """Every answer as a line of JSON, as ``darkroom audit --told`` reads them."""
        with path.open("w", encoding="utf-8") as file:
            for answer in self.told:
                file.write(json.dumps({**vars(answer), "user": answer.user.subject}) + "\n")
        return path

    async def _in(self, room: asyncio.Semaphore, key: str) -> None:
        try:
            await self._one(key)
        finally:
            room.release()

    async def _one(self, key: str) -> None:
        kind = self._draw.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        user = self._draw.choice(self.users)
        if kind == "upload":
            await self._until_told(kind, user, key, lambda: user.upload(_PICTURE, key=key))
        elif kind == "cancel" and self._jobs:
            owner, job = self._draw.choice(self._jobs[-40:])
            await self._until_told(kind, owner, key, lambda: owner.cancel(job, key=key), about=job)
        elif kind == "duplicate" and self._submits:
            await self._submit(kind, self._draw.choice(self._submits[-200:]))
        else:
            kind = "echo" if kind in ("cancel", "duplicate") else kind  # nothing is there yet to cancel or to repeat
            submit = self._new_submit(kind, user, key)
            self._submits.append(submit)
            await self._submit(kind, submit)

    def _new_submit(self, kind: str, user: Client, key: str) -> _Submit:
        prefer = self._draw.choice([None, None, "respond-async", "wait=2", "wait=10"])
        assets = self._assets.get(user.subject, [])
        if kind == "upscale" and assets:
            return _Submit(user, key, "classical/upscale", {"scale": 2}, self._draw.choice(assets), prefer)
        params: dict[str, dict[str, object]] = {"flaky": {"failures": 1}, "broken": {}, "slow": {"seconds": 1}}
        if kind in params:
            return _Submit(user, key, f"sandbox/{kind}", params[kind], None, prefer)
        return _Submit(user, key, "sandbox/echo", {"seed": self._draw.randrange(256)}, None, prefer)

    async def _submit(self, kind: str, submit: _Submit) -> None:
        await self._until_told(
            kind,
            submit.user,
            submit.key,
            lambda: submit.user.submit(
                submit.model, submit.params, asset=submit.asset, key=submit.key, prefer=submit.prefer
            ),
        )

    async def _until_told(
        self,
        kind: str,
        user: Client,
        key: str,
        ask: Callable[[], Awaitable[httpx.Response]],
        about: str | None = None,
    ) -> None:
        started, asked = time.monotonic(), 0
        while time.monotonic() - started < self.patience_s:
            asked += 1
            try:
                answer = await ask()
            except httpx.TransportError:
                await asyncio.sleep(0.2)
                continue
            if answer.status_code >= 500 or answer.status_code == 429:
                await asyncio.sleep(0.2)
                continue
            self._note(kind, user, key, answer, about, asked, time.monotonic() - started)
            return
        self.silent.append(f"{kind} {key}")

    def _note(
        self, kind: str, user: Client, key: str, answer: httpx.Response, about: str | None, asked: int, seconds: float
    ) -> None:
        body: dict[str, Any] = answer.json()
        position = answer.headers.get("darkroom-position")
        if answer.status_code not in _EXPECTED.get(kind, _EXPECTED_OF_SUBMITS):
            self.strange.append(f"{kind} {key} was answered {answer.status_code} {body}")
        self.told.append(Told(kind, user, key, answer.status_code, body, position, about, asked, seconds))
        if kind == "upload":
            if answer.status_code == 201:  # else it is not decided yet, and a repeat stands for the first one's asset
                self._assets.setdefault(user.subject, []).append(body["id"])
        elif answer.is_success and kind not in ("cancel", "duplicate"):
            self._jobs.append((user, body["id"]))

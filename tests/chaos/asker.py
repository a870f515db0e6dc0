"""People who ask a running stack for things, each command repeated under its key until somebody answers it.

Steps (`job_steps`, `asset_steps`, `money_steps`) draw what to ask for; an `Asker` asks, and holds what was told.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.chaos.nemesis import asked_until_answered
from tests.client import Client


@dataclass
class Person:
    """A user and what they were told they own. `told` names, for each job, what a refusal of it would name."""

    client: Client
    assets: list[str] = field(default_factory=list)
    masks: list[str] = field(default_factory=list)
    albums: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    told: dict[str, str] = field(default_factory=dict)
    succeeded: list[str] = field(default_factory=list)

    def owns(self, job: dict[str, Any], group: str | None = None) -> None:
        """Note a job that an answer showed."""
        self.jobs.append(job["id"])
        self.told[job["id"]] = group or job["id"]
        if job["status"] == "succeeded":
            self.succeeded.append(job["id"])


@dataclass(frozen=True)
class Request:
    """A request under a key; an operator's where `by_operator`."""

    method: str
    path: str
    key: str
    json: Any = None
    files: Any = None
    prefer: str | None = None
    by_operator: bool = False


@dataclass(frozen=True)
class Answered:
    """One command's answer: `kind` for the count, the request that can be repeated, and what it said."""

    kind: str
    person: Person
    request: Request
    status: int
    body: Any
    commands: int


class Asker:
    """Asks; `answered` holds what came back, `silent` what never did, `wrong` what should not have."""

    def __init__(self, operator: Client, seed: int) -> None:
        self.operator, self.seed, self.draw = operator, seed, random.Random(seed)
        self.answered: list[Answered] = []
        self.silent: list[str] = []
        self.wrong: list[str] = []
        self.reads = 0
        self._number = 0

    @property
    def commands(self) -> int:
        """Commands that were answered; a batch counts its items."""
        return sum(answer.commands for answer in self.answered)

    async def ask(
        self, kind: str, person: Person, method: str, path: str, allowed: tuple[int, ...], **more: Any
    ) -> Any | None:
        """The body of a 2xx answer; any status that is not allowed is wrong. `commands` says how many it counts."""
        commands = more.pop("commands", 1)
        self._number += 1
        request = Request(method, path, f"f{self.seed}-{self._number}", **more)
        answer = await self.send(person, request)
        if answer is None:
            self.silent.append(f"{kind} {request.key}")
            return None
        body = answer.json() if answer.content else None
        self.answered.append(Answered(kind, person, request, answer.status_code, body, commands))
        if answer.status_code not in allowed:
            self.wrong.append(f"{kind} {request.key}: {answer.status_code} {answer.text[:300]}")
        return body if answer.is_success else None

    async def send(self, person: Person, request: Request) -> httpx.Response | None:
        """The answer to a request, first or repeated."""
        http = (self.operator if request.by_operator else person.client).http
        headers = {"Idempotency-Key": request.key} | ({"Prefer": request.prefer} if request.prefer else {})
        return await asked_until_answered(
            lambda: http.request(request.method, request.path, json=request.json, files=request.files, headers=headers)
        )

    async def read(self, ask: Callable[[], Awaitable[httpx.Response]], allowed: tuple[int, ...] = (200,)) -> Any | None:
        """The body of a read, which may not fail for good."""
        answer = await asked_until_answered(ask)
        self.reads += 1
        if answer is None or answer.status_code not in allowed:
            told = None if answer is None else f"{answer.request.url.path}: {answer.status_code} {answer.text[:300]}"
            self.wrong.append(f"read: {told}")
            return None
        return answer.json() if answer.is_success and "json" in answer.headers.get("content-type", "") else None

    async def repeat(self, sample: int) -> None:
        """Repeat answered commands under their keys: they must say what they said.

        What was only on its way (`wait=0`, or a late decision) may turn out to be refused.
        """
        told = [a for a in self.answered if a.request.method == "POST" and a.status in (200, 201, 202)]
        for answer in self.draw.sample(told, min(sample, len(told))):
            if answer.kind in UNREPEATED or was_pending(answer.body):
                continue
            again = await self.send(answer.person, answer.request)
            if again is None or differing(answer.body, again.json()):
                said = None if again is None else f"{again.status_code} {again.text[:600]}"
                self.wrong.append(f"{answer.kind} {answer.request.key} said {str(answer.body)[:600]}, then {said}")


UNREPEATED = ("presign", "complete", "fetch", "estimate", "publish", "unpublish", "move")
"""No commands under a key, or bound to a picture or an album that may be gone by then."""
_SAME = ("id", "group", "account", "asset", "album", "job", "cost", "plan")


def was_pending(body: Any) -> bool:
    """Whether an answer came before the decision of what it tells of."""
    if not isinstance(body, dict):
        return False
    jobs = [result["job"] for result in body.get("results") or () if result.get("job")] or [body]
    return any("pending" in job.values() or None in (job.get("balance", 0), job.get("moved", 0)) for job in jobs)


def differing(first: Any, second: Any) -> list[str]:
    """What is not the same in two answers under one key: ids, prices, and for many jobs those of each."""
    if not isinstance(first, dict) or not isinstance(second, dict):
        return [] if first == second else ["body"]
    found = [name for name in _SAME if name in first and first[name] != second.get(name)]
    ours, theirs = first.get("results") or (), second.get("results") or ()
    if len(ours) != len(theirs):
        return [*found, "results"]
    for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        if one.get("job") is not None:  # one that was refused for want of money is asked for anew
            found += [f"results[{number}].{name}" for name in differing(one["job"], other.get("job"))]
    return found

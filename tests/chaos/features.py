"""Every feature of the core, asked for at random by many users, each command repeated under its key until answered.

Where `workload` proves one kind of command in depth, this one goes wide: batches, groups, lots, refunds, plans, albums,
public pictures, presigned and remote uploads, identical jobs, every engine, crashes of an engine, deletions. What an
answer says is held against the log afterwards by `outstanding`.
"""

from __future__ import annotations

import asyncio
import datetime
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.chaos.nemesis import asked_until_answered
from tests.client import Client
from tests.pictures import encoded, scene

ITEMS = 20
GROUPED = 5
ENGINES: dict[str, dict[str, Any]] = {
    "classical/upscale": {"scale": 2},
    "classical/denoise": {},
    "classical/restore": {},
    "classical/colorize": {},
    "classical/stylize": {},
    "classical/sharpen": {},
}
PROMPTS = ("a lighthouse at dusk", "three red kites", "fog over a harbour")


@dataclass
class Person:
    """A user and what they have been told they own."""

    client: Client
    assets: list[str] = field(default_factory=list)
    albums: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Answered:
    """One command's answer: `kind` for the count, the request that can be repeated, and what it said."""

    kind: str
    person: Person
    request: Request
    status: int
    body: Any
    commands: int


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


class Features:
    """Asks; `answered` holds what came back, `silent` what never did."""

    def __init__(self, people: list[Person], operator: Client, seed: int) -> None:
        self.people, self.operator = people, operator
        self.answered: list[Answered] = []
        self.silent: list[str] = []
        self.wrong: list[str] = []
        self._draw = random.Random(seed)
        self._seed = seed
        self._number = 0
        self._steps: list[tuple[int, Callable[[Person], Awaitable[None]]]] = [
            (10, self._batch),
            (8, self._group),
            (8, self._upload),
            (4, self._presigned),
            (3, self._fetched),
            (6, self._grant),
            (6, self._refund),
            (3, self._plan),
            (12, self._engine),
            (4, self._imagined),
            (6, self._album),
            (6, self._publish),
            (6, self._identical),
            (6, self._delete),
            (8, self._cancel),
            (1, self._crash),
            (9, self._read),
        ]

    @property
    def commands(self) -> int:
        """Commands that were answered; a batch counts its items."""
        return sum(answer.commands for answer in self.answered)

    async def run(self, commands: int, at_once: int) -> None:
        """Ask until so many commands were answered."""
        weights, steps = zip(*self._steps, strict=True)

        async def ask() -> None:
            while self.commands < commands:
                (step,) = self._draw.choices(steps, weights)
                await step(self._draw.choice(self.people))

        async with asyncio.TaskGroup() as tasks:
            for _ in range(at_once):
                tasks.create_task(ask())

    async def repeat(self, sample: int) -> None:
        """Repeat answered commands under their keys: they must say what they said."""
        told = [a for a in self.answered if a.request.method == "POST" and a.status in (200, 201, 202)]
        for answer in self._draw.sample(told, min(sample, len(told))):
            again = await self._send(answer.person, answer.request)
            if again is None or identity(again.json()) != identity(answer.body):
                said = None if again is None else again.text[:300]
                self.wrong.append(f"{answer.kind} {answer.request.key} said {answer.body}, then {said}")

    async def _ask(
        self, kind: str, person: Person, method: str, path: str, allowed: tuple[int, ...], **more: Any
    ) -> Any | None:
        commands = more.pop("commands", 1)
        self._number += 1
        request = Request(method, path, f"f{self._seed}-{self._number}", **more)
        answer = await self._send(person, request)
        if answer is None:
            self.silent.append(f"{kind} {request.key}")
            return None
        body = answer.json() if answer.content else None
        self.answered.append(Answered(kind, person, request, answer.status_code, body, commands))
        if answer.status_code not in allowed:
            self.wrong.append(f"{kind} {request.key}: {answer.status_code} {answer.text[:300]}")
        return body if answer.is_success else None

    async def _send(self, person: Person, request: Request) -> httpx.Response | None:
        http = (self.operator if request.by_operator else person.client).http
        headers = {"Idempotency-Key": request.key} | ({"Prefer": request.prefer} if request.prefer else {})
        return await asked_until_answered(
            lambda: http.request(request.method, request.path, json=request.json, files=request.files, headers=headers)
        )

    async def _batch(self, person: Person) -> None:
        jobs: list[dict[str, Any]] = [
            {"model": "sandbox/echo", "params": {"seed": self._draw.randrange(256)}} for _ in range(ITEMS)
        ]
        jobs[self._draw.randrange(ITEMS)] = {"model": "sandbox/unheard-of"}
        body = await self._ask("batch", person, "POST", "/v1/jobs:batch", (200,), json={"jobs": jobs}, commands=ITEMS)
        if body is not None:
            results = body["results"]
            if len(results) != ITEMS or sum(result["status"] == 404 for result in results) > 1:
                self.wrong.append(f"batch answered {[result['status'] for result in results]}")
            person.jobs += [result["job"]["id"] for result in results if result.get("job")]

    async def _group(self, person: Person) -> None:
        jobs = [{"model": "sandbox/echo", "metadata": {"n": n}} for n in range(GROUPED)]
        if self._draw.random() < 0.1:
            jobs[-1] = {"model": "sandbox/echo", "input": {"asset": "asset_none"}}
        path = "/v1/jobs:batch?atomic=true"
        body = await self._ask(
            "group", person, "POST", path, (200, 202, 400, 402, 404), json={"jobs": jobs}, commands=GROUPED
        )
        if body is not None:
            person.jobs += [result["job"]["id"] for result in body["results"]]

    async def _upload(self, person: Person) -> None:
        files = {"file": ("a.png", encoded(scene(32, 24, seed=self._draw.randrange(4)), "PNG"))}
        body = await self._ask("upload", person, "POST", "/v1/assets", (201, 202), files=files)
        if body is not None:
            person.assets.append(body["id"])

    async def _presigned(self, person: Person) -> None:
        body = await self._ask("presign", person, "POST", "/v1/assets:presign", (200,), json={}, commands=0)
        if body is None:
            return
        picture = encoded(scene(24, 24, seed=self._draw.randrange(4)), "PNG")
        async with httpx.AsyncClient() as store:
            put = await asked_until_answered(lambda: store.put(body["url"], content=picture, headers=body["headers"]))
        if put is not None and put.is_success:
            path = f"/v1/assets/{body['id']}:complete"
            done = await self._ask("complete", person, "POST", path, (201, 202), json={})
            if done is not None:
                person.assets.append(done["id"])

    async def _fetched(self, person: Person) -> None:
        """The deployment's own media URL stands for the asset itself."""
        if person.assets:
            url = f"{self.operator.stack.url}/media/{self._draw.choice(person.assets)}"
            await self._ask("fetch", person, "POST", "/v1/assets:fetch", (200, 400, 404), json={"url": url}, commands=0)

    async def _grant(self, person: Person) -> None:
        grant: dict[str, Any] = {"amount": self._draw.randint(1, 30), "priority": self._draw.choice((-1, 0, 0, 2))}
        if self._draw.random() < 0.7:
            soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=self._draw.uniform(15, 60))
            grant["expires_at"] = soon.isoformat()
        path = f"/v1/accounts/{person.client.name}:grant"
        await self._ask("grant", person, "POST", path, (200, 202, 409, 422), json=grant, by_operator=True)

    async def _refund(self, person: Person) -> None:
        if person.jobs:
            path = f"/v1/jobs/{self._draw.choice(person.jobs)}:refund"
            body = {"account": person.client.name, "reason": "storm"}
            await self._ask("refund", person, "POST", path, (200, 202, 404, 409), json=body, by_operator=True)

    async def _plan(self, person: Person) -> None:
        path = f"/v1/accounts/{person.client.name}:plan"
        plan = {"plan": self._draw.choice(("default", "priority"))}
        await self._ask("plan", person, "POST", path, (200, 202), json=plan, by_operator=True)

    async def _submit(self, kind: str, person: Person, body: dict[str, Any], allowed: tuple[int, ...]) -> str | None:
        prefer = self._draw.choice((None, None, "respond-async", "wait=5", "wait=0"))
        answer = await self._ask(kind, person, "POST", "/v1/jobs", allowed, json=body, prefer=prefer)
        if answer is not None:
            person.jobs.append(answer["id"])
        return None if answer is None else answer["id"]

    async def _engine(self, person: Person) -> None:
        if person.assets:
            model, params = self._draw.choice(list(ENGINES.items()))
            body = {"model": model, "params": params, "input": {"asset": self._draw.choice(person.assets)}}
            await self._submit("engine", person, body, (200, 202, 402, 404, 410))

    async def _imagined(self, person: Person) -> None:
        body = {"model": "procedural/image", "params": {"prompt": self._draw.choice(PROMPTS)}}
        await self._submit("imagined", person, body, (200, 202, 402))

    async def _identical(self, person: Person) -> None:
        """Twice the same on the same picture, under other keys."""
        if person.assets:
            body = {"model": "classical/upscale", "params": {"scale": 2}, "input": {"asset": person.assets[0]}}
            for _ in range(2):
                await self._submit("identical", person, body, (200, 202, 402, 404, 410))

    async def _crash(self, person: Person) -> None:
        await self._submit("crash", person, {"model": "sandbox/crash"}, (200, 202, 402))

    async def _album(self, person: Person) -> None:
        if not person.albums or self._draw.random() < 0.3:
            made = await self._ask("album", person, "POST", "/v1/albums", (201, 202), json={"name": "Storm"})
            if made is not None:
                person.albums.append(made["id"])
        elif self._draw.random() < 0.15:
            path = f"/v1/albums/{person.albums.pop()}"
            await self._ask("drop-album", person, "DELETE", path, (200, 202, 404))
        elif person.assets:
            moved = {"assets": self._draw.choices(person.assets, k=3)}
            path = f"/v1/albums/{self._draw.choice(person.albums)}:move"
            await self._ask("move", person, "POST", path, (200, 202, 404), json=moved)

    async def _publish(self, person: Person) -> None:
        if person.assets:
            asset = self._draw.choice(person.assets)
            done = await self._ask("publish", person, "POST", f"/v1/assets/{asset}:publish", (200, 202, 404, 410))
            if done is not None:
                async with httpx.AsyncClient(base_url=self.operator.stack.url) as stranger:
                    await asked_until_answered(lambda: stranger.get(done["url"]))

    async def _delete(self, person: Person) -> None:
        if len(person.assets) > 2:
            asset = person.assets.pop(self._draw.randrange(len(person.assets)))
            await self._ask("delete", person, "DELETE", f"/v1/assets/{asset}", (200, 202, 404, 410))

    async def _cancel(self, person: Person) -> None:
        if person.jobs:
            path = f"/v1/jobs/{self._draw.choice(person.jobs[-30:])}:cancel"
            await self._ask("cancel", person, "POST", path, (200, 202, 404, 409))

    async def _read(self, person: Person) -> None:
        """Reads beside the writes: none of them may fail for good."""
        paths = ("/v1/account", "/v1/jobs?status=succeeded", "/v1/assets", "/v1/ledger", "/v1/statistics", "/v1/albums")
        path = self._draw.choice(paths)
        answer = await asked_until_answered(lambda: person.client.http.get(path))
        if answer is None or answer.status_code != 200:
            self.wrong.append(f"{path}: {None if answer is None else answer.text[:200]}")


def identity(body: Any) -> Any:
    """What must be the same in every answer under one key: ids of what was made, and the prices."""
    if not isinstance(body, dict):
        return body
    if "results" in body:
        jobs = [(result.get("job") or {}).get("id") for result in body["results"]] if body["results"] else None
        return body.get("group"), jobs
    return body.get("id"), body.get("account"), body.get("asset")


def outstanding(features: Features, events: Iterable[dict[str, Any]]) -> list[str]:
    """Jobs that somebody was told of and that are not on the log exactly once, nor refused; balances that differ."""
    accepted: Counter[str] = Counter()
    refused: set[str] = set()
    for event in events:
        content = event["data"]["data"]
        if content["type"] in ("job-accepted", "job-reused"):
            accepted[content["job"]] += 1
        elif content["type"] in ("command-refused", "command-duplicate"):
            refused.add(content.get("subject"))
    told = {job for person in features.people for job in person.jobs}
    lost = [f"{job} was told of and is not on the log" for job in told if not accepted[job] and job not in refused]
    return lost + [f"{job} was accepted {n} times" for job, n in accepted.items() if n > 1]


def money(events: Iterable[dict[str, Any]]) -> dict[str, int]:
    """What each account can spend, by the plain meaning of its events."""
    balance: Counter[str] = Counter()
    for event in events:
        content, account = event["data"]["data"], event["subject"]
        match content["type"]:
            case "credits-granted" | "credits-regenerated":
                balance[account] += content["amount"]
            case "credits-reserved" | "credits-expired":
                balance[account] -= content["units"]
            case "credits-released" | "credits-refunded":
                balance[account] += content["units"]
            case _:
                pass
    return dict(balance)


def since(started: float) -> str:
    """Seconds since then, for a report."""
    return f"{time.monotonic() - started:.0f} s"

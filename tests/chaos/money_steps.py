"""What operators do to accounts, and what everybody reads: grants that expire, refunds, plans, sessions, reads."""

from __future__ import annotations

import datetime
from typing import Any

import httpx

from tests.chaos.asker import Asker, Person

PLANS = {"darkroom": ("default", "priority"), "ai-image": ("premium", "default"), "spike-land": ("default",)}


async def grant(asker: Asker, person: Person) -> None:
    """Plain, of some priority, or for some seconds only: those expire while the storm goes on."""
    body: dict[str, Any] = {"amount": asker.draw.randint(1, 30), "priority": asker.draw.choice((-1, 0, 0, 2))}
    if asker.draw.random() < 0.7:
        soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=asker.draw.uniform(3, 40))
        body["expires_at"] = soon.isoformat()
    path = f"/v1/accounts/{person.client.name}:grant"
    allowed = (200, 202, 400, 409)  # 400: it came after its expiry
    await asker.ask("grant", person, "POST", path, allowed, json=body, by_operator=True)


async def refund(asker: Asker, person: Person) -> None:
    """Of a job that has succeeded, so that money moves; now and then of any, or twice."""
    known = person.succeeded if asker.draw.random() < 0.8 else person.jobs
    if known:
        path = f"/v1/jobs/{asker.draw.choice(known)}:refund"
        body = {"account": person.client.name, "reason": "storm"}
        await asker.ask("refund", person, "POST", path, (200, 202, 404, 409), json=body, by_operator=True)


async def plan(asker: Asker, person: Person) -> None:
    """Another plan of the product."""
    path = f"/v1/accounts/{person.client.name}:plan"
    body = {"plan": asker.draw.choice(PLANS[person.client.product])}
    await asker.ask("plan", person, "POST", path, (200, 202), json=body, by_operator=True)


async def session(asker: Asker, person: Person) -> None:
    """A token that ends: afterwards nobody takes it, whatever was killed."""
    stack, client = asker.operator.stack, person.client
    token = stack.token(client.subject, product=client.product)
    async with httpx.AsyncClient(base_url=stack.url, headers={"Authorization": f"Bearer {token}"}) as http:
        await asker.read(lambda: http.get("/v1/account"))
        await asker.read(lambda: http.delete("/v1/session"), (204, 401))  # 401: the first time was not answered
        await asker.read(lambda: http.get("/v1/account"), (401,))


async def look(asker: Asker, person: Person) -> None:
    """Reads beside the writes: none of them may fail for good."""
    http, paths = person.client.http, list(READS)
    if person.jobs:
        job = asker.draw.choice(person.jobs)
        paths += [f"/v1/jobs/{job}", f"/v1/jobs/{job}/events"]
    if person.assets:
        paths.append(f"/v1/media/{asker.draw.choice(person.assets)}")
    path = asker.draw.choice(paths)
    of_one = path not in READS  # it may be refused or deleted by now
    await asker.read(lambda: http.get(path), (200, 404, 410) if of_one else (200,))


READS = ("/v1/account", "/v1/jobs", "/v1/jobs?status=succeeded", "/v1/ledger", "/v1/models")

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
        paths += [f"/v1/jobs/{asker.draw.choice(person.jobs)}{part}" for part in ("", "/events", "/history", "/charge")]
    if person.assets:
        paths.append(f"/v1/media/{asker.draw.choice(person.assets)}")
    path = asker.draw.choice(paths)
    await asker.read(lambda: http.get(path), (200,) if path in READS else OF_ONE)


async def look_back(asker: Asker, person: Person) -> None:
    """The account as it is, and as of its own position: the same, but for what time gives and takes."""
    http = person.client.http
    now = await asker.read(lambda: http.get("/v1/account"))
    if now is None or now["position"] is None:
        return
    then = await asker.read(lambda: http.get("/v1/account", params={"as_of": now["position"]}))
    if then is None:
        return
    timeless = person.client.product == "darkroom" and not then["lots"]
    told = ("reserved", "plan", "balance") if timeless else ("reserved", "plan")
    if [then[name] for name in told] != [now[name] for name in told]:
        asker.wrong.append(f"{person.client.name}: {now} now, and as of its position {then}")


OF_ONE = (200, 400, 402, 404, 410, 429)
"""It may be deleted, or refused after it was answered as pending; the refusal is shown."""
READS = (
    "/v1/account",
    "/v1/jobs",
    "/v1/jobs?status=succeeded,failed&sort=created_at",
    "/v1/jobs?lane=batch&has_result=true",
    "/v1/assets",
    "/v1/albums",
    "/v1/ledger",
    "/v1/ledger?kind=captured",
    "/v1/usage",
    "/v1/statistics",
    "/v1/audit",
    "/v1/plans",
    "/v1/models",
)

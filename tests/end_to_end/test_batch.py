"""Batches and groups on the real servers: complete, in order, once; and all or nothing where that was asked for."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Sequence
from typing import Any

import httpx

from tests.client import Client, ok, problem
from tests.stack import Stack

ECHO = {"model": "sandbox/echo"}
BROKEN = {"model": "sandbox/broken"}
COUNT = 10_000
AFFORDED = 150
CUT_OFF = 600
_PATIENCE_S = 60.0


async def batch(
    user: Client, jobs: Sequence[object], *, key: str | None = None, prefer: str | None = None, atomic: bool = False
) -> httpx.Response:
    """``POST /v1/jobs:batch``."""
    headers = {"Idempotency-Key": key, "Prefer": prefer}
    given = {name: value for name, value in headers.items() if value is not None}
    path = f"/v1/jobs:batch{'?atomic=true' if atomic else ''}"
    return await user.http.post(path, json={"jobs": jobs}, headers=given)


async def test_10_000_jobs_are_each_answered_in_order(user: Client) -> None:
    await user.grant(AFFORDED - 20)
    jobs = [{"model": "sandbox/echo", "params": {"seed": n % 256}, "metadata": {"n": n}} for n in range(COUNT)]
    jobs[7] = {"model": "sandbox/echo", "params": {"seed": 999}}
    results = ok(await batch(user, jobs))["results"]
    statuses = [one["status"] for one in results]
    assert len(results) == COUNT
    assert statuses[7] == 400
    accepted = [number for number, status in enumerate(statuses) if status in (200, 202)]
    assert accepted == [n for n in range(AFFORDED + 1) if n != 7], "the first that can be paid, and no other"
    assert {statuses[n] for n in range(AFFORDED + 1, COUNT)} == {402}
    assert [results[n]["job"]["balance"] for n in accepted] == list(range(AFFORDED - 1, -1, -1))
    job = await user.job(results[100]["job"]["id"])
    assert (job["params"], job["metadata"], job["lane"]) == ({"seed": 100}, {"n": 100}, "batch")


async def test_a_batch_cut_off_by_a_crash_of_the_gateway_is_completed_by_a_repeat(stack: Stack, user: Client) -> None:
    await user.grant(CUT_OFF - 20)
    jobs = [{"model": "sandbox/echo", "params": {"seed": n % 256}} for n in range(CUT_OFF)]
    gateway = (await asyncio.to_thread(stack.status))["gateway-0"]["pid"]
    sending = asyncio.create_task(batch(user, jobs, key="cut"))
    await asyncio.sleep(0.05)
    os.kill(gateway, signal.SIGKILL)
    await asyncio.gather(sending, return_exceptions=True)
    results = ok(await _until_answered(user, jobs))["results"]
    assert [one["status"] for one in results if one["status"] not in (200, 202)] == []
    ids = [one["job"]["id"] for one in results]
    assert len(set(ids)) == CUT_OFF
    again = ok(await batch(user, jobs, key="cut"))["results"]
    assert [one["job"]["id"] for one in again] == ids
    account = await user.account()
    assert account["balance"] == 0
    events = await asyncio.to_thread(stack.events, user.name)
    types = [event["type"] for event in events]
    assert types.count("darkroom.job-accepted.v1") == CUT_OFF


async def _until_answered(user: Client, jobs: Sequence[object]) -> httpx.Response:
    """The same batch again until the gateway is back and every job is decided."""
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            try:
                answer = await batch(user, jobs, key="cut")
                if answer.status_code == 200 and b'"pending"' not in answer.content:
                    return answer
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.3)


async def test_ndjson_comes_back_as_ndjson(user: Client) -> None:
    body = "\n".join(json.dumps(job) for job in (ECHO, {"model": "no/model"}, ECHO))
    headers = {"Content-Type": "application/x-ndjson", "Accept": "application/x-ndjson", "Prefer": "wait=30"}
    answer = await user.http.post("/v1/jobs:batch", content=body, headers=headers)
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["status"] for line in lines] == [200, 400, 200]
    assert all(line["job"]["result"]["url"] for line in (lines[0], lines[2]))


async def test_a_group_is_reserved_together_and_charged_job_by_job(user: Client) -> None:
    answer = await batch(user, [ECHO, BROKEN, ECHO], atomic=True, prefer="wait=30")
    document = ok(answer)
    assert answer.status_code == 200
    assert (document["cost"], document["balance"]) == (3, 17)
    statuses = [one["job"]["status"] for one in document["results"]]
    assert statuses == ["succeeded", "failed", "succeeded"]
    assert ((await user.account())["balance"], (await user.account())["reserved"]) == (18, 0)
    kinds = [line["kind"] for line in await user.ledger() if line["job"] is not None]
    assert (kinds.count("reserved"), kinds.count("captured"), kinds.count("released")) == (3, 2, 1)


async def test_a_group_that_cannot_be_paid_makes_nothing(user: Client) -> None:
    refused = problem(await batch(user, [ECHO] * 21, atomic=True), 402)
    assert (refused["required"], refused["available"]) == (21, 20)
    assert await user.jobs() == []
    assert (await user.account())["balance"] == 20
    accepted = ok(await batch(user, [ECHO] * 20, atomic=True, key="all"))
    again = ok(await batch(user, [ECHO] * 20, atomic=True, key="all"))
    assert again["group"] == accepted["group"]
    assert [one["job"]["id"] for one in again["results"]] == [one["job"]["id"] for one in accepted["results"]]
    assert len(await user.jobs()) == 20


async def test_what_is_sealed_beside_a_large_group_is_read_back(user: Client) -> None:
    jobs = [{**ECHO, "metadata": {"n": n}} for n in range(12)]
    document = ok(await batch(user, jobs, atomic=True, prefer="wait=30"))
    for number in (0, 11):
        job: dict[str, Any] = await user.job(document["results"][number]["job"]["id"])
        assert job["metadata"] == {"n": number}
        assert job["group"] == document["group"]


async def test_an_estimate_is_what_a_submit_then_costs(user: Client) -> None:
    told = ok(await user.http.post("/v1/estimate", json={"jobs": [ECHO] * 3}))
    assert (told["cost"], told["balance"], told["accepted"]) == (3, 20, True)
    short = ok(await user.http.post("/v1/estimate", json={"jobs": [ECHO] * 21}))
    assert (short["accepted"], short["problem"]["code"]) == (False, "insufficient-credits")
    made = ok(await batch(user, [ECHO] * 3, atomic=True))
    assert (made["cost"], made["balance"]) == (told["cost"], 17)
    assert ok(await user.http.post("/v1/estimate", json=ECHO))["balance"] == 17

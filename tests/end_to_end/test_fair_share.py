"""Fair share on the running stack: batches delay a newcomer by one round, and another lane by nothing."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

from infra.cli.target import settings_for
from infra.http.tokens import read_secret
from schemas.identifiers import account_id, partition_of
from tests.client import Client, ok
from tests.stack import Stack

CROWD = 80  # accounts with a few jobs each; pix-loom opens with 5 credits
A_FEW = 4
BIG = 400
WEIGHT = 4  # of the plan `priority`
LANE = "batch"
SLOW_S = 2
SLOW_JOBS = 25  # of each of four accounts: enough for half a minute, however slow the machine is


def subjects_of(stack: Stack, product: str, partition: int) -> Iterator[str]:
    """Names whose accounts lie in that partition."""
    settings = settings_for(stack.data)
    key = read_secret(settings.secrets_dir, "identifier.key")
    while True:
        subject = f"user-{uuid.uuid4()}"
        if partition_of(account_id(key, product, subject), settings.partitions) == partition:
            yield subject


async def batch(user: Client, jobs: int, model: str = "sandbox/echo", **params: int) -> list[str]:
    """Jobs sent together, and again where the gateway has too many to wait for; their ids."""
    body = {"jobs": [{"model": model, "params": params} for _ in range(jobs)]}
    key = {"Idempotency-Key": str(uuid.uuid4())}
    while (answer := await user.http.post("/v1/jobs:batch", json=body, headers=key)).status_code == 503:
        await asyncio.sleep(float(answer.headers["retry-after"]))
    return [result["job"]["id"] for result in ok(answer)["results"]]


class Round:
    """Who waits in a partition's lane, and what was released there: from its events, one after the other."""

    def __init__(self, events: list[dict[str, Any]], partition: int) -> None:
        self._events = [event for event in events if event["id"].split(".")[0] == str(partition)]

    def bound_and_released(self, newcomer: str) -> tuple[int, int]:
        """The turns of a round when the newcomer's job was accepted, and the releases from then to its own."""
        waiting: Counter[str] = Counter()
        weights: dict[str, int] = {}
        held: dict[str, str] = {}
        bound, released = 0, 0
        for event in self._events:
            account, content = event["subject"], event["data"]["data"]
            kind, job = content["type"], content.get("job")
            if kind == "job-accepted" and content["lane"] == LANE:
                if job == newcomer:
                    bound = sum(weights[name] for name, jobs in waiting.items() if jobs)
                waiting[account] += 1
                weights[account] = content.get("weight", 1)
                held[job] = account
            elif kind == "job-requeued" and job in held:
                waiting[account] += 1
            elif kind == "attempt-released" and job in held:
                waiting[account] -= 1
                if job == newcomer:
                    return bound, released
                released += bound > 0
        raise AssertionError(f"{newcomer} was never released")


async def test_a_newcomer_waits_no_longer_than_one_round(stack: Stack, user: Client) -> None:
    partition = 5
    names = subjects_of(stack, "pix-loom", partition)
    async with AsyncExitStack() as clients:
        big = await clients.enter_async_context(Client(stack, next(subjects_of(stack, "darkroom", partition))))
        crowd = [
            await clients.enter_async_context(Client(stack, next(names), product="pix-loom")) for _ in range(CROWD + 1)
        ]
        newcomer = crowd.pop()
        await big.grant(BIG)
        operator = await clients.enter_async_context(Client(stack, "operator", role="admin"))
        ok(await operator.http.post(f"/v1/accounts/{big.name}:plan", json={"plan": "priority"}))
        jobs = await batch(big, BIG)
        jobs += [job for some in await asyncio.gather(*(batch(one, A_FEW) for one in crowd)) for job in some]
        (mine,) = await batch(newcomer, 1)
        assert (await newcomer.until_ended(mine))["status"] == "succeeded"
        left = ok(await big.get("/v1/jobs", status="accepted", limit=100))["data"]
    bound, released = Round(await asyncio.to_thread(stack.events), partition).bound_and_released(mine)
    assert bound >= CROWD // 2, "most of the crowd waits when the newcomer comes"
    assert released <= bound <= CROWD + WEIGHT
    assert len(left) == 100, "the batch of the largest is far from its end"


async def test_a_full_batch_lane_delays_no_single_job_by_more_than_one_slot(stack: Stack, user: Client) -> None:
    async with AsyncExitStack() as clients:
        crowd = [await clients.enter_async_context(Client(stack)) for _ in range(4)]
        for one in crowd:
            await one.grant(SLOW_JOBS)
        slow = await asyncio.gather(*(batch(one, SLOW_JOBS, "sandbox/slow", seconds=SLOW_S) for one in crowd))
        await crowd[0].until_status(slow[0][0], "running")
        singles = [ok(await user.submit("sandbox/echo", prefer="wait=30"))["id"] for _ in range(5)]
        waiting = [await one.job(job) for one, jobs in zip(crowd, slow, strict=True) for job in jobs]
        assert any(job["status"] in ("accepted", "queued") for job in waiting), "the batch lane is full all the while"
        for one, jobs in zip(crowd, slow, strict=True):
            await asyncio.gather(*(one.cancel(job) for job in jobs))
    for job in singles:
        assert await _waited_ms(user, job) < SLOW_S * 1000


async def _waited_ms(user: Client, job: str) -> int:
    """From the job's release to the beginning of its work."""
    times = {event["data"]["data"]["type"]: event["data"]["time_ms"] for event in await user.events(job)}
    return int(times["job-started"] - times["attempt-released"])

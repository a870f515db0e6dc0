"""Engines that die, stay away or are passed over, as a client of the whole stack sees them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from infra.triton.connection import Connection
from tests.client import Client, ok
from tests.stack import Stack


def runs(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The engine runs that a job's events tell of."""
    return [event["data"]["data"]["run"] for event in events if event["data"]["data"].get("run")]


async def submitted(user: Client, model: str, params: dict[str, object], asset: str | None = None) -> str:
    return str(ok(await user.submit(model, params, asset=asset))["id"])


async def test_a_job_that_kills_its_engine_fails_uncharged_and_its_neighbours_succeed(user: Client) -> None:
    neighbours = [await submitted(user, "sandbox/slow", {"seconds": 4}) for _ in range(3)]
    killer = await submitted(user, "sandbox/crash", {})
    neighbours += [await submitted(user, "sandbox/echo", {"seed": seed}) for seed in range(3)]
    ended = await user.until_ended(killer)
    assert ended["status"] == "failed"
    assert "crashes-engine" in str(ended["error"])
    for job in neighbours:
        assert (await user.until_ended(job))["status"] == "succeeded"
    assert (await user.account())["balance"] == 20 - len(neighbours)
    told = await user.events(killer)
    crashes = [event for event in told if event["data"]["data"].get("reason") == "engine-crashed"]
    assert len(crashes) == 2
    assert runs(told)[-1]["engine"] == "sandbox_crash"


@pytest.fixture
async def triton(stack: Stack) -> AsyncIterator[Connection]:
    connection = Connection(stack.status()["triton"]["endpoint"])
    yield connection
    await connection.close()


async def test_a_model_that_is_away_is_passed_over_for_its_second_engine(user: Client, triton: Connection) -> None:
    asset = str(ok(await user.upload())["id"])
    await triton.unload("classical_upscale")
    try:
        job = await submitted(user, "classical/upscale", {"scale": 2}, asset)
        assert (await user.until_ended(job))["status"] == "succeeded"
    finally:
        await triton.load("classical_upscale")
    (run,) = runs(await user.events(job))
    assert run["engine"] == "classical_lanczos"
    assert [passed[0] for passed in run["passed_over"]] == ["classical_upscale"]

    async with asyncio.timeout(30):
        while True:
            other = str(ok(await user.upload(name="other.jpg"))["id"])
            job = await submitted(user, "classical/upscale", {"scale": 4}, other)
            assert (await user.until_ended(job))["status"] == "succeeded"
            if runs(await user.events(job))[-1]["engine"] == "classical_upscale":
                break
            await asyncio.sleep(0.5)


async def test_jobs_outlive_their_server(stack: Stack, user: Client) -> None:
    jobs = [await submitted(user, "sandbox/slow", {"seconds": 3}) for _ in range(3)]
    for job in jobs:
        await user.until_status(job, "running")
    os.kill(stack.status()["triton"]["pid"], signal.SIGKILL)
    jobs += [await submitted(user, "sandbox/echo", {"seed": seed}) for seed in range(3)]
    for job in jobs:
        assert (await user.until_ended(job, 90))["status"] == "succeeded"
    assert (await user.account())["balance"] == 20 - len(jobs)
    stack.wait_healthy()

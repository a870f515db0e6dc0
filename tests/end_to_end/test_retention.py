"""How long bytes are kept: by the plan's terms, to the last object in the store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from infra.cli.operator import append_to_partitions
from infra.cli.target import settings_for
from infra.plans import load_plan
from schemas.commands import PublishPlan
from schemas.identifiers import partition_of
from tests.client import Client, ok, problem
from tests.stack import Stack

RESULTS_TTL_MS = 3_000
LIMIT_S = 20.0


async def _put_under_a_short_plan(stack: Stack, user: Client) -> str:
    """The account, under a plan that purges originals at once and results after seconds."""
    account = str((await user.account())["account"])
    settings = settings_for(stack.data)
    plan = load_plan(settings)
    terms = replace(plan.products["darkroom"]["default"], results_ttl_ms=RESULTS_TTL_MS, originals="purge")
    products = {**plan.products, "darkroom": {**plan.products["darkroom"], "fleeting": terms}}
    partition = partition_of(account, settings.partitions)
    short = replace(plan, version=plan.version + 1_000, products=products)  # past what others have published here
    await append_to_partitions(settings, [partition], PublishPlan(short))
    async with Client(stack, "operator", role="admin") as operator:
        answer = await operator.http.post(f"/v1/accounts/{user.name}:plan", json={"plan": "fleeting"})
        assert answer.is_success, answer.text
    return account


def _objects(stack: Stack, account: str) -> list[Path]:
    folder = stack.data / "s3" / "objects" / "darkroom" / account
    return [path for path in folder.rglob("*") if path.is_file()]


async def _until(condition: Callable[[], bool]) -> float:
    """Seconds until it was true."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + LIMIT_S, f"not so after {LIMIT_S:g} s"
        await asyncio.sleep(0.1)
    return time.monotonic() - began


async def test_originals_go_with_their_job_and_results_when_their_time_is_over(stack: Stack, user: Client) -> None:
    account = await _put_under_a_short_plan(stack, user)
    asset = ok(await user.upload())
    (original,) = _objects(stack, account)
    job = ok(await user.submit("classical/upscale", {"scale": 2}, asset=asset["id"], prefer="wait=30"))
    assert job["status"] == "succeeded"
    assert (await user.http.get(job["result"]["url"])).status_code == 200
    await _until(lambda: not original.exists())
    problem(await user.get(asset["url"]), 410)

    assert await _until(lambda: not _objects(stack, account)) < LIMIT_S
    problem(await user.get(job["result"]["url"]), 410)
    kept = await user.job(job["id"])
    assert (kept["status"], kept["balance"]) == ("succeeded", 19)
    types = [event["type"] for event in await asyncio.to_thread(stack.events, user.name)]
    assert types.count("darkroom.asset-deleted.v1") == 2
    assert types.count("darkroom.bytes-purged.v1") == 2
    assert (await asyncio.to_thread(stack.audit))["violations"] == []


async def test_a_deleted_asset_is_gone_at_once_and_its_bytes_soon(stack: Stack, user: Client) -> None:
    account = (await user.account())["account"]
    asset, kept = ok(await user.upload()), ok(await user.upload())
    assert len(_objects(stack, account)) == 2
    assert (await user.http.delete(f"/v1/assets/{asset['id']}")).is_success
    problem(await user.get(asset["url"]), 410)
    await _until(lambda: len(_objects(stack, account)) == 1)
    assert (await user.http.get(kept["url"])).status_code == 200

"""What survives: a stop, a start on the same data, and the loss of everything that the log can rebuild."""

from __future__ import annotations

import asyncio
import shutil
from typing import Any

from tests.client import Client, ok
from tests.stack import Stack


async def _history(user: Client) -> None:
    """A bit of everything that read models show."""
    asset = ok(await user.upload())
    ok(await user.submit("classical/upscale", {"scale": 2}, asset=asset["id"], prefer="wait=30"))
    ok(await user.submit("sandbox/broken", prefer="wait=30", metadata={"order": 17}))
    ok(await user.submit("sandbox/flaky", {"failures": 1}, prefer="wait=30", key="kept"))
    canceled = ok(await user.submit("sandbox/slow", {"seconds": 1}))
    ok(await user.cancel(canceled["id"]))
    await asyncio.sleep(2)  # the canceled attempt gives its slot back


async def _answers(user: Client) -> dict[str, Any]:
    """Every read of the native API about this user."""
    jobs = await user.jobs()
    found: dict[str, Any] = {"account": await user.account(), "ledger": await user.ledger(), "jobs": jobs}
    for job in jobs:
        found[job["id"]] = await user.job(job["id"])
        found[f"{job['id']} events"] = await user.events(job["id"])
        if job["result"]:
            picture = await user.http.get(job["result"]["url"])
            found[f"{job['id']} picture"] = (picture.status_code, picture.headers["etag"], picture.content)
    return found


async def _until_equal(user: Client, expected: dict[str, Any], limit_s: float = 30.0) -> None:
    deadline = asyncio.get_running_loop().time() + limit_s
    while (found := await _answers(user)) != expected:
        if asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(0.5)
    assert found == expected


async def test_a_stop_leaves_nothing_behind_and_a_start_goes_on(stack: Stack, user: Client) -> None:
    await _history(user)
    before = await _answers(user)
    stopped_s = await asyncio.to_thread(stack.stop)
    started_s = await asyncio.to_thread(stack.start)
    print(f"\nstopped in {stopped_s:.1f} s, ready again in {started_s:.1f} s")
    await _until_equal(user, before)
    job = ok(await user.submit("sandbox/echo", prefer="wait=30"))
    assert (job["status"], job["balance"]) == ("succeeded", before["account"]["balance"] - 1)
    again = ok(await user.submit("sandbox/flaky", {"failures": 1}, prefer="wait=30", key="kept"))
    assert again["id"] in before


async def test_read_models_and_local_state_are_rebuilt_from_the_log(stack: Stack, user: Client) -> None:
    await _history(user)
    before = await _answers(user)
    await asyncio.to_thread(stack.stop)
    kept = {"kafka", "s3", "secrets", "stack.json"}
    for path in stack.data.iterdir():
        if path.name not in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    await asyncio.to_thread(stack.start)
    await _until_equal(user, before)
    assert (await asyncio.to_thread(stack.audit))["violations"] == []

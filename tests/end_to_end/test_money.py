"""What operators do to accounts on the running stack: refunds, grants that expire, plans."""

from __future__ import annotations

import asyncio
import datetime
import time
import uuid

from tests.client import Client, ok, problem
from tests.stack import Stack


async def test_a_charge_is_given_back_once(stack: Stack, user: Client) -> None:
    job = ok(await user.submit("sandbox/echo", prefer="wait=30"))["id"]
    arguments = ("refund", "--account", user.name, "--job", job, "--reason", "wrong tint")
    ran = await asyncio.to_thread(stack.darkroom, *arguments)
    assert (ran.returncode, ran.stdout) == (0, "20\n"), ran.stderr
    ran = await asyncio.to_thread(stack.darkroom, *arguments)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "given back before" in ran.stderr
    assert (await user.account())["balance"] == 20
    lines = [line for line in await user.ledger() if line["job"] == job]
    assert "refunded" in [line["kind"] for line in lines]


async def test_a_refund_finds_the_account_by_its_job_and_repeats_by_its_key(user: Client) -> None:
    job = ok(await user.submit("sandbox/echo", prefer="wait=30"))["id"]
    assert (await user.job(job))["status"] == "succeeded"
    async with Client(user.stack, "operator", role="admin") as operator:
        path, headers = f"/v1/jobs/{job}:refund", {"Idempotency-Key": f"refund-{job}"}
        first = ok(await operator.http.post(path, json={"reason": "x"}, headers=headers))
        again = ok(await operator.http.post(path, json={"reason": "x"}, headers=headers))
        assert (first["balance"], again["balance"]) == (20, 20)
        broken = ok(await user.submit("sandbox/broken", prefer="wait=30"))["id"]
        refused = await operator.http.post(f"/v1/jobs/{broken}:refund", json={"reason": "x", "account": user.name})
        assert problem(refused, 404)["code"] == "charge-unknown"
    assert problem(await user.http.post(path, json={"reason": "x"}), 403)["code"] == "forbidden"


async def test_units_that_expire_are_spent_first_and_then_gone(stack: Stack, user: Client) -> None:
    expires_s = time.time() + 4
    moment = datetime.datetime.fromtimestamp(expires_s, datetime.UTC).isoformat()
    arguments = ("grant", "--account", user.name, "--expires", moment, "--priority", "-1", "5")
    ran = await asyncio.to_thread(stack.darkroom, *arguments)
    assert (ran.returncode, ran.stdout) == (0, "25\n"), ran.stderr
    assert ok(await user.submit("sandbox/echo", prefer="wait=30"))["balance"] == 24
    await asyncio.sleep(max(0.0, expires_s - time.time()) + 0.2)
    assert (await user.account())["balance"] == 20, "four were left, and expired"
    assert ok(await user.submit("sandbox/echo", prefer="wait=30"))["balance"] == 19


async def test_a_grant_that_has_expired_is_refused(stack: Stack, user: Client) -> None:
    arguments = ("grant", "--account", user.name, "--expires", "2020-01-01T00:00:00Z", "5")
    ran = await asyncio.to_thread(stack.darkroom, *arguments)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "expires in the future" in ran.stderr


async def test_another_plan_is_in_force_at_once(stack: Stack) -> None:
    subject = f"user-{uuid.uuid4()}"
    token = stack.token(subject, product="ai-image")
    async with Client(stack, subject) as one:
        one.http.headers["Authorization"] = f"Bearer {token}"
        assert {window["window"]: window["limit"] for window in (await one.account())["quota"]} == {
            "day": 20,
            "month": 100,
        }
        ran = await asyncio.to_thread(stack.darkroom, "set-plan", "--account", f"ai-image:{subject}", "premium")
        assert ran.returncode == 0, ran.stderr
        async with asyncio.timeout(10):
            while (await one.account())["plan"] != "premium":
                await asyncio.sleep(0.05)
        assert {window["window"]: window["limit"] for window in (await one.account())["quota"]} == {"month": 1000}
        ran = await asyncio.to_thread(stack.darkroom, "set-plan", "--account", f"ai-image:{subject}", "gold")
        assert (ran.returncode, "no plan gold" in ran.stderr) == (1, True)

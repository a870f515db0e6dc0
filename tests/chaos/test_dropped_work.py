"""Two work items and two outcomes in a hundred get lost: leases bring them back, no slot and no reservation leaks."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from processors.dispatch.planted_fault import VARIABLE
from tests.chaos.journal import Journal, unfinished
from tests.chaos.leases import plan_with_short_leases
from tests.client import Client, ok
from tests.stack import Stack

SHARE = 0.02
USERS = 8
JOBS = 600
CREDITS = 1000
LIMIT_S = 90.0


@pytest.mark.chaos
async def test_lost_work_and_lost_outcomes_leak_nothing(tmp_path: Path) -> None:
    environment = {VARIABLE: f"drop:{SHARE}", "DARKROOM_PLAN_PATH": str(plan_with_short_leases(tmp_path))}
    stack = Stack(tmp_path / "data", environment)
    try:
        await asyncio.to_thread(stack.start)
        users = [Client(stack) for _ in range(USERS)]
        for user in users:
            await user.grant(CREDITS)
        await _submit_all(users)
        journal = await _until_ended(stack)
        _lost_and_found(stack, journal)
        await _books_fit(stack, users, journal)
        for user in users:
            await user.http.aclose()
        await asyncio.to_thread(stack.stop)
    finally:
        stack.kill()


async def _submit_all(users: list[Client]) -> None:
    async def some(user: Client, share: int) -> None:
        for number in range(share):
            ok(await user.submit("sandbox/echo", {"seed": number % 256}))

    await asyncio.gather(*(some(user, JOBS // USERS) for user in users))


async def _until_ended(stack: Stack) -> Journal:
    """The log once every job has ended and every slot is free."""
    deadline = asyncio.get_running_loop().time() + LIMIT_S
    while True:
        journal = Journal.of(await asyncio.to_thread(stack.events))
        left = unfinished(journal)
        if not left:
            return journal
        assert asyncio.get_running_loop().time() < deadline, f"{len(left)} left: {left[:5]}"
        await asyncio.sleep(1)


def _lost_and_found(stack: Stack, journal: Journal) -> None:
    """Something was lost indeed, and leases brought it back."""
    log = (stack.data / "logs" / "dispatcher-0.log").read_text(encoding="utf-8")
    lost_items, lost_outcomes = log.count("work item"), log.count("outcome of")
    ended = journal.attempts_ended
    print(f"\nlost: {lost_items} work items, {lost_outcomes} outcomes; attempts that ended: {dict(ended)}")
    assert lost_items > 0
    assert lost_outcomes > 0
    assert ended["lease-lost"] >= lost_items + lost_outcomes


async def _books_fit(stack: Stack, users: list[Client], journal: Journal) -> None:
    ends = Counter(end for ends in journal.ends.values() for end in ends)
    print(f"jobs: {dict(ends)}")
    assert sum(ends.values()) == JOBS
    assert ends["succeeded"] >= JOBS - 1  # three losses in a row may end one as failed
    accounts = [await user.account() for user in users]
    assert [account["reserved"] for account in accounts] == [0] * USERS
    assert sum(account["balance"] for account in accounts) == USERS * CREDITS - ends["succeeded"]
    assert (await asyncio.to_thread(stack.audit, "--quiet-log"))["violations"] == []

"""Every feature at once under kills, on the running stack: every law holds afterwards, at one position.

Small where every change is tested; by hand `DARKROOM_CHAOS_COMMANDS=50000 DARKROOM_CHAOS_KILLS=20`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.features import Features, Person, money, outstanding, since
from tests.chaos.nemesis import kill_each
from tests.chaos.size import asked_for
from tests.client import Client
from tests.stack import Stack

PEOPLE = 16
CREDITS = 1_000_000
AT_ONCE = 12
KINDS = ("processor", "dispatcher", "projector", "gateway", "triton")
QUIET_LIMIT_S = 300.0


@pytest.mark.chaos
async def test_every_feature_under_kills(tmp_path: Path) -> None:
    storm = asked_for(commands=1_200, kills=2)
    stack = Stack(tmp_path / "data")
    try:
        await asyncio.to_thread(stack.start)
        people = [Person(Client(stack)) for _ in range(PEOPLE)]
        for person in people:
            await person.client.grant(CREDITS)
        async with Client(stack, "operator", role="admin") as operator:
            started = time.monotonic()
            features = Features(people, operator, storm.seed)
            killing = asyncio.create_task(kill_each(stack, KINDS, storm.kills, storm.seed))
            await features.run(storm.commands, AT_ONCE)
            await killing
            took = since(started)
            await _until_quiet(stack, people)
            await features.repeat(60)
        kinds = Counter(f"{answer.kind} {answer.status}" for answer in features.answered)
        print(f"\n{features.commands} commands in {took}: {dict(sorted(kinds.items()))}")
        await _judge(stack, features)
        for person in people:
            await person.client.http.aclose()
        await asyncio.to_thread(stack.stop)
    finally:
        stack.kill()


async def _until_quiet(stack: Stack, people: list[Person]) -> None:
    deadline = time.monotonic() + QUIET_LIMIT_S
    await asyncio.to_thread(stack.wait_healthy)
    for person in people:
        while (await person.client.account())["reserved"] != 0:
            assert time.monotonic() < deadline, f"{person.client.name} still has reserved credits"
            await asyncio.sleep(0.5)


async def _judge(stack: Stack, features: Features) -> None:
    assert features.silent == [], "commands that nobody answered"
    assert features.wrong == []
    events = await asyncio.to_thread(stack.events)
    assert outstanding(features, events) == []
    by_account = money(events)
    for person in features.people:
        account = await person.client.account()
        assert account["balance"] == by_account[account["account"]]
    told = await asyncio.to_thread(stack.audit, "--quiet-log")
    assert told["violations"] == []
    assert told["decided_again"] > 0

"""kill -9 of processors, dispatcher and projector under a mixed load: nothing lost, nothing twice, nothing stuck."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path

import pytest

from infra.local.layout import Layout
from infra.local.stack import settings_of
from tests.chaos.confront import Journal, confront, unfinished
from tests.chaos.nemesis import kill_each
from tests.chaos.size import Storm, asked_for
from tests.chaos.standstill import Standstill
from tests.chaos.workload import PRICE, Workload
from tests.client import Client
from tests.stack import Stack

USERS = 12
POOR_CREDITS = 5
RICH_CREDITS = 100_000
COMMANDS_A_SECOND = 40.0
PICTURES = 3  # results of each user that are fetched at the end
KINDS = ("processor", "dispatcher", "projector")
QUIET_LIMIT_S = 120.0


@pytest.mark.chaos
async def test_a_storm_of_kills_loses_nothing_and_charges_once(tmp_path: Path) -> None:
    storm = asked_for()
    stack = Stack(tmp_path / "data")
    try:
        await asyncio.to_thread(stack.start)
        users = [Client(stack) for _ in range(USERS)]
        for number, user in enumerate(users):
            await user.grant(POOR_CREDITS if number == 0 else RICH_CREDITS)
        workload = Workload(users, storm.seed)
        longest_s = await _storm(stack, storm, workload)
        workload.write(tmp_path / "told.ndjson")
        quiet_s = await _until_quiet(users)
        journal = await _judge(stack, users, workload)
        _report(workload, journal, longest_s, quiet_s)
        for user in users:
            await user.http.aclose()
        await asyncio.to_thread(stack.stop)
    finally:
        stack.kill()


async def _storm(stack: Stack, storm: Storm, workload: Workload) -> list[float]:
    """Load and kills side by side; the longest standstill of each partition."""
    still = Standstill(settings_of(Layout(stack.data)))
    watching = asyncio.create_task(still.watch())
    killing = asyncio.create_task(kill_each(stack, KINDS, storm.kills, storm.seed))
    await workload.run(storm.commands, COMMANDS_A_SECOND)
    await killing
    watching.cancel()
    await asyncio.wait([watching])
    return still.longest_s


async def _until_quiet(users: list[Client]) -> float:
    """Wait until no job of any user is live; the seconds that took."""
    started = time.monotonic()
    for user in users:
        while (await user.account())["reserved"] != 0:
            assert time.monotonic() - started < QUIET_LIMIT_S, f"{user.name} still has reserved credits"
            await asyncio.sleep(0.5)
    return time.monotonic() - started


async def _judge(stack: Stack, users: list[Client], workload: Workload) -> Journal:
    """Every acknowledged answer is borne out by the log, every job ended once, the books and read models fit."""
    assert workload.silent == [], "commands that nobody answered"
    journal = await _settled(stack)
    assert confront(workload.told, journal) == []
    assert unfinished(journal) == []
    told = await asyncio.to_thread(stack.audit, "--quiet-log")
    assert told["violations"] == []
    assert told["decided_again"] > 0
    for number, user in enumerate(users):
        account = await user.account()
        mine = {job for job, accepted in journal.accepted.items() if accepted[0]["account"] == account["account"]}
        succeeded = {job for job in mine if journal.ends[job] == ["succeeded"]}
        granted = POOR_CREDITS if number == 0 else RICH_CREDITS
        assert account["balance"] == granted - PRICE * len(succeeded)
        rows = await user.jobs()
        assert {row["id"]: [row["status"]] for row in rows} == {job: journal.ends[job] for job in mine}
        for row in [row for row in rows if row["status"] == "succeeded"][:PICTURES]:
            picture = await user.get(row["result"]["url"])
            assert (picture.status_code, len(picture.content)) == (200, row["result"]["bytes"])
    return journal


async def _settled(stack: Stack, limit_s: float = 60.0) -> Journal:
    """The log once no attempt holds a slot any more: canceled ones give theirs back when they or their leases end."""
    deadline = time.monotonic() + limit_s
    while True:
        journal = Journal.of(await asyncio.to_thread(stack.events))
        if not journal.open_slots or time.monotonic() > deadline:
            return journal
        await asyncio.sleep(2)


def _report(workload: Workload, journal: Journal, longest_s: list[float], quiet_s: float) -> None:
    told = Counter(f"{answer.kind} {answer.status}" for answer in workload.told)
    ends = Counter(end for ends in journal.ends.values() for end in ends)
    again = sum(answer.asked_times > 1 for answer in workload.told)
    slowest = max(answer.seconds for answer in workload.told)
    print(f"\n{len(workload.told)} answers: {dict(sorted(told.items()))}; asked more than once: {again}")
    print(f"jobs: {dict(ends)}; slowest answer {slowest:.1f} s; quiet after {quiet_s:.1f} s")
    print(f"longest standstill of each partition in s: {[round(s, 2) for s in longest_s]}")

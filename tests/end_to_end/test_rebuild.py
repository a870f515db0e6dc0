"""``darkroom rebuild`` on the running stack: reads go on, differences are told, a switch can be taken back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from infra.cli.target import settings_for
from projections.rebuild import MODELS
from tests.client import Client, ok
from tests.stack import Stack


def sql(stack: Stack, query: str) -> list[tuple[Any, ...]]:
    """What a new session, which reads what is live, gets."""
    with psycopg.connect(settings_for(stack.data).postgres_dsn) as session:
        cursor = session.execute(query.encode())
        return cursor.fetchall() if cursor.description else []


def live(stack: Stack) -> dict[str, int]:
    return dict(sql(stack, "SELECT model, generation FROM generations WHERE state = 'live'"))


def _version(account: dict[str, Any]) -> int:
    """The offset of the last command that the account shows."""
    return int(account["position"].split(".")[1])


class Reading:
    """A client's reads, one after the other, and what they have shown."""

    def __init__(self, user: Client, job: str) -> None:
        self._user, self._job = user, job
        self.reads = 0
        self.stop = asyncio.Event()

    async def run(self) -> None:
        """Until `stop`; fails where an answer fails, goes back, or is of two generations."""
        seen: tuple[int, ...] = ()
        while not self.stop.is_set():
            jobs, ledger = await self._user.jobs(), await self._user.ledger()
            assert (await self._user.job(self._job))["status"] == "succeeded"
            assert await self._user.events(self._job)
            ended = sum(job["status"] == "succeeded" for job in jobs)
            now = (len(jobs), ended, len(ledger), _version(await self._user.account()))
            assert all(new >= old for new, old in zip(now, seen, strict=False)), f"{now} after {seen}"
            seen = now
            self.reads += 5


@asynccontextmanager
async def reading(user: Client, job: str) -> AsyncIterator[Reading]:
    made = Reading(user, job)
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        made.stop.set()
        await task


async def test_reads_and_writes_go_on_while_the_read_models_are_built_anew(stack: Stack, user: Client) -> None:
    job = ok(await user.submit("sandbox/echo", prefer="wait=60"))
    before, generations = await user.job(job["id"]), live(stack)
    async with reading(user, job["id"]) as reads:
        rebuilding = asyncio.create_task(asyncio.to_thread(stack.darkroom, "rebuild"))
        while not rebuilding.done():
            ok(await user.submit("sandbox/echo", prefer="wait=60"))
            await asyncio.sleep(0.05)
            if len(await user.jobs()) > 15:
                break
        ran = await rebuilding
        assert ran.returncode == 0, ran.stdout + ran.stderr
        last = ok(await user.submit("sandbox/echo", prefer="wait=60"))
        assert (await user.job(last["id"]))["status"] == "succeeded"
    assert ran.stdout.startswith("switched: "), ran.stdout
    assert "filling from the log" in ran.stderr
    assert reads.reads > 10
    assert await user.job(job["id"]) == before
    after = live(stack)
    assert all(after[model] > generations[model] for model in MODELS)
    assert (await asyncio.to_thread(stack.audit))["violations"] == []


async def test_a_planted_difference_is_told_and_nothing_is_switched_until_it_is_accepted(
    stack: Stack, user: Client
) -> None:
    account = (await user.account())["account"]
    sql(stack, f"UPDATE accounts SET captured = captured + 3 WHERE account = '{account}'")
    generations = live(stack)
    ran = await asyncio.to_thread(stack.darkroom, "rebuild", "--model", "balances")
    assert ran.returncode == 1, ran.stderr
    assert f"balances.accounts ({account}): captured 3 stands, log says 0" in ran.stdout
    assert live(stack) == generations
    ran = await asyncio.to_thread(stack.darkroom, "rebuild", "--model", "balances", "--accept-differences")
    assert ran.returncode == 0, ran.stderr
    assert (await asyncio.to_thread(stack.audit))["violations"] == []
    assert {model: number for model, number in live(stack).items() if model != "balances"} == {
        model: number for model, number in generations.items() if model != "balances"
    }


async def test_a_switch_is_taken_back_and_back_again(stack: Stack, user: Client) -> None:
    ran = await asyncio.to_thread(stack.darkroom, "rebuild", "--model", "jobs")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    new = live(stack)["jobs"]
    job = ok(await user.submit("sandbox/echo", prefer="wait=60"))
    ran = await asyncio.to_thread(stack.darkroom, "rebuild", "--back")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("switched back: jobs;")
    assert live(stack)["jobs"] < new
    assert (await user.job(job["id"]))["status"] == "succeeded"
    ran = await asyncio.to_thread(stack.darkroom, "rebuild", "--back", "--model", "jobs")
    assert (ran.returncode, live(stack)["jobs"]) == (0, new)
    assert (await asyncio.to_thread(stack.audit))["violations"] == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--model", "moods"), "--model is none of jobs, balances, "),
        (("--back", "--model", "keys"), "There is nothing to switch back of keys"),
    ],
)
async def test_what_cannot_be_rebuilt_is_one_sentence(stack: Stack, arguments: tuple[str, ...], told: str) -> None:
    ran = await asyncio.to_thread(stack.darkroom, "rebuild", *arguments)
    assert ran.returncode == 2
    assert told in ran.stderr

"""The commands of the operator on a running stack."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import pytest

from infra.local.stack import NAMES
from tests.client import Client, ok
from tests.stack import Stack


async def test_status_names_every_component_with_its_process(stack: Stack) -> None:
    ran = await asyncio.to_thread(stack.darkroom, "status", "--json")
    assert ran.returncode == 0, ran.stdout
    told = json.loads(ran.stdout)
    assert told["url"] == stack.url
    assert [row["name"] for row in told["components"]] == list(NAMES)
    ours = set(stack.processes())
    for row in told["components"]:
        assert row["healthy"], row
        assert row["endpoint"]
        assert row["pid"] in ours


async def test_status_as_a_table(stack: Stack) -> None:
    ran = await asyncio.to_thread(stack.darkroom, "status")
    assert ran.returncode == 0
    assert stack.url in ran.stdout
    assert "gateway-0" in ran.stdout


async def test_token_prints_a_token_that_works_and_nothing_else(stack: Stack, user: Client) -> None:
    ran = await asyncio.to_thread(stack.darkroom, "token", "--product", "darkroom", "--subject", user.subject)
    assert (ran.returncode, ran.stderr) == (0, "")
    token = ran.stdout.removesuffix("\n")
    assert token.count(".") == 2
    answer = await user.http.get("/v1/account", headers={"Authorization": f"Bearer {token}"})
    assert ok(answer)["balance"] == 20


async def test_grant_prints_the_new_balance(stack: Stack, user: Client) -> None:
    ran = await asyncio.to_thread(stack.darkroom, "grant", "--account", user.name, "5")
    assert (ran.returncode, ran.stdout) == (0, "25\n"), ran.stderr
    ran = await asyncio.to_thread(stack.darkroom, "grant", "--account", user.name, "-25")
    assert (ran.returncode, ran.stdout) == (0, "0\n"), ran.stderr
    ran = await asyncio.to_thread(stack.darkroom, "grant", "--account", user.name, "-1")
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert (await user.account())["balance"] == 0


@pytest.mark.parametrize("account", ["nobody", "darkroom:", "unknown:x"])
async def test_a_grant_to_no_account_is_refused(stack: Stack, account: str) -> None:
    ran = await asyncio.to_thread(stack.darkroom, "grant", "--account", account, "5")
    assert ran.returncode == 2
    assert "PRODUCT:SUBJECT" in ran.stderr


async def test_events_prints_the_log_of_an_account_in_order(stack: Stack, user: Client) -> None:
    job = ok(await user.submit("sandbox/echo", prefer="wait=30"))
    printed = await asyncio.to_thread(stack.events, user.name)
    assert [event["data"]["version"] for event in printed] == list(range(1, len(printed) + 1))
    assert {event["subject"] for event in printed} == {(await user.account())["account"]}
    assert {event["source"] for event in printed} == {"/darkroom/local"}
    mine = [event["id"] for event in printed if event["data"]["data"].get("job") == job["id"]]
    assert mine == [event["id"] for event in await user.events(job["id"])]
    ran = await asyncio.to_thread(stack.darkroom, "events", "--account", user.name, "--from", mine[0])
    assert [json.loads(line)["id"] for line in ran.stdout.splitlines()] == mine


async def test_personal_data_stands_nowhere_in_clear_on_the_log(stack: Stack, user: Client) -> None:
    ok(await user.submit("sandbox/echo", metadata={"order": "bride-and-groom-4711"}, prefer="wait=30"))
    ok(await user.upload(name="bride-and-groom-4711.jpg"))
    log = (stack.data / "kafka").rglob("*.log")
    found = [
        path for path in log if b"bride-and-groom" in path.read_bytes() or user.subject.encode() in path.read_bytes()
    ]
    assert found == []


async def test_the_audit_is_clean_and_counts_what_it_saw(stack: Stack, user: Client) -> None:
    ok(await user.submit("sandbox/echo", prefer="wait=30"))
    told = await asyncio.to_thread(stack.audit)
    assert told["violations"] == []
    assert told["commands"] > 8
    assert told["decided_again"] > 0
    assert told["rows_compared"] > 0


async def test_commands_that_need_no_server_are_quick(stack: Stack) -> None:
    """In turn with a bare interpreter, which is as slow as the machine is; a server's imports cost far more."""

    async def taken_s(run: Callable[[], object]) -> float:
        begun = asyncio.get_running_loop().time()
        await asyncio.to_thread(run)
        return asyncio.get_running_loop().time() - begun

    for arguments in (("status", "--json"), ("token", "--product", "darkroom", "--subject", "ada")):
        rounds = [
            (
                await taken_s(lambda: subprocess.run((sys.executable, "-c", "pass"), check=True)),
                await taken_s(partial(stack.darkroom, *arguments)),
            )
            for _ in range(5)
        ]
        ratio = min(command_s / bare_s for bare_s, command_s in rounds)
        assert ratio < 25, f"{arguments} takes {ratio:.0f} times as long as a bare interpreter"


async def test_a_second_stack_on_the_directory_is_refused_in_one_sentence(stack: Stack) -> None:
    ran = await asyncio.to_thread(stack.darkroom, "up", "--port", "1")
    assert ran.returncode == 2
    assert "Another stack runs on" in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1

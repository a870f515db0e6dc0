"""What an operator does when something went wrong: state made anew from events, a stopped partition let go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.client import AIOKafkaClient

from infra.cli.target import settings_for
from infra.kafka.alternating import owner_producers
from infra.kafka.appender import CommandAppender
from infra.kafka.client import start_client
from infra.kafka.ports import Outgoing
from infra.settings import Settings
from processors.accounts.state import Queued, account_key, queued_key
from processors.batch import TROUBLES_MAX
from schemas.codec import encode_state
from schemas.identifiers import partition_of
from schemas.topics import ACCOUNTS, COMMANDS
from tests.client import Client, ok
from tests.stack import Stack


@asynccontextmanager
async def _kafka(stack: Stack) -> AsyncIterator[tuple[Settings, AIOKafkaClient]]:
    settings = settings_for(stack.data)
    client = await start_client(settings.kafka)
    try:
        yield settings, client
    finally:
        await client.close()


async def _damage_state(stack: Stack, account: str) -> None:
    """Take the account's header off the state topic and put a stranger there, behind the owner's back."""
    async with _kafka(stack) as (settings, client):
        partition = partition_of(account, settings.partitions)
        owner = owner_producers(client, settings.deployment, partition)
        await owner.initialise()
        stranger = queued_key(account, "standard", 99).encode()
        await owner.commit(
            [
                Outgoing(ACCOUNTS, partition, account_key(account).encode(), None),
                Outgoing(ACCOUNTS, partition, stranger, encode_state(Queued("job_nobody"), 0)),
            ]
        )


async def test_damaged_state_is_found_by_the_audit_and_made_anew_from_events(stack: Stack, user: Client) -> None:
    account = (await user.account())["account"]
    await _damage_state(stack, account)
    told = await asyncio.to_thread(stack.audit)
    wrong = [line for line in told["violations"] if line.startswith("state-is-the-fold-of-events")]
    assert {line.rpartition(": ")[2] for line in wrong} == {
        account_key(account),
        queued_key(account, "standard", 99),
    }
    ran = await asyncio.to_thread(stack.darkroom, "rebuild-state")
    assert ran.returncode == 0, ran.stderr
    assert (await asyncio.to_thread(stack.audit))["violations"] == []
    job = ok(await user.submit("sandbox/echo", prefer="wait=60"))
    assert (await user.job(job["id"]))["balance"] == 19


async def test_a_partition_that_stopped_itself_goes_on_when_an_operator_says_so(stack: Stack, user: Client) -> None:
    async with _kafka(stack) as (settings, client):
        partition = partition_of((await user.account())["account"], settings.partitions)
        appender = CommandAppender(client, COMMANDS)
        for _ in range(TROUBLES_MAX + 1):
            await appender.append(partition, b"{broken")
        await appender.close()
    waiting = ok(await user.submit("sandbox/echo", key="later"))
    assert waiting["status"] == "pending"
    ran = await asyncio.to_thread(stack.darkroom, "resume", "--partition", str(partition))
    assert (ran.returncode, ran.stdout) == (0, f"partition {partition} goes on\n")
    job = ok(await user.submit("sandbox/echo", key="later", prefer="wait=60"))
    assert (job["id"], job["status"]) == (waiting["id"], "succeeded")
    assert (await asyncio.to_thread(stack.audit))["violations"] == []


async def test_resuming_a_partition_that_does_not_exist_is_refused_in_one_sentence(stack: Stack) -> None:
    ran = await asyncio.to_thread(stack.darkroom, "resume", "--partition", "8")
    assert ran.returncode == 2
    assert "is a number from 0 to 7" in ran.stderr

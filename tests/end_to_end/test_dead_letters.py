"""What could not be read or decided is listed, and decided when an operator puts it on the log again; once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.client import AIOKafkaClient

from infra.cli.target import settings_for
from infra.clock import SystemClock
from infra.kafka.appender import CommandAppender
from infra.kafka.client import start_client
from infra.kafka.records import KafkaRecords
from infra.settings import Settings
from processors.effects import dead_letter
from schemas.commands import Envelope, GrantCredits, IdempotencyKey, encode_command
from schemas.identifiers import partition_of
from schemas.topics import COMMANDS
from tests.client import Client
from tests.stack import Stack

NOW_MS = SystemClock().now_ms()


@asynccontextmanager
async def _kafka(stack: Stack) -> AsyncIterator[tuple[Settings, AIOKafkaClient]]:
    settings = settings_for(stack.data)
    client = await start_client(settings.kafka)
    try:
        yield settings, client
    finally:
        await client.close()


async def _append(stack: Stack, partition: int, item: bytes) -> str:
    """Put an item on the log; where it stands."""
    async with _kafka(stack) as (_, client):
        appender = CommandAppender(client, COMMANDS)
        appended = await appender.append(partition, item)
        await appender.close()
        return f"{partition}.{appended.offset}.{appended.item_index}"


async def _letters(stack: Stack) -> dict[str, dict[str, Any]]:
    ran = await asyncio.to_thread(stack.darkroom, "dead-letters", "--json")
    assert ran.returncode == 0, ran.stderr
    return {row["source"]: row for row in map(json.loads, ran.stdout.splitlines())}


async def _letter(stack: Stack, source: str, limit_s: float = 10.0) -> dict[str, Any]:
    """The letter, once the processor has written it."""
    async with asyncio.timeout(limit_s):
        while True:
            found = (await _letters(stack)).get(source)
            if found is not None:
                return found


def _grant(account: str, units: int, key: str) -> bytes:
    idempotency = IdempotencyKey(key, "some-fingerprint")
    command = GrantCredits(units, "gift")
    return encode_command(Envelope("cmd_grant", account, "darkroom", command, NOW_MS, idempotency=idempotency))


async def test_what_cannot_be_read_is_listed_and_not_redriven(stack: Stack, user: Client) -> None:
    account = (await user.account())["account"]
    partition = partition_of(account, settings_for(stack.data).partitions)
    source = await _append(stack, partition, b'{"account":"' + account.encode() + b'",broken')
    letter = await _letter(stack, source)
    assert (letter["topic"], letter["reason"], letter["redriven"]) == ("commands", "not-an-envelope", None)
    assert letter["bytes"] > 40
    assert "cannot read it" in letter["cure"]
    ran = await asyncio.to_thread(stack.darkroom, "redrive", source)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "cannot read it either (not-an-envelope)" in ran.stderr


async def test_a_misplaced_command_is_redriven_to_its_owner_and_never_twice(stack: Stack, user: Client) -> None:
    account = (await user.account())["account"]
    partitions = settings_for(stack.data).partitions
    elsewhere = (partition_of(account, partitions) + 1) % partitions
    source = await _append(stack, elsewhere, _grant(account, 5, "misplaced"))
    letter = await _letter(stack, source)
    assert (letter["reason"], letter["account"]) == ("wrong-partition", account)
    assert letter["cure"] == f"darkroom redrive {source}"
    ran = await asyncio.to_thread(stack.darkroom, "redrive", source)
    assert ran.returncode == 0, ran.stderr
    position = ran.stdout.removeprefix(f"{source} redriven as ").strip()
    assert (await _letters(stack))[source]["redriven"] == position
    again = await asyncio.to_thread(stack.darkroom, "redrive", source)
    assert (again.returncode, again.stdout) == (1, "")
    assert f"It was redriven as {position}." in again.stderr
    assert await _balance(user, 25) == 25


async def test_a_quarantined_command_is_redriven_as_what_its_client_has_asked_for_once(
    stack: Stack, user: Client
) -> None:
    account = (await user.account())["account"]
    async with _kafka(stack) as (settings, client):
        partition = partition_of(account, settings.partitions)
        for index in range(2):  # the second is the client's repeat under the same key
            item = _grant(account, 3, "quarantined")
            place = (partition, 7_000_000, index)
            await KafkaRecords(client).append([dead_letter(item, place, "decision-failed", account, NOW_MS)])
    ran = await asyncio.to_thread(stack.darkroom, "redrive", "--all")
    assert ran.returncode == 0, ran.stderr
    redriven = [line.split()[0] for line in ran.stdout.splitlines()]
    assert [source for source in redriven if ".7000000." in source] == [f"{partition}.7000000.{n}" for n in (0, 1)]
    assert await _balance(user, 23) == 23
    types = [event["type"] for event in await asyncio.to_thread(stack.events, user.name)]
    assert types[-2:] == ["darkroom.credits-granted.v1", "darkroom.command-duplicate.v1"]
    assert (await asyncio.to_thread(stack.darkroom, "redrive", "--all")).stdout == ""
    assert (await asyncio.to_thread(stack.audit))["violations"] == []


async def test_redriving_what_is_not_there_or_nothing_is_refused(stack: Stack) -> None:
    ran = await asyncio.to_thread(stack.darkroom, "redrive", "0.1.2")
    assert ran.returncode == 1
    assert "There is no such dead letter" in ran.stderr
    ran = await asyncio.to_thread(stack.darkroom, "redrive")
    assert ran.returncode == 2


async def _balance(user: Client, wanted: int, limit_s: float = 10.0) -> int:
    """The balance, once it is what is wanted or the time is over: operators' commands tell no position."""
    balance = -1
    try:
        async with asyncio.timeout(limit_s):
            while balance != wanted:
                balance = int((await user.account())["balance"])
                await asyncio.sleep(0.1)
    except TimeoutError:
        pass
    return balance

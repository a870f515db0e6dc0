"""What operators do while a storm goes on: rubbish on the log, a rebuild, a sweep, erasures. Each until it is done."""

from __future__ import annotations

import asyncio
import json
import subprocess
from functools import partial

from infra.cli.target import settings_for
from infra.clock import SystemClock
from infra.kafka.appender import CommandAppender
from infra.kafka.client import start_client
from schemas.commands import Envelope, GrantCredits, IdempotencyKey, encode_command
from schemas.identifiers import partition_of
from schemas.topics import COMMANDS
from tests.chaos import asset_steps, job_steps
from tests.chaos.asker import Asker, Person
from tests.stack import Stack

TRIES = 8
RUBBISH = b'{"account":"acct_nobody",broken'
UNITS = 5


class Chores:
    """`wrong` holds what did not go as it should."""

    def __init__(self, stack: Stack, asker: Asker, erased: list[Person]) -> None:
        self._stack, self._asker, self._erased = stack, asker, erased
        self.wrong: list[str] = []

    async def run(self, misled: Person) -> None:
        """All of them, one after the other; `misled` gets a grant by way of a dead letter."""
        await asyncio.sleep(2)
        await self._dead_letters(misled)
        for person in self._erased:
            await self._erase(person)
        await self._told("rebuild")
        swept = await self._told("sweep", "--older-than", "1h")
        if not swept.startswith("0 of "):
            self.wrong.append(f"swept: {swept}")

    async def _dead_letters(self, misled: Person) -> None:
        """Rubbish stays a dead letter; what only stood on the wrong partition is decided when it is redriven."""
        settings = settings_for(self._stack.data)
        shown = await self._asker.read(partial(misled.client.http.get, "/v1/account"))
        assert shown is not None
        account = shown["account"]
        key = IdempotencyKey("misplaced", "some-fingerprint")
        grant = Envelope(
            "cmd_misplaced",
            account,
            misled.client.product,
            GrantCredits(UNITS, "redriven"),
            SystemClock().now_ms(),
            idempotency=key,
        )
        elsewhere = (partition_of(account, settings.partitions) + 1) % settings.partitions
        client = await start_client(settings.kafka)
        appender = CommandAppender(client, COMMANDS)
        try:
            places = [await appender.append(elsewhere, item) for item in (RUBBISH, encode_command(grant))]
        finally:
            await appender.close()
            await client.close()
        sources = {f"{elsewhere}.{place.offset}.{place.item_index}" for place in places}
        for _ in range(60):
            listed = await self._told("dead-letters", "--json")
            if sources <= {json.loads(line)["source"] for line in listed.splitlines()}:
                break
            await asyncio.sleep(1)
        else:
            self.wrong.append(f"{sources} are no dead letters: {listed}")
        redriven = await self._told("redrive", "--all")
        if len(redriven.splitlines()) != 1:
            self.wrong.append(f"redriven: {redriven}")

    async def _erase(self, person: Person) -> None:
        """An account with pictures and live jobs; afterwards nothing of it can be read."""
        for step in (asset_steps.upload, job_steps.engine, job_steps.batch, asset_steps.upload, job_steps.engine):
            await step(self._asker, person)
        await self._told("erase", "--account", person.client.name)
        for asset in (*person.assets, *person.masks):
            await self._asker.read(partial(person.client.http.get, f"/v1/media/{asset}"), (404, 410))

    async def _told(self, *arguments: str) -> str:
        """What a command printed once it has succeeded; while servers fall it may ask to be begun again."""
        ran: subprocess.CompletedProcess[str] | None = None
        for _ in range(TRIES):
            ran = await asyncio.to_thread(self._stack.darkroom, *arguments, limit_s=300.0)
            if ran.returncode == 0:
                return ran.stdout
            if "Traceback" in ran.stderr or "differences" in ran.stdout:
                break
            await asyncio.sleep(2)
        assert ran is not None
        self.wrong.append(f"{arguments}: {ran.returncode} {ran.stdout[-500:]} {ran.stderr[-1500:]}")
        return ran.stdout

"""A few minutes of life under faults, all from one seed."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import patch

import msgspec

from infra.kafka.memory import FAULTS
from processors import batch as batch_module
from processors.decide import decide
from processors.draft import Draft
from schemas import commands as cmd
from schemas.work import decode_purge, decode_work
from tests.simulation.checker import check
from tests.simulation.cluster import ACCOUNTS, LANE, PARTITION, PURGES, Cluster

TROUBLED_S = 40.0
LOST = 0.03


class Scenario:
    """Clients, a dispatcher and a saboteur around a cluster; `run` ends with everything checked."""

    def __init__(self, seed: int) -> None:
        self.cluster = Cluster(seed)
        self.cluster.reordered_feeds = True
        self.random = self.cluster.random
        self.jobs: list[tuple[str, str]] = []
        self.handled = 0
        self.poison: dict[str, int] = {}

    async def run(self) -> None:
        """Troubled for a while, then left alone until nothing is under way, then checked."""
        await self.cluster.publish()
        limit = self.random.choice((1, 2, 3, 1_000))
        with (
            patch.object(batch_module, "COMMANDS_A_TRANSACTION_MAX", limit),
            patch.object(batch_module, "decide", self._decide_or_raise),
        ):
            background = [asyncio.create_task(part) for part in (self._own(), self._dispatch(), self._housekeep())]
            async with asyncio.timeout(TROUBLED_S * 3):
                parts = (self._client, self._saboteur, self._operator)
                await asyncio.gather(*(self._for_a_while(part) for part in parts))
            self.cluster.log.fault = None
            await self._until_quiet()
            for task in background:
                task.cancel()
            await asyncio.wait(background)
        await check(self.cluster)

    async def _for_a_while(self, step: Callable[[], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < TROUBLED_S:
            await asyncio.sleep(self.random.expovariate(2.0))
            await step()

    async def _own(self) -> None:
        """Owners one after the other; now and then the next one begins before the last one knows that it is over."""
        running: set[asyncio.Task[Any]] = set()
        try:
            while True:
                running.add(asyncio.create_task(self.cluster.own()))
                patience_s = self.random.uniform(1, 15)
                done, running = await asyncio.wait(running, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
                quiet = asyncio.get_running_loop().time() > TROUBLED_S
                if not done and (quiet or self.random.random() < 0.5):
                    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                elif not done and self.random.random() < 0.5:
                    running.pop().cancel()  # kill -9; the other half goes on as a zombie
                await asyncio.sleep(0.1)
        finally:
            for task in running:
                task.cancel()

    async def _client(self) -> None:
        """A record of one to six commands: mostly submits, some twice under a key, cancels, hides, some garbage."""
        items: list[cmd.Envelope | bytes] = []
        for _ in range(self.random.choice((1, 1, 2, 6))):
            account = self.random.choice(ACCOUNTS)
            chance = self.random.random()
            if chance < 0.55:
                submit = self.cluster.submit(account, self.random.choice((None, f"k{self.random.randrange(6)}")))
                assert isinstance(submit.command, cmd.SubmitJob)
                self.jobs.append((submit.command.job, account))
                if self.random.random() < 0.02:
                    self.poison[submit.command.job] = self.random.choice((1, 2, 99))
                items.append(submit)
            elif chance < 0.7 and self.jobs:
                job, owner = self.random.choice(self.jobs)
                ending = cmd.CancelJob(job) if chance < 0.65 else cmd.HideJob(job)
                items.append(self.cluster.envelope(ending, owner))
            elif chance < 0.9:
                items.append(self.cluster.envelope(cmd.GrantCredits(self.random.randint(-9, 9), "g"), account))
            else:
                items.append(b"\x00garbage" if self.random.random() < 0.2 else msgspec.json.encode("not a command"))
        await self.cluster.send(*items)

    async def _dispatch(self) -> None:
        """Works on what it gets; some items, starts and outcomes are lost, some outcomes come late or twice."""
        while True:
            await asyncio.sleep(0.2)
            begin, self.handled = self.handled, await self.cluster.log.end_offset(LANE, PARTITION)
            if begin == self.handled:
                continue
            async for records in self.cluster.log.read(LANE, PARTITION, begin, self.handled):
                for item in (decode_work(record.value or b"") for record in records):
                    if self.random.random() >= LOST:
                        await self._attempt(item.job, item.account, item.attempt)

    async def _housekeep(self) -> None:
        """Reports purges, some of them never, some twice."""
        handled = 0
        while True:
            await asyncio.sleep(0.5)
            begin, handled = handled, await self.cluster.log.end_offset(PURGES, PARTITION)
            if begin == handled:
                continue
            async for records in self.cluster.log.read(PURGES, PARTITION, begin, handled):
                for item in (decode_purge(record.value or b"") for record in records):
                    for _ in range(self.random.choice((0, 1, 1, 1, 2))):
                        await self._say(item.account, cmd.RecordPurge(item.purge))

    async def _attempt(self, job: str, account: str, attempt: int) -> None:
        chance = self.random.random()
        key = f"{account}/{job}/{attempt}-{self.random.randrange(1_000)}"
        how: cmd.Succeeded | cmd.Failed = cmd.Succeeded(cmd.StoredObject(key, 10, "ab" * 32, "png", 4, 4), 3)
        if chance < 0.3:
            cause = self.random.choice(("permanent", "transient", "engine-unavailable", "engine-crashed"))
            how = msgspec.convert({"kind": "failed", "cause": cause, "reason": "r", "detail": "d"}, cmd.Failed)
        outcome = cmd.RecordOutcome(job, attempt, how)
        if self.random.random() >= LOST:
            await self._say(account, cmd.AttemptStarted(job, attempt, "d"))
        if self.random.random() < 0.2:
            await self._say(account, cmd.RenewLease(job, attempt))
        for _ in range(self.random.choice((0, 1, 1, 1, 1, 1, 1, 1, 1, 2))):
            await self._say(account, outcome)

    async def _say(self, account: str, command: cmd.AnyCommand) -> None:
        await self.cluster.send(msgspec.structs.replace(self.cluster.envelope(command, account), reply=None))

    async def _saboteur(self) -> None:
        """The next commit fails, in one of three ways."""
        self.cluster.log.fault = self.random.choice((None, *FAULTS))

    async def _operator(self) -> None:
        """Lets the partition go on where it has stopped itself."""
        if self.cluster.owners and self.cluster.owners[-1].stopped:
            await self.cluster.send(self.cluster.envelope(cmd.ResumePartition()))

    async def _until_quiet(self) -> None:
        """Wait until no job is under way, at most an hour."""
        async with asyncio.timeout(3_600):
            while True:
                await self._operator()
                await asyncio.sleep(2)  # a partition that may go on notices within a second
                await self.cluster.until_quiet_or_stopped()
                if not self.cluster.owners[-1].stopped:
                    return

    def _decide_or_raise(self, read: Any, envelope: cmd.Envelope, *rest: Any) -> Draft:
        job = getattr(envelope.command, "job", "")
        if isinstance(envelope.command, cmd.SubmitJob) and self.poison.get(job, 0) > 0:
            self.poison[job] -= 1
            raise ZeroDivisionError("a bug")
        return decide(read, envelope, *rest)

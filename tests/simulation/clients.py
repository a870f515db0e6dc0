"""Clients: what they ask, how they repeat it, what they were told, and what they find when they read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from ingest.idempotency import idempotency_key
from schemas import commands as cmd
from schemas import topics
from schemas.catalogue import model_terms
from schemas.codec import PACK_FORMAT, pack_items
from schemas.identifiers import partition_of, partition_stream
from schemas.plans import AccountTerms, LeaseTerms, Plan
from schemas.positions import Position, parse_position
from schemas.replies import JobDecided
from tests.simulation.outside import stored_picture
from tests.simulation.processes import Process
from tests.simulation.workers import CATALOGUE, Ask, Gateway, Told
from tests.simulation.world import PARTITIONS, World

ACCOUNTS = tuple(f"acct_{name}" for name in ("anna", "ben", "cara", "dora", "emil", "fritz"))
IDENTIFIER_KEY = b"i" * 32
GATEWAY_TIMEOUT_S = 15.0
GATEWAY_WAIT_S = 1.0


def plan() -> Plan:
    """Short leases and little room, so that much happens in a few minutes."""
    terms = AccountTerms(opening_credits=40, in_flight_jobs_max=2, queue_ttl_ms=120_000, idempotency_ttl_ms=600_000)
    swift = msgspec.structs.replace(terms, lane="priority", originals="purge", reuse_ttl_ms=60_000)
    return Plan(
        version=1,
        products={"p": {"default": terms}, "q": {"default": swift}},
        models={entry.slug: model_terms(entry) for entry in CATALOGUE.models},
        leases=LeaseTerms(start_ms=5_000, running_ms=3_000, retry_backoff_ms=500),
        lane_released_jobs_max={"standard": 4},
    )


def product_of(account: str) -> str:
    """Half of the accounts are under a plan that reuses results and deletes originals."""
    return "q" if ACCOUNTS.index(account) % 2 else "p"


class Clients:
    """All clients of a life; `told` is their own log."""

    def __init__(self, world: World, gateways: Callable[[], list[tuple[Process, Gateway]]]) -> None:
        self.told: list[Told] = []
        self.read_back = 0
        self._world, self._random, self._gateways = world, world.random, gateways
        self._ids = world.ids()
        self._jobs: list[tuple[str, str]] = []
        self._assets: list[tuple[str, str]] = []
        self._running: set[asyncio.Task[None]] = set()

    async def publish(self) -> None:
        """Put the plan in force in every partition."""
        for partition in range(PARTITIONS):
            stream = partition_stream(partition)
            await self._ask(Ask(stream, (self._envelope(cmd.PublishPlan(plan()), stream),)))

    async def resume(self, partition: int) -> None:
        """What an operator does with a partition that has stopped itself."""
        stream = partition_stream(partition)
        await self._ask(Ask(stream, (self._envelope(cmd.ResumePartition(), stream),)))

    def act(self) -> None:
        """One client does something; its requests and repeats go on beside everything else."""
        account = self._random.choice(ACCOUNTS)
        does = self._random.choices(
            (self._submit, self._retouch, self._group, self._end, self._pay, self._asset, self._garbage),
            (50, 10, 6, 12, 8, 6, 5),
        )[0]
        task = asyncio.create_task(self._do(does, account))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def finish(self) -> None:
        """Wait until every client has its last answer. Raises what a client could not bear."""
        while self._running:
            await asyncio.sleep(0.5)

    async def _do(self, does: Callable[[str], Awaitable[None]], account: str) -> None:
        try:
            await does(account)
        except AssertionError as error:
            self._world.complaints.append(str(error))

    async def _submit(self, account: str) -> None:
        """One to six jobs in a request; half of them under keys that other requests use too."""
        count = self._random.choice((1, 1, 1, 3, 6))
        key = self._random.choice((None, f"k{self._random.randrange(8)}"))
        seed = self._random.randrange(3) if key is None else int(key[1:])
        commands = [cmd.SubmitJob(self._job(account), "echo", {"seed": seed}) for _ in range(count)]
        if self._random.random() < self._world.troubles.chance("a decision raised", 0.03):
            self._world.poison[commands[0].job] = self._random.choice((1, 2, 99))
        bulk = count > 1
        await self._insist(
            account, "submit", key, {"seed": seed}, [msgspec.structs.replace(c, bulk=bulk) for c in commands]
        )

    async def _retouch(self, account: str) -> None:
        """A picture is stored and registered, then worked on."""
        asset = self._ids.mint("asset")
        body = asset.encode() * self._random.randint(1, 3)
        stored = stored_picture(f"{account}/{asset}", body)
        try:
            await self._world.store.put(stored.key, body, "image/png")
        except ConnectionError:
            return
        await self._insist(account, "asset", asset, asset, [cmd.RegisterAsset(asset, stored)])
        self._assets.append((asset, account))
        await self._insist(
            account, "submit", None, asset, [cmd.SubmitJob(self._job(account), "retouch", {"seed": 1}, asset)]
        )

    async def _group(self, account: str) -> None:
        """Some jobs, all or none."""
        jobs = tuple(
            cmd.GroupedJob(self._job(account), "echo", {"seed": number}) for number in range(self._random.randint(2, 5))
        )
        await self._insist(
            account, "group", self._ids.mint("k"), len(jobs), [cmd.SubmitGroup(self._ids.mint("group"), jobs)]
        )

    async def _end(self, _: str) -> None:
        """A job is canceled, or given back; or hidden, where its row shows whose it is: a gateway looks first."""
        if self._jobs:
            job, account = self._random.choice(self._jobs)
            endings: list[cmd.AnyCommand] = [cmd.CancelJob(job), cmd.RefundJob(job, "r")]
            if (account, job) in self._world.models.tables["jobs"]:
                endings.append(cmd.HideJob(job))
            await self._insist(account, "end", None, job, [self._random.choice(endings)])

    async def _pay(self, account: str) -> None:
        """Credits come or go, some of them for a while."""
        expires_ms = self._world.broker.clock.now_ms() + 30_000 if self._random.random() < 0.3 else None
        amount = self._random.randint(1, 9) if expires_ms else self._random.randint(-9, 12)
        await self._insist(
            account, "grant", self._ids.mint("k"), amount, [cmd.GrantCredits(amount or 1, "g", expires_ms)]
        )

    async def _asset(self, _: str) -> None:
        """A picture is deleted; rarely all of an account."""
        if self._assets:
            asset, account = self._random.choice(self._assets)
            erase = self._random.random() < 0.1
            await self._insist(
                account, "delete", None, asset, [cmd.EraseAccount() if erase else cmd.DeleteAsset(asset)]
            )

    async def _garbage(self, account: str) -> None:
        """Items and whole records that nobody can read, of an unknown version, or in the wrong partition."""
        envelope = msgspec.to_builtins(self._envelope(cmd.OpenAccount(), account))
        partition = partition_of(account, PARTITIONS)
        whole = cmd.encode_command(self._envelope(cmd.OpenAccount(), account))
        name, value = self._random.choice((
            ("unknown version", pack_items([msgspec.json.encode({**envelope, "schema": 9})])),
            ("unknown command", pack_items([msgspec.json.encode({**envelope, "command": {"type": "dance"}})])),
            ("garbage item", pack_items([b"\0garbage", whole])),
            ("unknown pack format", bytes((PACK_FORMAT + 6,)) + b"what is this"),
            ("broken length", bytes((PACK_FORMAT,)) + b"\0\0\1\0short"),
            ("empty record", b""),
            ("wrong partition", pack_items([msgspec.json.encode({**envelope, "account": f"{partition_stream(9)}"})])),
        ))  # fmt: skip
        if self._world.troubles.are_on and self._random.random() < 0.5:
            self._world.troubles.saw(name)
            self._world.broker.append(topics.COMMANDS, partition, value)

    async def _insist(
        self, account: str, operation: str, key: str | None, content: object, commands: list[cmd.AnyCommand]
    ) -> None:
        """Ask; where nobody knows what became of it, ask again under the same key, as one does."""
        keys = [None if key is None else f"{key}.{number}" for number in range(len(commands))]
        for _ in range(4):
            asked = Ask(
                account,
                tuple(
                    self._envelope(command, account, operation, one, content)
                    for command, one in zip(commands, keys, strict=True)
                ),
                key,
                operation,
            )
            told = await self._ask(asked)
            again = any(one.how in ("unknown", "silence") for one in told)
            repeat = key is not None and (again or self._random.random() < 0.1)
            if not repeat:
                break
            await asyncio.sleep(self._random.uniform(0, 3))
            commands = [self._anew(command, account) for command in commands]

    def _anew(self, command: cmd.AnyCommand, account: str) -> cmd.AnyCommand:
        """A repeat has ids of its own: gateways mint them for each request."""
        match command:
            case cmd.SubmitJob():
                return msgspec.structs.replace(command, job=self._job(account))
            case cmd.SubmitGroup():
                jobs = tuple(msgspec.structs.replace(job, job=self._job(account)) for job in command.jobs)
                return msgspec.structs.replace(command, group=self._ids.mint("group"), jobs=jobs)
            case _:
                return command

    async def _ask(self, ask: Ask) -> list[Told]:
        """Send it to some gateway and wait for its answer, but not for ever."""
        process, gateway = self._random.choice(self._gateways())
        handling = process.task(gateway.handle(ask, GATEWAY_WAIT_S))
        done, _ = await asyncio.wait([handling], timeout=GATEWAY_TIMEOUT_S)
        told = handling.result() if done else [Told(ask, envelope, "silence") for envelope in ask.envelopes]
        self.told += told
        for one in told:
            await self._read_back(one)
        return told

    async def _read_back(self, told: Told) -> None:
        """Once the read models have reached the position of an answer, they show what it told."""
        position = parse_position(told.replies[0].position) if told.replies else None
        answer = told.replies[0].answer if told.replies else None
        if position is None or not isinstance(answer, JobDecided) or self._random.random() < 0.7:
            return
        for _ in range(20):
            if self._world.models.reached.get(position.partition, Position(0, -1, 0)) >= position:
                row = self._world.models.tables["jobs"].get((told.ask.account, answer.job))
                assert row is not None, f"{answer.job} was acknowledged at {position}, and a read at it shows nothing"
                self.read_back += 1
                return
            await asyncio.sleep(0.25)

    def _job(self, account: str) -> str:
        job = self._ids.mint("job")
        self._jobs.append((job, account))
        return job

    def _envelope(
        self,
        command: cmd.AnyCommand,
        account: str,
        operation: str = "",
        key: str | None = None,
        content: object = None,
    ) -> cmd.Envelope:
        stream = account.startswith("partition-")
        return cmd.Envelope(
            id=self._ids.mint("cmd"),
            account=account,
            product="" if stream else product_of(account),
            command=command,
            sent_ms=self._world.broker.clock.now_ms(),
            idempotency=None if key is None else idempotency_key(IDENTIFIER_KEY, account, operation, key, content),
        )

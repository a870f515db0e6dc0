"""One partition on the log in memory: owners that are made anew after every fault, feeders, clients, a dispatcher."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress

from infra.ids import SeededIds
from infra.kafka.alternating import AlternatingProducers
from infra.kafka.memory import MemoryAppender, MemoryLog
from infra.kafka.ports import Appended, Record
from processors.effects import Addressing
from processors.loop import OwnerPorts, PartitionOwner
from schemas import commands as cmd
from schemas import events as ev
from schemas import topics
from schemas.commands import encode_command
from schemas.identifiers import partition_stream
from schemas.plans import AccountTerms, CostRule, LeaseTerms, ModelTerms, Plan
from schemas.replies import Reply, decode_replies
from schemas.work import WorkItem, decode_work
from tests.simulation.virtual import VirtualClock

PARTITION = 0
STREAM = partition_stream(PARTITION)
ACCOUNTS = ("acct_anna", "acct_ben", "acct_cara")
LANE = topics.dispatch_topic("standard")
PURGES = topics.dispatch_topic(topics.HOUSEKEEPING)
NAMES = (topics.COMMANDS, topics.EVENTS, topics.ACCOUNTS, LANE, PURGES, topics.REPLIES, topics.DEAD_LETTERS)


def plan() -> Plan:
    """Short leases and little room, so that much happens in a few minutes."""
    terms = AccountTerms(opening_credits=30, in_flight_jobs_max=2, queue_ttl_ms=120_000, idempotency_ttl_ms=60_000)
    model = ModelTerms(
        engine="echo", engine_version="1", lane="standard", cost=CostRule(1), takes_input=False, run_deadline_ms=20_000
    )
    return Plan(
        version=1,
        products={"p": {"default": terms}},
        models={"echo": model},
        leases=LeaseTerms(start_ms=5_000, running_ms=3_000, retry_backoff_ms=500),
        lane_released_jobs_max={"standard": 4},
    )


class CountedTicks:
    """An owner's appender, which remembers when it wrote a tick."""

    def __init__(self, inner: MemoryAppender, clock: VirtualClock) -> None:
        self._inner = inner
        self._clock = clock
        self.times_ms: list[int] = []

    async def append(self, partition: int, item: bytes) -> Appended:
        """See `infra.kafka.ports.Appender.append`."""
        assert partition == PARTITION
        assert isinstance(cmd.decode_command(item).command, cmd.Tick)
        self.times_ms.append(self._clock.now_ms())
        return await self._inner.append(partition, item)

    async def append_many(self, partition: int, items: Sequence[bytes]) -> list[Appended]:
        """See `infra.kafka.ports.Appender.append_many`."""
        return [await self.append(partition, item) for item in items]


class Cluster:
    """The log and everything around it; make it inside a running loop."""

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.clock = VirtualClock()
        self.log = MemoryLog(self.clock, dict.fromkeys(NAMES, 1), [topics.COMMANDS])
        self.client = MemoryAppender(self.log, topics.COMMANDS)
        self.ids = SeededIds(seed)
        self.owners: list[PartitionOwner] = []
        self.tick_writers: list[CountedTicks] = []
        self.ends: list[BaseException] = []
        self.expected: dict[str, cmd.Envelope] = {}

    def new_owner(self) -> PartitionOwner:
        """An owner with producers of its own under the partition's two ids."""
        ticks = CountedTicks(MemoryAppender(self.log, topics.COMMANDS), self.clock)
        producers = AlternatingProducers(self.log.producer("p.0"), self.log.producer("p.1"))
        ports = OwnerPorts(producers, self.log, ticks, self.clock, SeededIds(1_000 + len(self.owners)))
        owner = PartitionOwner(PARTITION, Addressing("simulation", 1), ports)
        self.owners.append(owner)
        self.tick_writers.append(ticks)
        return owner

    async def own(self, owner: PartitionOwner | None = None) -> BaseException | None:
        """Run an owner and its feeder until the owner ends; what it ended with."""
        owner = owner or self.new_owner()
        feeder = asyncio.create_task(self._feed(owner))
        try:
            await owner.run()
        except Exception as error:
            self.ends.append(error)
            return error
        finally:
            feeder.cancel()
            with suppress(asyncio.CancelledError):
                await feeder
        return None

    async def supervise(self) -> None:
        """A new owner after each end, for ever."""
        while True:
            await self.own()
            await asyncio.sleep(0.05 + self.random.random())

    async def _feed(self, owner: PartitionOwner) -> None:
        """What Faust's agent does: hand over what was fetched."""
        await owner.taken_over()
        position = owner.next_offset
        while True:
            end = await self.log.end_offset(topics.COMMANDS, PARTITION, committed=False)
            if position < end:
                async for records in self.log.read(topics.COMMANDS, PARTITION, position, end, committed=False):
                    await owner.offer(records)
                position = end
            await asyncio.sleep(0.05)

    async def send(self, *items: cmd.Envelope | bytes) -> list[Appended]:
        """Append items as one record; every envelope among them is expected in `events` once."""
        encoded = [item if isinstance(item, bytes) else encode_command(item) for item in items]
        self.expected.update({item.id: item for item in items if isinstance(item, cmd.Envelope)})
        return await self.client.append_many(PARTITION, encoded)

    def envelope(self, command: cmd.AnyCommand, account: str = STREAM, key: str | None = None) -> cmd.Envelope:
        """A command with an id, an address and, when named, a key."""
        name = self.ids.mint("cmd")
        return cmd.Envelope(
            id=name,
            account=account,
            product="" if account == STREAM else "p",
            command=command,
            sent_ms=self.clock.now_ms(),
            reply=cmd.ReplyAddress("gw_1", name),
            idempotency=cmd.IdempotencyKey(key, key) if key else None,
        )

    def submit(self, account: str = ACCOUNTS[0], key: str | None = None) -> cmd.Envelope:
        """A submit of a new job."""
        return self.envelope(cmd.SubmitJob(self.ids.mint("job"), "echo", {}), account, key)

    async def publish(self) -> None:
        """Put the plan in force."""
        await self.send(self.envelope(cmd.PublishPlan(plan())))

    async def records(self, topic: str) -> list[Record]:
        """Everything that is committed in a topic."""
        begin, end = await self.log.begin_offset(topic, PARTITION), await self.log.end_offset(topic, PARTITION)
        found: list[Record] = []
        if begin < end:
            async for records in self.log.read(topic, PARTITION, begin, end):
                found += records
        return found

    async def events(self) -> list[ev.Event]:
        """All committed events."""
        return [ev.decode_event(record.value or b"") for record in await self.records(topics.EVENTS)]

    async def work(self) -> list[WorkItem]:
        """All committed work items."""
        return [decode_work(record.value or b"") for record in await self.records(LANE)]

    async def replies(self) -> list[Reply]:
        """All committed replies."""
        return [reply for record in await self.records(topics.REPLIES) for reply in decode_replies(record.value or b"")]

    async def until_applied(self) -> None:
        """Wait until the newest owner has applied every command there is."""
        while True:
            end = await self.log.end_offset(topics.COMMANDS, PARTITION, committed=False)
            if self.owners and self.owners[-1].next_offset >= end:
                return
            await asyncio.sleep(0.02)

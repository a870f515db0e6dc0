"""The processes of the pipeline, composed of the product's own parts over a simulated world."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from msgspec.structs import replace

from infra.kafka.appender import CommandAppender
from infra.kafka.ports import NotAppended, OutcomeUnknown
from processors.app import processor_group, processor_owners, serve_partitions
from processors.dispatch.app import GROUP, STOP_GRACE_S, purge_handler, share_table, work_handler
from processors.dispatch.engines import Engines
from processors.dispatch.housekeeping import Housekeeper
from processors.dispatch.lanes import Lanes
from processors.dispatch.runner import Ports, Runner
from processors.dispatch.sender import LogCommandSender
from processors.dispatch.suspects import Suspects
from projections.runner import Runner as Projection
from projections.source import KafkaSource
from schemas import commands as cmd
from schemas.catalogue import parse_catalogue
from schemas.identifiers import is_partition_stream, partition_of
from schemas.positions import Position
from schemas.replies import Reply, decode_replies
from schemas.topics import COMMANDS, HOUSEKEEPING, LANES, REPLIES
from tests.simulation.network import Follower
from tests.simulation.outside import Models, NoOpener
from tests.simulation.processes import Process
from tests.simulation.world import PARTITIONS, SETTINGS, World

CATALOGUE = parse_catalogue(
    b"""
version = "1"
[[models]]
slug = "echo"
title = "Card"
description = "A card."
task = "card"
engine = "echo"
engine_version = "1"
input = "none"
cost = { base = 1 }
result = { width = 4, height = 4 }
tensors = { SEED = "params.seed" }
batched = true
run_deadline_ms = 20000
[models.parameters.seed]
type = "integer"
title = "Tint"
minimum = 0
maximum = 255
default = 0
[[models]]
slug = "retouch"
title = "Card"
description = "A card of a picture."
task = "card"
engine = "retouch"
engine_version = "1"
input = "required"
cost = { base = 2 }
result = { width = 4, height = 4 }
tensors = { SEED = "params.seed" }
batched = true
run_deadline_ms = 20000
[models.parameters.seed]
type = "integer"
title = "Tint"
minimum = 0
maximum = 255
default = 0
"""
)


async def processor(world: World, process: Process, stop: asyncio.Event) -> None:
    """As `processors.app` composes it."""
    async with processor_owners(SETTINGS) as make_owner:
        group = processor_group(SETTINGS.deployment)
        await serve_partitions(SETTINGS, process.name, group, COMMANDS, make_owner, stop)


async def dispatcher(world: World, process: Process, stop: asyncio.Event) -> None:
    """As `processors.dispatch.app` composes it, over an engine and a store in memory."""
    ids, clock = world.ids(), process.clock
    appender = CommandAppender(await world.network.start_client(), COMMANDS)
    sender = LogCommandSender(appender, PARTITIONS, ids, clock)
    ports = Ports(world.store, Engines(world.engine, None), world.media, NoOpener(), sender, clock, ids)
    runner = Runner(ports, CATALOGUE, process.name)
    suspects = Suspects(runner.run)
    handlers = dict.fromkeys(LANES, work_handler(runner.run, suspects))
    handlers[HOUSEKEEPING] = purge_handler(Housekeeper(world.store, sender, clock))
    run_dir = SETTINGS.data_dir / "run"
    lanes = Lanes(SETTINGS.kafka, GROUP, share_table(SETTINGS), handlers, run_dir, process.name)
    await lanes.start()
    while not stop.is_set() and not lanes.stuck(30.0):
        await asyncio.sleep(1.0)
    await lanes.stop()
    await asyncio.gather(lanes.slots.drain(STOP_GRACE_S), suspects.drain(STOP_GRACE_S))
    await appender.close()


async def projector(world: World, process: Process, stop: asyncio.Event) -> None:
    """As `infra.cli.projector` composes it, over read models in memory."""
    runner = Projection(
        range(PARTITIONS),
        lambda: Models(world.models, world.troubles),
        lambda: KafkaSource(SETTINGS.kafka),
        batch_events_max=world.random.choice((3, 40, 5_000)),
    )
    await runner.run(stop)


@dataclass(frozen=True)
class Ask:
    """What a client wants: commands in one request, `names` their ids, `key` what it repeats them with."""

    account: str
    envelopes: tuple[cmd.Envelope, ...]
    key: str | None = None
    operation: str = ""


@dataclass
class Told:
    """What a client was told of one of its commands.

    `how`: `answered`, `pending` (on the log), `unknown`, `not-appended`, `silence` (the gateway never answered).
    """

    ask: Ask
    envelope: cmd.Envelope
    how: str
    appended: Position | None = None
    replies: list[Reply] = field(default_factory=list)


class Gateway:
    """A command's way in and its answer's way out: append, then wait for the reply under this gateway's name.

    Ingest's shells around that, HTTP and its shapes, are tested elsewhere.
    """

    def __init__(self, world: World, process: Process) -> None:
        self._world, self._process = world, process
        self._waiting: dict[str, asyncio.Future[Reply]] = {}
        self._appender: CommandAppender | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`."""
        self._appender = CommandAppender(await self._world.network.start_client(), COMMANDS)
        follower = Follower(self._world.network, REPLIES)
        await follower.start()
        following = asyncio.create_task(self._follow(follower))
        try:
            await stop.wait()
        finally:
            following.cancel()
            await asyncio.wait([following])
        await self._appender.close()

    async def handle(self, ask: Ask, wait_s: float) -> list[Told]:
        """Append the commands together and wait for their decisions."""
        if self._appender is None:
            return [Told(ask, envelope, "not-appended") for envelope in ask.envelopes]
        addressed = [self._addressed(envelope) for envelope in ask.envelopes]
        loop = asyncio.get_running_loop()
        self._waiting.update((envelope.id, loop.create_future()) for envelope in addressed)
        partition = _partition(ask.account)
        try:
            appended = await self._appender.append_many(partition, [cmd.encode_command(e) for e in addressed])
        except (OutcomeUnknown, NotAppended) as error:
            how = "unknown" if isinstance(error, OutcomeUnknown) else "not-appended"
            return [Told(ask, envelope, how) for envelope in ask.envelopes]
        replies = [self._waiting[envelope.id] for envelope in addressed]
        await asyncio.wait(replies, timeout=wait_s)
        told = []
        for envelope, place, reply in zip(ask.envelopes, appended, replies, strict=True):
            position = Position(partition, place.offset, place.item_index)
            answers = [reply.result()] if reply.done() else []
            told.append(Told(ask, envelope, "answered" if answers else "pending", position, answers))
        return told

    async def _follow(self, follower: Follower) -> None:
        while True:
            for record in await follower.poll():
                if record.key == self._process.name.encode():
                    for reply in decode_replies(record.value or b""):
                        waiting = self._waiting.get(reply.correlation)
                        if waiting is not None and not waiting.done():
                            waiting.set_result(reply)

    def _addressed(self, envelope: cmd.Envelope) -> cmd.Envelope:
        return replace(envelope, reply=cmd.ReplyAddress(self._process.name, envelope.id))


def _partition(account: str) -> int:
    if is_partition_stream(account):
        return int(account.rpartition("-")[2])
    return partition_of(account, PARTITIONS)

"""The processor process: a group member on `commands`, one owner for each assigned partition, until SIGTERM."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Literal
from weakref import WeakValueDictionary

import structlog
import uvloop
from aiokafka.client import AIOKafkaClient

from infra.clock import SystemClock
from infra.garbage import collect_seldom
from infra.health import serve_health
from infra.ids import SystemIds
from infra.kafka.alternating import owner_producers
from infra.kafka.appender import CommandAppender
from infra.kafka.client import start_client
from infra.kafka.cluster import refresh
from infra.kafka.reader import KafkaLogReader
from infra.kafka.trimmer import KafkaTrimmer
from infra.settings import Settings
from processors.agents import HEARTBEAT_MS, GroupMember
from processors.effects import Addressing
from processors.loop import OwnerPorts, PartitionOwner
from processors.retention import keep_trimmed
from processors.supervision import Fleet, MakeOwner, Owner
from processors.turns import Turns
from schemas import topics

PARTITIONS_A_CLIENT = 8

log = structlog.get_logger()


class ProcessorFailed(Exception):
    """The process cannot do its work any more and ends, so that whoever started it starts it again."""


def processor_group(deployment: str) -> str:
    """The consumer group of a deployment's processors."""
    return f"{deployment}.processors"


class Connections:
    """Clients for the owners of this process: one for every 8 partitions.

    The broker serves the requests of a connection one after the other, and a Produce that also adds its partition to
    the transaction holds it a little longer, so many partitions on one connection wait for each other.
    """

    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._stack = stack
        self._clients: dict[int, AIOKafkaClient] = {}
        self._lock = asyncio.Lock()

    async def of(self, partition: int) -> AIOKafkaClient:
        """The started client for a partition."""
        number = partition // PARTITIONS_A_CLIENT
        async with self._lock:
            if number not in self._clients:
                client = await start_client(self._settings.kafka, client_id=f"{self._settings.deployment}.processor")
                self._stack.push_async_callback(client.close)
                self._clients[number] = client
            return self._clients[number]


@asynccontextmanager
async def processor_owners(settings: Settings) -> AsyncIterator[MakeOwner]:
    """Makes owners of partitions of `commands`: new transactional producers for each, fresh metadata before."""
    async with AsyncExitStack() as stack:
        connections = Connections(settings, stack)
        ticks = CommandAppender(await connections.of(0), topics.COMMANDS)
        stack.push_async_callback(ticks.close)
        addressing, turns = Addressing(settings.deployment, settings.partitions), Turns()
        owners: WeakValueDictionary[int, PartitionOwner] = WeakValueDictionary()  # with one goes the partition's state

        def positions() -> dict[int, int]:
            return {partition: owner.next_offset for partition, owner in owners.items()}

        async def make(partition: int) -> Owner:
            client = await connections.of(partition)
            await refresh(client)
            transactions = owner_producers(client, settings.deployment, partition)
            ports = OwnerPorts(transactions, KafkaLogReader(client), ticks, SystemClock(), SystemIds(), turns)
            if partition in owners:  # it failed, and it and its error hold each other: no state beside the next one's
                gc.collect()  # 0.1 s and more, in which no other partition decides
            owner = owners[partition] = PartitionOwner(partition, addressing, ports)
            return owner

        reader, trimmer = KafkaLogReader(await connections.of(0)), KafkaTrimmer(settings.kafka)
        trimming = asyncio.create_task(keep_trimmed(reader, trimmer, SystemClock(), positions))
        try:
            yield make
        finally:
            trimming.cancel()
            await asyncio.gather(trimming, return_exceptions=True)


async def serve_partitions(
    settings: Settings,
    name: str,
    group: str,
    topic: str,
    make_owner: MakeOwner,
    stop: asyncio.Event,
    *,
    isolation_level: Literal["read_committed", "read_uncommitted"] = "read_uncommitted",
    stuck_after_s: float = 30.0,
) -> None:
    """Be a member of the group and own what it assigns, until ``stop`` is set. Raises `ProcessorFailed`."""
    member = GroupMember(
        settings.kafka,
        group,
        topic,
        assigned=lambda partitions: fleet.assign(partitions),
        deliver=lambda partition, records: fleet.deliver(partition, records),
        positions_lost=lambda: fleet.release_again(),
        run_dir=settings.data_dir / "run",
        name=name,
        isolation_level=isolation_level,
    )
    fleet = Fleet(make_owner, member, rebuild_wait_s=2 * HEARTBEAT_MS / 1000, stuck_after_s=stuck_after_s)
    tasks: list[asyncio.Task[object]] = [asyncio.create_task(stop.wait())]
    try:
        await member.start()
        tasks += [asyncio.create_task(member.failed()), asyncio.create_task(fleet.watch())]
        if settings.metrics_port is not None:
            tasks.append(asyncio.create_task(serve_health(settings.metrics_port, fleet.healthy)))
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            reason = next((task.exception() or task.result() for task in tasks if task.done()), None)
            raise ProcessorFailed(f"{name} makes no progress or has lost its group: {reason!r}")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await fleet.close()
        await member.stop()


async def _serve(settings: Settings, name: str) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with processor_owners(settings) as make_owner:
        group = processor_group(settings.deployment)
        await serve_partitions(settings, name, group, topics.COMMANDS, make_owner, stop)


def run_processor(settings: Settings, index: int) -> None:
    """Serve until SIGTERM or SIGINT; ends with status 1 when the work cannot go on."""
    collect_seldom()
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    status = 0
    try:
        asyncio.run(_serve(settings, f"processor-{index}"))
    except Exception as error:
        log.error("processor ended", error=repr(error), exc_info=error)
        status = 1
    os._exit(status)  # a thread of the Kafka consumer that does not end must not keep a dead member alive

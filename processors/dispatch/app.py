"""A dispatcher process: the lanes' member, a handler for each lane, and what they reach the world through, composed.

At most `dispatcher_slots` items run at once, shared among the lanes by `dispatcher_lanes`; a lane without room is held,
and the others go on. On SIGTERM the process leaves the group, lets attempts end for STOP_GRACE_S, and gives the rest
back to the decider, which costs them nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import uvloop
from aiokafka.client import AIOKafkaClient

from infra.clock import SystemClock
from infra.health import serve_health
from infra.http.tokens import read_secret
from infra.ids import SystemIds
from infra.kafka.appender import CommandAppender
from infra.kafka.client import start_client
from infra.kafka.reader import KafkaLogReader
from infra.logs import get_logger
from infra.plans import load_catalogue
from infra.postgres.exclusive import PostgresExclusive
from infra.postgres.key_table import LateKeyTable
from infra.s3.bucket import open_store
from infra.sealing.opener import KeyOpener, LogKeys, Opener
from infra.settings import Settings
from infra.triton.client import open_engine
from infra.triton.coalesce import CoalescingEngine
from infra.triton.connection import Connection
from infra.triton.quarantine import TritonQuarantine
from processors.dispatch import metrics
from processors.dispatch.engines import Engines
from processors.dispatch.housekeeping import Housekeeper
from processors.dispatch.lanes import Lanes
from processors.dispatch.media_pool import open_media_pool
from processors.dispatch.planted_fault import Loss, LossySender, lossy, planted_loss
from processors.dispatch.runner import Ports, Runner
from processors.dispatch.sender import CommandSender, LogCommandSender
from processors.dispatch.shares import Share, Table
from processors.dispatch.slots import Handle
from processors.dispatch.suspects import Suspects
from schemas.topics import COMMANDS, HOUSEKEEPING, LANES
from schemas.work import PurgeItem, WorkItem, decode_purge, decode_work

GROUP = "darkroom-dispatchers"
MEDIA_PROCESSES = 2
STOP_GRACE_S = 3.0
_STUCK_AFTER_S = 30.0
_LOOK_EVERY_S = 1.0
_log = get_logger(__name__)
Item = TypeVar("Item", WorkItem, PurgeItem)


def run_dispatcher(settings: Settings, index: int) -> None:
    """Serve the lanes until SIGTERM or SIGINT; ends with status 1 when the consumer gave up or stands still."""
    status = uvloop.run(_serve(settings, f"dispatcher-{index}"))
    os._exit(status)  # a thread of the Kafka consumer that does not end must not keep a dead member alive


def share_table(settings: Settings) -> Table:
    """The settings' shares of one dispatcher."""
    lanes = settings.dispatcher_lanes
    shares = {name: Share(lane.reserved, lane.weight, lane.most) for name, lane in lanes.items()}
    return Table(settings.dispatcher_slots, shares)


def work_handler(run: Callable[[WorkItem], Awaitable[None]], suspects: Suspects) -> Handle:
    """Handle records of the lanes of work: attempts run at once, suspects stand in line."""

    async def handle(value: bytes | None) -> None:
        item = _decoded(decode_work, value)
        if item is None:
            return
        if item.quarantine:
            suspects.take(item)
        else:
            await run(item)

    return handle


def purge_handler(housekeeper: Housekeeper) -> Handle:
    """Handle records of the lane `housekeeping`."""

    async def handle(value: bytes | None) -> None:
        item = _decoded(decode_purge, value)
        if item is not None:
            await housekeeper.run(item)

    return handle


def _decoded(decode: Callable[[bytes], Item], value: bytes | None) -> Item | None:
    try:
        return decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        metrics.UNREADABLE.inc()
        _log.error("work-unreadable", value=(value or b"")[:200].decode(errors="replace"))
        return None


async def _serve(settings: Settings, name: str) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        loss = planted_loss(settings.deployment, seed=0)
        runner, housekeeper = await _open_workers(settings, name, loss, stack)
        suspects = Suspects(runner.run)
        work = work_handler(runner.run, suspects)
        handlers: dict[str, Handle] = dict.fromkeys(LANES, work if loss is None else lossy(work, loss))
        handlers[HOUSEKEEPING] = purge_handler(housekeeper)
        lanes = Lanes(settings.kafka, GROUP, share_table(settings), handlers, settings.data_dir / "run", name)
        if settings.metrics_port is not None:
            health = asyncio.create_task(serve_health(settings.metrics_port, lambda: lanes.joined))
            stack.callback(health.cancel)
        await lanes.start()
        reason = await _until_stopped(lanes, stop)
        if reason is not None:
            _log.error("dispatcher-failed", reason=reason)
        await lanes.stop()
        await asyncio.gather(lanes.slots.drain(STOP_GRACE_S), suspects.drain(STOP_GRACE_S))
    return 0 if reason is None else 1


async def _open_workers(
    settings: Settings, name: str, loss: Loss | None, stack: contextlib.AsyncExitStack
) -> tuple[Runner, Housekeeper]:
    catalogue, clock, ids = load_catalogue(settings), SystemClock(), SystemIds()
    media = await stack.enter_async_context(open_media_pool(MEDIA_PROCESSES))
    store = await stack.enter_async_context(open_store(settings.s3))
    engines = await _open_engines(settings, stack)
    client = await start_client(settings.kafka, client_id=name)
    stack.push_async_callback(client.close)
    appender = CommandAppender(client, COMMANDS)
    stack.push_async_callback(appender.close)
    sender: CommandSender = LogCommandSender(appender, settings.partitions, ids, clock)
    if loss is not None:
        sender = LossySender(sender, loss)
    opener = _opener(settings, client, stack)
    runner = Runner(Ports(store, engines, media, opener, sender, clock, ids), catalogue, name)
    return runner, Housekeeper(store, sender, clock)


async def _open_engines(settings: Settings, stack: contextlib.AsyncExitStack) -> Engines:
    engine = await stack.enter_async_context(open_engine(settings.triton_urls))
    quarantine = None
    if settings.triton_quarantine_url is not None:
        connection = Connection(settings.triton_quarantine_url)
        quarantine = TritonQuarantine(connection, PostgresExclusive(settings.postgres_dsn))
        stack.push_async_callback(quarantine.close)
    return Engines(CoalescingEngine(engine), quarantine)


def _opener(settings: Settings, client: AIOKafkaClient, stack: contextlib.AsyncExitStack) -> Opener:
    table = LateKeyTable(settings.postgres_dsn)
    stack.push_async_callback(table.close)
    certain = LogKeys(KafkaLogReader(client), settings.partitions)
    return KeyOpener(table, certain, read_secret(settings.secrets_dir, "wrapping.key"))


async def _until_stopped(lanes: Lanes, stop: asyncio.Event) -> str | None:
    """Wait for the signal; the answer is why the lanes cannot go on, or None when it was asked to stop."""
    stopping, failing = asyncio.create_task(stop.wait()), asyncio.create_task(lanes.failed())
    try:
        while not stopping.done() and not failing.done():
            await asyncio.wait({stopping, failing}, timeout=_LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            if lanes.stuck(_STUCK_AFTER_S) and not stopping.done():
                return f"a lane stood still for {_STUCK_AFTER_S:g} s with items before it"
        if stopping.done():
            return None
        return f"the consumer gave up: {failing.result()!r}"
    finally:
        stopping.cancel()
        failing.cancel()

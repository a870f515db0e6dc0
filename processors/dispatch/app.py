"""A dispatcher process: the lane's agent, the runner and what they reach the world through, composed.

At most IN_FLIGHT_MAX attempts run at once; the agent takes the next item when one has room. On SIGTERM it leaves the
group, lets attempts end for STOP_GRACE_S, and gives the rest back to the decider, which costs them nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator

import msgspec
import uvloop

from infra.clock import SystemClock
from infra.health import serve_health
from infra.ids import SystemIds
from infra.kafka.appender import CommandAppender
from infra.kafka.client import start_client
from infra.logs import get_logger
from infra.plans import load_catalogue
from infra.s3.bucket import open_store
from infra.settings import Settings
from infra.triton.client import open_engine
from processors.dispatch import metrics
from processors.dispatch.lane import Lane
from processors.dispatch.media_pool import open_media_pool
from processors.dispatch.planted_fault import Loss, LossySender, lossy, planted_loss
from processors.dispatch.runner import Ports, Runner
from processors.dispatch.sender import CommandSender, LogCommandSender
from schemas.topics import COMMANDS, dispatch_topic
from schemas.work import WorkItem, decode_work

GROUP = "darkroom-dispatchers"
LANE = "standard"
IN_FLIGHT_MAX = 8
MEDIA_PROCESSES = 2
STOP_GRACE_S = 3.0
_STUCK_AFTER_S = 30.0
_LOOK_EVERY_S = 1.0
_log = get_logger(__name__)


def run_dispatcher(settings: Settings, index: int) -> None:
    """Serve the lane until SIGTERM or SIGINT. Raises SystemExit(1) when the consumer gave up or stands still."""
    uvloop.run(_serve(settings, f"dispatcher-{index}"))


class Slots:
    """At most `count` attempts at once, each in a task of its own."""

    def __init__(self, runner: Runner, count: int) -> None:
        self._runner = runner
        self._free = asyncio.Semaphore(count)
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(self, value: bytes | None) -> None:
        """Begin the item of a record; waits for a free slot."""
        try:
            item = decode_work(value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError):
            metrics.UNREADABLE.inc()
            _log.error("work-unreadable", value=(value or b"")[:200].decode(errors="replace"))
            return
        await self._free.acquire()
        task = asyncio.create_task(self._run(item), name=f"attempt {item.job}/{item.attempt}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, grace_s: float) -> None:
        """Let attempts end, then give back those that still run."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=grace_s)
        for task in set(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, item: WorkItem) -> None:
        try:
            await self._runner.run(item)
        except Exception:
            _log.exception("attempt-lost", job=item.job, attempt=item.attempt)
        finally:
            self._free.release()


async def _serve(settings: Settings, name: str) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        loss = planted_loss(settings.deployment, seed=0)
        runner = await stack.enter_async_context(_open_runner(settings, name, loss))
        slots = Slots(runner, IN_FLIGHT_MAX)
        take = slots.take if loss is None else lossy(slots.take, loss)
        run_dir = settings.data_dir / "run"
        lane = Lane(settings.kafka, GROUP, dispatch_topic(LANE), take, run_dir, name)
        if settings.metrics_port is not None:
            health = asyncio.create_task(serve_health(settings.metrics_port, lambda: lane.joined))
            stack.callback(health.cancel)
        await lane.start()
        reason = await _until_stopped(lane, stop)
        await lane.stop()
        await slots.drain(STOP_GRACE_S)
    if reason is not None:
        _log.error("dispatcher-failed", reason=reason)
        raise SystemExit(1)


@contextlib.asynccontextmanager
async def _open_runner(settings: Settings, name: str, loss: Loss | None) -> AsyncGenerator[Runner]:
    catalogue = load_catalogue(settings)
    clock = SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        media = await stack.enter_async_context(open_media_pool(MEDIA_PROCESSES))
        store = await stack.enter_async_context(open_store(settings.s3))
        engine = await stack.enter_async_context(open_engine(settings.triton_urls))
        client = await start_client(settings.kafka, client_id=name)
        stack.push_async_callback(client.close)
        appender = CommandAppender(client, COMMANDS)
        stack.push_async_callback(appender.close)
        sender: CommandSender = LogCommandSender(appender, settings.partitions, SystemIds(), clock)
        if loss is not None:
            sender = LossySender(sender, loss)
        yield Runner(Ports(store, engine, media, sender, clock, SystemIds()), catalogue, name)


async def _until_stopped(lane: Lane, stop: asyncio.Event) -> str | None:
    """Wait for the signal; the answer is why the lane cannot go on, or None when it was asked to stop."""
    stopping, failing = asyncio.create_task(stop.wait()), asyncio.create_task(lane.failed())
    try:
        while not stopping.done() and not failing.done():
            await asyncio.wait({stopping, failing}, timeout=_LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            if lane.stuck(_STUCK_AFTER_S) and not stopping.done():
                return f"the lane stood still for {_STUCK_AFTER_S:g} s with items before it"
        if stopping.done():
            return None
        return f"the consumer gave up: {failing.result()!r}"
    finally:
        stopping.cancel()
        failing.cancel()

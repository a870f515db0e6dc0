"""The shell around an attempt: fetch, decode, run, encode, store, and tell the decider.

Theory of operation
-------------------
`run` takes one work item from delivery to its outcome and never raises. Work begins at once; `attempt-started` follows
after `START_TOLD_AFTER_S`, with the time that it has run, or together with the outcome of an attempt that ends sooner:
one record and one decision instead of two. Either way it stands on the log before the outcome does. While the attempt
runs, its lease is renewed; a dispatcher that dies just falls silent, and the decider hands out the next attempt.
Nothing here is exactly-once, and nothing needs to be: the decider takes the first outcome that fits (design section 2,
point 15).

A suspect (`quarantine`) runs alone, one after the other and outside of the lane's slots (`suspects`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from infra import failpoints
from infra.clock import Clock
from infra.ids import IdSource
from infra.logs import bind_trace, get_logger
from infra.s3.store import ObjectStore
from infra.sealing.opener import Opener
from infra.triton.engine import request_id
from processors.dispatch import metrics
from processors.dispatch.engines import Engines, Trail
from processors.dispatch.media import Media
from processors.dispatch.production import Materials, Producer
from processors.dispatch.sender import CommandSender
from processors.dispatch.workflow import Begin, Drop, Report, after_failure, begin, stopped
from schemas.catalogue import Catalogue
from schemas.commands import AttemptStarted, Failed, RecordOutcome, RenewLease, Succeeded
from schemas.work import WorkItem

START_TOLD_AFTER_S = 0.05
_LEASE_MARGIN_S = 1.0
_log = get_logger(__name__)


class Ports(msgspec.Struct, frozen=True):
    """What the runner reaches the world through."""

    store: ObjectStore
    engines: Engines
    media: Media
    opener: Opener
    sender: CommandSender
    clock: Clock
    ids: IdSource


class Runner:
    """Runs attempts; one a process. `dispatcher` names it in events."""

    def __init__(self, ports: Ports, catalogue: Catalogue, dispatcher: str) -> None:
        self._ports, self._catalogue, self._dispatcher = ports, catalogue, dispatcher
        self._producer = Producer(Materials(ports.store, ports.engines, ports.media, ports.opener, ports.ids))
        self._running: set[tuple[str, int]] = set()

    async def run(self, item: WorkItem) -> None:
        """Bring the attempt to its outcome. A cancelled run gives the attempt back, which costs the job nothing."""
        attempt = (item.job, item.attempt)
        if attempt in self._running:
            metrics.DROPPED.labels("already-running").inc()
            return
        if item.trace is not None:
            bind_trace(item.trace.split("-")[1])
        self._running.add(attempt)
        metrics.IN_FLIGHT.inc()
        try:
            await self._run(item)
        finally:
            metrics.IN_FLIGHT.dec()
            self._running.discard(attempt)

    async def _run(self, item: WorkItem) -> None:
        decision = begin(item, self._catalogue, self._ports.clock.now_ms())
        match decision:
            case Drop(reason):
                metrics.DROPPED.labels(reason).inc()
                _log.info("work-dropped", job=item.job, attempt=item.attempt, reason=reason)
            case Report(failed):
                await self._report(item, failed)
            case Begin():
                await self._work_and_report(item, decision)

    async def _work_and_report(self, item: WorkItem, decision: Begin) -> None:
        start = _Start(self._told_after_s(item), lambda ran_s: self._tell(item, self._started(item, ran_s), None))
        try:
            async with self._lease_kept(item, decision):
                outcome = await self._outcome(item, decision)
                metrics.ATTEMPT_SECONDS.labels(item.model).observe(start.ran_s)
                started = None if await start.is_told() else self._started(item, start.ran_s)
                await self._report(item, outcome, started)
        except asyncio.CancelledError:
            await self._report(item, stopped())
            raise
        finally:
            start.forget()

    def _told_after_s(self, item: WorkItem) -> float:
        """A lease that is nearly over does not wait."""
        left_s = (item.lease_until_ms - self._ports.clock.now_ms()) / 1000
        return START_TOLD_AFTER_S if left_s > _LEASE_MARGIN_S else 0.0

    def _started(self, item: WorkItem, ran_s: float) -> AttemptStarted:
        return AttemptStarted(item.job, item.attempt, self._dispatcher, int(ran_s * 1000))

    async def _outcome(self, item: WorkItem, decision: Begin) -> Succeeded | Failed:
        """Work, trying again where that may help; whatever goes wrong becomes a failure with a name."""
        tried, request = 0, f"{item.job}/{item.attempt}"
        request_id.set(request)
        while True:
            tried += 1
            trail = Trail(request)
            try:
                async with asyncio.timeout(self._remaining_s(decision)):
                    return await self._producer.produce(
                        item, decision.entry, lambda: self._remaining_s(decision), trail
                    )
            except Exception as error:
                step = after_failure(item, error, tried, self._ports.clock.now_ms())
                if isinstance(step, Report):
                    if step.failed.reason == "dispatcher-fault":
                        _log.exception("attempt-fault", job=item.job, attempt=item.attempt)
                    return msgspec.structs.replace(step.failed, run=trail.run)
                metrics.RETRIES.labels(type(error).__name__).inc()
            await asyncio.sleep(step.pause_ms / 1000)

    async def _report(self, item: WorkItem, outcome: Succeeded | Failed, started: AttemptStarted | None = None) -> None:
        label = "succeeded" if isinstance(outcome, Succeeded) else outcome.reason
        metrics.OUTCOMES.labels(item.model, label).inc()
        _log.info("attempt-ended", job=item.job, attempt=item.attempt, model=item.model, outcome=label)
        await self._tell(item, started, RecordOutcome(item.job, item.attempt, outcome))

    async def _tell(self, item: WorkItem, started: AttemptStarted | None, ended: RecordOutcome | None) -> None:
        """Append the attempt's start, its end or both in one record, for as long as anybody waits for it."""
        if started is not None:
            failpoints.passed("dispatcher.started.before")
        if ended is not None:
            failpoints.passed("dispatcher.outcome.before")
        until_ms = item.lease_until_ms if ended is None else max(item.run_until_ms, item.lease_until_ms)
        await self._ports.sender.send(item, [command for command in (started, ended) if command is not None], until_ms)
        if started is not None:
            failpoints.passed("dispatcher.started.after")
        if ended is not None:
            failpoints.passed("dispatcher.outcome.after")

    @asynccontextmanager
    async def _lease_kept(self, item: WorkItem, decision: Begin) -> AsyncGenerator[None]:
        """Renew the lease while the block runs."""
        renewing = asyncio.create_task(self._renew(item, decision))
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.wait([renewing])

    async def _renew(self, item: WorkItem, decision: Begin) -> None:
        every_s = decision.renew_every_ms / 1000
        while True:
            await asyncio.sleep(every_s)
            metrics.RENEWALS.inc()
            until_ms = self._ports.clock.now_ms() + decision.renew_every_ms
            failpoints.passed("dispatcher.lease.before")
            await self._ports.sender.send(item, [RenewLease(item.job, item.attempt)], until_ms)
            failpoints.passed("dispatcher.lease.after")

    def _remaining_s(self, decision: Begin) -> float:
        return max(0.001, (decision.run_until_ms - self._ports.clock.now_ms()) / 1000)


class _Start:
    """An attempt's start on its way to the decider: told after `delay_s`, unless somebody takes it over before."""

    def __init__(self, delay_s: float, tell: Callable[[float], Coroutine[Any, Any, None]]) -> None:
        self._began_s = time.perf_counter()
        self._tell = tell
        self._telling: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._begin_to_tell)

    @property
    def ran_s(self) -> float:
        """For how long the attempt has run."""
        return time.perf_counter() - self._began_s

    def _begin_to_tell(self) -> None:
        self._telling = asyncio.create_task(self._tell(self.ran_s))

    async def is_told(self) -> bool:
        """Wait until it is told, if that has begun; otherwise it is the caller's to tell."""
        self._timer.cancel()
        if self._telling is not None:
            await self._telling
        return self._telling is not None

    def forget(self) -> None:
        """The attempt is over."""
        self._timer.cancel()
        if self._telling is not None:
            self._telling.cancel()

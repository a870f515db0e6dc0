"""The shell around an attempt: fetch, decode, run, encode, store, and tell the decider.

Theory of operation
-------------------
`run` takes one work item from delivery to its outcome and never raises. Work begins at once; `attempt-started` travels
meanwhile and is on the log before the outcome is. While the attempt runs, its lease is renewed; a dispatcher that dies
just falls silent, and the decider hands out the next attempt. Nothing here is exactly-once, and nothing needs to be:
the decider takes the first outcome that fits (design section 2, point 15).

The output's key belongs to the delivery: the attempt's key and a random text. An item that is delivered twice, to a
process that was thought dead too, writes twice and replaces nothing; the outcome names the bytes that count.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec

from infra.clock import Clock
from infra.ids import IdSource
from infra.logs import bind_trace, get_logger
from infra.media.header import CONTENT_TYPES, Format
from infra.s3.store import ObjectStore
from infra.triton.engine import Engine, Tensors
from processors.dispatch import metrics
from processors.dispatch.budget import PixelBudget
from processors.dispatch.media import Media, output_format
from processors.dispatch.pixels import Pixels
from processors.dispatch.sender import CommandSender
from processors.dispatch.tasks import Product, first_failure, perform
from processors.dispatch.workflow import Begin, Drop, Report, after_failure, begin, stopped
from schemas.catalogue import Catalogue, ValidParams, result_size, validate_public
from schemas.commands import AttemptStarted, Failed, RecordOutcome, RenewLease, StoredObject, Succeeded
from schemas.work import WorkItem

PIXELS_IN_MEMORY_MAX = 320_000_000
_DELIVERY_CHARACTERS = 10  # 50 random bits
_log = get_logger(__name__)


class Ports(msgspec.Struct, frozen=True):
    """What the runner reaches the world through."""

    store: ObjectStore
    engine: Engine
    media: Media
    sender: CommandSender
    clock: Clock
    ids: IdSource


class Runner:
    """Runs attempts; one a process. `dispatcher` names it in events."""

    def __init__(self, ports: Ports, catalogue: Catalogue, dispatcher: str) -> None:
        self._ports, self._catalogue, self._dispatcher = ports, catalogue, dispatcher
        self._budget = PixelBudget(PIXELS_IN_MEMORY_MAX)
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
        began = time.perf_counter()
        started = asyncio.create_task(
            self._ports.sender.send(item, AttemptStarted(item.job, item.attempt, self._dispatcher), item.lease_until_ms)
        )
        try:
            async with self._lease_kept(item, decision):
                outcome = await self._outcome(item, decision)
                metrics.ATTEMPT_SECONDS.labels(item.model).observe(time.perf_counter() - began)
                await started
                await self._report(item, outcome)
        except asyncio.CancelledError:
            await self._report(item, stopped())
            raise
        finally:
            started.cancel()

    async def _outcome(self, item: WorkItem, decision: Begin) -> Succeeded | Failed:
        """Work, trying again where that may help; whatever goes wrong becomes a failure with a name."""
        tried = 0
        while True:
            tried += 1
            try:
                async with asyncio.timeout((decision.run_until_ms - self._ports.clock.now_ms()) / 1000):
                    return await self._work(item, decision)
            except Exception as group:
                error = first_failure(group)
                step = after_failure(item, error, tried, self._ports.clock.now_ms())
                if isinstance(step, Report):
                    if step.failed.reason == "dispatcher-fault":
                        _log.exception("attempt-fault", job=item.job, attempt=item.attempt)
                    return step.failed
                metrics.RETRIES.labels(type(error).__name__).inc()
            await asyncio.sleep(step.pause_ms / 1000)

    async def _work(self, item: WorkItem, decision: Begin) -> Succeeded:
        params = validate_public(decision.entry, item.params)
        assert not isinstance(params, list), "begin has checked them"
        async with self._budget.hold(_pixels(decision, item, params)):
            content = await self._input(item)
            pixels, source_format, engine_ms = await self._product(content, item, decision, params)
            assert isinstance(pixels, Pixels), "no model of this lane makes videos"
            with pixels:
                form = output_format(source_format, pixels.width, pixels.height, pixels.channels)
                with metrics.stage("encode"):
                    encoded = await self._ports.media.encode(pixels, form)
                size = (pixels.width, pixels.height)
        key = f"{item.output_key}-{self._ports.ids.mint('out')[-_DELIVERY_CHARACTERS:]}"
        with metrics.stage("store"):
            stored = await self._ports.store.put(key, encoded, CONTENT_TYPES[form])
        return Succeeded(StoredObject(stored.key, stored.size, stored.sha256, form, *size), engine_ms)

    async def _input(self, item: WorkItem) -> bytes | None:
        if item.input is None:
            return None
        with metrics.stage("fetch"):
            return await self._ports.store.get(item.input.key, item.input.sha256)

    async def _product(
        self, content: bytes | None, item: WorkItem, decision: Begin, params: ValidParams
    ) -> tuple[Product, Format, int]:
        """Run the model: the product, the input's format (PNG where there is none), the engine's time in ms."""
        entry = decision.entry

        async def call(engine: str, inputs: Tensors) -> Tensors:
            return await self._ports.engine.infer(engine, entry.engine_version, inputs, self._remaining_s(decision))

        source: Pixels | None = None
        form: Format = "png"
        with contextlib.ExitStack() as opened:
            if content is not None:
                with metrics.stage("decode"):
                    decoded = await self._ports.media.decode(content)
                source, form = opened.enter_context(decoded.pixels), decoded.format
            began = time.perf_counter()
            with metrics.stage("engine"):
                made = await perform(call, entry, item.attempt, params, {}, source, None)
        return made, form, _since_ms(began)

    async def _report(self, item: WorkItem, outcome: Succeeded | Failed) -> None:
        label = "succeeded" if isinstance(outcome, Succeeded) else outcome.reason
        metrics.OUTCOMES.labels(item.model, label).inc()
        _log.info("attempt-ended", job=item.job, attempt=item.attempt, model=item.model, outcome=label)
        command = RecordOutcome(item.job, item.attempt, outcome)
        await self._ports.sender.send(item, command, max(item.run_until_ms, item.lease_until_ms))

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
            await self._ports.sender.send(item, RenewLease(item.job, item.attempt), until_ms)

    def _remaining_s(self, decision: Begin) -> float:
        return max(0.001, (decision.run_until_ms - self._ports.clock.now_ms()) / 1000)


def _pixels(decision: Begin, item: WorkItem, params: ValidParams) -> int:
    if item.input is None:
        return decision.entry.result.width * decision.entry.result.height
    width, height = result_size(decision.entry, params, item.input.width, item.input.height)
    return item.input.width * item.input.height + width * height


def _since_ms(began: float) -> int:
    return round((time.perf_counter() - began) * 1000)

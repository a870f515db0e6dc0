"""The projector: from the topics to the read models, exactly once by position.

Theory of operation
-------------------
    session:  read live generations and their positions from the store -> consumer at exactly these offsets
    loop:     poll -> whole commands -> fold -> [await the previous transaction] -> start the next transaction
    fault:    forget consumer, store and folded rows; wait (bounded, growing); begin a new session

- Rows and positions commit together, and a position moves only from where this writer left it, in the generation that
  is live (`Overtaken` otherwise). So after any crash, or beside a second writer, nothing is applied twice and nothing
  is skipped.
- While one batch is being written the next one is folded; never more than one transaction is under way, and a batch
  is begun only after its predecessor has committed.
- A batch ends after the last event of a command. Readers never see half a decision.
- Kafka's group offsets play no part. A consumer that stands still although the log goes on is replaced.
- What this release cannot read stops the process with one sentence; holes in versions are counted and logged.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from infra.kafka.client import BrokersUnreachable
from infra.logs import get_logger
from projections import metrics
from projections.intake import Intake
from projections.ports import Overtaken, ReadModels, StoreFault
from projections.session import WritingSession
from projections.source import Source, SourceFault
from schemas.topics import EVENTS, KEYS

BATCH_EVENTS_MAX = 5_000
_POLL_S = 0.25
_POLL_EVERY_S = 0.025  # what comes first after a pause is read at once; a stream of small decisions is read together
_WATCH_EVERY_S = 2.0
_STALLED_AFTER_S = 15.0
_HEALTHY_FOR_S = 30.0
_BACKOFF_S = (0.1, 5.0)
FAULTS = (SourceFault, StoreFault, Overtaken, BrokersUnreachable, OSError)

_log = get_logger(__name__)


class Runner:
    """Keeps the read models of some partitions up to date until it is told to stop."""

    def __init__(
        self,
        shares: Sequence[int],
        open_store: Callable[[], ReadModels],
        open_source: Callable[[], Source],
        *,
        batch_events_max: int = BATCH_EVENTS_MAX,
    ) -> None:
        self._shares, self._batch_events_max = list(shares), batch_events_max
        self._open_store, self._open_source = open_store, open_source
        self._turned_s = float("-inf")
        self._watched: dict[tuple[str, int], tuple[int, float]] = {}

    def healthy(self) -> bool:
        """Whether the loop has turned lately; False before the first session and while faults last."""
        return time.monotonic() - self._turned_s < _HEALTHY_FOR_S

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; the transaction under way is finished. Raises what waiting cannot cure."""
        delay_s = _BACKOFF_S[0]
        while not stop.is_set():
            begun_s = time.monotonic()
            try:
                await self._session(stop)
            except FAULTS as error:
                metrics.RESTARTS.labels(type(error).__name__).inc()
                _log.warning("projection-interrupted", reason=str(error), kind=type(error).__name__)
                self._turned_s = float("-inf")
                delay_s = _BACKOFF_S[0] if time.monotonic() - begun_s > 10 else min(delay_s * 2, _BACKOFF_S[1])
                await _within(stop.wait(), delay_s)

    async def _session(self, stop: asyncio.Event) -> None:
        store, source = self._open_store(), self._open_source()
        with ThreadPoolExecutor(1, thread_name_prefix="read-models") as thread:
            session = WritingSession(store, thread)
            try:
                intake = await session.intake(self._shares)
                await source.start(intake.begin())
                _log.info("projection-begins", behind=await self._watch(source))
                await self._read(stop, source, intake, session)
                await session.finish()
            finally:
                await source.stop()
                await session.abandon()
                await session.in_thread(store.close)

    async def _read(self, stop: asyncio.Event, source: Source, intake: Intake, session: WritingSession) -> None:
        watching = asyncio.create_task(self._keep_watching(source))
        polled_s = 0.0
        try:
            while not stop.is_set():
                self._turned_s = time.monotonic()
                await asyncio.sleep(max(0.0, polled_s + _POLL_EVERY_S - time.monotonic()))
                records = await source.poll(_POLL_S, self._batch_events_max)
                polled_s = time.monotonic()
                for work in (intake.take_keys(records.get(KEYS, {})), intake.take_events(records.get(EVENTS, {}))):
                    if work is not None:
                        await session.write(work)
                if not records.get(EVENTS):
                    await session.finish()
                if watching.done():
                    watching.result()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _keep_watching(self, source: Source) -> None:
        """Beside the reading, because the answer waits behind a fetch that is under way."""
        while True:
            await asyncio.sleep(_WATCH_EVERY_S)
            await self._watch(source)

    async def _watch(self, source: Source) -> int:
        """How many offsets are left to read; raises SourceFault when reading stands still before the log's end.

        An end that a new consumer did not get past either is let be until something moves.
        """
        behind, now_s, stalled = 0, time.monotonic(), []
        for place, (at, end) in (await source.progress()).items():
            topic, partition = place
            if topic == EVENTS:
                metrics.LAG_RECORDS.labels(str(partition)).set(max(0, end - at))
            behind += max(0, end - at)
            seen_at, since_s = self._watched.get(place, (-1, now_s))
            if at >= end or at != seen_at:
                self._watched[place] = (at, now_s)
            elif now_s - since_s > _STALLED_AFTER_S:
                stalled.append(f"{topic}-{partition} goes on to {end}, but nothing has come after {at}")
                self._watched[place] = (at, float("inf"))
        if stalled:
            raise SourceFault("; ".join(stalled))
        return behind


async def _within(wait: Coroutine[Any, Any, Any], seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await wait

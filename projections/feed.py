"""A topic followed into tables of its own, beside the read models and after them: the archive, the trail of accesses.

Theory of operation
-------------------
    session:  generation and positions from the store -> source at exactly these offsets
    loop:     poll -> wait for a turn -> one transaction: what came, and the positions -> again
    fault:    forget store and source; wait (bounded, growing); begin a new session

- Content and positions commit together, and a position moves only from where this writer left it. So nothing is
  written twice and nothing is skipped, beside a second writer too.
- Each feed has its own connection, its own consumer and its own positions: the read models never wait for it. Because
  it shares their process, it lets them go first (`Pace`): while they write large batches, a feed takes one batch every
  `YIELD_LIMIT_S`, and as many as there are once they rest.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

from infra.kafka.client import BrokersUnreachable
from infra.logs import get_logger
from projections import metrics
from projections.ports import Hole, Move, Overtaken, ReadModels, StoreFault, Tracked, tracking_name
from projections.row_base import RawRecord, Rows
from projections.source import Source, SourceFault
from schemas.positions import Position

BATCH_RECORDS_MAX = 5_000
YIELD_LIMIT_S = 1.0
_POLL_S = 0.25
_GATHER_S = 0.1  # what comes one by one is written together, and after the read models have begun on it
_BUSY_ROWS = 1_000
_BUSY_FOR_S = 0.1
_BACKOFF_S = (0.1, 5.0)
_FAULTS = (SourceFault, StoreFault, Overtaken, BrokersUnreachable, OSError)
_log = get_logger(__name__)

Batch = Mapping[int, Sequence[RawRecord]]


class FeedStore(Protocol):
    """Where a feed's content stands: one model, written in the order of each partition."""

    model: str
    topic: str

    def generation(self) -> int:
        """The generation that is live."""
        ...

    def positions(self, names: Sequence[str]) -> Mapping[str, Tracked]:
        """See `projections.ports.ReadModels`."""
        ...

    def source_of(self, record: RawRecord) -> tuple[int, int, int]:
        """The source position (offset, index, ordinal) that readers may be told once the record is written."""
        ...

    def write(self, moves: Sequence[Move], batch: Batch) -> int:
        """All content and all moves, or nothing; how many items it was. Raises `Overtaken`, `StoreFault`."""
        ...

    def close(self) -> None:
        """Give connections back."""
        ...


class Pace:
    """Who goes first: the read models say when they write much, feeds wait for their turn."""

    def __init__(self) -> None:
        self._writing = 0
        self._busy_s = float("-inf")

    @contextmanager
    def writing(self, rows: int) -> Iterator[None]:
        """The read models write this many rows within; from any thread, one at a time."""
        if rows < _BUSY_ROWS:
            yield
            return
        self._writing += 1
        try:
            yield
        finally:
            self._writing -= 1
            self._busy_s = time.monotonic()

    async def turn(self) -> None:
        """Return when the read models rest, or after `YIELD_LIMIT_S`."""
        end_s = time.monotonic() + YIELD_LIMIT_S
        while self._is_busy() and time.monotonic() < end_s:
            await asyncio.sleep(_BUSY_FOR_S / 2)

    def _is_busy(self) -> bool:
        return self._writing > 0 or time.monotonic() - self._busy_s < _BUSY_FOR_S


class PacedReadModels:
    """`projections.ports.ReadModels` whose writes the pace is told of."""

    def __init__(self, models: ReadModels, pace: Pace) -> None:
        self._models, self._pace = models, pace

    def generations(self) -> Mapping[str, int]:
        """See the port."""
        return self._models.generations()

    def positions(self, names: Sequence[str]) -> Mapping[str, Tracked]:
        """See the port."""
        return self._models.positions(names)

    def apply(self, moves: Sequence[Move], rows: Sequence[Rows], reached: Sequence[Position] = ()) -> Sequence[Hole]:
        """See the port."""
        with self._pace.writing(sum(len(part) for group in rows for part in group.values())):
            return self._models.apply(moves, rows, reached)

    def close(self) -> None:
        """See the port."""
        self._models.close()


class Feed:
    """Keeps a store up to date with a topic until it is told to stop."""

    def __init__(
        self,
        shares: Sequence[int],
        open_store: Callable[[], FeedStore],
        open_source: Callable[[], Source],
        pace: Pace,
        *,
        batch_records_max: int = BATCH_RECORDS_MAX,
    ) -> None:
        self._shares, self._pace, self._batch_records_max = list(shares), pace, batch_records_max
        self._open_store, self._open_source = open_store, open_source

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; the transaction under way is finished. Raises what waiting cannot cure."""
        delay_s = _BACKOFF_S[0]
        while not stop.is_set():
            begun_s = time.monotonic()
            try:
                await self._session(stop)
            except _FAULTS as error:
                metrics.RESTARTS.labels(type(error).__name__).inc()
                _log.warning("feed-interrupted", reason=str(error), kind=type(error).__name__)
                delay_s = _BACKOFF_S[0] if time.monotonic() - begun_s > 10 else min(delay_s * 2, _BACKOFF_S[1])
                await asyncio.wait((asyncio.ensure_future(stop.wait()),), timeout=delay_s)

    async def _session(self, stop: asyncio.Event) -> None:
        store, source = self._open_store(), self._open_source()
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, thread_name_prefix=store.model) as thread:
            try:
                number = await loop.run_in_executor(thread, store.generation)
                names = {p: tracking_name(store.model, number, p) for p in self._shares}
                tracked = await loop.run_in_executor(thread, store.positions, list(names.values()))
                at = {p: tracked[name] for p, name in names.items()}
                await source.start({(store.topic, p): tracked.offset + 1 for p, tracked in at.items()})
                while not stop.is_set():
                    records = (await source.poll(_POLL_S, self._batch_records_max)).get(store.topic, {})
                    batch = {p: part for p, part in records.items() if part}
                    if batch:
                        await asyncio.sleep(_GATHER_S)
                        await self._pace.turn()
                        after = {p: _tracked(store, part) for p, part in batch.items()}
                        moves = [Move(names[p], at[p].offset, after[p]) for p in batch]
                        written = await loop.run_in_executor(thread, store.write, moves, batch)
                        at.update(after)
                        metrics.FEEDS.labels(store.model).inc(written)
            finally:
                await source.stop()
                await loop.run_in_executor(thread, store.close)


def _tracked(store: FeedStore, part: Sequence[RawRecord]) -> Tracked:
    last = part[-1]
    return Tracked(last.offset, *store.source_of(last))

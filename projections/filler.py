"""Fills generations that nobody reads from the log, up to offsets that are named, and further when they are raised.

The reader of the log and the writer's connection stay open between two limits, so that the last step, for which a
switch holds up the projector, is short. Rows and positions commit together here too: after a fault it goes on where it
stopped. A fault that lasts longer than the patience ends it.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from infra import failpoints
from infra.logs import get_logger
from projections.intake import Intake
from projections.ports import ReadModels
from projections.runner import BATCH_EVENTS_MAX, FAULTS
from projections.session import WritingSession
from projections.source import Records, Source
from schemas.topics import EVENTS, KEYS

Limits = Mapping[tuple[str, int], int]
"""An offset for each (model, partition), the last one of a command."""

_POLL_S = 0.1
_RETRY_S = 0.5
_log = get_logger(__name__)


class Filler:
    """Brings the generations of a store to limits; closed by `close`."""

    def __init__(
        self,
        shares: Sequence[int],
        open_store: Callable[[], ReadModels],
        open_source: Callable[[], Source],
        *,
        told: Callable[[int, int], None] = lambda left, events: None,
        batch_events_max: int = BATCH_EVENTS_MAX,
        patience_s: float = 60.0,
    ) -> None:
        """`told` hears (offsets that are left, events applied since it was last told)."""
        self._shares, self._batch_events_max, self._patience_s = list(shares), batch_events_max, patience_s
        self._open_store, self._open_source, self._told = open_store, open_source, told
        self._open: _Open | None = None

    async def reach(self, limits: Limits) -> None:
        """Return when all that is up to the limits, and nothing beyond, is written. Raises what waiting cannot cure."""
        moved_s = time.monotonic()
        while True:
            try:
                opened = self._open = self._open or await _Open.begin(self._shares, self._open_store, self._open_source)
                opened.intake.limit(self._own(limits))
                while not opened.is_at_limit:
                    if await self._step(opened):
                        moved_s = time.monotonic()
                    elif time.monotonic() - moved_s > self._patience_s:
                        raise OSError("nothing more comes from the log")
                await opened.session.finish()
                return
            except FAULTS as error:
                await self.close()
                if time.monotonic() - moved_s > self._patience_s:
                    raise
                _log.warning("rebuild-interrupted", reason=str(error), kind=type(error).__name__)
                await asyncio.sleep(_RETRY_S)

    async def left(self, limits: Limits) -> int:
        """How many offsets lie between what is written and the limits."""
        opened = self._open = self._open or await _Open.begin(self._shares, self._open_store, self._open_source)
        return opened.intake.left(self._own(limits))

    async def close(self) -> None:
        """Let go of the log and the store; a later `reach` opens them again."""
        if self._open is not None:
            opened, self._open = self._open, None
            await opened.close()

    def _own(self, limits: Limits) -> Limits:
        return {(model, partition): at for (model, partition), at in limits.items() if partition in self._shares}

    async def _step(self, opened: "_Open") -> bool:
        """Take what waits, or else what has come; False: nothing."""
        if await self._take(opened, {}, {}):
            return True
        places = opened.intake.below_limit()
        records = await opened.source.poll(_POLL_S, self._batch_events_max, places) if places else {}
        keys_next: Mapping[int, int] = {}
        if not records.get(KEYS) and any(topic == KEYS for topic, _ in places):
            progress = await opened.source.progress()
            keys_next = {partition: at for (topic, partition), (at, _) in progress.items() if topic == KEYS}
        return await self._take(opened, records, keys_next)

    async def _take(self, opened: "_Open", records: Records, keys_next: Mapping[int, int]) -> bool:
        moved, intake = False, opened.intake
        for work in (intake.take_keys(records.get(KEYS, {}), keys_next), intake.take_events(records.get(EVENTS, {}))):
            if work is not None:
                moved = True
                await opened.session.write(work)
                failpoints.passed("rebuild.fill.after")
                self._told(intake.left(), work.events)
        return moved


class Fillers:
    """Several fillers side by side, each with its share of the partitions; rows of two partitions never meet."""

    def __init__(
        self,
        shares: Sequence[int],
        writers: int,
        open_store: Callable[[], ReadModels],
        open_source: Callable[[], Source],
        *,
        told: Callable[[int, int], None],
        batch_events_max: int,
    ) -> None:
        """`told` as of `Filler`, of all of them together."""
        self._left: dict[int, int] = {}

        def tell(number: int) -> Callable[[int, int], None]:
            def one(left: int, events: int) -> None:
                self._left[number] = left
                told(sum(self._left.values()), events)

            return one

        self._fillers = {
            number: Filler(part, open_store, open_source, told=tell(number), batch_events_max=batch_events_max)
            for number in range(writers)
            if (part := shares[number::writers])
        }

    async def reach(self, limits: Limits) -> None:
        """See `Filler`."""
        tasks = [asyncio.ensure_future(filler.reach(limits)) for filler in self._fillers.values()]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def left(self, limits: Limits) -> int:
        """See `Filler`."""
        for number, filler in self._fillers.items():
            self._left[number] = await filler.left(limits)
        return sum(self._left.values())

    async def close(self) -> None:
        """See `Filler`."""
        for filler in self._fillers.values():
            await filler.close()


class _Open:
    """What is open while nothing fails."""

    def __init__(self, store: ReadModels, source: Source) -> None:
        self.store, self.source = store, source
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="rebuild")
        self.session = WritingSession(store, self.thread)
        self.intake: Intake

    @classmethod
    async def begin(
        cls, shares: Sequence[int], open_store: Callable[[], ReadModels], open_source: Callable[[], Source]
    ) -> "_Open":
        opened = cls(open_store(), open_source())
        try:
            opened.intake = await opened.session.intake(shares)
            await opened.source.start(opened.intake.begin())
        except BaseException:
            await opened.close()
            raise
        return opened

    @property
    def is_at_limit(self) -> bool:
        return not self.intake.below_limit()

    async def close(self) -> None:
        await self.source.stop()
        await self.session.abandon()
        await self.session.in_thread(self.store.close)
        self.thread.shutdown(wait=False)

"""Read models made anew from the log beside the live ones, compared, and put in their place while reads go on.

Theory of operation
-------------------
    lock -> drop what a killed rebuild left -> new empty generations -> fill them from the log, up to where the live
    ones stand -> make their indexes -> [hold the projector, fill the rest, take a snapshot, let go] -> compare in the
    snapshot -> fill what has come meanwhile -> [hold the projector, fill the rest, switch] -> drop what nobody may keep

- The new generations are never ahead of the live ones, because each step ends where those stand. Under the lock they
  are exactly there: so both are compared as of one position for each partition, and a switch moves no reader back.
- Held are the projector's transactions (`infra.postgres.generations.SWITCH_LOCK`), for the fraction of a second in
  which the last events are filled in; reads never wait.
- The lock, the switch and the removal belong to one session of PostgreSQL. If it is lost, nothing is switched.
- Taking back is the same without a comparison: the previous generations are brought to where the live ones stand.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Protocol, TypeVar

import msgspec
import psycopg

from infra import failpoints
from infra.errors import OperatorError
from infra.postgres import generations, indexes
from infra.postgres.compare import compare, row_counts
from infra.postgres.migrate import apply_folder
from projections import keys
from projections.filler import Fillers, Limits
from projections.intake import FOLDS
from projections.ports import NOTHING_READ, tracking_name
from projections.postgres import Aside, PostgresReadModels
from projections.source import Source

MODELS = (*FOLDS, keys.NAME)
BATCH_EVENTS_MAX = 10_000
WRITERS = 2
NEEDED_INDEXES = frozenset({"jobs_by_result"})
"""Indexes by which writing statements find rows; all others are made when the rows are there."""

_NEAR_OFFSETS = 1_000
_ROUNDS_MAX = 30
_HOLD_LIMIT_S = 5.0
_HOLDS_MAX = 5

Connection = psycopg.Connection[Any]
T = TypeVar("T")


class Progress(Protocol):
    """Told how a rebuild gets on."""

    def phase(self, name: str, total: int) -> None:
        """The next part of the work begins; `total` are its steps, 0: not known."""
        ...

    def at(self, done: int, events: int) -> None:
        """So many steps of it are done; `events` were applied since the last call."""
        ...


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a rebuild came to. `held_s`: how long the projector was held for the switch."""

    generations: Mapping[str, int]
    switched: bool
    differences: Sequence[str] = ()
    events: int = 0
    fill_s: float = 0.0
    compare_s: float = 0.0
    held_s: float = 0.0


class Rebuild:
    """One rebuild or its taking back, by whoever got the lock; made by `rebuilding`."""

    def __init__(
        self, session: Connection, dsn: str, partitions: int, open_source: Callable[[], Source], progress: Progress
    ) -> None:
        self._session, self._dsn, self._progress = session, dsn, progress
        self._shares, self._open_source = list(range(partitions)), open_source
        self._events = 0

    async def anew(self, models: Collection[str], *, accept_differences: bool = False) -> Outcome:
        """Build, compare and switch. With differences that are not accepted nothing is switched and nothing is left."""
        await self._call(lambda: generations.drop(self._session, "building"))
        failpoints.passed("rebuild.make.before")
        numbers, put_off = await self._call(lambda: self._make(models))
        failpoints.passed("rebuild.make.after")
        begun_s = time.monotonic()
        held_s = 0.0
        try:
            async with self._filling(numbers, "building") as filler:
                await self._catch_up(filler, numbers)
                self._progress.phase("making indexes", 0)
                await self._call(lambda: self._finish(numbers, put_off))
                failpoints.passed("rebuild.indexes.after")
                filled_s = time.monotonic()
                differences = await self._compared(filler, numbers)
                compared_s = time.monotonic()
                if accept_differences or not differences:
                    failpoints.passed("rebuild.drop.before")
                    await self._call(lambda: generations.drop(self._session, "previous", models))
                    failpoints.passed("rebuild.drop.after")
                    held_s = await self._switched(filler, numbers, generations.make_live)
                    await self._call(lambda: generations.drop(self._session, "previous", generations.NEVER_KEPT))
        finally:
            with suppress(psycopg.OperationalError):
                await self._call(lambda: generations.drop(self._session, "building"))
        return Outcome(
            generations=numbers,
            switched=held_s > 0,
            differences=differences,
            events=self._events,
            fill_s=filled_s - begun_s,
            compare_s=compared_s - filled_s,
            held_s=held_s,
        )

    async def back(self, models: Collection[str]) -> Outcome:
        """Let the previous generations take the place of the live ones, once they stand where those do."""
        previous = await self._call(lambda: generations.in_state(self._session, "previous"))
        numbers = {model: number for model, number in previous.items() if model in models}
        begun_s = time.monotonic()
        async with self._filling(numbers, "previous") as filler:
            await self._catch_up(filler, numbers)
            filled_s = time.monotonic()
            held_s = await self._switched(filler, numbers, generations.take_back)
        return Outcome(
            generations=numbers, switched=True, events=self._events, fill_s=filled_s - begun_s, held_s=held_s
        )

    async def can_be_taken_back(self) -> list[str]:
        """The models that have a previous generation."""
        return sorted(await self._call(lambda: generations.in_state(self._session, "previous")))

    async def last_switched(self) -> list[str]:
        """The models that the last switch replaced and that can be taken back."""
        return await self._call(lambda: generations.last_switched(self._session))

    def _make(self, models: Collection[str]) -> tuple[dict[str, int], list[str]]:
        """New generations without the indexes that can wait, and the statements that make those."""
        numbers, put_off = generations.begin_building(self._session, models), []
        for model, number in numbers.items():
            schema = generations.schema_of(model, number)
            apply_folder(self._session, self._dsn, schema, generations.MIGRATIONS / model)
            put_off += indexes.put_off(self._session, schema, NEEDED_INDEXES)
        return numbers, put_off

    def _finish(self, numbers: Mapping[str, int], put_off: Sequence[str]) -> None:
        indexes.make(self._session, put_off)
        for model, number in numbers.items():
            indexes.analyze(self._session, generations.schema_of(model, number))

    @asynccontextmanager
    async def _filling(self, numbers: Mapping[str, int], state: Aside) -> AsyncIterator[Fillers]:
        total = 0

        def told(left: int, events: int) -> None:
            nonlocal total
            self._events += events
            total = max(total, left)
            self._progress.at(total - left, events)

        filler = Fillers(
            self._shares,
            WRITERS,
            lambda: PostgresReadModels(self._dsn, numbers, state),
            self._open_source,
            told=told,
            batch_events_max=BATCH_EVENTS_MAX,
        )
        try:
            total = await filler.left(await self._limits(numbers))
            self._progress.phase("filling from the log", total)
            yield filler
        finally:
            await filler.close()

    async def _catch_up(self, filler: Fillers, models: Collection[str]) -> None:
        for _ in range(_ROUNDS_MAX):
            limits = await self._limits(models)
            if await filler.left(limits) < _NEAR_OFFSETS:
                return
            await filler.reach(limits)

    async def _compared(self, filler: Fillers, numbers: Mapping[str, int]) -> list[str]:
        live = await self._call(lambda: generations.in_state(self._session, "live"))
        with await self._call(lambda: psycopg.connect(self._dsn)) as snapshot:
            snapshot.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            async with self._held(filler, numbers):
                await self._call(lambda: snapshot.execute("SELECT set_config('jit', 'off', true)"))
            done = 0

            def told(rows: int) -> None:
                nonlocal done
                done += rows
                self._progress.at(done, 0)

            self._progress.phase("comparing", await self._call(lambda: row_counts(snapshot, numbers)))
            return await self._call(lambda: list(compare(snapshot, live, numbers, told)))

    async def _switched(
        self, filler: Fillers, numbers: Mapping[str, int], switch: Callable[[Connection, Collection[str]], None]
    ) -> float:
        self._progress.phase("switching", 0)
        await self._catch_up(filler, numbers)
        begun_s = time.monotonic()
        failpoints.passed("rebuild.switch.before")
        async with self._held(filler, numbers):
            begun_s = time.monotonic()
            await self._call(lambda: switch(self._session, numbers))
            failpoints.passed("rebuild.switch.inside")
        failpoints.passed("rebuild.switch.after")
        return time.monotonic() - begun_s

    @asynccontextmanager
    async def _held(self, filler: Fillers, models: Collection[str]) -> AsyncIterator[None]:
        """No projector writes meanwhile, and what is being filled stands exactly where the live models do."""
        for _ in range(_HOLDS_MAX):
            with _until_left_out(self._session) as transaction:
                try:
                    await self._call(self._lock)
                    async with asyncio.timeout(_HOLD_LIMIT_S):
                        await filler.reach(await self._limits(models))
                except (psycopg.errors.LockNotAvailable, TimeoutError):
                    await filler.close()
                    transaction.is_left_out = True
                    continue
                yield
                return
        raise OperatorError(
            f"The projector could not be held for {_HOLD_LIMIT_S:g} s; the live read models stand. Try again when there"
            " is less to do."
        )

    def _lock(self) -> None:
        self._session.execute("SELECT set_config('lock_timeout', %s, true)", (f"{_HOLD_LIMIT_S:g}s",))
        self._session.execute("SELECT pg_advisory_xact_lock(%s)", (generations.SWITCH_LOCK,))

    async def _limits(self, models: Collection[str]) -> Limits:
        """Where the live generations of the models stand."""

        def asked() -> Limits:
            live = generations.in_state(self._session, "live")
            rows = self._session.execute("SELECT application_name, notification_id FROM public.tracking").fetchall()
            offsets: dict[str, int] = dict(rows)
            return {
                (model, p): offsets.get(tracking_name(model, live[model], p), NOTHING_READ)
                for model in models
                for p in self._shares
            }

        return await self._call(asked)

    async def _call(self, call: Callable[[], T]) -> T:
        return await asyncio.to_thread(call)


class _Transaction:
    is_left_out = False


@contextmanager
def _until_left_out(session: Connection) -> Iterator[_Transaction]:
    """A transaction that commits, unless it is left out or something is raised."""
    made = _Transaction()
    with session.transaction() as transaction:
        yield made
        if made.is_left_out:
            raise psycopg.Rollback(transaction)


@asynccontextmanager
async def rebuilding(
    dsn: str, partitions: int, open_source: Callable[[], Source], progress: Progress
) -> AsyncIterator[Rebuild]:
    """The one rebuild that may run. Raises OperatorError where another one does, or PostgreSQL does not answer."""
    try:
        session = await asyncio.to_thread(lambda: psycopg.connect(dsn, autocommit=True, connect_timeout=10))
    except psycopg.OperationalError as error:
        raise OperatorError("PostgreSQL did not answer: start it or correct DARKROOM_POSTGRES_DSN.") from error
    try:
        locked = session.execute("SELECT pg_try_advisory_lock(%s)", (generations.REBUILD_LOCK,)).fetchone()
        if locked != (True,):
            raise OperatorError("Another rebuild is running: wait for its end, or stop it.")
        yield Rebuild(session, dsn, partitions, open_source, progress)
    finally:
        await asyncio.to_thread(session.close)

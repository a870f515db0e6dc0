"""What has to be done now and then, by one process at a time: the sweep of the object store, and a beat on `keys`.

Each projector process keeps this up; they wake at the same marks of the clock and the one that gets PostgreSQL's
advisory lock for the work does it, the others let it be. Nothing is held in between. Whatever fails is tried again at
the next mark.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial

import asyncpg

from infra import failpoints
from infra.clock import SystemClock
from infra.kafka.client import start_client
from infra.kafka.ports import LogReader
from infra.kafka.reader import KafkaLogReader
from infra.kafka.records import KafkaRecords
from infra.logs import get_logger
from infra.postgres.object_names import PostgresObjectNames
from infra.postgres.pool import create_pool
from infra.postgres.positions import reached_positions
from infra.postgres.readers import Readers, Reads
from infra.s3.bucket import open_store
from infra.s3.store import ListedObject
from infra.sealing.topic import beats
from infra.settings import Settings
from projections import metrics
from projections.sweep import Swept, sweep
from schemas.codec import unpack_items
from schemas.positions import Position
from schemas.topics import COMMANDS

SWEEP_LOCK = 0x6461726B_03
BEAT_LOCK = 0x6461726B_04
BEAT_EVERY_S = 3_600  # `schemas.topics` counts on it: how long an erased key stays on a disk follows from it
CAUGHT_UP_WITHIN_S = 60.0
_POLL_S = 0.2
_STATEMENT_TIMEOUT_S = 60.0
_log = get_logger(__name__)


class NotCaughtUp(Exception):
    """The read models are not at the end of the log: nobody can say what is not named."""


async def keep_up(settings: Settings, *, beat_every_s: int = BEAT_EVERY_S) -> None:
    """Sweep (unless the settings say never) and beat, each at its marks, until cancelled."""

    async def sweep_once() -> None:
        swept = await swept_store(settings, settings.sweep.older_than_s)
        _log.info("swept", **{name: getattr(swept, name) for name in Swept.__struct_fields__})

    async with asyncio.TaskGroup() as group:
        group.create_task(_at_marks(settings, BEAT_LOCK, beat_every_s, partial(beat, settings)))
        if settings.sweep.every_s:
            group.create_task(_at_marks(settings, SWEEP_LOCK, settings.sweep.every_s, sweep_once))


async def _at_marks(settings: Settings, lock: int, every_s: int, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        now_s = SystemClock().now_ms() / 1000
        await asyncio.sleep(every_s - now_s % every_s)
        try:
            async with exclusive(settings, lock) as ours:
                if ours:
                    await work()
        except Exception as error:  # the next mark is soon enough
            metrics.UPKEEP_FAULTS.inc()
            _log.warning("upkeep-failed", error=repr(error))


@asynccontextmanager
async def exclusive(settings: Settings, lock: int) -> AsyncIterator[bool]:
    """Whether this process is the only one with the lock while the block runs. Raises asyncpg's errors."""
    connection = await asyncpg.connect(settings.postgres_dsn, timeout=10)
    try:
        yield bool(await connection.fetchval("SELECT pg_try_advisory_lock($1)", lock))
    finally:
        await connection.close()  # and with it the lock


async def beat(settings: Settings) -> None:
    """Move each partition of `keys` along. Raises BrokersUnreachable, NotAppended."""
    client = await start_client(settings.kafka, client_id="darkroom-beat", deadline_s=10.0)
    try:
        failpoints.passed("projector.beat.before")
        await KafkaRecords(client).append(beats(settings.partitions))
        failpoints.passed("projector.beat.after")
    finally:
        await client.close()


async def swept_store(
    settings: Settings,
    older_than_s: int,
    *,
    dry_run: bool = False,
    unknown_accounts: bool = False,
    tell: Callable[[ListedObject], None] = lambda _: None,
) -> Swept:
    """One sweep, once the read models are at the end of the log as of now. Raises NotCaughtUp."""
    before_ms = SystemClock().now_ms() - older_than_s * 1000
    client = await start_client(settings.kafka, client_id="darkroom-sweep", deadline_s=10.0)
    try:
        ends = await _ends(KafkaLogReader(client), settings.partitions)
    finally:
        await client.close()
    pool = await create_pool(
        settings.postgres_dsn, connections_max=1, statement_timeout_s=_STATEMENT_TIMEOUT_S, deadline_s=10.0
    )
    readers = Readers(pool, 1)
    try:
        await _caught_up(readers, ends)
        async with open_store(settings.s3) as store:
            swept = await sweep(
                store,
                PostgresObjectNames(readers),
                before_ms,
                dry_run=dry_run,
                unknown_accounts=unknown_accounts,
                tell=tell,
            )
    finally:
        await readers.close()
        await pool.close()
    if not dry_run:
        _count(swept)
    return swept


async def _ends(reader: LogReader, partitions: int) -> Mapping[int, Position]:
    """The last command of each partition that has one on the log."""
    ends: dict[int, Position] = {}
    for partition in range(partitions):
        begin = await reader.begin_offset(COMMANDS, partition)
        end = await reader.end_offset(COMMANDS, partition, committed=False)
        if begin < end:
            async for batch in reader.read(COMMANDS, partition, end - 1, end, committed=False):
                items = len(unpack_items(batch[-1].value))
                ends[partition] = Position(partition, batch[-1].offset, max(0, items - 1))
    return ends


async def _caught_up(reads: Reads, ends: Mapping[int, Position]) -> None:
    late: Mapping[int, Position] = ends
    try:
        async with asyncio.timeout(CAUGHT_UP_WITHIN_S):
            while True:
                reached = await reached_positions(reads.rows)
                late = {p: end for p, end in ends.items() if p not in reached or reached[p].source < end.source}
                if not late:
                    return
                await asyncio.sleep(_POLL_S)
    except TimeoutError as error:
        raise NotCaughtUp(
            f"The read models are behind the log in {len(late)} partitions, so nobody can say what no event names:"
            " see that processors and projectors run, then sweep again."
        ) from error


def _count(swept: Swept) -> None:
    metrics.SWEEPS.inc()
    metrics.SWEPT_OBJECTS.inc(swept.orphans)
    metrics.SWEPT_BYTES.inc(swept.orphan_bytes)
    metrics.SWEPT_UPLOADS.inc(swept.uploads)
    metrics.SWEEP_STRANGERS.set(swept.of_unknown_accounts)

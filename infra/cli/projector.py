"""Composition root of the projector: `darkroom serve projector`."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Sequence
from typing import Any

import uvloop

from infra.cli.upkeep import keep_up
from infra.garbage import collect_seldom
from infra.health import serve_health
from infra.postgres.migrate import migrate_when_up
from infra.settings import Settings
from projections.archive import PostgresArchive
from projections.audit import PostgresAudit
from projections.feed import Feed, Pace, PacedReadModels
from projections.postgres import PostgresReadModels
from projections.runner import Runner
from projections.source import KafkaSource

_FEED_FETCH_WAIT_MS = 500


def run_projector(settings: Settings, index: int, count: int = 1) -> None:
    """Keep the read models of this share of the partitions up to date until SIGTERM or SIGINT.

    Raises OperatorError for what an operator has to mend.
    """
    collect_seldom()
    uvloop.run(_serve(settings, index, count))


async def _serve(settings: Settings, index: int, count: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    shares = [partition for partition in range(settings.partitions) if partition % count == index % count]
    pace, dsn = Pace(), settings.postgres_dsn
    runner = Runner(shares, lambda: PacedReadModels(PostgresReadModels(dsn), pace), lambda: KafkaSource(settings.kafka))
    beside = [asyncio.create_task(keep_up(settings), name="upkeep")]
    if settings.metrics_port is not None:
        beside.append(asyncio.create_task(serve_health(settings.metrics_port, runner.healthy), name="health"))
    try:
        await asyncio.to_thread(migrate_when_up, settings.postgres_dsn)
        feeds = [
            Feed(shares, open_store, lambda: KafkaSource(settings.kafka, fetch_wait_ms=_FEED_FETCH_WAIT_MS), pace)
            for open_store in (lambda: PostgresArchive(dsn), lambda: PostgresAudit(dsn))
        ]
        await _all_or_none([runner.run(stop), *(feed.run(stop) for feed in feeds)], stop)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


async def _all_or_none(runs: Sequence[Coroutine[Any, Any, None]], stop: asyncio.Event) -> None:
    """Run them side by side; when one fails all stop, and its error is raised."""
    tasks = [asyncio.create_task(run) for run in runs]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    stop.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for error in results:
        if isinstance(error, BaseException):
            raise error

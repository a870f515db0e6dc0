"""A rebuild beside constant reads and writes: ``python -m tests.bench.rebuild --events 100000``.

Synthetic events go through the real log into the live read models; then ``darkroom rebuild`` runs while clients read
and more events come. Every answer is checked: none fails, none is of two generations (an account's totals against the
sum of its ledger), none is older than an earlier one.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import msgspec
import psycopg

from infra.postgres.pool import create_pool
from infra.postgres.positions import reached_positions
from infra.postgres.readers import Readers, Reads
from infra.settings import Settings
from schemas import topics
from tests.bench.children import stack
from tests.bench.measure import percentile
from tests.bench.projection import SyntheticLog
from tests.bench.topics import append_records

READERS = 4
PAUSE_S = 0.005
WRITE_EVERY_S = 0.25
EVENTS_A_WRITE = 80
BEFORE_S = 5.0
LIMIT_S = 600.0

_ACCOUNT = "SELECT granted, captured, reserved, version FROM accounts WHERE account = $1"
_LEDGER = """
SELECT coalesce(sum(amount) FILTER (WHERE kind = 'granted'), 0)::bigint,
    coalesce(sum(amount) FILTER (WHERE kind = 'captured'), 0)::bigint
FROM ledger WHERE account = $1
"""
_SEEN = """
SELECT coalesce((SELECT sum(version) FROM accounts), 0) + coalesce((SELECT sum(version) FROM partitions), 0)
"""
_JOB = "SELECT job, status FROM jobs WHERE account = $1 ORDER BY version DESC LIMIT 20"


class Reading(msgspec.Struct):
    """What the reads have met."""

    latencies_ms: list[float]
    failed: list[str]

    def text(self) -> str:
        """Count and latency of the reads."""
        spread = f"p50 {percentile(self.latencies_ms, 0.5):.1f} ms, p99 {percentile(self.latencies_ms, 0.99):.1f} ms"
        return (
            f"{len(self.latencies_ms)} reads, {len(self.failed)} failed, {spread}, max {max(self.latencies_ms):.0f} ms"
        )


async def of_one_moment(reads: Reads, account: str) -> int:
    """The account's version; raises AssertionError where totals, ledger and jobs are not of one moment."""
    totals, lines = await reads.row(_ACCOUNT, account), await reads.row(_LEDGER, account)
    await reads.rows(_JOB, account)
    assert totals is not None
    assert lines is not None
    assert (totals[0], totals[1]) == (lines[0], lines[1]), f"{account}: totals and ledger are not of one moment"
    return int(totals[3])


async def read_on(readers: Readers, account: str, stop: asyncio.Event, into: Reading) -> None:
    """One client's reads, until `stop`."""
    seen, reached = 0, dict.fromkeys(range(8), (-1, 0))
    while not stop.is_set():
        begun_s = time.perf_counter()
        try:
            version = await readers.snapshot(lambda reads: of_one_moment(reads, account))
            positions = await reached_positions(readers.rows)
            if version < seen or any(positions[p].source < at for p, at in reached.items() if p in positions):
                into.failed.append(f"{account} went back from {seen} to {version}")
            seen, reached = version, {p: at.source for p, at in positions.items()}
        except (AssertionError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            into.failed.append(repr(error))
        into.latencies_ms.append(1000 * (time.perf_counter() - begun_s))
        await asyncio.sleep(PAUSE_S)


async def write_on(settings: Settings, log: SyntheticLog, stop: asyncio.Event) -> None:
    """More events, until `stop`."""
    while not stop.is_set():
        await append_records(settings, topics.EVENTS, log.take(EVENTS_A_WRITE))
        await asyncio.sleep(WRITE_EVERY_S)


async def beside(settings: Settings, log: SyntheticLog, work: Callable[[], Awaitable[str]]) -> tuple[str, Reading]:
    """What the work says, and the reads that ran beside it."""
    reading, stop = Reading([], []), asyncio.Event()
    with psycopg.connect(settings.postgres_dsn) as session:
        rows = session.execute("SELECT account FROM accounts ORDER BY version DESC LIMIT %s", (READERS,)).fetchall()
    pool = await create_pool(settings.postgres_dsn, connections_max=READERS + 1)
    readers = Readers(pool, READERS)
    tasks = [asyncio.create_task(read_on(readers, account, stop, reading)) for (account,) in rows]
    tasks.append(asyncio.create_task(write_on(settings, log, stop)))
    try:
        return await work(), reading
    finally:
        stop.set()
        await asyncio.gather(*tasks)
        await readers.close()
        await pool.close()


def until_projected(settings: Settings, events: int) -> None:
    """Return when the live read models have seen so many events."""
    end_s = time.monotonic() + LIMIT_S
    with psycopg.connect(settings.postgres_dsn, autocommit=True) as session:
        while time.monotonic() < end_s:
            row = session.execute(_SEEN).fetchone()
            if row is not None and row[0] >= events:
                return
            time.sleep(0.1)
    raise SystemExit(f"the projector did not come to {events} events in {LIMIT_S:g} s")


def rebuilt(data: Path, *options: str) -> str:
    """What ``darkroom rebuild`` says; its end is the bench's where it fails."""
    argv = (sys.executable, "-m", "infra.cli.main", "rebuild", "--data", str(data), *options)
    ran = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    if ran.returncode != 0:
        raise SystemExit(f"darkroom rebuild ended with {ran.returncode}: {ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    return ran.stdout.strip()


async def idle() -> str:
    """Nothing beside the reads, for comparison."""
    await asyncio.sleep(BEFORE_S)
    return "nothing beside"


def main() -> int:
    """Run it; the exit code is 1 when a read failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=100_000)
    events = parser.parse_args().events
    failed = 0
    with (
        tempfile.TemporaryDirectory(prefix="darkroom-rebuild-") as folder,
        stack(Path(folder) / "stack", "kafka", "postgres") as (servers, children),
    ):
        settings, data = servers.settings, servers.layout.root
        children.role("projector-0")
        log = SyntheticLog(settings.partitions)
        values = log.take(events)
        asyncio.run(append_records(settings, topics.EVENTS, values))
        until_projected(settings, sum(map(len, values.values())))
        works: tuple[Callable[[], Awaitable[str]], ...] = (
            idle,
            lambda: asyncio.to_thread(rebuilt, data),
            lambda: asyncio.to_thread(rebuilt, data, "--back"),
        )
        for work in works:
            said, reading = asyncio.run(beside(settings, log, work))
            print(f"{said}\n    beside it: {reading.text()}", flush=True)
            for text in reading.failed[:5]:
                print(f"    {text}")
            failed += len(reading.failed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

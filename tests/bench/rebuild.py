"""A rebuild beside constant reads and writes: ``python -m tests.bench.rebuild --events 100000``.

Synthetic events go through the real log into the live read models; then ``darkroom rebuild`` runs while clients read
and more events come. Some read where a gateway does, and everything is checked: nothing fails, nothing is of two
generations (an account's totals against the sum of its ledger), nothing is older than what was read before. Others ask
the gateway for lists of jobs by HTTP, and each has to be answered.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
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
from tests.bench.clients import tokens
from tests.bench.load import Load, Shape, run_load
from tests.bench.many_jobs import accounts_of_tokens
from tests.bench.measure import percentile
from tests.bench.projection import SyntheticLog
from tests.bench.station import HOST
from tests.bench.topics import append_records

READERS = 4
PAUSE_S = 0.005
USERS = 32
CONNECTIONS = 4
LOAD_S = 2.0
LIST = "/v1/jobs?limit=20"
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


async def ask_on(load: Load, stop: asyncio.Event, into: Reading) -> None:
    """Requests by HTTP, until `stop`."""
    while not stop.is_set():
        answered = await asyncio.to_thread(run_load, load)
        into.latencies_ms += answered.latencies_ms
        if not answered.only(200):
            into.failed.append(f"{answered.statuses}: {answered.first_other[:300]}")


async def beside(
    settings: Settings, log: SyntheticLog, load: Load, work: Callable[[], Awaitable[str]]
) -> tuple[str, Reading, Reading]:
    """What the work says, and beside it the reads that were checked and those by HTTP."""
    checked, asked, stop = Reading([], []), Reading([], []), asyncio.Event()
    with psycopg.connect(settings.postgres_dsn) as session:
        rows = session.execute("SELECT account FROM accounts ORDER BY version DESC LIMIT %s", (READERS,)).fetchall()
    pool = await create_pool(settings.postgres_dsn, connections_max=READERS + 1)
    readers = Readers(pool, READERS)
    tasks = [asyncio.create_task(read_on(readers, account, stop, checked)) for (account,) in rows]
    tasks.append(asyncio.create_task(write_on(settings, log, stop)))
    tasks.append(asyncio.create_task(ask_on(load, stop, asked)))
    try:
        return await work(), checked, asked
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


async def idle(dsn: str, events: int) -> str:
    """Nothing beside the reads, for comparison; what the read models take."""
    await asyncio.sleep(BEFORE_S)
    with psycopg.connect(dsn) as session:
        row = session.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row is not None
    return f"{events:,} events in the read models, {row[0] / events:,.0f} bytes of PostgreSQL each, and nothing beside"


def run(root: Path, events: int) -> Iterator[tuple[str, Reading, Reading]]:
    """On a stack of its own: nothing, a rebuild, and the way back, each with what was read beside it."""
    with stack(root, "kafka", "s3", "postgres") as (servers, children):
        settings, data = servers.settings, servers.layout.root
        for role in ("projector-0", "gateway-0"):
            children.role(role)
        log = SyntheticLog(settings.partitions, accounts_of_tokens(settings, USERS))
        values = log.take(events)
        asyncio.run(append_records(settings, topics.EVENTS, values))
        made = sum(map(len, values.values()))
        until_projected(settings, made)
        lists = tuple(Shape("GET", LIST, (f"Authorization: Bearer {token}",)) for token in tokens(settings, USERS))
        load = Load(HOST, children.gateway_port, lists, "rebuild-", CONNECTIONS, pause_s=PAUSE_S, run_s=LOAD_S)
        works: tuple[Callable[[], Awaitable[str]], ...] = (
            lambda: idle(settings.postgres_dsn, made),
            lambda: asyncio.to_thread(rebuilt, data),
            lambda: asyncio.to_thread(rebuilt, data, "--back"),
        )
        for work in works:
            yield asyncio.run(beside(settings, log, load, work))


def main() -> int:
    """Run it; the exit code is 1 when a read failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=100_000)
    events = parser.parse_args().events
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="darkroom-rebuild-") as folder:
        for said, checked, asked in run(Path(folder) / "stack", events):
            print(f"{said}\n    beside it, checked: {checked.text()}\n    by HTTP: {asked.text()}", flush=True)
            failed += [*checked.failed, *asked.failed]
    print("\n".join(failed[:10]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""What `sandbox/echo` jobs and reads cost in work that can be counted, against the last release (`bench.history`).

The least of five rounds counts, because what else goes on only adds. Under load jobs share transactions, the more the
slower the machine is; so what an operation takes is counted one at a time, and told of load.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import httpx
from msgspec import Struct

from schemas import topics
from tests.bench import bare_jobs, history
from tests.bench.clients import measured, shapes
from tests.bench.counters import Queried, Written, queried, until_still, wal_position, written
from tests.bench.history import Entry
from tests.bench.load import Shape
from tests.bench.measure import CheckFailed, check, cpu_seconds
from tests.bench.station import HOST, Bench, Station

ROLES = ("processor-0", "dispatcher-0", "projector-0", "gateway-0")
SERVERS = ("kafka", "s3", "postgres", "triton")
ROUNDS = 5
CONNECTIONS = 32
JOBS = 200
ALONE = 30
READS = 2_000
BARE_RUN_S = 1.5
ALONE_TOLD, LOAD_TOLD = "one at a time", "under load"
TOPICS = (
    *(topics.COMMANDS, topics.EVENTS, topics.ACCOUNTS, topics.REPLIES, topics.dispatch_topic("standard")),
    "__transaction_state",  # not __consumer_offsets: dispatchers commit as time goes by
)
_ECHO = {"model": "sandbox/echo"}


class Round(Struct, frozen=True):
    """Jobs of one round: what they wrote, CPU-seconds by process, and CPU-seconds a job of the bare loop."""

    jobs: int
    work: Written
    cpu_s: Mapping[str, float]
    bare_cpu_s: float


def measure(bench: Bench, at: Station) -> None:
    """Needs all roles; leaves the entry of this version in `bench.entry`."""
    at.roles(*ROLES)
    measured(at.load("counted-warm", CONNECTIONS, _echoes(at), count=JOBS), 200)
    reads = _reads(at)
    begun = queried(at.settings)
    loaded = [_round(at, f"counted-{number}", number, CONNECTIONS, JOBS) for number in range(ROUNDS)]
    jobs_done = queried(at.settings)
    measured(at.load("counted-reads", CONNECTIONS, reads, count=READS), 200)
    reads_done = queried(at.settings)
    alone = [_round(at, f"counted-alone-{number}", number, 1, ALONE) for number in range(ROUNDS)]
    entry = Entry(
        version=history.version(),
        per_1000_jobs=_least(_bytes(one, ALONE_TOLD) for one in alone),
        per_operation={
            **_least(_operations(one, ALONE_TOLD) for one in alone),
            **_rows(begun, jobs_done, ROUNDS * JOBS, f"job {LOAD_TOLD}"),
            **_queries(jobs_done, reads_done, READS, "GET of a job"),
        },
        cpu_ratio={"CPU of a job, all roles, by that of the bare loop": min(map(_cpu_ratio, loaded))},
        under_load={
            **_least(_bytes(one, LOAD_TOLD) for one in loaded),
            **_least(_operations(one, LOAD_TOLD) for one in loaded),
            **_queries(begun, jobs_done, ROUNDS * JOBS, f"job {LOAD_TOLD}"),
        },
        cpu_s_per_1000_jobs=_least({name: 1000 * s / one.jobs for name, s in one.cpu_s.items()} for one in loaded),
    )
    bench.entry = entry
    bench.notes += ["", history.markdown(entry)]
    grown = history.grown(entry, history.read())
    if grown:
        raise CheckFailed("; ".join(grown))


def _round(at: Station, key: str, number: int, connections: int, jobs: int) -> Round:
    pids = {name: child.pid for name, child in zip(ROLES, at.roles(*ROLES), strict=True)}
    pids |= {name: at.servers.pid(name) for name in SERVERS}
    _settle(at)
    before, cpu = _written(at), {name: cpu_seconds([pid]) for name, pid in pids.items()}
    measured(at.load(key, connections, _echoes(at), count=jobs), 200)
    _settle(at)
    used = {name: cpu_seconds([pid]) - cpu[name] for name, pid in pids.items()}
    work = _between(before, _written(at))
    check(work.objects >= jobs, f"{jobs} jobs have left {work.objects} objects")
    bare = asyncio.run(bare_jobs.run_bare(at.settings, "echo", b"", number, BARE_RUN_S)) if connections > 1 else None
    return Round(jobs, work, used, (bare.cpu_us or 0.0) / 1e6 if bare else 0.0)


def _echoes(at: Station) -> tuple[Shape, ...]:
    return shapes(at.tokens[:CONNECTIONS], _ECHO, "wait=30")


def _reads(at: Station) -> tuple[Shape, ...]:
    """GET of the newest job of each account."""
    made = []
    for token in at.tokens[:CONNECTIONS]:
        header = f"Authorization: Bearer {token}"
        answer = httpx.get(
            f"http://{HOST}:{at.port}/v1/jobs?limit=1", headers={"Authorization": f"Bearer {token}"}, timeout=30
        )
        check(answer.status_code == 200, f"a list was answered with {answer.status_code}: {answer.text[:300]}")
        made.append(Shape("GET", f"/v1/jobs/{answer.json()['data'][0]['id']}", (header,)))
    return tuple(made)


def _settle(at: Station) -> None:
    until_still(lambda: wal_position(at.settings))


def _written(at: Station) -> Written:
    return asyncio.run(written(at.settings, at.servers.layout.root))


def _between(before: Written, after: Written) -> Written:
    return Written(
        after.kafka_bytes - before.kafka_bytes,
        after.wal_bytes - before.wal_bytes,
        after.object_bytes - before.object_bytes,
        after.objects - before.objects,
        after.writing_transactions - before.writing_transactions,
        {topic: end - before.records.get(topic, 0) for topic, end in after.records.items()},
    )


def _bytes(one: Round, how: str) -> dict[str, float]:
    work = one.work
    found = {"Kafka log": work.kafka_bytes, "PostgreSQL WAL": work.wal_bytes, "S3": work.object_bytes}
    return {f"{name}, bytes per 1,000 jobs {how}": 1000 * value / one.jobs for name, value in found.items()}


def _operations(one: Round, how: str) -> dict[str, float]:
    """Of one job, with markers of transactions among the records."""
    work = one.work
    found = {f"records in {topic}": work.records[topic] for topic in TOPICS}
    found |= {
        "records in all topics": sum(work.records.values()),
        "writing transactions in PostgreSQL": work.writing_transactions,
        "objects in S3": work.objects,
    }
    return {f"{name} per job {how}": count / one.jobs for name, count in found.items()}


def _queries(before: Queried, after: Queried, count: int, operation: str) -> dict[str, float]:
    """Every query outside of a transaction is one."""
    made = after.transactions - before.transactions
    return {f"transactions and queries in PostgreSQL per {operation}": made / count}


def _rows(before: Queried, after: Queried, count: int, operation: str) -> dict[str, float]:
    return {f"rows written in PostgreSQL per {operation}": (after.rows_written - before.rows_written) / count}


def _cpu_ratio(one: Round) -> float:
    check(one.bare_cpu_s > 0, "the bare loop used no CPU that could be measured")
    return sum(one.cpu_s[name] for name in ROLES) / one.jobs / one.bare_cpu_s


def _least(rounds: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The least of each figure."""
    first, *others = rounds
    return {name: min(value, *(other[name] for other in others)) for name, value in first.items()}

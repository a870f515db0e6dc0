"""Events projected per second into all read models, beside a ProjectionRunner that does one upsert an event.

A round stops the projector, appends synthetic events, lets it go on and takes the time until every read model of every
partition stands at the last event.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

import psycopg

from infra.postgres.positions import READ_MODELS
from infra.settings import Settings
from schemas import topics
from schemas.events import encode_event
from tests.bench.children import BenchChild
from tests.bench.events import Partition
from tests.bench.measure import Figure, check, cpu_seconds
from tests.bench.topics import append_records

ACCOUNTS_A_PARTITION = 100
LIMIT_S = 60.0
_REACHED = """
SELECT count(*) FROM tracking
WHERE split_part(application_name, '.', 1) = ANY(%s) AND notification_id = %s AND application_name LIKE %s
"""


class SyntheticLog:
    """The events that deciders would have written, made in rounds; the `known` accounts are among theirs."""

    def __init__(self, partitions: int, known: Sequence[str] = ()) -> None:
        made = (Partition(number, partitions, ACCOUNTS_A_PARTITION, known=known) for number in range(partitions))
        self._commands = {partition.number: partition.commands() for partition in made}

    def take(self, count: int) -> dict[int, list[bytes]]:
        """At least `count` more events, spread over the partitions, in whole commands."""
        each = -(-count // len(self._commands))
        values: dict[int, list[bytes]] = {number: [] for number in self._commands}
        for number, commands in self._commands.items():
            while len(values[number]) < each:
                values[number] += [encode_event(event) for event in next(commands)]
        return values


async def ours(
    settings: Settings, values: Mapping[int, Sequence[bytes]], projector: BenchChild, postgres_pid: int
) -> Figure:
    """One round of the projector over these events; its CPU with PostgreSQL's."""
    pids = (projector.pid, postgres_pid)
    made = sum(map(len, values.values()))
    cpu = cpu_seconds(pids)
    with projector.paused():
        last = await append_records(settings, topics.EVENTS, values)
        started = time.perf_counter()
    seconds = await asyncio.to_thread(_seconds_until, settings.postgres_dsn, last, started)
    return Figure(made / seconds, 1e6 * (cpu_seconds(pids) - cpu) / made)


def _seconds_until(dsn: str, last: Mapping[int, int], started: float) -> float:
    waiting = dict(last)
    with psycopg.connect(dsn, autocommit=True) as session:
        while waiting:
            check(time.perf_counter() - started < LIMIT_S, f"events were not projected in {LIMIT_S:g} s: {waiting}")
            for partition, offset in list(waiting.items()):
                row = session.execute(_REACHED, (list(READ_MODELS), offset, f"%.{partition}")).fetchone()
                if row is None or row[0] < len(READ_MODELS):
                    break
                del waiting[partition]
            time.sleep(0.005)
    return time.perf_counter() - started

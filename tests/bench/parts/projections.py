"""Events into all read models, beside a projector of one upsert an event, and beside components that know the rows.

On servers of its own: its events are synthetic, and deciders that found them would refuse to go on.
"""

from __future__ import annotations

import asyncio

from tests.bench import bare_projection, bare_rows, projection
from tests.bench.children import stack
from tests.bench.measure import Figure, pair
from tests.bench.station import Bench, Station

EVENTS_A_ROUND = 30_000
BARE_EVENTS_A_ROUND = 1_500
RUNNER = "eventsourcing ProjectionRunner, one upsert an event"
UPSERT = "upserts of the same rows by arrays, known beforehand"
COPY = "COPY of the same rows, known beforehand, no index"
GOALS = {RUNNER: 20.0, UPSERT: 0.0, COPY: 0.0}


def measure(bench: Bench, at: Station) -> None:
    """Needs no role of the station."""
    at.roles()
    ours: list[Figure] = []
    bare: dict[str, list[Figure]] = {against: [] for against in GOALS}
    with stack(at.root / "projections", "kafka", "postgres") as (servers, children):
        settings, postgres, dsn = servers.settings, servers.pid("postgres"), servers.settings.postgres_dsn
        projector, log = children.role("projector-0"), projection.SyntheticLog(settings.partitions)
        known = bare_rows.KnownRows(settings.partitions)
        for _ in range(bench.rounds):
            values = log.take(EVENTS_A_ROUND)
            events, batches = sum(map(len, values.values())), known.batches(values)
            ours.append(asyncio.run(projection.ours(settings, values, projector, postgres)))
            bare[RUNNER].append(bare_projection.project(dsn, postgres, BARE_EVENTS_A_ROUND))
            bare[UPSERT].append(bare_rows.move(dsn, postgres, "upsert", batches, events))
            bare[COPY].append(bare_rows.move(dsn, postgres, "copy", batches, events))
    for against, goal in GOALS.items():
        bench.pairs.append(pair("projection", "events/s", against, goal, ours, bare[against]))

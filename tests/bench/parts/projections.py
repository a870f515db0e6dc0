"""Events into all read models, beside a projector of one upsert an event.

On servers of its own: its events are synthetic, and deciders that found them would refuse to go on.
"""

from __future__ import annotations

import asyncio

from tests.bench import bare_projection, projection
from tests.bench.children import stack
from tests.bench.measure import Figure, pair
from tests.bench.station import Bench, Station

EVENTS_A_ROUND = 30_000
BARE_EVENTS_A_ROUND = 1_500


def measure(bench: Bench, at: Station) -> None:
    """Needs no role of the station."""
    at.roles()
    ours: list[Figure] = []
    bare: list[Figure] = []
    with stack(at.root / "projections", "kafka", "postgres") as (servers, children):
        settings, postgres = servers.settings, servers.pid("postgres")
        projector, log = children.role("projector-0"), projection.SyntheticLog(settings.partitions)
        for _ in range(bench.rounds):
            ours.append(asyncio.run(projection.ours(settings, log, projector, postgres, EVENTS_A_ROUND)))
            bare.append(bare_projection.project(settings.postgres_dsn, postgres, BARE_EVENTS_A_ROUND))
    against = "eventsourcing ProjectionRunner, one upsert an event"
    bench.pairs.append(pair("projection", "events/s", against, 20, ours, bare))

"""The bare component for projections: eventsourcing's ProjectionRunner with one upsert an event, on PostgreSQL."""

from __future__ import annotations

import time
import uuid
from typing import Any

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from tests.bench.measure import Figure, cpu_seconds

EVENTS_AN_AGGREGATE = 50
_LIMIT_S = 60.0


class Counter(Aggregate):
    """An aggregate that counts."""

    @event("Counted")
    def count(self, detail: str) -> None:
        self.detail = detail


class Counters(Application[uuid.UUID]):
    """Stores counters."""


class CounterRows(PostgresTrackingRecorder):
    """One table; each event is one upsert, in one transaction with its position."""

    def __init__(self, datastore: Any, **options: Any) -> None:
        super().__init__(datastore, **options)
        self.sql_create_statements.append(
            sql.SQL(
                "CREATE TABLE IF NOT EXISTS bench_counters (id uuid PRIMARY KEY, version int, detail text)"
            ).format()
        )

    def upsert(self, counter: uuid.UUID, version: int, detail: str, tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking=tracking)
            cursor.execute(
                "INSERT INTO bench_counters VALUES (%s, %s, %s)"
                " ON CONFLICT (id) DO UPDATE SET version = EXCLUDED.version, detail = EXCLUDED.detail",
                (counter, version, detail),
                prepare=True,
            )


class CounterProjection(Projection[CounterRows]):
    """Writes each event's row."""

    name = "bench"

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        detail = str(getattr(domain_event, "detail", ""))
        self.view.upsert(domain_event.originator_id, domain_event.originator_version, detail, tracking)


def environment(dsn: str) -> dict[str, str]:
    """The library's settings for the database."""
    parts = {key: str(value) for key, value in conninfo_to_dict(dsn).items()}
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": parts["dbname"],
        "POSTGRES_HOST": parts["host"],
        "POSTGRES_PORT": parts["port"],
        "POSTGRES_USER": parts["user"],
        "POSTGRES_PASSWORD": parts.get("password", ""),
        "POSTGRES_SINGLE_ROW_TRACKING": "yes",
    }


def project(dsn: str, postgres_pid: int, count: int) -> Figure:
    """Store about `count` events, then project them: events a second, and CPU of this process and PostgreSQL."""
    env = environment(dsn)
    app = Counters(env)
    last = 0
    for _ in range(count // EVENTS_AN_AGGREGATE):
        counter = Counter()
        for number in range(EVENTS_AN_AGGREGATE - 1):
            counter.count(f"{number:0200d}")
        last = app.save(counter)[-1].notification.id
    app.close()
    cpu, started = time.process_time() + cpu_seconds((postgres_pid,)), time.perf_counter()
    with ProjectionRunner(
        application_class=Counters, projection_class=CounterProjection, view_class=CounterRows, env=env
    ) as runner:
        runner.wait(last, timeout=_LIMIT_S)
        seconds = time.perf_counter() - started
        used = time.process_time() + cpu_seconds((postgres_pid,)) - cpu
    done = count // EVENTS_AN_AGGREGATE * EVENTS_AN_AGGREGATE
    return Figure(done / seconds, 1e6 * used / done)

"""What a dispatcher tells Prometheus about its stages."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram

_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120)

IN_FLIGHT = Gauge("darkroom_dispatch_in_flight", "Attempts that this dispatcher works on")
DROPPED = Counter("darkroom_dispatch_dropped_total", "Work items dropped on arrival, by reason", ["reason"])
UNREADABLE = Counter("darkroom_dispatch_unreadable_total", "Records of a lane that are no work items")
OUTCOMES = Counter("darkroom_dispatch_outcomes_total", "Attempts ended, by model and outcome", ["model", "outcome"])
RETRIES = Counter("darkroom_dispatch_retries_total", "Tries repeated inside an attempt, by reason", ["reason"])
RENEWALS = Counter("darkroom_dispatch_renewals_total", "Leases renewed")
LANE_RUNNING = Gauge("darkroom_dispatch_lane_running", "Items of a lane that this dispatcher works on", ["lane"])
LANE_BEGUN = Counter("darkroom_dispatch_lane_begun_total", "Items of a lane that were begun", ["lane"])
FALLBACKS = Counter(
    "darkroom_dispatch_fallbacks_total",
    "Attempts that passed over an engine, by engine and reason",
    ["engine", "reason"],
)
QUARANTINED = Counter("darkroom_dispatch_quarantined_total", "Attempts that ran alone, by outcome", ["outcome"])
PURGES = Counter("darkroom_dispatch_purges_total", "Purges carried out or not, by outcome", ["outcome"])
PURGED_OBJECTS = Counter("darkroom_dispatch_purged_objects_total", "Objects deleted by purges")
STAGE_SECONDS = Histogram("darkroom_dispatch_stage_seconds", "Time of a stage", ["stage"], buckets=_BUCKETS)
ATTEMPT_SECONDS = Histogram("darkroom_dispatch_attempt_seconds", "Time of whole attempts", ["model"], buckets=_BUCKETS)


@contextmanager
def stage(name: str) -> Generator[None]:
    """Measure a stage, however it ends."""
    began = time.perf_counter()
    try:
        yield
    finally:
        STAGE_SECONDS.labels(name).observe(time.perf_counter() - began)

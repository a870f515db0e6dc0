"""Latencies of one request at a time, beside a bare transaction of one record."""

from __future__ import annotations

import asyncio

from tests.bench.bare_decide import TRANSACTION_TOPICS, one_record_transactions
from tests.bench.clients import measured, shapes
from tests.bench.measure import latency
from tests.bench.station import ACCOUNTS, Bench, Station
from tests.bench.topics import make_topics

REQUESTS = 100
RESULTS = 50
PAUSE_S = 0.05


def measure(bench: Bench, at: Station) -> None:
    """With every role running."""
    at.roles("processor-0", "dispatcher-0", "projector-0", "gateway-0")
    asyncio.run(make_topics(at.settings, TRANSACTION_TOPICS))
    results = shapes(at.tokens, {"model": "sandbox/echo"}, "wait=30")
    measured(at.load("warm", 8, results, count=ACCOUNTS * 2), 200)
    bare_ms = asyncio.run(one_record_transactions(at.settings.kafka.bootstrap_servers, RESULTS, PAUSE_S))
    submits = shapes(at.tokens, {"model": "sandbox/echo"}, "respond-async")
    decided_ms = measured(at.load("idle-submit", 1, submits, count=REQUESTS, pause_s=PAUSE_S), 202).latencies_ms
    ended_ms = measured(at.load("idle-result", 1, results, count=RESULTS, pause_s=PAUSE_S), 200).latencies_ms
    bench.latencies += [
        latency("HTTP submit to decision", decided_ms, (20, 60)),
        latency("sandbox/echo, HTTP submit to result", ended_ms, (60, None)),
        latency("bare transaction of one record with its offset", bare_ms),
    ]

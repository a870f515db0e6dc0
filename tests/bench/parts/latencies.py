"""Latency under load: submit to decision, and submit to result without the model's own time, of `sandbox/echo`.

What each sustains is measured first, closed loop; then requests arrive at shares of that rate whether or not earlier
ones were answered, and are counted from when they were due. Beside them stands a bare transaction of one record with
its offset, one at a time, as the idle requests are. The results come first, while nothing waits for a dispatcher: the
jobs of the decisions are left undone, so parts that need a dispatcher have to come before this one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tritonclient.grpc.aio import InferenceServerClient

from infra.settings import Settings
from tests.bench import bare_decide
from tests.bench.clients import all_decided, shapes, turned_away
from tests.bench.load import Load, Shape, run_load
from tests.bench.measure import Curves, Figure, Latency, check, latency, pair, percentile
from tests.bench.station import Bench, Station
from tests.bench.topics import make_topics

SHARES = (0.5, 0.9)
IDLE_REQUESTS, IDLE_PAUSE_S = 12, 0.05
WARM_UP_S, SUSTAINED_S = 3.0, 2.5
WARM_S, LOAD_S = 0.3, 1.5
DECISION_CONNECTIONS, RESULT_CONNECTIONS = 64, 32
OPEN_CONNECTIONS = 128
DECISION_GOAL = 0.5
HALF_LOAD_GOALS_MS = (25.0, 100.0)
ECHO = {"model": "sandbox/echo", "params": {"seed": 7}}
MODEL = "sandbox_echo"
_PERCENTILES = (("p50", 0.5), ("p99", 0.99))
_BARE = "bare transaction of one record with its offset, idle"


class ModelTime(NamedTuple):
    """Calls of the model so far, and the milliseconds that it has computed for them."""

    calls: int
    ms: float


@dataclass
class Operation:
    """What is asked, and what was seen of it: latencies in ms by share of the sustained rate (0: idle), pooled.

    `idle_ms` are those of each round at idle and `bare_ms` those of the bare transactions beside them; `turned_away`
    counts requests that were answered with 429 or 503.
    """

    name: str
    shapes: Sequence[Shape]
    status: int
    connections: int
    has_model: bool
    sustained: float = 0.0
    latencies_ms: dict[float, list[float]] = field(default_factory=dict)
    idle_ms: list[Sequence[float]] = field(default_factory=list)
    bare_ms: list[Sequence[float]] = field(default_factory=list)
    turned_away: int = 0

    def curve(self, share_of_requests: float) -> list[tuple[float, float]]:
        """Points of a percentile: percent of the sustained rate, ms."""
        return [(100 * share, percentile(of, share_of_requests)) for share, of in sorted(self.latencies_ms.items())]


def measure(bench: Bench, at: Station) -> None:
    """Needs all roles, and at last no dispatcher."""
    asyncio.run(make_topics(at.settings, bare_decide.TRANSACTION_TOPICS))
    results = Operation("submit to result without the model", _shapes(at, "wait=30"), 200, RESULT_CONNECTIONS, True)
    at.roles("processor-0", "dispatcher-0", "projector-0", "gateway-0")
    _measured(at, results, bench.rounds)
    decisions = Operation("submit to decision", _shapes(at, "respond-async"), 202, DECISION_CONNECTIONS, False)
    at.roles("processor-0", "gateway-0")
    _measured(at, decisions, bench.rounds)
    against = "a bare transaction of one record with its offset"
    ours, bare = (
        [Figure(1000 / percentile(of, 0.5)) for of in side] for side in (decisions.idle_ms, decisions.bare_ms)
    )
    bench.pairs.append(pair("submit to decision, idle, 1 / p50", "a second", against, DECISION_GOAL, ours, bare))
    bench.latencies += [
        *_rows(decisions, {}),
        *_rows(results, {0.5: HALF_LOAD_GOALS_MS}),
        latency(_BARE, [ms for of in (*results.bare_ms, *decisions.bare_ms) for ms in of]),
    ]
    lines = {f"{of.name}, {name}": of.curve(share) for of in (decisions, results) for name, share in _PERCENTILES}
    bench.curves.append(Curves("Latency against load", "percent of what is sustained", "ms", lines))
    bench.notes += [_note(decisions), _note(results)]


def _shapes(at: Station, prefer: str) -> Sequence[Shape]:
    return shapes(at.tokens, ECHO, prefer)


def _measured(at: Station, operation: Operation, rounds: int) -> None:
    """Fill in the operation."""
    key = "result" if operation.has_model else "decision"
    closed = at.load(f"sustained-{key}", operation.connections, operation.shapes, warm_s=WARM_UP_S, run_s=SUSTAINED_S)
    sustained = run_load(closed)
    turned_away(sustained, operation.status)
    operation.sustained = sustained.figure_of(operation.status).rate
    brokers = at.settings.kafka.bootstrap_servers
    for number in range(rounds):
        bare = bare_decide.one_record_transactions(brokers, IDLE_REQUESTS, IDLE_PAUSE_S)
        operation.bare_ms.append(asyncio.run(bare))
        idle = at.load(f"idle-{key}-{number}", 1, operation.shapes, count=IDLE_REQUESTS, pause_s=IDLE_PAUSE_S)
        operation.idle_ms.append(_take(at, operation, 0.0, idle))
        for share in SHARES:
            arriving = at.load(
                f"load-{key}-{number}-{share}",
                OPEN_CONNECTIONS,
                operation.shapes,
                warm_s=WARM_S,
                run_s=LOAD_S,
                a_second=share * operation.sustained,
            )
            _take(at, operation, share, arriving)


def _take(at: Station, operation: Operation, share: float, load: Load) -> Sequence[float]:
    """Run the load and add its latencies, less what the model took on average meanwhile."""
    before = asyncio.run(_model_time(at.settings))
    result = run_load(load)
    if operation.has_model:
        after = asyncio.run(_model_time(at.settings))
        check(after.calls > before.calls, "no call of the model was counted")
        model_ms = (after.ms - before.ms) / (after.calls - before.calls)
    else:
        all_decided(result)
        model_ms = 0.0
    operation.turned_away += turned_away(result, operation.status)
    latencies_ms = [ms - model_ms for ms in result.latencies_ms]
    operation.latencies_ms.setdefault(share, []).extend(latencies_ms)
    return latencies_ms


async def _model_time(settings: Settings) -> ModelTime:
    """What Triton has counted so far: how many calls of the model, and how long it computed for them."""
    async with InferenceServerClient(settings.triton_urls[0]) as triton:
        answer = await triton.get_inference_statistics(MODEL)
    computed = answer.model_stats[0].inference_stats.compute_infer
    return ModelTime(computed.count, computed.ns / 1e6)


def _rows(operation: Operation, goals_ms: Mapping[float, tuple[float, float]]) -> list[Latency]:
    return [
        latency(f"{operation.name}, {_at(operation, share)}", of, goals_ms.get(share))
        for share, of in sorted(operation.latencies_ms.items())
    ]


def _at(operation: Operation, share: float) -> str:
    return f"{share:.0%} of {operation.sustained:,.0f}/s" if share else "idle"


def _note(operation: Operation) -> str:
    count = sum(map(len, operation.latencies_ms.values()))
    return (
        f"{operation.name.capitalize()}: {operation.sustained:,.0f} a second are sustained by {operation.connections} "
        f"connections in a closed loop; {operation.turned_away} of {count:,} requests were turned away."
    )

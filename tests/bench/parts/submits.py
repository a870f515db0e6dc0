"""Single submits: accepted once they are on the log, and once they are decided, beside a bare handler.

While submits are accepted nothing decides them, as nothing reads what the bare handler sends. "Decided" has a processor
at work, and its answers wait for it; whoever is turned away because it is behind counts as not done.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from tests.bench.bare_submit import TOPIC
from tests.bench.children import BenchChild, answers, free_port
from tests.bench.clients import measured, shapes, turned_away
from tests.bench.load import Load, Result, Shape, run_load
from tests.bench.measure import Figure, check, pair
from tests.bench.station import Bench, Station
from tests.bench.topics import make_topics

CONNECTIONS = 64
STATUS = 202
WARM_S = 5.0
PROBE_S = 2.0
CAUGHT_UP_LIMIT_S = 60.0
ROLES = {"accepted": ("gateway-0",), "decided": ("gateway-0", "processor-0")}
GOALS = {"accepted": 0.7, "decided": 0.0}
BODY = {"model": "sandbox/echo", "params": {"seed": 7}, "metadata": {"note": "x" * 250}}


def measure(bench: Bench, at: Station) -> None:
    """With a gateway, then with a processor as well."""
    asyncio.run(make_topics(at.settings, {TOPIC: 8}))
    port = free_port()
    child = at.children.bare("bare_submit", at.settings.kafka.bootstrap_servers, str(port))
    child.wait_for(lambda: answers(port))
    client_us = []
    away = 0
    for kind, roles in ROLES.items():
        gateway, *_ = at.roles(*roles)
        what = shapes(at.tokens, BODY, *(("wait=0",) if kind == "accepted" else ()))
        if kind == "decided":
            _until_caught_up(at, what)
        for warmed in (at.port, port):  # the broker compiles the way of a transaction while it is first used
            _done(kind, at.load(f"warm-{kind}-{warmed}", CONNECTIONS, what, run_s=WARM_S, port=warmed))
        results = _paired(bench, at, kind, what, gateway, child, port)
        client_us += [result.client_cpu_us for result in results]
        away += sum(turned_away(result, STATUS) for result in results)
    bench.notes.append(
        f"Of a single submit the load client itself takes {max(client_us):.0f} us of a core; {away} were turned away."
    )
    at.children.stop(child)


def _until_caught_up(at: Station, what: Sequence[Shape]) -> None:
    """Return when what was accepted before is decided, so that nobody is turned away because of it."""
    ends_s = time.monotonic() + CAUGHT_UP_LIMIT_S
    while not run_load(at.load(f"late-{time.monotonic_ns()}", CONNECTIONS, what, run_s=PROBE_S)).only(STATUS):
        check(time.monotonic() < ends_s, f"the processor has not caught up in {CAUGHT_UP_LIMIT_S:g} s")


def _paired(
    bench: Bench, at: Station, kind: str, what: Sequence[Shape], gateway: BenchChild, child: BenchChild, port: int
) -> list[Result]:
    """The pair of one kind; what Darkroom's loads came to."""
    results: list[Result] = []
    bare: list[Figure] = []
    for number in range(bench.rounds):
        results.append(_done(kind, at.load(f"{kind}-{number}", CONNECTIONS, what, pids=(gateway.pid,))))
        load = at.load(f"bare-{kind}-{number}", CONNECTIONS, what, pids=(child.pid,), port=port)
        bare.append(measured(load, STATUS).figure)
    ours = [result.figure_of(STATUS) for result in results]
    against = "Starlette + aiokafka send_and_wait, same request"
    bench.pairs.append(pair(f"single submits, {kind}", "requests/s", against, GOALS[kind], ours, bare))
    return results


def _done(kind: str, load: Load) -> Result:
    """Run the load; what waits for decisions may be turned away in part, nothing else may."""
    if kind == "accepted":
        return measured(load, STATUS)
    result = run_load(load)
    turned_away(result, STATUS)
    return result

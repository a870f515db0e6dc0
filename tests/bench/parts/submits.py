"""Single submits: accepted once they are on the log, and once they are decided, beside a bare handler."""

from __future__ import annotations

import asyncio

from tests.bench.bare_submit import TOPIC
from tests.bench.children import answers, free_port
from tests.bench.clients import measured, shapes
from tests.bench.measure import Figure, pair
from tests.bench.station import Bench, Station
from tests.bench.topics import make_topics

CONNECTIONS = 64
WARM_S = 5.0


def measure(bench: Bench, at: Station) -> None:
    """With a gateway and a processor."""
    _, gateway = at.roles("processor-0", "gateway-0")
    asyncio.run(make_topics(at.settings, {TOPIC: 8}))
    port = free_port()
    child = at.children.bare("bare_submit", at.settings.kafka.bootstrap_servers, str(port))
    child.wait_for(lambda: answers(port))
    body = {"model": "sandbox/echo", "params": {"seed": 7}, "metadata": {"note": "x" * 250}}
    kinds = {"accepted": shapes(at.tokens, body, "wait=0"), "decided": shapes(at.tokens, body)}
    for warmed in (at.port, port):  # the broker compiles the way of a transaction while it is first used
        measured(at.load(f"warm-{warmed}", CONNECTIONS, kinds["decided"], run_s=WARM_S, port=warmed), 202)
    for kind, what in kinds.items():
        ours: list[Figure] = []
        bare: list[Figure] = []
        for number in range(bench.rounds):
            ours.append(measured(at.load(f"{kind}-{number}", CONNECTIONS, what, pids=(gateway.pid,)), 202).figure)
            load = at.load(f"bare-{kind}-{number}", CONNECTIONS, what, pids=(child.pid,), port=port)
            bare.append(measured(load, 202).figure)
        against = "Starlette + aiokafka send_and_wait, same request"
        goal = 0.7 if kind == "accepted" else 0.0
        bench.pairs.append(pair(f"single submits, {kind}", "requests/s", against, goal, ours, bare))
    at.children.stop(child)

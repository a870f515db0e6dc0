"""The smoke bench: ``python -m tests.bench.smoke``. Every figure beside a bare component in the same run.

It starts what it needs, prints Markdown tables and writes ``results.json``. Times and rates are printed, never judged:
the exit code is 1 only where something could not run, or where what was counted is not what it must be.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from infra.cli.plan import publish_plan
from tests.bench import bare_decide, bare_jobs, bare_projection, bare_submit, decide, projection
from tests.bench.children import BenchChild, Children, answers, free_port, stack
from tests.bench.clients import measured, shapes, submit, tokens, upload
from tests.bench.load import Load
from tests.bench.measure import Figure, Latency, Pair, latency, pair
from tests.bench.report import Results, machine, markdown, write
from tests.bench.topics import make_topics
from tests.pictures import encoded, scene
from tests.servers import LocalServers

ROUNDS = 3
ACCOUNTS = 200
EVENTS_A_ROUND = 30_000
BARE_EVENTS_A_ROUND = 1_500
COMMANDS_A_ROUND = 10_000
JOBS_RUN_S = 1.5
SUBMITS_WARM_S = 5.0
JOB_CONNECTIONS = 32
IDLE_REQUESTS = 100
IDLE_RESULTS = 50
IDLE_PAUSE_S = 0.05
_HOST = "127.0.0.1"
_PLAN = Path(__file__).with_name("plan.toml")
_TOPICS = {
    bare_submit.TOPIC: 8,
    bare_decide.FAUST_TOPIC: 8,
    bare_decide.COPY_TOPIC: 1,
    bare_decide.COPIED_TOPIC: 1,
    bare_decide.TRANSACTION_TOPIC: 1,
}


class Bench:
    """The figures so far; a part that fails leaves its name and the others go on."""

    def __init__(self) -> None:
        self.pairs: list[Pair] = []
        self.latencies: list[Latency] = []
        self.failures: list[str] = []

    def part(self, name: str, run: Callable[[], None]) -> None:
        """Run a part of the bench."""
        started = time.monotonic()
        try:
            run()
        except Exception as error:
            traceback.print_exc()
            self.failures.append(f"{name}: {error}")
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def projections(bench: Bench, root: Path) -> None:
    """Pair 4, on servers of its own: its events are synthetic."""
    with stack(root, "kafka", "postgres") as (servers, children):
        settings, postgres = servers.settings, servers.pid("postgres")
        projector = children.role("projector-0")
        log = projection.SyntheticLog(settings.partitions)
        ours: list[Figure] = []
        bare: list[Figure] = []
        for _ in range(ROUNDS):
            ours.append(asyncio.run(projection.ours(settings, log, projector, postgres, EVENTS_A_ROUND)))
            bare.append(bare_projection.project(settings.postgres_dsn, postgres, BARE_EVENTS_A_ROUND))
        against = "eventsourcing ProjectionRunner, one upsert an event"
        bench.pairs.append(pair("projection", "events/s", against, 20, ours, bare))


class Pipeline:
    """The parts that share one stack, in an order in which none disturbs the next."""

    def __init__(self, bench: Bench, servers: LocalServers, children: Children) -> None:
        self._bench, self._servers, self._children = bench, servers, children
        self._settings = servers.settings
        self._port = children.gateway_port
        self._tokens = tokens(servers.settings, ACCOUNTS)
        self._roles: dict[str, BenchChild] = {}

    def run(self) -> None:
        asyncio.run(make_topics(self._settings, _TOPICS))
        asyncio.run(publish_plan(self._settings))
        names = ("processor-0", "dispatcher-0", "projector-0", "gateway-0")
        with ThreadPoolExecutor(len(names)) as pool:
            self._roles = dict(zip(names, pool.map(self._children.role, names), strict=True))
        echo = shapes(self._tokens, {"model": "sandbox/echo"}, "wait=30")
        measured(self._load("warm", 8, echo, count=ACCOUNTS * 2), 200)
        self._bench.part("idle latency", self._idle)
        self._bench.part("jobs", self._jobs)
        self._children.stop(self._roles["dispatcher-0"], self._roles["projector-0"])
        self._bench.part("submits", self._submits)
        self._children.stop(self._roles["gateway-0"])
        self._bench.part("decisions", lambda: asyncio.run(self._decisions()))

    def _load(self, key: str, connections: int, what: tuple[object, ...], **more: object) -> Load:
        values = {"host": _HOST, "port": self._port, "shapes": what, "key": f"{key}-", "connections": connections}
        return Load(**{**values, **more})  # type: ignore[arg-type]

    def _pids(self) -> tuple[int, ...]:
        return tuple(child.pid for child in self._roles.values())

    def _idle(self) -> None:
        """Latencies of one request at a time."""
        transactions = bare_decide.one_record_transactions(
            self._settings.kafka.bootstrap_servers, IDLE_RESULTS, IDLE_PAUSE_S
        )
        bare_ms = asyncio.run(transactions)
        submits = shapes(self._tokens, {"model": "sandbox/echo"}, "respond-async")
        load = self._load("idle-submit", 1, submits, count=IDLE_REQUESTS, pause_s=IDLE_PAUSE_S)
        decided_ms = measured(load, 202).latencies_ms
        results = shapes(self._tokens, {"model": "sandbox/echo"}, "wait=30")
        load = self._load("idle-result", 1, results, count=IDLE_RESULTS, pause_s=IDLE_PAUSE_S)
        ended_ms = measured(load, 200).latencies_ms
        self._bench.latencies += [
            latency("HTTP submit to decision", decided_ms, (20, 60)),
            latency("sandbox/echo, HTTP submit to result", ended_ms, (60, None)),
            latency("bare transaction of one record with its offset", bare_ms),
        ]

    def _jobs(self) -> None:
        """Pair 3."""
        picture = encoded(scene(256, 256))
        users = self._tokens[:JOB_CONNECTIONS]
        assets = [upload(self._port, token, picture) for token in users]
        upscales = tuple(
            submit(token, {"model": "classical/upscale", "input": {"asset": asset}}, "wait=30")
            for token, asset in zip(users, assets, strict=True)
        )
        kinds = {"sandbox/echo": shapes(users, {"model": "sandbox/echo"}, "wait=30"), "upscale": upscales}
        for kind, what in kinds.items():
            ours: list[Figure] = []
            bare: list[Figure] = []
            for number in range(ROUNDS):
                least = bare_jobs.LEAST_JOBS
                load = self._load(
                    f"{kind}-{number}", JOB_CONNECTIONS, what, run_s=JOBS_RUN_S, least=least, pids=self._pids()
                )
                ours.append(measured(load, 200).figure)
                name = "echo" if kind == "sandbox/echo" else "upscale"
                bare.append(asyncio.run(bare_jobs.run_bare(self._settings, name, picture, number, JOBS_RUN_S)))
            title = kind if kind == "sandbox/echo" else "upscale of a 256x256 JPEG"
            against = f"bare loop, {bare_jobs.IN_FLIGHT} in flight"
            self._bench.pairs.append(pair(f"end to end, {title}", "jobs/s", against, 0.8, ours, bare))

    def _submits(self) -> None:
        """Pair 1: accepted once they are on the log, and, beside it, once they are decided."""
        port = free_port()
        child = self._children.bare("bare_submit", self._settings.kafka.bootstrap_servers, str(port))
        child.wait_for(lambda: answers(port))
        body = {"model": "sandbox/echo", "params": {"seed": 7}, "metadata": {"note": "x" * 250}}
        kinds = {"accepted": shapes(self._tokens, body, "wait=0"), "decided": shapes(self._tokens, body)}
        gateway = (self._roles["gateway-0"].pid,)
        for warmed in (self._port, port):  # the broker compiles the way of a transaction while it is first used
            measured(self._load(f"warm-{warmed}", 64, kinds["decided"], run_s=SUBMITS_WARM_S, port=warmed), 202)
        for kind, what in kinds.items():
            ours: list[Figure] = []
            bare: list[Figure] = []
            for number in range(ROUNDS):
                ours.append(measured(self._load(f"{kind}-{number}", 64, what, pids=gateway), 202).figure)
                load = self._load(f"bare-{kind}-{number}", 64, what, pids=(child.pid,), port=port)
                bare.append(measured(load, 202).figure)
            against = "Starlette + aiokafka send_and_wait, same request"
            goal = 0.7 if kind == "accepted" else 0.0
            self._bench.pairs.append(pair(f"single submits, {kind}", "requests/s", against, goal, ours, bare))
        self._children.stop(child)

    async def _decisions(self) -> None:
        """Pair 2."""
        settings, processor = self._settings, self._roles["processor-0"]
        count, brokers = COMMANDS_A_ROUND, self._settings.kafka.bootstrap_servers
        loops = {kind: self._children.bare("bare_decide", kind, brokers, str(count)) for kind in ("faust", "copy")}
        for child in loops.values():
            await asyncio.to_thread(child.wait_to_say, "ready")
        ours: list[Figure] = []
        bare: dict[str, list[Figure]] = {kind: [] for kind in loops}
        async with decide.Answers(settings) as replies:
            for number in range(ROUNDS):
                for kind, child in loops.items():
                    bare[kind].append(await decide.bare(settings, kind, child, number, count))
                ours.append(await decide.ours(settings, replies, processor, number, count))
        against = {"faust": (2.0, "Faust agent that only counts"), "copy": (0.5, "transactional copy, 500 a batch")}
        for kind, (goal, what) in against.items():
            self._bench.pairs.append(pair("decisions, exactly once", "commands/s", what, goal, ours, bare[kind]))
        self._children.stop(*loops.values())


def pipeline(bench: Bench, root: Path) -> None:
    """Everything but the projections."""
    with stack(root, "kafka", "s3", "postgres", "triton") as (servers, children):
        Pipeline(bench, servers, children).run()


def main() -> int:
    """Run everything; the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the bare loops retry on topics that are just made
    os.environ["DARKROOM_PLAN_PATH"] = str(_PLAN)
    started = time.monotonic()
    bench = Bench()
    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as folder:
        root = Path(folder)
        bench.part("projections", lambda: projections(bench, root / "projections"))
        bench.part("pipeline", lambda: pipeline(bench, root / "pipeline"))
    seconds = time.monotonic() - started
    results = Results(ROUNDS, seconds, machine(), bench.pairs, bench.latencies, bench.failures)
    print(markdown(results))
    write(results)
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())

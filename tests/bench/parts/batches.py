"""Commands that come many in a request: accepted a second, beside a bare handler that sends the same lines to Kafka.

Both take NDJSON from the same connections. Ours checks, seals and encodes each job for itself and answers each
(`Prefer: wait=0`: once it is on the log); the bare handler sends each line by itself, or all of them in one record, and
answers with nothing. While commands are accepted nothing decides them, as nothing reads what the bare handler sends;
"decided" has a processor at work and answers that wait for it. On servers of its own: what is left on this log is a
hundred thousand commands and more.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Mapping, Sequence

from infra.cli.plan import publish_plan
from infra.kafka.client import start_client
from infra.kafka.reader import KafkaLogReader
from infra.settings import Settings
from ingest.bodies import NDJSON
from schemas import topics
from schemas.codec import unpack_items
from tests.bench import bare_submit
from tests.bench.batch import batch_body
from tests.bench.children import Children, answers, free_port, stack
from tests.bench.clients import all_decided, tokens, turned_away
from tests.bench.load import Load, Shape, run_load
from tests.bench.measure import Curves, Figure, check, pair
from tests.bench.station import HOST, Bench, Station
from tests.bench.topics import make_topics
from tests.servers import LocalServers

PAIRED = (50, 1000)
SIZES = (1, 10, 50, 200, 1000)
CURVE_ROUNDS = 2
COMMANDS_A_LOAD = 12_000
REQUESTS_MAX = 2_000
IN_FLIGHT_MAX = 6_000
CONNECTIONS = 32
ACCOUNTS = 40
WARM_ROUNDS = 2
WAYS = {"Darkroom": "/v1/jobs:batch", "plain sends": bare_submit.PLAIN, "one record": bare_submit.PACKED}
ON_THE_LOG, DECIDED = "wait=0", "respond-async"
_SUBMIT = b"submit-job"


class Batches:
    """Loads of one stack and of the bare handler beside it: how many commands ours accepted, and turned away."""

    def __init__(self, servers: LocalServers, children: Children) -> None:
        self._accounts = tokens(servers.settings, ACCOUNTS)
        self._gateway = children.role("gateway-0")
        port = free_port()
        self._bare = children.bare("bare_submit", servers.settings.kafka.bootstrap_servers, str(port))
        self._bare.wait_for(lambda: answers(port))
        self._ports = {"Darkroom": children.gateway_port, "plain sends": port, "one record": port}
        self._loads = 0
        self.accepted = 0
        self.turned_away = 0

    def rate(self, way: str, size: int, prefer: str = ON_THE_LOG) -> Figure:
        """Commands a second, `size` in a request, and the CPU a command of the process that takes them."""
        self._loads += 1
        child = self._gateway if way == "Darkroom" else self._bare
        load = Load(
            host=HOST,
            port=self._ports[way],
            shapes=tuple(batch(token, size, prefer, WAYS[way]) for token in self._accounts),
            key=f"batch-{self._loads}-",
            connections=min(CONNECTIONS, IN_FLIGHT_MAX // size),
            count=min(REQUESTS_MAX, COMMANDS_A_LOAD // size),
            pids=(child.pid,),
        )
        result = run_load(load)
        away = turned_away(result, 200)
        if prefer == DECIDED:
            all_decided(result)
        accepted = size * (result.requests - away)
        if way == "Darkroom":
            self.accepted += accepted
            self.turned_away += away
        return Figure(accepted / result.seconds, result.cpu_us * result.requests / accepted)


def measure(bench: Bench, at: Station) -> None:
    """Needs no role of the station."""
    at.roles()
    with stack(at.root / "batches", "kafka", "s3", "postgres") as (servers, children):
        asyncio.run(make_topics(servers.settings, {bare_submit.TOPIC: servers.settings.partitions}))
        asyncio.run(publish_plan(servers.settings))
        processor = children.role("processor-0")
        batches = Batches(servers, children)
        for _ in range(WARM_ROUNDS):
            batches.rate("Darkroom", PAIRED[0], DECIDED)
            batches.rate("plain sends", PAIRED[0])
        decided, beside = _decided(batches, bench.rounds)
        children.stop(processor)
        accepted = _accepted(batches, bench.rounds)
        curve = _curve(batches, accepted, min(CURVE_ROUNDS, bench.rounds))
        on_log = asyncio.run(_submits_on_log(servers.settings))
        check(on_log == batches.accepted, f"of {batches.accepted} accepted commands {on_log} are on the log")
    if batches.turned_away:
        bench.notes.append(f"Darkroom turned {batches.turned_away} batches away (503); they count as nothing accepted.")
    what = {"plain sends": (1.0, "Starlette + aiokafka, a send each line"), "one record": (0.0, "the same, one record")}
    for size in PAIRED:
        for way, (goal, against) in what.items():
            name = f"batches of {size:,}, accepted"
            bench.pairs.append(pair(name, "commands/s", against, goal, accepted["Darkroom", size], accepted[way, size]))
    against = what["plain sends"][1]
    bench.pairs.append(pair(f"batches of {PAIRED[0]}, decided", "commands/s", against, 0.0, decided, beside))
    axes = ("commands a request", "commands/s accepted")
    bench.curves.append(Curves("Throughput against batch size", *axes, curve, logarithmic=True))


def _decided(batches: Batches, rounds: int) -> tuple[Sequence[Figure], Sequence[Figure]]:
    """With a processor at work: answers that hold decisions, and plain sends in turn with them."""
    ours: list[Figure] = []
    bare: list[Figure] = []
    for _ in range(rounds):
        ours.append(batches.rate("Darkroom", PAIRED[0], DECIDED))
        bare.append(batches.rate("plain sends", PAIRED[0]))
    return ours, bare


def _accepted(batches: Batches, rounds: int) -> Mapping[tuple[str, int], list[Figure]]:
    """Of each way and paired size a figure a round."""
    figures: dict[tuple[str, int], list[Figure]] = {(way, size): [] for way in WAYS for size in PAIRED}
    for _ in range(rounds):
        for size in PAIRED:
            for way in WAYS:
                figures[way, size].append(batches.rate(way, size))
    return figures


def _curve(
    batches: Batches, accepted: Mapping[tuple[str, int], Sequence[Figure]], rounds: int
) -> dict[str, list[tuple[float, float]]]:
    """The median rate of each way at each size; those of the pairs are measured already."""
    figures = {key: list(of) for key, of in accepted.items()}
    for _ in range(rounds):
        for size in SIZES:
            if size not in PAIRED:
                for way in WAYS:
                    figures.setdefault((way, size), []).append(batches.rate(way, size))
    return {
        way: [(size, statistics.median(figure.rate for figure in figures[way, size])) for size in SIZES] for way in WAYS
    }


async def _submits_on_log(settings: Settings) -> int:
    """How many submits `commands` holds; each names its kind once."""
    client = await start_client(settings.kafka, client_id="darkroom-bench")
    try:
        reader, count = KafkaLogReader(client), 0
        for partition in range(settings.partitions):
            async for records in reader.read(topics.COMMANDS, partition, 0, committed=False):
                items = [item for record in records for item in unpack_items(record.value)]
                count += sum(isinstance(item, bytes) and _SUBMIT in item for item in items)
        return count
    finally:
        await client.close()


def batch(token: str, size: int, prefer: str, path: str = WAYS["Darkroom"]) -> Shape:
    """A request with as many small jobs."""
    headers = (f"Authorization: Bearer {token}", f"Content-Type: {NDJSON}", f"Prefer: {prefer}")
    return Shape("POST", path, headers, batch_body(size, "ndjson").decode())

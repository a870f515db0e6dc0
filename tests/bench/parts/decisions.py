"""Commands decided exactly once by one process, beside a Faust agent that only counts and a transactional copy loop."""

from __future__ import annotations

import asyncio

from tests.bench import bare_decide, decide
from tests.bench.measure import Figure, pair
from tests.bench.station import Bench, Station
from tests.bench.topics import make_topics

COMMANDS_A_ROUND = 10_000
_TOPICS = {bare_decide.FAUST_TOPIC: 8, bare_decide.COPY_TOPIC: 1, bare_decide.COPIED_TOPIC: 1}


def measure(bench: Bench, at: Station) -> None:
    """With a processor alone."""
    at.roles("processor-0")
    asyncio.run(make_topics(at.settings, _TOPICS))
    asyncio.run(_decisions(bench, at))


async def _decisions(bench: Bench, at: Station) -> None:
    settings, (processor,) = at.settings, at.roles("processor-0")
    count, brokers = COMMANDS_A_ROUND, at.settings.kafka.bootstrap_servers
    loops = {kind: at.children.bare("bare_decide", kind, brokers, str(count)) for kind in ("faust", "copy")}
    for child in loops.values():
        await asyncio.to_thread(child.wait_to_say, "ready")
    ours: list[Figure] = []
    bare: dict[str, list[Figure]] = {kind: [] for kind in loops}
    async with decide.Answers(settings) as replies:
        for number in range(bench.rounds):
            for kind, child in loops.items():
                bare[kind].append(await decide.bare(settings, kind, child, number, count))
            ours.append(await decide.ours(settings, replies, processor, number, count))
    against = {"faust": (2.0, "Faust agent that only counts"), "copy": (0.5, "transactional copy, 500 a batch")}
    for kind, (goal, what) in against.items():
        bench.pairs.append(pair("decisions, exactly once", "commands/s", what, goal, ours, bare[kind]))
    at.children.stop(*loops.values())

"""What exactly once costs: the processor beside itself without transactions, over the same commands and batches.

Both start anew for each round, because two of them would share the partitions; a round begins when one stands ready.
"""

from __future__ import annotations

import asyncio

from tests.bench import decide
from tests.bench.children import BenchChild
from tests.bench.measure import Figure, pair
from tests.bench.parts.decisions import COMMANDS_A_ROUND
from tests.bench.station import Bench, Station

WARM_COMMANDS = 1_000
WARM_FROM, FROM = 100_000, 1_000
"""Rounds that no other part has: their commands have ids of their own."""


def measure(bench: Bench, at: Station) -> None:
    """With a processor alone."""
    once: list[Figure] = []
    repeated: list[Figure] = []
    for number in range(bench.rounds):
        (processor,) = at.roles("processor-0")
        once.append(asyncio.run(_round(at, processor, 2 * number)))
        at.roles()
        plain = at.children.role("processor-0", "at_least_once")
        repeated.append(asyncio.run(_round(at, plain, 2 * number + 1)))
        at.children.stop(plain)
    what = "the same processor at least once, without transactions"
    bench.pairs.append(pair("decisions, exactly once", "commands/s", what, 0.7, once, repeated))


async def _round(at: Station, processor: BenchChild, number: int) -> Figure:
    async with decide.Answers(at.settings) as replies:
        await decide.ours(at.settings, replies, processor, WARM_FROM + number, WARM_COMMANDS)
        return await decide.ours(at.settings, replies, processor, FROM + number, COMMANDS_A_ROUND)

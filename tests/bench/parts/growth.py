"""What a command costs as accounts grow in number, beside a stack that stays at the fewest.

On two stacks of their own, each with Kafka and one processor. In each round as many accounts, drawn among all that
there are, submit as many jobs; they are ended before the next round, so that no round finds more that lives.
"""

from __future__ import annotations

import asyncio
import random
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psutil

from infra.cli.plan import publish_plan
from schemas import topics
from schemas.replies import JobEndedAnswer
from tests.bench import decide
from tests.bench.children import BenchChild, stack
from tests.bench.decide import Answers, bench_account, packed
from tests.bench.growing import ACCOUNTS, Growing
from tests.bench.measure import Curves, Figure, Pair, pair
from tests.bench.station import Bench, Station
from tests.bench.topics import append_records

COMMANDS_A_ROUND = 10_000
ACCOUNTS_A_ROUND = min(ACCOUNTS)
COST_RATIO_MAX = 1.1
UNIT = "commands/CPU s"


class Deciding(Growing):
    """A stack that grows, its processor, and rounds that leave nothing alive."""

    processor: BenchChild

    def __init__(self, at: Station, name: str) -> None:
        super().__init__(at.root / name)
        self._rounds = 0

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Kafka and a processor run."""
        with stack(self.data, "kafka") as (servers, children):
            asyncio.run(publish_plan(servers.settings))
            self.processor = children.role("processor-0")
            yield

    async def round(self, accounts: Sequence[str], count: int = COMMANDS_A_ROUND) -> Figure:
        """Submits of these accounts in turn: commands a second of the processor's CPU, and its CPU each."""
        self._rounds += 1
        async with Answers(self.settings) as answers:
            figure = await decide.ours(self.settings, answers, self.processor, self._rounds, count, accounts)
            await self.end(answers, self._rounds, accounts, count)
        assert figure.cpu_us is not None
        return Figure(1e6 / figure.cpu_us, figure.cpu_us)

    async def end(self, answers: Answers, round_number: int, accounts: Sequence[str], count: int) -> None:
        """End the jobs of a round; each must have been there."""
        records = packed(decide.outcomes(round_number, count, self.settings.partitions, accounts))
        await append_records(self.settings, topics.COMMANDS, records)
        await answers.wait_for(count, yes_is=JobEndedAnswer)

    @property
    def memory_mib(self) -> float:
        """What the processor holds, resident."""
        return float(psutil.Process(self.processor.pid).memory_info().rss / (1 << 20))


def measure(bench: Bench, at: Station) -> None:
    """Needs no role of the station."""
    at.roles()
    few, many = Deciding(at, "few-accounts"), Deciding(at, "many-accounts")
    with few.serving(), many.serving():
        asyncio.run(_measured(bench, few, many))


async def _measured(bench: Bench, few: Deciding, many: Deciding) -> None:
    fewest = min(ACCOUNTS)
    await few.grow(fewest)
    lines: dict[str, list[tuple[float, float]]] = {"so many accounts": [], f"{fewest:,} accounts beside them": []}
    for count in ACCOUNTS:
        await many.grow(count)
        ours: list[Figure] = []
        bare: list[Figure] = []
        await _round(many, count, -1)  # what grew is settled, and the code is warm
        await _round(few, fewest, -1)
        for number in range(bench.rounds):
            ours.append(await _round(many, count, number))
            bare.append(await _round(few, fewest, number))
        for line, figures in zip(lines.values(), (ours, bare), strict=True):
            line.append((count, statistics.median(figure.cpu_us or 0.0 for figure in figures)))
        row = cost_pair(f"{count:,} accounts", f"{fewest:,} accounts in a stack beside it", ours, bare)
        bench.pairs.append(row)
        bench.notes.append(cost_note(row, f"with {count:,} accounts ({many.memory_mib:,.0f} MiB)"))
    bench.curves.append(
        Curves("Cost against number of accounts", "accounts", "CPU us of the processor a command", lines)
    )


async def _round(deciding: Deciding, of: int, seed: int) -> Figure:
    drawn = random.Random(seed).sample(range(of), ACCOUNTS_A_ROUND)
    return await deciding.round([bench_account(number) for number in drawn])


def cost_pair(what: str, against: str, ours: Sequence[Figure], bare: Sequence[Figure]) -> Pair:
    """The pair of two series of `Deciding.round`: what CPU buys."""
    return pair(f"commands decided, {what}", UNIT, against, round(1 / COST_RATIO_MAX, 3), ours, bare)


def cost_note(row: Pair, what: str) -> str:
    """A sentence of how much dearer a command is."""
    return f"Cost of a command {what}: {1 / row.ratio.median:.2f} times (goal: at most {COST_RATIO_MAX:g})."

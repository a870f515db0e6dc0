"""What a command costs an account that has very many assets, idempotency keys and ended jobs, beside a fresh account.

On a stack of its own. The account registers its assets, and gets its keys and jobs by submits that are decided and then
ended, until there are as many as are wanted or the time is over; how many there were in the end is told.
"""

from __future__ import annotations

import asyncio
import time

from schemas import topics
from schemas.identifiers import partition_of
from schemas.replies import AssetAccepted
from tests.bench import decide
from tests.bench.decide import Answers, bench_account, packed
from tests.bench.growing import ACCOUNTS
from tests.bench.measure import Figure
from tests.bench.parts.growth import Deciding, cost_note, cost_pair
from tests.bench.station import Bench, Station
from tests.bench.topics import append_records

ASSETS = 100_000
KEYS = 1_000_000
CHUNK = 25_000
HOARDING_LIMIT_S = 300.0
COMMANDS_A_ROUND = 5_000
_FIRST_CHUNK = 1_000  # rounds that measure come before it, so that no id comes twice


def measure(bench: Bench, at: Station) -> None:
    """Needs no role of the station."""
    at.roles()
    deciding = Deciding(at, "hoard")
    with deciding.serving():
        asyncio.run(_measured(bench, deciding))


async def _measured(bench: Bench, deciding: Deciding) -> None:
    await deciding.grow(min(ACCOUNTS))
    partitions, hoarder = deciding.settings.partitions, bench_account(0)
    others = (bench_account(number) for number in range(min(ACCOUNTS), 10 * min(ACCOUNTS)))
    fresh = [name for name in others if partition_of(name, partitions) == partition_of(hoarder, partitions)]
    started = time.monotonic()
    await _registered(deciding, hoarder)
    keys = await _hoarded(deciding, hoarder)
    has = f"{ASSETS:,} live assets and {keys:,} keys and ended jobs"
    bench.notes.append(
        f"One account came to {has} in {time.monotonic() - started:.0f} s; the processor holds"
        f" {deciding.memory_mib:,.0f} MiB."
    )
    await deciding.round([fresh.pop()], COMMANDS_A_ROUND)
    await deciding.round([hoarder], COMMANDS_A_ROUND)
    ours: list[Figure] = []
    bare: list[Figure] = []
    for _ in range(bench.rounds):
        ours.append(await deciding.round([hoarder], COMMANDS_A_ROUND))
        bare.append(await deciding.round([fresh.pop()], COMMANDS_A_ROUND))
    row = cost_pair(f"one account with {has}", "a fresh account", ours, bare)
    bench.pairs.append(row)
    bench.notes.append(cost_note(row, f"of an account with {has}"))


async def _registered(deciding: Deciding, account: str) -> None:
    """Give the account its assets."""
    settings = deciding.settings
    async with Answers(settings) as answers:
        for number in range(ASSETS // CHUNK):
            records = packed(decide.registrations(number, CHUNK, settings.partitions, [account]))
            await append_records(settings, topics.COMMANDS, records)
            await answers.wait_for(CHUNK, yes_is=AssetAccepted)


async def _hoarded(deciding: Deciding, account: str) -> int:
    """Give the account keys and ended jobs; how many."""
    settings, keys, begun_s = deciding.settings, 0, time.monotonic()
    async with Answers(settings) as answers:
        while keys < KEYS and time.monotonic() - begun_s < HOARDING_LIMIT_S:
            number = _FIRST_CHUNK + keys // CHUNK
            records = packed(decide.submits(number, CHUNK, settings.partitions, [account]))
            await append_records(settings, topics.COMMANDS, records)
            await answers.wait_for(CHUNK)
            await deciding.end(answers, number, [account], CHUNK)
            keys += CHUNK
    return keys

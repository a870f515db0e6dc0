"""What a stack does once an hour, or after seven days, done now in a process of its own: for the sweep of failpoints.

    python -m tests.chaos.upkeep_now beat|trim DATA

``trim`` takes the oldest applied command of each partition, as if all were eight days old.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from infra.cli.target import open_reader, settings_for
from infra.cli.upkeep import beat
from infra.clock import SystemClock
from infra.kafka.trimmer import KafkaTrimmer
from infra.settings import Settings
from processors import retention
from schemas.topics import COMMANDS

_EIGHT_DAYS_MS = 8 * 86_400_000
_LEFT_RECORDS = 20


class LaterClock(SystemClock):
    """Eight days ahead."""

    def now_ms(self) -> int:
        return super().now_ms() + _EIGHT_DAYS_MS


async def trim(settings: Settings) -> None:
    """One round of `processors.retention.keep_trimmed`."""
    retention.TRIM_EVERY_S = 0.1
    async with open_reader(settings) as reader:
        begins = {p: await reader.begin_offset(COMMANDS, p) for p in range(settings.partitions)}
        ends = {p: await reader.end_offset(COMMANDS, p, committed=False) for p in range(settings.partitions)}
        positions = {p: begin + 1 for p, begin in begins.items() if ends[p] - begin > _LEFT_RECORDS}
        keeping = retention.keep_trimmed(reader, KafkaTrimmer(settings.kafka), LaterClock(), lambda: positions)
        trimming = asyncio.create_task(keeping)
        async with asyncio.timeout(60):
            while [p for p in positions if await reader.begin_offset(COMMANDS, p) < positions[p]]:
                await asyncio.sleep(0.1)
        trimming.cancel()
        await asyncio.gather(trimming, return_exceptions=True)


def main() -> None:
    """Do what the first argument says with the stack of the second."""
    settings = settings_for(Path(sys.argv[2]))
    asyncio.run(beat(settings) if sys.argv[1] == "beat" else trim(settings))


if __name__ == "__main__":
    main()

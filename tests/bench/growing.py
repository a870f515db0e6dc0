"""A data directory whose accounts grow in number, by commands that its own processor decides.

Each account gets credits, one in ten of them credits that expire and so a timer.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from infra.local.layout import Layout
from infra.local.stack import settings_of
from infra.settings import Settings
from schemas import topics
from schemas.codec import pack_items
from schemas.commands import Envelope, GrantCredits, ReplyAddress, SubmitJob, encode_command
from schemas.identifiers import partition_of
from tests.bench.decide import GATEWAY, Answers, bench_account, bench_accounts, packed
from tests.bench.topics import append_records

ACCOUNTS = (1_000, 100_000, 1_000_000)
CHUNK = 50_000
LIMIT_S = 600.0
_EXPIRES_MS = 4_000_000_000_000
_SENT_MS = 1_800_000_000_000


class Growing:
    """What has grown so far in a data directory; Kafka and a processor must run on it while it grows."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self._accounts = 0
        self._probes = 0

    @property
    def settings(self) -> Settings:
        """Those of the stack; there are none before its first start."""
        return settings_of(Layout(self.data))

    async def grow(self, to: int, updates: int = 1) -> float:
        """Open accounts until there are so many, each by as many grants; the commands that were decided a second."""
        started, before = time.monotonic(), self._accounts
        while self._accounts < to:
            count = min(CHUNK, to - self._accounts)
            for update in range(updates):
                grants = _grants(self._accounts, count, update, self.settings)
                await append_records(self.settings, topics.COMMANDS, grants)
                await self.decided()
            self._accounts += count
        return (to - before) * updates / (time.monotonic() - started)

    async def decided(self) -> None:
        """Return when every partition has decided a submit that is sent now."""
        settings = self.settings
        self._probes += 1
        async with Answers(settings) as answers:
            probes = {number: [self._probe(number, settings)] for number in range(settings.partitions)}
            await append_records(settings, topics.COMMANDS, probes)
            await answers.wait_for(settings.partitions, LIMIT_S)

    def _probe(self, partition: int, settings: Settings) -> bytes:
        """A submit of one job, for an account of the partition that is there from the beginning."""
        oldest = bench_accounts(min(ACCOUNTS))
        account = next(name for name in oldest if partition_of(name, settings.partitions) == partition)
        unique = f"{os.getpid():08d}{partition:02d}{self._probes:016d}"
        command = SubmitJob(f"job_{unique}", "sandbox/echo", {"seed": 1})
        reply = ReplyAddress(GATEWAY, unique)
        envelope = Envelope(f"cmd_{unique}", account, "darkroom", command, _SENT_MS, reply=reply)
        return pack_items([encode_command(envelope)])


def _grants(first: int, count: int, update: int, settings: Settings) -> dict[int, list[bytes]]:
    """Records of grants for these accounts, by partition; of an `update` of its own each time."""
    by_partition: dict[int, list[bytes]] = {partition: [] for partition in range(settings.partitions)}
    for number in range(first, first + count):
        account = bench_account(number)
        command = GrantCredits(1_000, "bench", _EXPIRES_MS if number % 10 == 0 and update == 0 else None)
        envelope = Envelope(f"cmd_{update:02d}{number:024d}", account, "darkroom", command, _SENT_MS)
        by_partition[partition_of(account, settings.partitions)].append(encode_command(envelope))
    return packed(by_partition)

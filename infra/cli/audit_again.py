"""The commands decided again in another process, under a hash seed of its own, down to one fingerprint.

A decision that depends on the order of a set or of hashes gives the same bytes in a process that happens to have the
same seed. So the child is told which seed to take; it decides all commands and answers with a fingerprint for each
partition, over as many events as the audit has seen.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping

from infra.cli.target import open_reader
from infra.errors import OperatorError
from infra.kafka.ports import LogReader
from infra.settings import Settings
from processors.audit_spill import Spill
from processors.audit_trace import Again
from processors.batch import DecisionFailed
from processors.effects import Addressing
from schemas.topics import COMMANDS

LAW = "decided-elsewhere-the-same"
FINGERPRINT_BYTES = 16


async def differing(seed: int, arguments: Iterable[str], seen: Mapping[int, tuple[int, str]]) -> list[str]:
    """A line for each partition whose events another process does not decide; `seen` are counts and fingerprints."""
    argv = (sys.executable, "-m", "infra.cli.main", "audit", *arguments, "--decide-only", "-")
    process = await asyncio.create_subprocess_exec(
        *argv,
        env={**os.environ, "PYTHONHASHSEED": str(seed)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    asked = json.dumps({partition: count for partition, (count, _) in seen.items()})
    answer, _ = await process.communicate(asked.encode())
    if process.returncode != 0:
        raise OperatorError("The process that was to decide everything again failed: see above.")
    told = {int(partition): fingerprint for partition, fingerprint in json.loads(answer).items()}
    return [
        f"{LAW} at {partition}.end (partition-{partition}): {told[partition]} is decided under hash seed {seed},"
        f" {fingerprint} stands"
        for partition, (_, fingerprint) in seen.items()
        if told[partition] not in (None, fingerprint)
    ]


async def decided(settings: Settings, counts: Mapping[int, int]) -> dict[int, str | None]:
    """The fingerprint of the first `counts` events of each partition; None where the first commands are gone."""
    addressing = Addressing(settings.deployment, settings.partitions)
    async with open_reader(settings) as reader:
        return {
            partition: await _fingerprint(reader, partition, count, addressing) for partition, count in counts.items()
        }


async def _fingerprint(reader: LogReader, partition: int, count: int, addressing: Addressing) -> str | None:
    digest, left = hashlib.blake2b(digest_size=FINGERPRINT_BYTES), count
    if await reader.begin_offset(COMMANDS, partition) > 0:
        return None
    with Spill() as spill:
        again = Again(partition, addressing, spill)
        async for records in reader.read(COMMANDS, partition, 0, committed=False):
            for record in records:
                try:
                    again.decide(record)
                except DecisionFailed as error:
                    return str(error)
                for value in again.take(left):
                    digest.update(value)
                    left -= 1
                if not left:
                    return digest.hexdigest()
    return digest.hexdigest()

"""``python -m tests.chaos.plain_loop``: the same storm over the loop that tutorials show, and over ours.

What it shows is that the storm bites: without our cures records are lost, copied twice, and balances are wrong.
Exit code 1 where ours is not perfect, or where no plain loop was harmed.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from infra.kafka.reader import KafkaLogReader
from infra.settings import Settings
from tests.chaos.storm import Report, storm
from tests.chaos.trial import PARTITIONS, How, Trial, trial_of
from tests.servers import LocalServers

_PLAIN = "tests.chaos.plain_worker"
LOOPS = {
    "plain: offsets committed by themselves": How(_PLAIN, ("plain",), publishes_member=False),
    "transactional, as in tutorials": How(_PLAIN, ("transactional",), publishes_member=False),
    "ours": How(),
}
_RETURNS_WITHIN_S = 0.5
_WORKS_WITHIN_S = 60.0
_ENDS_WITHIN_S = 150.0


@dataclass(frozen=True)
class Shown:
    """What a loop did: the report of the storm, and by how much the balances that it knew were off at the end."""

    report: Report
    balances_off: int


async def run_one(settings: Settings, how: How, seconds: float, seed: int, folder: Path) -> Shown:
    """A storm over one loop; workers that give up are started again, as a supervisor does."""
    folder.mkdir(parents=True)
    report = Report()
    async with trial_of(settings, folder, how) as trial:
        keeping = asyncio.create_task(_keep_running(trial))
        try:
            # A worker that is killed before it works shows nothing.
            await storm(trial.workers, seconds, seed, report, before=lambda: trial.copied(_WORKS_WITHIN_S))
            await trial.finish(report, _ENDS_WITHIN_S)
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
        off = await _balances_off(trial.reader, trial.source, trial.target) if how.arguments else 0
    return Shown(report, off)


async def _keep_running(trial: Trial) -> None:
    """Each second; the storm itself starts what it has ended."""
    while True:
        await asyncio.sleep(1.0)
        for worker in trial.workers:
            if not worker.is_running:
                await asyncio.sleep(_RETURNS_WITHIN_S)
                if not worker.is_running:
                    await worker.start()


async def _balances_off(reader: KafkaLogReader, source: str, target: str) -> int:
    """The units by which the last balance of each partition differs from the number of its records."""
    off = 0
    for partition in range(PARTITIONS):
        wanted = sum([len(records) async for records in reader.read(source, partition, 0)])
        known = 0
        async for records in reader.read(target, partition, 0):
            known = int(records[-1].key or b"0")
        off += abs(wanted - known)
    return off


def table(shown: dict[str, Shown]) -> str:
    """A line for each loop."""
    lines = [f"{'loop':<40} {'acknowledged':>12} {'lost':>7} {'twice':>7} {'balances off':>13}  faults"]
    for name, one in shown.items():
        report = one.report
        faults = ", ".join(f"{fault} {count}" for fault, count in sorted(report.faults.items()))
        lines.append(
            f"{name:<40} {report.acknowledged:>12} {report.lost:>7} {report.twice:>7} {one.balances_off:>13}  {faults}"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.plain_loop")
    parser.add_argument("--seconds", type=float, default=90.0, help="of storm over each loop")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    shown: dict[str, Shown] = {}
    with tempfile.TemporaryDirectory(prefix="darkroom-plain-", ignore_cleanup_errors=True) as folder:
        servers = LocalServers(Path(folder) / "servers")
        try:
            settings = servers.need("kafka")
            for number, (name, how) in enumerate(LOOPS.items()):
                trial_folder = Path(folder) / str(number)
                shown[name] = asyncio.run(run_one(settings, how, given.seconds, given.seed, trial_folder))
                print(table({name: shown[name]}), file=sys.stderr, flush=True)
        finally:
            servers.stop()
    print(table(shown))
    ours = shown.pop("ours").report
    harmed = any(one.report.lost or one.report.twice or one.balances_off for one in shown.values())
    return 0 if harmed and not ours.violations else 1


if __name__ == "__main__":
    sys.exit(main())

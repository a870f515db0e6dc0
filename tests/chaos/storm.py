"""A storm over toy workers: started, killed, hung and stopped while records come in; then every record is counted."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from infra.kafka.appender import CommandAppender
from infra.kafka.groups import leave_group
from infra.kafka.ports import NotAppended, OutcomeUnknown
from infra.kafka.reader import KafkaLogReader
from infra.settings import Settings


@dataclass
class Worker:
    """One toy process; `start` again after its death gives it a new life under the same name."""

    settings: Settings
    name: str
    arguments: tuple[str, ...]
    log_path: Path
    module: str = "tests.chaos.toy"
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        environment = {
            **os.environ,
            "DARKROOM_KAFKA__BOOTSTRAP_SERVERS": self.settings.kafka.bootstrap_servers,
            "DARKROOM_DATA_DIR": str(self.log_path.parent),
        }
        self.member_file.unlink(missing_ok=True)
        with self.log_path.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", self.module, self.name, *self.arguments),
                env=environment,
                stderr=output,
                start_new_session=True,  # or the kernel hangs up a group without a parent as soon as one is stopped
            )

    def send(self, number: signal.Signals) -> None:
        """Signal the process, if it has not ended by itself."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)

    async def ended(self) -> int:
        assert self.process is not None
        return await self.process.wait()

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.returncode is None

    @property
    def member_file(self) -> Path:
        return self.log_path.parent / "run" / f"{self.name}.member"

    def member(self) -> tuple[str, str] | None:
        """The group and the member id that the worker has published in this life."""
        if not self.member_file.is_file():
            return None
        content = json.loads(self.member_file.read_text())
        return content["group"], content["member_id"]

    async def kill_and_report(self) -> None:
        """kill -9, and what a supervisor does when it sees that."""
        self.send(signal.SIGKILL)
        await self.ended()
        member = self.member()
        if member is not None:
            await leave_group(self.settings, *member)


@dataclass
class Report:
    """What a storm has shown."""

    acknowledged: int = 0
    copied: int = 0
    lost: int = 0
    twice: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


class Feed:
    """Appends numbered items to all partitions until stopped; remembers what was acknowledged."""

    def __init__(self, appender: CommandAppender, partitions: int, every_s: float) -> None:
        self._appender = appender
        self._partitions = partitions
        self._every_s = every_s
        self.acknowledged: dict[int, set[int]] = {number: set() for number in range(partitions)}
        self.unknown = 0

    async def run(self, stop: asyncio.Event) -> None:
        number = 0
        while not stop.is_set():
            partition = number % self._partitions
            try:
                appended = await self._appender.append(partition, b"%d" % number)
                self.acknowledged[partition].add(appended.offset)
            except (OutcomeUnknown, NotAppended):
                self.unknown += 1
            number += 1
            await asyncio.sleep(self._every_s)


async def check(reader: KafkaLogReader, source: str, target: str, partitions: int, feed: Feed, report: Report) -> None:
    """Every source record stands in the target exactly once and in order, and all acknowledged are there."""
    for partition in range(partitions):
        wanted: list[bytes] = []
        async for records in reader.read(source, partition, 0):
            wanted += [b"%d %s" % (record.offset, record.value or b"") for record in records]
        found: list[bytes] = []
        async for records in reader.read(target, partition, 0):
            found += [record.value or b"" for record in records]
        report.copied += len(found)
        report.acknowledged += len(feed.acknowledged[partition])
        if found != wanted:
            extra = [value for value, count in Counter(found).items() if count > 1]
            report.twice += len(found) - len(set(found))
            report.violations.append(
                f"partition {partition}: {len(wanted)} sent, {len(found)} copied, {len(extra)} more than once"
            )
        offsets = {int(value.split(b" ", 1)[0]) for value in found}
        if missing := feed.acknowledged[partition] - offsets:
            report.lost += len(missing)
            report.violations.append(f"partition {partition}: {len(missing)} acknowledged records are missing")


async def until_copied(reader: KafkaLogReader, source: str, target: str, partitions: int, within_s: float) -> bool:
    """Whether every partition of the target holds the last record of the source in time."""
    end = time.monotonic() + within_s
    for partition in range(partitions):
        last = await reader.end_offset(source, partition) - 1
        while time.monotonic() < end:
            if last < 0 or await _last_copied(reader, target, partition) >= last:
                break
            await asyncio.sleep(0.05)
        else:
            return False
    return True


async def _last_copied(reader: KafkaLogReader, target: str, partition: int) -> int:
    stable = await reader.end_offset(target, partition)
    last = -1
    async for records in reader.read(target, partition, max(0, stable - 500)):
        last = int((records[-1].value or b"").split(b" ", 1)[0])
    return last


async def hang(worker: Worker, for_s: float) -> None:
    """SIGSTOP past the session's end, then SIGCONT: the zombie goes on where it was."""
    worker.send(signal.SIGSTOP)
    await asyncio.sleep(for_s)
    if worker.is_running:
        worker.send(signal.SIGCONT)


async def at_once() -> None:
    """No pause before a fault."""


async def storm(
    workers: list[Worker], seconds: float, seed: int, report: Report, before: Callable[[], Awaitable[object]] = at_once
) -> None:
    """Faults at random until the time is over, each after ``before``; afterwards every worker runs."""
    choose = random.Random(seed)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await before()
        worker = choose.choice(workers)
        fault = choose.choice(("kill", "kill-unseen", "hang", "terminate"))
        report.faults[fault] += 1
        if fault == "hang":
            await hang(worker, 7.5)
        elif fault == "terminate":
            worker.send(signal.SIGTERM)
            await worker.ended()
        elif fault == "kill":
            await worker.kill_and_report()
        else:
            worker.send(signal.SIGKILL)
            await worker.ended()
        if not worker.is_running:
            await worker.start()
        await asyncio.sleep(choose.uniform(0.5, 2.5))
    for worker in workers:
        if not worker.is_running:
            await worker.start()

"""Ten times the load that a stack sustains: ``python -m tests.chaos.overload [--seconds 120] [--times 10]``.

On a stack of its own: what it sustains is measured first (jobs from submit to result, one after the other on each of
some connections), then so many times as many submits arrive each second, whether or not the answers come, and
afterwards the first accounts' neighbours submit as they did before. What has to hold: whoever is turned away is told
when to come again, whoever is let in is answered within a second (p99), every acknowledged job is on the log and ends
or is refused there, and the neighbours' rate is back within ten seconds. Then one processor hangs (`tests.chaos.hung`).
Exit code 1 where something does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg
import uvloop

from infra.cli.target import settings_for
from tests.bench.clients import shapes, tokens
from tests.chaos.arrivals import ECHO, Answer, Arrivals, acknowledged_within_s, one_after_the_other
from tests.chaos.hung import hung
from tests.stack import Stack

ACCOUNTS, NEIGHBOURS = 128, 16
PROBE_CONNECTIONS, STORM_CONNECTIONS = 16, 640
PROBE_S, RECOVERY_S = 10.0, 30.0
ACKNOWLEDGED_P99_S, BACK_WITHIN_S, BACK_AT = 1.0, 10.0, 0.9
_QUEUED_JOBS_MAX = 100  # of an account: the bound of what a storm can leave to be done
_END_LIMIT_S = 900.0
_PLAN = f"""
version = 1
[leases]
start_ms = 60_000
running_ms = 15_000
[lane_released_jobs_max]
standard = 32
[products.darkroom.default]
opening_credits = 1_000_000_000
in_flight_jobs_max = 16
queued_jobs_max = {_QUEUED_JOBS_MAX}
"""


@dataclass
class Report:
    """What was seen; `violations` of what has to hold."""

    sustained: float = 0.0
    offered: float = 0.0
    answers: Sequence[Answer] = ()
    before: float = 0.0
    back_after_s: float = 0.0
    lost: int = 0
    memory_mib: dict[str, int] = field(default_factory=dict)

    @property
    def statuses(self) -> Counter[int]:
        """Answers of the storm by status; 0: none came."""
        return Counter(answer.status for answer in self.answers)

    def p(self, share: float) -> float:
        """The latency in seconds of acknowledged submits that this share stays under."""
        return acknowledged_within_s(self.answers, share)

    @property
    def violations(self) -> list[str]:
        """What does not hold."""
        acknowledged = sum(answer.job is not None for answer in self.answers)
        turned_away = [answer for answer in self.answers if answer.status in (429, 503)]
        strange = {status: n for status, n in self.statuses.items() if status not in (200, 202, 429, 503)}
        checks = {
            "nothing was acknowledged": acknowledged == 0,
            "nobody was turned away": not turned_away,
            "turned away without Retry-After": any(answer.retry_after_s is None for answer in turned_away),
            f"answers of other kinds: {strange}": bool(strange),
            f"acknowledged after {self.p(0.99):.2f} s (p99)": self.p(0.99) > ACKNOWLEDGED_P99_S,
            f"{self.lost} acknowledged jobs are lost": self.lost > 0,
            f"back after {self.back_after_s:.0f} s": self.back_after_s > BACK_WITHIN_S,
        }
        return [said for said, is_wrong in checks.items() if is_wrong]

    def text(self) -> str:
        """A few lines for people."""
        kinds = ", ".join(f"{status}: {count}" for status, count in sorted(self.statuses.items()))
        return "\n".join(
            [
                f"sustained {self.sustained:.0f} jobs/s; offered {self.offered:.0f} submits/s; answers {kinds}",
                f"acknowledged submits: p50 {1000 * self.p(0.5):.0f} ms, p99 {1000 * self.p(0.99):.0f} ms, "
                f"longest {1000 * self.p(1.0):.0f} ms; lost {self.lost}",
                f"neighbours: {self.before:.0f} submits/s, and back at {BACK_AT:.0%} after {self.back_after_s:.0f} s",
                f"memory in MiB, most seen: {self.memory_mib}",
                *(f"DOES NOT HOLD: {line}" for line in self.violations),
            ]
        )


async def overload(stack: Stack, seconds: float, times: float) -> Report:
    """Run all three parts against a running stack."""
    report, port = Report(), stack.port
    accounts = tokens(settings_for(stack.data), ACCOUNTS + NEIGHBOURS)
    crowd, neighbours = accounts[:ACCOUNTS], accounts[ACCOUNTS:]
    finished = await one_after_the_other(port, shapes(crowd, ECHO, "wait=30"), PROBE_CONNECTIONS, PROBE_S)
    report.sustained = len(finished) / PROBE_S
    await _until_done(stack)
    report.before = await _rate(port, neighbours)
    await _until_done(stack)
    watching = asyncio.create_task(_watch(stack, report.memory_mib))
    arrivals = Arrivals(port, shapes(crowd, ECHO, "respond-async"), STORM_CONNECTIONS)
    report.answers = await arrivals.run(times * report.sustained, seconds)
    report.offered = arrivals.sent / seconds
    report.back_after_s = await _until_back(port, neighbours, report.before)
    watching.cancel()
    await asyncio.wait([watching])
    await _until_done(stack)
    settled = await asyncio.to_thread(_settled_jobs, stack)
    report.lost = sum(answer.job is not None and answer.job not in settled for answer in report.answers)
    return report


async def _rate(port: int, neighbours: Sequence[str]) -> float:
    """Submits a second that are decided, one after the other on each connection."""
    answers = await one_after_the_other(port, shapes(neighbours, ECHO, "respond-async"), PROBE_CONNECTIONS, 3.0)
    return sum(answer.job is not None for answer in answers) / 3.0


async def _until_back(port: int, neighbours: Sequence[str], before: float) -> float:
    """Seconds until the neighbours submit nearly as fast as before, looked at each second."""
    started = time.monotonic()
    while time.monotonic() - started < RECOVERY_S:
        answers = await one_after_the_other(port, shapes(neighbours, ECHO, "respond-async"), PROBE_CONNECTIONS, 1.0)
        if sum(answer.job is not None for answer in answers) >= BACK_AT * before:
            break
        if any(answer.status == 429 for answer in answers):
            await asyncio.sleep(1.0)
    return time.monotonic() - started


async def _until_done(stack: Stack) -> None:
    """Wait until no job of the crowd is live."""
    deadline = time.monotonic() + _END_LIMIT_S
    while await asyncio.to_thread(_live_jobs, stack):
        if time.monotonic() > deadline:
            raise TimeoutError(f"jobs did not end within {_END_LIMIT_S:.0f} s")
        await asyncio.sleep(1.0)


def _live_jobs(stack: Stack) -> int:
    """Jobs that have not ended, by the read models."""
    with psycopg.connect(settings_for(stack.data).postgres_dsn) as connection:
        found = connection.execute("SELECT count(*) FROM jobs WHERE outcome IS NULL").fetchone()
    return int(found[0]) if found is not None else 0


def _settled_jobs(stack: Stack) -> set[str]:
    """Every job that the log says has ended, or was refused after an answer that came before the decision."""
    ends = ("job-succeeded", "job-failed", "job-canceled", "job-expired")
    contents = [event["data"]["data"] for event in stack.each_event()]
    ended = {content["job"] for content in contents if content["type"] in ends}
    return ended | {str(content.get("subject")) for content in contents if content["type"] == "command-refused"}


async def _watch(stack: Stack, most: dict[str, int]) -> None:
    """Note the most memory of each worker."""
    while True:
        for name, row in (await asyncio.to_thread(stack.status)).items():
            if row.get("pid") and psutil.pid_exists(row["pid"]):
                most[name] = max(most.get(name, 0), psutil.Process(row["pid"]).memory_info().rss >> 20)
        await asyncio.sleep(2.0)


def main() -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(description="Ten times what a stack sustains.")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--times", type=float, default=10.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="darkroom-overload-") as folder:
        stack = storm_stack(Path(folder))
        try:
            stack.start()
            report = uvloop.run(overload(stack, asked.seconds, asked.times))
            print(report.text(), flush=True)
            of_one = uvloop.run(hung(stack, report.sustained / 2))
            print(of_one.text())
            audit = stack.audit()
            print(f"audit: {'clean' if audit['clean'] else audit['violations'][:10]}")
            stack.stop()
        finally:
            stack.kill()
    return 1 if report.violations or of_one.violations or not audit["clean"] else 0


def storm_stack(folder: Path) -> Stack:
    """A stack whose accounts have credits without end and a queue of bounded length."""
    plan = folder / "plan.toml"
    plan.write_text(_PLAN, encoding="utf-8")
    return Stack(folder / "data", {"DARKROOM_PLAN_PATH": str(plan)})


if __name__ == "__main__":
    sys.exit(main())

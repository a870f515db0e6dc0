"""The judgement after a storm: what was told, what stands on the log, what the read models and the audit say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.cli.audit_told import LAW
from tests.chaos.journal import Journal, unfinished
from tests.chaos.workload import PRICE, Workload
from tests.client import Client
from tests.stack import Stack

QUIET_LIMIT_S = 300.0
SLOTS_LIMIT_S = 90.0
PICTURES = 3  # results of each user that are fetched at the end


@dataclass(frozen=True)
class Paid:
    """A user and what they were given to spend."""

    user: Client
    granted: int


@dataclass(frozen=True)
class Verdict:
    """Figures, and a line for each thing that is wrong. `lost` and `wrong` name what the log does not bear out."""

    acknowledged: int
    jobs: int
    quiet_after_s: float
    lost: tuple[str, ...]
    charged_twice: tuple[str, ...]
    stuck: tuple[str, ...]
    drift_units: int
    silent: tuple[str, ...]
    wrong: tuple[str, ...]
    violations: tuple[str, ...]
    decided_again: int

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        found = (self.lost, self.charged_twice, self.stuck, self.silent, self.wrong, self.violations)
        return not any(found) and self.drift_units == 0

    def lines(self) -> list[str]:
        """What is wrong, a few of each sort."""
        named = {name: value for name, value in asdict(self).items() if isinstance(value, tuple)}
        return [f"{name}: {line}" for name, found in named.items() for line in found[:5]]


async def judge(stack: Stack, paid: Sequence[Paid], workload: Workload, told_path: Path) -> Verdict:
    """Wait until no job is live and no slot is taken, then look at everything.

    Every answer is written to ``told_path``, and the audit of operators holds it against the log.
    """
    workload.write(told_path)
    quiet_after_s, stuck = await _until_quiet(paid)
    journal = await _settled(stack)
    twice = _twice(journal)
    jobs_wrong = unfinished(journal)
    stuck += [job for job in journal.accepted if job not in journal.ends]
    stuck += [f"{job} holds a slot" for job in journal.open_slots]
    audited = await asyncio.to_thread(stack.audit, "--quiet-log", "--told", str(told_path))
    violations = [str(line) for line in audited["violations"]]
    drift_units, wrong = 0, []
    for one in paid:
        drift, lines = await _differs(one, journal)
        drift_units += drift
        wrong += lines
    return Verdict(
        acknowledged=sum(answer.status in (200, 201, 202) for answer in workload.told),
        jobs=len(journal.accepted),
        quiet_after_s=round(quiet_after_s, 1),
        lost=tuple(line for line in violations if line.startswith(LAW)),
        charged_twice=tuple(twice),
        stuck=tuple(stuck),
        drift_units=drift_units,
        silent=(*workload.silent, *workload.strange),
        wrong=(*wrong, *(jobs_wrong if not twice and not stuck else [])),
        violations=tuple(line for line in violations if not line.startswith(LAW)),
        decided_again=audited["decided_again"],
    )


async def _until_quiet(paid: Sequence[Paid]) -> tuple[float, list[str]]:
    """The seconds until no user has reserved credits, and those who still have some when the time is over."""
    started, stuck = time.monotonic(), list[str]()
    for one in paid:
        while (reserved := (await one.user.account())["reserved"]) != 0:
            if time.monotonic() - started > QUIET_LIMIT_S:
                stuck.append(f"{one.user.name} still has {reserved} reserved")
                break
            await asyncio.sleep(0.5)
    return time.monotonic() - started, stuck


async def _settled(stack: Stack) -> Journal:
    """The log once no attempt holds a slot: canceled ones give theirs back when they or their leases end."""
    deadline = time.monotonic() + SLOTS_LIMIT_S
    while True:
        journal = await asyncio.to_thread(lambda: Journal.of(stack.each_event()))
        if not journal.open_slots or time.monotonic() > deadline:
            return journal
        await asyncio.sleep(5)


def _twice(journal: Journal) -> list[str]:
    charged = [f"{job} was charged {units}" for job, units in journal.charges.items() if len(units) > 1]
    accepted = [f"{job} was accepted {len(found)} times" for job, found in journal.accepted.items() if len(found) > 1]
    return [*charged, *accepted, *(f"{job} ended as {ends}" for job, ends in journal.ends.items() if len(ends) > 1)]


async def _differs(one: Paid, journal: Journal) -> tuple[int, list[str]]:
    """By how many units a user's balance is off, and what the read models and the store show wrongly."""
    account = await one.user.account()
    mine = {job for job, accepted in journal.accepted.items() if accepted[0]["account"] == account["account"]}
    succeeded = {job for job in mine if "succeeded" in journal.ends.get(job, ())}
    drift = abs(account["balance"] - (one.granted - PRICE * len(succeeded)))
    rows = await one.user.jobs()
    wrong = []
    if {row["id"]: [row["status"]] for row in rows} != {job: journal.ends.get(job) for job in mine}:
        wrong.append(f"{one.user.name}: the jobs that are shown are not those of the log")
    for row in [row for row in rows if row["status"] == "succeeded"][:PICTURES]:
        picture = await one.user.get(row["result"]["url"])
        if (picture.status_code, len(picture.content)) != (200, row["result"]["bytes"]):
            wrong.append(f"{one.user.name}: the result of {row['id']} answers {picture.status_code}")
    return drift, wrong

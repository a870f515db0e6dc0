"""Every feature of the core, asked for at random by many people of several products.

Where `workload` proves one kind of command in depth, this one goes wide: batches, groups, lots, refunds, plans, albums,
public pictures, presigned and remote uploads, identical jobs, every engine, crashes of an engine, deletions. What
people were told is held against the log afterwards by `Record`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.chaos import asset_steps, job_steps, money_steps
from tests.chaos.asker import Asker, Person

Step = Callable[[Asker, Person], Awaitable[None]]
STEPS: tuple[tuple[int, Step], ...] = (
    (10, job_steps.batch),
    (8, job_steps.group),
    (12, job_steps.engine),
    (3, job_steps.inpainted),
    (4, job_steps.imagined),
    (1, job_steps.filmed),
    (6, job_steps.card),
    (1, job_steps.crash),
    (4, job_steps.identical),
    (8, job_steps.cancel),
    (3, job_steps.estimate),
    (10, asset_steps.upload),
    (4, asset_steps.presigned),
    (3, asset_steps.fetched),
    (6, asset_steps.album),
    (6, asset_steps.publish),
    (6, asset_steps.delete),
    (6, money_steps.grant),
    (6, money_steps.refund),
    (3, money_steps.plan),
    (1, money_steps.session),
    (9, money_steps.look),
    (2, money_steps.look_back),
)


async def ask_for_everything(asker: Asker, people: list[Person], commands: int, at_once: int) -> None:
    """Ask until so many commands were answered."""
    weights, steps = zip(*STEPS, strict=True)

    async def ask() -> None:
        while asker.commands < commands:
            (step,) = asker.draw.choices(steps, weights)
            await step(asker, asker.draw.choice(people))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(at_once):
            tasks.create_task(ask())


@dataclass
class Record:
    """The log, as far as answers have to fit it: one pass over its events."""

    accepted: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    refused: set[str | None] = field(default_factory=set)
    balance: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, events: Iterable[dict[str, Any]]) -> Record:
        """From CloudEvents as ``darkroom events`` prints them."""
        record = cls()
        for event in events:
            record._add(event["subject"], event["data"]["data"])
        return record

    def outstanding(self, people: Iterable[Person]) -> list[str]:
        """Jobs that somebody was told of and that are neither accepted once nor refused; jobs that did not end once."""
        told = {job: subject for person in people for job, subject in person.told.items()}
        lines = [
            f"{job} was told of and is not on the log"
            for job, subject in told.items()
            if not self.accepted[job] and subject not in self.refused
        ]
        lines += [f"{job} was accepted {n} times" for job, n in self.accepted.items() if n > 1]
        return lines + [f"{job} ended {self.ended[job]} times" for job in self.accepted if self.ended[job] != 1]

    def _add(self, account: str, content: dict[str, Any]) -> None:
        kind, job = content["type"], content.get("job")
        self.types[kind] += 1
        if kind in ("job-failed", "attempt-ended"):
            self.reasons[f"{kind}: {content['reason']}"] += 1
        if kind in ("job-accepted", "job-reused"):
            self.accepted[str(job)] += 1
        if kind in _ENDS:
            self.ended[str(job)] += 1
        if kind in ("command-refused", "command-duplicate"):
            self.refused.add(content.get("subject"))
        if kind in _MONEY:
            name, sign = _MONEY[kind]
            self.balance[account] += sign * content[name]


_ENDS = ("job-succeeded", "job-failed", "job-canceled", "job-expired", "job-reused")
_MONEY = {
    "credits-granted": ("amount", 1),
    "credits-regenerated": ("amount", 1),
    "credits-reserved": ("units", -1),
    "credits-expired": ("units", -1),
    "credits-released": ("units", 1),
    "credits-refunded": ("units", 1),
}

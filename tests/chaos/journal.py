"""The log as a storm's judgement reads it, and jobs that do not add up: pure, over events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.workload import PRICE

ENDS = {"job-succeeded": "succeeded", "job-failed": "failed", "job-canceled": "canceled", "job-expired": "expired"}


@dataclass
class Journal:
    """The log by job; `attempts_ended` counts the reasons."""

    accepted: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    ends: dict[str, list[str]] = field(default_factory=dict)
    charges: dict[str, list[int]] = field(default_factory=dict)
    attempts_ended: Counter[str] = field(default_factory=Counter)
    open_slots: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, events: Iterable[dict[str, Any]]) -> Journal:
        """From CloudEvents as ``darkroom events`` prints them."""
        journal = cls()
        for event in events:
            journal._add(event)
        return journal

    def _add(self, event: dict[str, Any]) -> None:
        account, content = event["subject"], event["data"]["data"]
        kind, job = content["type"], content.get("job")
        if kind == "job-accepted":
            self.accepted.setdefault(job, []).append({**content, "account": account})
        elif kind in ENDS:
            self.ends.setdefault(job, []).append(ENDS[kind])
        elif kind == "credits-captured":
            self.charges.setdefault(job, []).append(content["units"])
        elif kind == "attempt-ended":
            self.attempts_ended[content["reason"]] += 1
        self._follow_slot(kind, content)

    def _follow_slot(self, kind: str, content: dict[str, Any]) -> None:
        if kind == "attempt-released":
            self.open_slots.add(content["job"])
        elif kind in ("attempt-ended", "job-succeeded") or (kind == "job-failed" and content["attempt"] is not None):
            self.open_slots.discard(content["job"])


def unfinished(journal: Journal) -> list[str]:
    """Jobs that did not end exactly once or were not charged as they ended, and slots that are still taken."""
    lines = [f"{job} holds a slot" for job in journal.open_slots]
    for job, accepted in journal.accepted.items():
        ends, charges = journal.ends.get(job, []), journal.charges.get(job, [])
        if len(accepted) != 1 or len(ends) != 1:
            lines.append(f"{job} was accepted {len(accepted)} times and ended as {ends}")
        elif charges != ([PRICE] if ends == ["succeeded"] else []):
            lines.append(f"{job} {ends[0]} and was charged {charges}")
    return lines

"""What clients were told against what stands on the log: pure, over answers and events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.workload import PRICE, Told

ENDS = {"job-succeeded": "succeeded", "job-failed": "failed", "job-canceled": "canceled", "job-expired": "expired"}


@dataclass
class Journal:
    """The log by job, asset and position."""

    accepted: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    ends: dict[str, list[str]] = field(default_factory=dict)
    charges: dict[str, list[int]] = field(default_factory=dict)
    results: dict[str, str] = field(default_factory=dict)
    assets: dict[str, list[str]] = field(default_factory=dict)
    by_source: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
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
        self.by_source.setdefault(_source(event["id"]), []).append(content)
        if kind == "job-accepted":
            self.accepted.setdefault(job, []).append({**content, "account": account, "position": event["id"]})
        elif kind in ENDS:
            self.ends.setdefault(job, []).append(ENDS[kind])
        elif kind == "credits-captured":
            self.charges.setdefault(job, []).append(content["units"])
        if kind == "job-succeeded":
            self.results[job] = content["asset"]
        if kind == "asset-registered":
            self.assets.setdefault(content["asset"], []).append(account)
        self._follow_slot(kind, content)

    def _follow_slot(self, kind: str, content: dict[str, Any]) -> None:
        if kind == "attempt-released":
            self.open_slots.add(content["job"])
        elif kind in ("attempt-ended", "job-succeeded") or (kind == "job-failed" and content["attempt"] is not None):
            self.open_slots.discard(content["job"])


def confront(told: Sequence[Told], journal: Journal) -> list[str]:
    """Every answer that the log does not bear out, one line each."""
    lines: list[str] = []
    by_key: dict[tuple[str, str], set[str]] = {}
    refused = {answer.body["id"] for answer in told if _refused_late(answer, journal) or _made_earlier(answer, journal)}
    for answer in told:
        found = None if answer.status == 404 and answer.about in refused else _wrong(answer, journal)
        if found is not None:
            lines.append(f"{answer.kind} {answer.key}: {found}; told {answer.status} {answer.body}")
        if answer.status in (200, 201, 202) and answer.kind != "cancel":
            by_key.setdefault((answer.user.subject, answer.key), set()).add(
                _made_earlier(answer, journal) or answer.body["id"]
            )
    lines += [f"key {key} of {who} made {sorted(made)}" for (who, key), made in by_key.items() if len(made) > 1]
    return lines


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


def _wrong(told: Told, journal: Journal) -> str | None:
    """Why the log does not bear the answer out; None when it does."""
    if told.kind == "upload":
        return _wrong_upload(told, journal)
    if told.kind == "cancel":
        return _wrong_cancel(told, journal)
    if told.status == 402:
        return _wrong_refusal(told, journal)
    if told.status not in (200, 202):
        return "no such answer was to be had"
    return _wrong_submit(told, journal)


def _wrong_submit(told: Told, journal: Journal) -> str | None:
    body = told.body
    accepted = journal.accepted.get(body["id"], [])
    if len(accepted) != 1:
        decided = _refused_late(told, journal) or _made_earlier(told, journal) in journal.accepted
        return None if decided else f"it was accepted {len(accepted)} times"
    if body["cost"] is not None and body["cost"] != accepted[0]["cost"]:
        return f"it costs {accepted[0]['cost']}"
    if body["status"] == "accepted" and body["balance"] != accepted[0]["balance"]:
        return f"the balance was {accepted[0]['balance']}"
    if body["status"] == "accepted" and _source(body["position"]) != _source(accepted[0]["position"]):
        return f"it was accepted at {accepted[0]['position']}"
    ends = journal.ends.get(body["id"], [])
    if body["status"] in ENDS.values() and [body["status"]] != ends:
        return f"it ended as {ends}"
    if body["status"] == "succeeded" and body["result"]["asset"] != journal.results[body["id"]]:
        return f"its result is {journal.results[body['id']]}"
    return None


def _refused_late(told: Told, journal: Journal) -> bool:
    """Whether the answer came before the decision (202, pending), which then was a refusal."""
    return [c["type"] for c in _decided_late(told, journal)] == ["command-refused"]


def _made_earlier(told: Told, journal: Journal) -> str | None:
    """The job that a repeat stands for, whose answer came before it was known to be one (202, pending)."""
    match _decided_late(told, journal):
        case [{"type": "command-duplicate", "made": str(made)}]:
            return made
        case _:
            return None


def _decided_late(told: Told, journal: Journal) -> list[dict[str, Any]]:
    """What was decided after the answer; nothing where the answer tells the decision. A 202 of an upload is early."""
    is_early = told.kind == "upload" or told.body.get("status") == "pending"
    if told.status != 202 or not is_early or told.position is None:
        return []
    return journal.by_source.get(_source(told.position), [])


def _wrong_upload(told: Told, journal: Journal) -> str | None:
    if told.status not in (201, 202):
        return "no such answer was to be had"
    registered = journal.assets.get(_made_earlier(told, journal) or told.body["id"], [])
    return None if len(registered) == 1 else f"it was registered {len(registered)} times"


def _wrong_cancel(told: Told, journal: Journal) -> str | None:
    assert told.about is not None
    ends = journal.ends.get(told.about, [])
    match told.status:
        case 200:
            return None if ends == ["canceled"] else f"it ended as {ends}"
        case 202 | 409:
            return None if len(ends) == 1 else f"it ended as {ends}"
        case _:
            return f"the job is on the log and ended as {ends}"


def _wrong_refusal(told: Told, journal: Journal) -> str | None:
    if told.position is None:
        return "it names no position"
    content = journal.by_source.get(_source(told.position), [])
    reasons = [c["refusal"]["reason"] for c in content if c["type"] == "command-refused"]
    return None if reasons == ["insufficient-credits"] else f"the log says {content}"


def _source(position: str) -> str:
    return position.rsplit(".", 1)[0]

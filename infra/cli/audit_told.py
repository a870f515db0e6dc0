"""What clients were told against what stands on the log: the format of a client's own log, and how it is judged.

The format is open to any client. A file of lines, each a JSON object, one for each answer, in any order:

    kind      `upload`, `cancel` or `read`; any other word is a submit (of one job)
    user      whoever asked, in the client's own words; with `key` it names what was asked
    key       the idempotency key of the request
    status    the HTTP status of the answer
    body      the body of the answer: of a submit or a read the job, of an upload the asset
    position  the header `Darkroom-Position` of the answer, null where there was none
    about     of a cancel or a read: the id of the job
    after     of a read: the `Darkroom-Position` that it carried back, null where it carried none

More fields are left alone. An answer of 5xx (or 0: none came) says nothing, so nothing is held against the log; nor is
one of 4xx, but for 402 of a submit and 404 of a cancel or a read, because it says that nothing was put on the log.
A 202 that came before the decision (of an upload, or with the status `pending`) is held against what was decided then:
that it was refused, or that it repeats an earlier command and stands for what that one made.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from infra.errors import OperatorError
from processors.audit_spill import Shelf
from schemas import events as ev
from schemas.positions import parse_position

LAW = "what-was-told-stands-on-the-log"
_ENDS = {
    ev.JobSucceeded: "succeeded",
    ev.JobFailed: "failed",
    ev.JobCanceled: "canceled",
    ev.JobExpired: "expired",
}
_TURNS = {ev.AttemptReleased: "queued", ev.JobStarted: "running", ev.JobRequeued: "accepted"}


class Answer(msgspec.Struct, frozen=True):
    """One line of a client's log."""

    kind: str
    status: int
    user: str = ""
    key: str = ""
    body: Any = None
    position: str | None = None
    about: str | None = None
    after: str | None = None


class JobFacts(msgspec.Struct, frozen=True, array_like=True):
    """What the log says of a job; `moments` are (offset, index, status) of each change."""

    accepted: int = 0
    at: str = ""
    cost: int = 0
    balance: int = 0
    ends: tuple[str, ...] = ()
    result: str | None = None
    moments: tuple[tuple[int, int, str], ...] = ()


class LogFacts:
    """The log by job, asset and refused command; on a shelf, so that it need not fit into memory."""

    def __init__(self, shelf: Shelf) -> None:
        self.jobs = shelf.mapping("told jobs", JobFacts)
        self.assets = shelf.mapping("told assets", int)
        self.refused = shelf.mapping("told refusals", str)  # the reason, by the source of the command
        self.repeats = shelf.mapping("told repeats", str)  # what the first one made, by the source of its repeat

    def add(self, event: ev.Event) -> None:
        """Take the next event."""
        data = event.data
        match data:
            case ev.JobAccepted(job=job, cost=cost, balance=balance):
                self._begin(event, job, cost, balance)
            case ev.JobReused(job=job, balance=balance):
                self._begin(event, job, 0, balance)
                self._end(event, job, "succeeded", data.asset)
            case ev.JobSucceeded(job=job):
                self._end(event, job, "succeeded", data.asset)
            case ev.JobFailed(job=job) | ev.JobCanceled(job=job) | ev.JobExpired(job=job):
                self._end(event, job, _ENDS[type(data)], None)
            case ev.AttemptReleased(job=job) | ev.JobStarted(job=job) | ev.JobRequeued(job=job):
                self._turn(event, job, _TURNS[type(data)])
            case ev.AttemptEnded(job=job, retry_at_ms=retry_at_ms) if retry_at_ms is not None:
                self._turn(event, job, "accepted")
            case ev.AssetRegistered(asset=asset):
                self.assets[asset] = (self.assets.get(asset) or 0) + 1
            case ev.CommandRefused(refusal=refusal):
                self.refused[_source(event.position)] = str(refusal.__struct_config__.tag)
            case ev.CommandDuplicate(made=made):
                self.repeats[_source(event.position)] = made
            case _:
                pass

    def _begin(self, event: ev.Event, job: str, cost: int, balance: int) -> None:
        facts = self.jobs.get(job) or JobFacts()
        self.jobs[job] = replace(facts, accepted=facts.accepted + 1, at=event.position, cost=cost, balance=balance)
        self._turn(event, job, "accepted")

    def _end(self, event: ev.Event, job: str, how: str, result: str | None) -> None:
        facts = self.jobs.get(job) or JobFacts()
        self.jobs[job] = replace(facts, ends=(*facts.ends, how), result=result or facts.result)
        self._turn(event, job, how)

    def _turn(self, event: ev.Event, job: str, status: str) -> None:
        facts = self.jobs.get(job) or JobFacts()
        at = event.at
        self.jobs[job] = replace(facts, moments=(*facts.moments, (at.offset, at.index, status)))


class Judged:
    """What confronting a client's log came to: answers, those that say something, and lines of what is wrong."""

    def __init__(self) -> None:
        self.answers = 0
        self.judged = 0
        self.wrong: list[str] = []


def answers(path: Path) -> Iterator[Answer]:
    """The lines of a client's log. Raises OperatorError for one that is no answer."""
    decoder = msgspec.json.Decoder(Answer)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                if line.strip():
                    yield decoder.decode(line)
            except msgspec.DecodeError as error:
                raise OperatorError(
                    f"Line {number} of {path} is no answer ({error}): see `audit --explain`."
                ) from error


def confront(path: Path, facts: LogFacts, shelf: Shelf) -> Judged:
    """Hold every answer of the file against the log. The log must be at rest, or younger answers seem to be lost."""
    judged, made = Judged(), shelf.mapping("told keys", str)
    never = shelf.mapping("told and never made", bool)
    for answer in answers(path):
        if _refused_late(answer, facts) or _made_earlier(answer, facts):
            never[_named(answer) or ""] = True
    for answer in answers(path):
        judged.answers += 1
        if answer.status == 404 and answer.about is not None and answer.about in never:
            continue
        found = wrong(answer, facts) if _says_something(answer) else None
        judged.judged += _says_something(answer)
        if found is None:
            found = _made_twice(answer, facts, made)
        if found is not None:
            judged.wrong.append(f"{LAW} for {answer.kind} {answer.key} of {answer.user}: {found}; {_as_told(answer)}")
    return judged


def wrong(answer: Answer, facts: LogFacts) -> str | None:
    """Why the log does not bear the answer out; None when it does."""
    match answer.kind:
        case "upload":
            return _wrong_upload(answer, facts)
        case "cancel":
            return _wrong_cancel(answer, facts)
        case "read":
            return _wrong_read(answer, facts)
        case _ if answer.status == 402:
            return _wrong_refusal(answer, facts)
        case _:
            return _wrong_submit(answer, facts)


def _says_something(answer: Answer) -> bool:
    if answer.kind in ("cancel", "read"):
        return answer.status in (200, 202, 404, 409)
    return answer.status in (200, 201, 202) or (answer.status == 402 and answer.kind != "upload")


def _wrong_upload(answer: Answer, facts: LogFacts) -> str | None:
    times = facts.assets.get(_made_earlier(answer, facts) or _named(answer) or "") or 0
    return None if times == 1 or _refused_late(answer, facts) else f"it was registered {times} times"


def _wrong_submit(answer: Answer, facts: LogFacts) -> str | None:
    said = facts.jobs.get(_named(answer) or "") or JobFacts()
    if said.accepted != 1:
        earlier = facts.jobs.get(_made_earlier(answer, facts) or "") or JobFacts()
        decided = _refused_late(answer, facts) or earlier.accepted == 1
        return None if decided else f"it was accepted {said.accepted} times"
    body = answer.body
    if body.get("cost") not in (None, said.cost):
        return f"it costs {said.cost}"
    if body.get("status") == "accepted" and body.get("balance") not in (None, said.balance):
        return f"the balance was {said.balance}"
    if body.get("status") == "accepted" and body.get("position") and not _has_come_to(body["position"], said.at):
        return f"it was accepted at {said.at}"
    return _wrong_end(body, said)


def _wrong_end(body: dict[str, Any], said: JobFacts) -> str | None:
    if body.get("status") in _ENDS.values() and (body["status"],) != said.ends:
        return f"it ended as {list(said.ends)}"
    result = body.get("result")
    if body.get("status") == "succeeded" and isinstance(result, dict) and result.get("asset") != said.result:
        return f"its result is {said.result}"
    return None


def _wrong_cancel(answer: Answer, facts: LogFacts) -> str | None:
    said = facts.jobs.get(answer.about or "") or JobFacts()
    if answer.status == 404:
        return None if not said.accepted else f"the job is on the log and ended as {list(said.ends)}"
    if not said.accepted and _refused_late(answer, facts):
        return None  # the job was pending as well, and nothing came of it
    good = said.ends == ("canceled",) if answer.status == 200 else len(said.ends) == 1
    return None if good else f"it ended as {list(said.ends)}"


def _wrong_read(answer: Answer, facts: LogFacts) -> str | None:
    """A read shows the job as of the position that it carried, or as it was at any later time."""
    said = facts.jobs.get(answer.about or _named(answer) or "") or JobFacts()
    after = parse_position(answer.after) if answer.after else None
    source = (-1, 0) if after is None else after.source
    if answer.status == 404:
        known = after is not None and any(moment[:2] <= source for moment in said.moments)
        return f"the job was on the log at {answer.after}" if known else None
    if not isinstance(answer.body, dict) or "status" not in answer.body:
        return None
    before = [status for offset, index, status in said.moments if (offset, index) <= source][-1:]
    later = [status for offset, index, status in said.moments if (offset, index) > source]
    if answer.body["status"] not in (*before, *later):
        return f"from {answer.after} on it was {[*before, *later]}"
    return _wrong_end(answer.body, said)


def _wrong_refusal(answer: Answer, facts: LogFacts) -> str | None:
    if answer.position is None:
        return "it names no position"
    reason = facts.refused.get(_source(answer.position))
    return None if reason in ("insufficient-credits", "quota-exceeded") else f"the log says {reason}"


def _refused_late(answer: Answer, facts: LogFacts) -> bool:
    """Whether what was asked for was refused after the answer."""
    return facts.refused.get(_decided_later(answer)) is not None


def _made_earlier(answer: Answer, facts: LogFacts) -> str | None:
    """What a repeat stands for, whose answer came before it was known to be one."""
    return facts.repeats.get(_decided_later(answer))


def _decided_later(answer: Answer) -> str:
    """Where that was decided whose answer came before; no place where the answer tells the decision itself."""
    pending = isinstance(answer.body, dict) and answer.body.get("status") == "pending"
    is_early = answer.status == 202 and (answer.kind == "upload" or pending)
    return _source(answer.position) if is_early and answer.position is not None else ""


def _made_twice(answer: Answer, facts: LogFacts, made: Any) -> str | None:
    """A key makes one thing, however often it is sent."""
    name = _made_earlier(answer, facts) or _named(answer)
    if answer.kind in ("cancel", "read") or answer.status not in (200, 201, 202) or not answer.key or name is None:
        return None
    first = made.setdefault(f"{answer.user} {answer.key}", name)
    return None if first == name else f"its key made {first} before"


def _named(answer: Answer) -> str | None:
    """The id of what the body is about."""
    name = answer.body.get("id") if isinstance(answer.body, dict) else None
    return str(name) if name is not None else None


def _as_told(answer: Answer) -> str:
    return f"told {answer.status} {answer.body}"


def _has_come_to(told: str, accepted: str) -> bool:
    """Whether what was told stands at the acceptance or after it: a job between two attempts is `accepted` as well."""
    one, other = parse_position(told), parse_position(accepted)
    return one is not None and other is not None and one.partition == other.partition and one.source >= other.source


def _source(position: str) -> str:
    return position.rsplit(".", 1)[0]

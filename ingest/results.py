"""What becomes of many jobs of one request: replies and outcomes in, one answer per job out.

Theory of operation. Each job has a number, its place in the request. It is undecided until a reply, the read model or a
problem says otherwise, and unended until its end is told. Replies name the job by the number in their correlation, or,
in a group (which is one command), by its id; a repeated request gets the jobs that the first one made. Both counts are
kept up to date, so that waiting for all costs nothing for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from infra.http.problems import Problem
from infra.http.refusals import problem_of
from infra.postgres.outcomes import JobOutcome
from ingest.intake import Intake, broken
from ingest.replies import NUMBERED, Waiter
from ingest.standing import Standing, after_end, of_decision, of_outcome
from schemas.positions import Position, parse_position
from schemas.replies import Broken, GroupDecided, JobDecided, JobEndedAnswer, Refused, Reply

_ASK_PAUSE_MAX_S = 5.0


class Results:
    """The jobs of one request, by number."""

    def __init__(self, jobs: Sequence[str], base_url: str) -> None:
        """`jobs` are the ids that the request gave them."""
        self.standings = [Standing(job=job) for job in jobs]
        self.models = [""] * len(jobs)
        self.problems: dict[int, Problem] = {}
        self.problem: Problem | None = None
        self.group: GroupDecided | None = None
        self.group_position: str | None = None
        self._base_url = base_url
        self._numbers = {job: number for number, job in enumerate(jobs)}
        self._undecided, self._unended = set(range(len(jobs))), set(range(len(jobs)))
        self._decided_up_to = 0

    def are_decided(self) -> bool:
        """Whether every job is accepted or refused."""
        return not self._undecided or self.problem is not None

    def have_ended(self) -> bool:
        """Whether every job is refused or has ended."""
        return not self._unended or self.problem is not None

    def decided_up_to(self, number: int) -> bool:
        """Whether all jobs before `number` are decided."""
        while self._decided_up_to < number and self._decided_up_to not in self._undecided:
            self._decided_up_to += 1
        return self._decided_up_to >= number

    def refuse(self, number: int, problem: Problem) -> None:
        """The job was not accepted."""
        self.problems[number] = problem
        self._undecided.discard(number)
        self._unended.discard(number)

    def on_log(self, number: int, position: str) -> None:
        """The job's command is on the log."""
        standing = self.standings[number]
        if not standing.is_decided:
            self.standings[number] = Standing(job=standing.job, position=position)

    def note(self, reply: Reply, now_ms: int) -> None:
        """Take a reply in."""
        number = _number(reply.correlation)
        match reply.answer:
            case Refused(refusal):
                self._fail(number, problem_of(refusal, now_ms))
            case Broken():
                self._fail(number, broken())
            case JobDecided() as answer if number is not None:
                self._stand(number, of_decision(answer, reply.position))
            case GroupDecided() as answer:
                self._decide_group(answer, reply.position)
            case JobEndedAnswer() as answer:
                at = self._numbers.get(answer.job, number)
                if at is not None:
                    self._stand(at, after_end(self.standings[at], answer, reply.position))
            case _:
                pass

    def note_outcomes(self, outcomes: Mapping[str, JobOutcome]) -> None:
        """Take in what the read model knows."""
        for job, outcome in outcomes.items():
            number = self._numbers[job]
            known = self.standings[number]
            if not (known.is_decided and known.is_complete):
                self._stand(number, of_outcome(job, outcome))

    def open_jobs(self, *, ended: bool) -> list[str]:
        """The jobs that are not decided yet, or have not ended."""
        return [self.standings[number].job for number in (self._unended if ended else self._undecided)]

    def last_position(self) -> Position | None:
        """The furthest position that any of the jobs is known at."""
        texts = (standing.position for standing in self.standings if standing.position is not None)
        return max((at for text in texts if (at := parse_position(text)) is not None), default=None)

    def document(self, number: int) -> dict[str, Any]:
        """One job's part of the answer."""
        problem = self.problems.get(number)
        if problem is not None:
            return {"status": problem.status, "problem": problem.document(None)}
        standing = self.standings[number]
        document = standing.document(self._base_url, self.models[number])
        return {"status": 200 if standing.has_ended else 202, "job": document}

    def _fail(self, number: int | None, problem: Problem) -> None:
        if number is None:
            self.problem = problem
        else:
            self.refuse(number, problem)

    def _decide_group(self, answer: GroupDecided, position: str) -> None:
        self.group, self.group_position = answer, position
        for number, (job, cost) in enumerate(zip(answer.jobs, answer.costs, strict=True)):
            one = JobDecided(job, "accepted", cost, answer.balance, answer.decided_ms)
            self._stand(number, of_decision(one, position))

    def _stand(self, number: int, standing: Standing) -> None:
        if number >= len(self.standings):
            return
        self.standings[number] = standing
        self._numbers[standing.job] = number
        if standing.is_decided:
            self._undecided.discard(number)
        if standing.is_complete:
            self._unended.discard(number)


async def gather(
    intake: Intake,
    account: str,
    waiter: Waiter,
    results: Results,
    until: Callable[[], bool],
    wait_s: float,
    *,
    ended: bool = False,
    ask_first: bool = False,
) -> None:
    """Take replies in until `until`, at most `wait_s`; when none comes for a second, ask the read model as well.

    `ended` says that the jobs' ends are waited for, `ask_first` asks at once.
    """
    ports, now = intake.ports, asyncio.get_running_loop().time
    deadline_s, pause_s = now() + wait_s, 0.0 if ask_first else ports.ask_read_side_after_s
    while not until() and (left_s := deadline_s - now()) > 0:
        reply = await waiter.take(min(pause_s, left_s))
        if reply is not None:
            results.note(reply, ports.clock.now_ms())
            continue
        results.note_outcomes(await ports.read_side.outcomes(account, results.open_jobs(ended=ended)))
        pause_s = min(max(pause_s * 2, ports.ask_read_side_after_s), _ASK_PAUSE_MAX_S)


def _number(correlation: str) -> int | None:
    number = correlation.partition(NUMBERED)[2]
    return int(number) if number.isdecimal() else None

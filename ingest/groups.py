"""Groups: several jobs that are accepted together or not at all, in one command.

Theory of operation. The command itself holds everything that decides, at most 400 bytes a job. What is sealed
(metadata, prompts) stands beside it: in the command for up to ten jobs, else in one object
`<account>/<group id>/sealed`, written before the command and named by it with each job's place. A group that is refused
leaves no object; one whose fate is unknown leaves it, because the log may name it. Money is reserved for all at once,
then captured or released job by job.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from infra import failpoints
from infra.http.answers import JsonAnswer
from infra.http.problems import Problem, bad_field
from infra.s3.store import StoreUnavailable
from infra.sealing.cipher import seal
from infra.sealing.content import JOB
from ingest.discards import discard
from ingest.envelopes import unavailable
from ingest.idempotency import outcome_unknown
from ingest.intake import Intake, Minted, Who
from ingest.jobs import CheckedJob, input_problem, of_item
from ingest.results import Results, gather
from ingest.shapes import Preference
from schemas.commands import GROUPED_JOB_BYTES_MAX, GroupedJob, SealedPart, SubmitGroup
from schemas.positions import Position, parse_position

INLINE_JOBS_MAX = 10
OPERATION = "submit-group"
_SEALED_TYPE = "text/plain; charset=us-ascii"
_encoder = msgspec.json.Encoder()


class GroupResult(msgspec.Struct, frozen=True):
    """A group as far as its client can be told: `cost` and `balance` are None while it is not decided."""

    group: str
    jobs: Results
    cost: int | None
    balance: int | None
    position: Position


async def submit_group(
    intake: Intake,
    request: Request,
    who: Who,
    minted: Minted,
    jobs: Sequence[CheckedJob],
    prefer: Preference,
    *,
    bulk: bool = False,
    operation: str = OPERATION,
) -> GroupResult:
    """Submit all jobs or none, and wait as `prefer` says: for the decision, and for the ends of all jobs.

    The jobs have to be checked; their pictures' sizes are checked here. `operation` scopes the idempotency key. Raises
    Problem for a refusal (of the whole), 400 naming the job as `jobs[3]`, 413 and 503.
    """
    await _check_pictures(intake, who, jobs)
    group, names = minted.id("group"), [intake.ports.ids.mint("job") for _ in jobs]
    grouped, sealed = await _grouped(intake, who, f"{who.account}/{group}/sealed", names, jobs)
    wait_s = float(prefer.result_s)
    waits_until_ms = intake.ports.clock.now_ms() + prefer.result_s * 1000 if wait_s else None
    command = SubmitGroup(group, tuple(grouped), waits_until_ms, bulk)
    if sealed is not None:
        await _store(intake, sealed)
    results = Results(names, intake.ports.base_url)
    results.models = [job.model for job in jobs]
    content = [job.content for job in jobs]
    try:
        with intake.waiter(minted, who) as waiter:
            position = await intake.append(request, who, minted, operation, content, command, answered=prefer.decided)
            if prefer.decided:
                limit_s = intake.ports.decision_wait_s
                await gather(intake, who.account, waiter, results, results.are_decided, limit_s)
                if results.problem is not None:
                    intake.acknowledged(request, who, position)
                    raise results.problem
                repeated = results.group is not None and results.group.group != group
                if wait_s:
                    ended = results.have_ended
                    await gather(intake, who.account, waiter, results, ended, wait_s, ended=True, ask_first=repeated)
    except Problem as problem:
        if sealed is not None and problem.code != outcome_unknown("").code:
            await discard(intake.ports.objects, sealed.key)
        raise
    made = results.group.group if results.group is not None else group
    if made != group and sealed is not None:
        # The key had made another group before; its parts are the ones that count.
        await discard(intake.ports.objects, sealed.key)
    return _result(intake, request, who, made, results, position)


async def answer_group(
    intake: Intake, request: Request, who: Who, minted: Minted, jobs: Sequence[CheckedJob], prefer: Preference
) -> Response:
    """The answer to POST /v1/jobs:batch with `atomic=true`: 202 accepted (or pending), 200 when all have ended."""
    made = await submit_group(intake, request, who, minted, jobs, prefer, bulk=True)
    document: dict[str, Any] = {
        "group": made.group,
        "cost": made.cost,
        "balance": made.balance,
        "position": str(made.position),
        "results": [made.jobs.document(number) for number in range(len(jobs))],
    }
    return JsonAnswer(200 if made.jobs.have_ended() else 202, document)


class _Sealed(msgspec.Struct, frozen=True):
    """The object that holds sealed parts."""

    key: str
    text: bytes


async def _check_pictures(intake: Intake, who: Who, jobs: Sequence[CheckedJob]) -> None:
    assets = {asset for job in jobs for asset in job.assets}
    sizes = await intake.sizes.of(who.account, assets) if assets else {}
    for number, job in enumerate(jobs):
        problem = input_problem(job, sizes)
        if problem is not None:
            raise of_item(problem, number)


async def _grouped(
    intake: Intake, who: Who, key: str, names: Sequence[str], jobs: Sequence[CheckedJob]
) -> tuple[list[GroupedJob], _Sealed | None]:
    """The jobs as they stand in the command, and what is to stand beside it. Raises Problem 400 naming a large job."""
    parts, start, identifier_key = [], 0, intake.ports.identifier_key
    inline, grouped, data_key = len(jobs) <= INLINE_JOBS_MAX, [], await intake.data_key(who.account)
    for number, (name, job) in enumerate(zip(names, jobs, strict=True)):
        secrets = job.secrets
        text = None if secrets is None else seal(data_key, who.account, JOB, secrets)
        at = None
        if text is not None and not inline:
            at = SealedPart(key, start, len(text))
            parts.append(text)
            start += len(text)
        one = GroupedJob(
            job=name,
            model=job.model,
            params=job.params.values,
            input=job.input,
            mask=job.mask,
            sealed=text if inline else None,
            sealed_at=at,
            content=job.content_hash(identifier_key, who.account),
        )
        if not inline and len(_encoder.encode(one)) > GROUPED_JOB_BYTES_MAX:
            message = (
                f"In a group of more than {INLINE_JOBS_MAX} a job has at most {GROUPED_JOB_BYTES_MAX} bytes without "
                f"its metadata and texts, this one {len(_encoder.encode(one))}; send it without `atomic`."
            )
            raise bad_field(f"jobs[{number}]", message, code="job-too-large")
        grouped.append(one)
    return grouped, _Sealed(key, "".join(parts).encode("ascii")) if parts else None


async def _store(intake: Intake, sealed: _Sealed) -> None:
    try:
        failpoints.passed("gateway.put-texts.before")
        await intake.ports.objects.put(sealed.key, sealed.text, _SEALED_TYPE)
        failpoints.passed("gateway.put-texts.after")
    except StoreUnavailable as error:
        raise unavailable("The object store does not answer; nothing was accepted. Try again.") from error


def _result(
    intake: Intake, request: Request, who: Who, group: str, results: Results, appended: Position
) -> GroupResult:
    """What is known at the end of the wait; a lost decision is put together from the jobs in the read model."""
    decided = results.group
    position = parse_position(results.group_position or "") or appended
    intake.acknowledged(request, who, results.last_position() or position)
    for number in range(len(results.standings)):
        results.on_log(number, str(position))
    if decided is not None:
        return GroupResult(group, results, sum(decided.costs), decided.balance, position)
    costs = [standing.cost for standing in results.standings]
    known = [cost for cost in costs if cost is not None]
    if len(known) < len(costs):
        return GroupResult(group, results, None, None, position)
    return GroupResult(group, results, sum(known), results.standings[-1].balance, position)

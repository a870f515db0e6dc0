"""A single job, from its checked form to how it stands at the end of what its client waits for.

Every surface submits by this function, so a command, its answer and its waiting are the same for all of them.
"""

from __future__ import annotations

from starlette.requests import Request

from infra.postgres.outcomes import JobOutcome
from infra.sealing.content import JOB
from ingest.intake import Decision, Intake, Minted, Who
from ingest.jobs import CheckedJob, input_problem
from ingest.shapes import Preference
from ingest.standing import Standing, after_end, of_decision, of_outcome
from schemas.commands import SubmitJob
from schemas.positions import parse_position
from schemas.replies import JobDecided, JobEndedAnswer, Reply

OPERATION = "submit-job"
_RESULT_WAIT_S = 2.0  # of a job that had its result when it was decided: the reply with it is on its way


async def submit(
    intake: Intake,
    request: Request,
    who: Who,
    minted: Minted,
    job: CheckedJob,
    prefer: Preference,
    *,
    operation: str = OPERATION,
) -> Standing:
    """Submit the job and wait as `prefer` says. Raises Problem for a refusal, for pictures that do not fit, and 503.

    A repeat under the same key gives the first one's job. The job's id is `minted.id("job")` otherwise. `operation`
    scopes the key.
    """
    assets = tuple(job.assets)
    problem = input_problem(job, await intake.sizes.of(who.account, assets) if assets else {})
    if problem is not None:
        raise problem
    command = await _command(intake, who, minted, job, prefer)
    return await _submitted(intake, request, who, minted, job, command, prefer, operation)


async def _command(intake: Intake, who: Who, minted: Minted, job: CheckedJob, prefer: Preference) -> SubmitJob:
    secrets = job.secrets
    return SubmitJob(
        job=minted.id("job"),
        model=job.model,
        params=job.params.values,
        input=job.input,
        sealed=None if secrets is None else await intake.sealed(who.account, JOB, secrets),
        client_waits_until_ms=intake.ports.clock.now_ms() + prefer.result_s * 1000 if prefer.result_s else None,
        mask=job.mask,
        content=job.content_hash(intake.ports.identifier_key, who.account),
    )


async def _submitted(
    intake: Intake,
    request: Request,
    who: Who,
    minted: Minted,
    job: CheckedJob,
    command: SubmitJob,
    prefer: Preference,
    operation: str,
) -> Standing:
    """How the job stands at the end of what the client waits for. Raises Problem for a refusal."""
    if not prefer.decided:
        position = await intake.append(request, who, minted, operation, job.content, command, answered=False)
        intake.acknowledged(request, who, position)
        return Standing(job=command.job, position=str(position))
    with intake.waiter(minted, who) as waiter:
        position = await intake.append(request, who, minted, operation, job.content, command)
        limit_s = intake.ports.decision_wait_s
        found = await intake.reply_or_outcome(waiter, who, command.job, limit_s, ended=False)
        if isinstance(found, JobOutcome):
            intake.acknowledged(request, who, position)
            standing = of_outcome(command.job, found)
        else:
            standing = _decided(command.job, intake.understood(request, who, found, position))
        wait_s = max(float(prefer.result_s), _RESULT_WAIT_S if standing.has_ended else 0.0)
        if wait_s and standing.is_decided and not standing.is_complete:
            repeated = standing.job != command.job  # then the job may have ended long ago, and no reply will come
            end = await intake.reply_or_outcome(waiter, who, standing.job, wait_s, ended=True, ask_first=repeated)
            standing = _finished(intake, request, who, standing, end)
    return standing


def _decided(job: str, decision: Decision) -> Standing:
    answer, position = decision.answer, str(decision.position)
    if not isinstance(answer, JobDecided):
        return Standing(job=job, position=position)
    return of_decision(answer, position)


def _finished(
    intake: Intake, request: Request, who: Who, standing: Standing, end: Reply | JobOutcome | None
) -> Standing:
    """The job after its end; as it was when it did not end in time."""
    if isinstance(end, JobOutcome):
        return of_outcome(standing.job, end)
    if end is None or not isinstance(end.answer, JobEndedAnswer):
        return standing
    position = parse_position(end.position)
    if position is not None:
        intake.acknowledged(request, who, position)
    return after_end(standing, end.answer, end.position)

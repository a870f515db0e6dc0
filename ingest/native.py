"""Single jobs: submitted and canceled, request to command, decision to answer."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from infra.http.answers import JsonAnswer
from infra.http.auth import add_headers, caller_of
from infra.http.problems import Problem
from infra.http.refusals import problem_of
from infra.http.requests import json_body
from infra.http.routing import port_of
from infra.postgres.outcomes import JobOutcome
from infra.sealing.content import JOB
from ingest.intake import Decision, Intake, Minted, Who, caller_as_who
from ingest.jobs import CheckedJob, input_problem
from ingest.remote import located
from ingest.shapes import Preference, job_decoder, preference_of
from ingest.standing import Standing, after_end, of_outcome
from schemas.commands import CancelJob, SubmitJob
from schemas.positions import Position, parse_position
from schemas.refusals import JobEnded, JobUnknown
from schemas.replies import JobCancelAccepted, JobDecided, JobEndedAnswer, Refused, Reply

_RESULT_WAIT_S = 2.0  # of a job that had its result when it was decided: the reply with it is on its way


async def submit_job(request: Request) -> Response:
    """POST /v1/jobs: 202 decided, 200 finished within `Prefer: wait=N`; 202 pending, on the log, for `wait=0`."""
    intake = port_of(request, Intake)
    who = caller_as_who(caller_of(request))
    prefer = preference_of(request)
    body = await json_body(request, job_decoder)
    minted = intake.minted(request)
    job = intake.params.job(body, who.product)
    if body.input is not None and job.params.entry.input != "none":
        at = await located(intake, request, who, minted.key, body.input)
        job = replace(job, input=at.asset)
    problem = input_problem(job, await intake.sizes.of(who.account, tuple(job.assets)))
    if problem is not None:
        raise problem
    if prefer.applied is not None:
        add_headers(request.scope, [(b"preference-applied", prefer.applied.encode())])
    command = await _command(intake, who, minted, job, prefer)
    standing = await _submitted(intake, request, who, minted, job, command, prefer)
    document = standing.document(intake.ports.base_url, job.model)
    location = (b"location", document["links"]["self"].encode())
    return JsonAnswer(200 if standing.has_ended else 202, document, (location,))


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
) -> Standing:
    """How the job stands at the end of what the client waits for. Raises Problem for a refusal."""
    if not prefer.decided:
        position = await intake.append(request, who, minted, "submit-job", job.content, command, answered=False)
        intake.acknowledged(request, who, position)
        return Standing(job=command.job, position=str(position))
    with intake.waiter(minted) as waiter:
        position = await intake.append(request, who, minted, "submit-job", job.content, command)
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


async def cancel_job(request: Request) -> Response:
    """POST /v1/jobs/{id}:cancel: 200; 409 for a finished job, 404 for an unknown one."""
    intake = port_of(request, Intake)
    who = caller_as_who(caller_of(request))
    job = request.path_params["id"]
    minted = intake.minted(request)
    with intake.waiter(minted) as waiter:
        position = await intake.append(request, who, minted, "cancel-job", [job], CancelJob(job))
        reply = await waiter.take(intake.ports.decision_wait_s)
        if reply is not None and isinstance(reply.answer, Refused) and isinstance(reply.answer.refusal, JobUnknown):
            intake.acknowledged(request, who, position)
            raise await _not_live(intake, who, job, position)
        decision = intake.understood(request, who, reply, position)
    accepted = decision.answer if isinstance(decision.answer, JobCancelAccepted) else None
    document: dict[str, Any] = {
        "id": job,
        "status": "pending" if accepted is None else "canceled",
        "balance": None if accepted is None else accepted.balance,
        "position": str(decision.position),
    }
    return JsonAnswer(202 if accepted is None else 200, document)


def _decided(job: str, decision: Decision) -> Standing:
    answer, position = decision.answer, str(decision.position)
    if not isinstance(answer, JobDecided):
        return Standing(job=job, position=position)
    return Standing(job=answer.job, status=answer.status, cost=answer.cost, balance=answer.balance, position=position)


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


async def _not_live(intake: Intake, who: Who, job: str, refused_at: Position) -> Problem:
    """The decider knows live jobs only; the read model, once it is there, tells an ended one from none at all."""
    if not await intake.caught_up(refused_at):
        detail = "The read models are behind, so it is not known whether the job has ended; try again."
        return Problem(503, "behind", detail, headers={"Retry-After": "1"})
    outcome = await intake.ports.read_side.job(who.account, job)
    return problem_of(JobUnknown(job) if outcome is None else JobEnded(job, outcome.status), 0)

"""The native write paths: request to command, decision to answer."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from infra.http.answers import JsonAnswer
from infra.http.auth import add_headers, caller_of
from infra.http.documents import job_document
from infra.http.problems import FieldError, Problem, bad_field, bad_fields
from infra.http.refusals import problem_of
from infra.http.requests import json_body
from infra.http.routing import port_of
from infra.postgres.outcomes import TERMINAL, JobOutcome
from infra.sealing.content import JOB, JobSecrets, encode_secrets
from ingest.intake import Decision, Intake, Who, caller_as_who
from ingest.jobs import CheckedParams
from ingest.remote import located
from ingest.shapes import METADATA_BYTES_MAX, JobRequest, grant_decoder, job_decoder, preference_of
from schemas.catalogue import validate_input
from schemas.commands import CancelJob, GrantCredits, SubmitJob
from schemas.identifiers import account_id
from schemas.positions import Position, parse_position
from schemas.refusals import JobEnded, JobUnknown
from schemas.replies import BalanceChanged, JobCancelAccepted, JobDecided, JobEndedAnswer, Refused, Reply

_encoder = msgspec.json.Encoder()


async def submit_job(request: Request) -> Response:
    """POST /v1/jobs: 202 decided, 200 finished within `Prefer: wait=N`; 202 pending, on the log, for `wait=0`."""
    intake = port_of(request, Intake)
    ports = intake.ports
    who = caller_as_who(caller_of(request))
    prefer = preference_of(request)
    wait_s = prefer.result_s
    body = await json_body(request, job_decoder)
    minted = intake.minted(request)
    checked = intake.params.check(body)
    if body.input is not None and checked.entry.input != "none":
        body = replace(body, input=await located(intake, request, who, minted.key, body.input))
    await _check_input(intake, who, body, checked)
    sealed = await _sealed_job(intake, who, body, checked.texts)
    waits_until_ms = ports.clock.now_ms() + wait_s * 1000 if wait_s else None
    command = SubmitJob(
        job=minted.id("job"),
        model=body.model,
        params=checked.values,
        input=None if body.input is None else body.input.asset,
        sealed=sealed,
        client_waits_until_ms=waits_until_ms,
    )
    content = (body.model, command.input, checked.canonical, body.metadata)
    if prefer.applied is not None:
        add_headers(request.scope, [(b"preference-applied", prefer.applied.encode())])
    if not prefer.decided:
        position = await intake.append(request, who, minted, "submit-job", content, command, answered=False)
        intake.acknowledged(request, who, position)
        return _submitted(_job(intake, command, Decision(None, position), None))
    with intake.waiter(minted) as waiter:
        position = await intake.append(request, who, minted, "submit-job", content, command)
        found = await intake.reply_or_outcome(waiter, who, command.job, ports.decision_wait_s, ended=False)
        decision = intake.understood(request, who, found if isinstance(found, Reply) else None, position)
        document = _job(intake, command, decision, found if isinstance(found, JobOutcome) else None)
        job = document["id"]
        if wait_s and document["cost"] is not None and not _has_ended(document):
            repeated = job != command.job  # then the job may have ended long ago, and no reply will come
            end = await intake.reply_or_outcome(waiter, who, job, float(wait_s), ended=True, ask_first=repeated)
            document = _finished(intake, request, who, document, end)
    return _submitted(document)


def _submitted(document: dict[str, Any]) -> Response:
    return _located(200 if _has_ended(document) else 202, document, document["links"]["self"])


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
    document = {
        "id": job,
        "status": "pending" if accepted is None else "canceled",
        "balance": None if accepted is None else accepted.balance,
        "position": str(decision.position),
    }
    return JsonAnswer(202 if accepted is None else 200, document)


async def grant_credits(request: Request) -> Response:
    """POST /v1/accounts/{account}:grant: adds units to the account `P:S`, which opens with it if need be."""
    intake = port_of(request, Intake)
    body = await json_body(request, grant_decoder)
    if body.amount == 0:
        raise bad_field("amount", "This must not be zero.")
    name = request.path_params["account"]
    product, colon, subject = name.partition(":")
    if not (product and colon and subject):
        raise bad_field("account", "Name it as PRODUCT:SUBJECT.")
    account = account_id(intake.ports.identifier_key, product, subject)
    who = Who(account=account, product=product, subject=subject, actor="operator")
    minted = intake.minted(request)
    with intake.waiter(minted) as waiter:
        command = GrantCredits(body.amount, body.reason)
        position = await intake.append(request, who, minted, "grant-credits", body, command)
        decision = await intake.decided(request, who, waiter, position)
    changed = decision.answer if isinstance(decision.answer, BalanceChanged) else None
    balance = None if changed is None else changed.balance
    document = {"account": name, "balance": balance, "position": str(decision.position)}
    return JsonAnswer(202 if changed is None else 200, document)


async def _check_input(intake: Intake, who: Who, body: JobRequest, checked: CheckedParams) -> None:
    """Raise Problem 400 where the model cannot work on the picture; one that nobody knows yet is the decider's."""
    size = None
    if body.input is not None and checked.entry.input == "none":
        size = (1, 1)  # any: it takes no picture
    elif body.input is not None:
        if body.input.asset is None:
            raise bad_field("input", 'Name one of your assets, as `{"asset": …}`, or a picture, as `{"url": …}`.')
        size = await intake.sizes.of(who.account, body.input.asset)
        if size is None:
            return
    elif checked.entry.input == "none":
        return
    problems = validate_input(checked.entry, checked.values, size)
    if problems:
        raise bad_fields([FieldError(problem.field, problem.message) for problem in problems])


async def _sealed_job(intake: Intake, who: Who, body: JobRequest, texts: dict[str, str]) -> str | None:
    if not body.metadata and not texts:
        return None
    if body.metadata and len(_encoder.encode(body.metadata)) > METADATA_BYTES_MAX:
        raise bad_field("metadata", f"This must have at most {METADATA_BYTES_MAX} bytes as JSON.")
    return await intake.sealed(who.account, JOB, encode_secrets(JobSecrets(body.metadata, texts)))


def _job(intake: Intake, command: SubmitJob, decision: Decision, outcome: JobOutcome | None) -> dict[str, Any]:
    """The document of what is known once the decision's wait is over."""
    base_url, answer = intake.ports.base_url, decision.answer
    if outcome is not None:
        return _outcome_document(base_url, command.job, command.model, outcome)
    decided = answer if isinstance(answer, JobDecided) else None
    return job_document(
        base_url,
        command.job if decided is None else decided.job,
        status="pending" if decided is None else decided.status,
        model=command.model,
        cost=None if decided is None else decided.cost,
        balance=None if decided is None else decided.balance,
        position=str(decision.position),
    )


def _finished(
    intake: Intake, request: Request, who: Who, document: dict[str, Any], end: Reply | JobOutcome | None
) -> dict[str, Any]:
    """The document of the ended job; the given one when it did not end in time."""
    base_url, job, model = intake.ports.base_url, document["id"], document["model"]
    if isinstance(end, JobOutcome):
        return _outcome_document(base_url, job, model, end)
    if end is None or not isinstance(end.answer, JobEndedAnswer):
        return document
    position = parse_position(end.position)
    if position is not None:
        intake.acknowledged(request, who, position)
    answer = end.answer
    return job_document(
        base_url,
        job,
        status=answer.status,
        model=model,
        cost=document["cost"],
        balance=answer.balance,
        position=end.position,
        asset=answer.asset,
        result=answer.result,
        reason=answer.reason,
        detail=answer.detail,
    )


def _outcome_document(base_url: str, job: str, model: str, outcome: JobOutcome) -> dict[str, Any]:
    return job_document(
        base_url,
        job,
        status=outcome.status,
        model=model,
        cost=outcome.cost,
        balance=outcome.balance,
        position=outcome.position,
        asset=outcome.asset,
        result=outcome.result,
        reason=outcome.reason,
        detail=outcome.detail,
    )


def _has_ended(document: dict[str, Any]) -> bool:
    return document["status"] in TERMINAL


async def _not_live(intake: Intake, who: Who, job: str, refused_at: Position) -> Problem:
    """The decider knows live jobs only; the read model, once it is there, tells an ended one from none at all."""
    if not await intake.caught_up(refused_at):
        detail = "The read models are behind, so it is not known whether the job has ended; try again."
        return Problem(503, "behind", detail, headers={"Retry-After": "1"})
    outcome = await intake.ports.read_side.job(who.account, job)
    return problem_of(JobUnknown(job) if outcome is None else JobEnded(job, outcome.status), 0)


def _located(status: int, document: dict[str, Any], url: str) -> Response:
    return JsonAnswer(status, document, ((b"location", url.encode()),))

"""Document 001, pix-loom: writes. Each is a thin translation; what was decided, charged and made is the core's.

The picture of a generation comes by URL: one of the account's own media is taken as it is, a remote one is fetched and
made an asset of this request's own, none at all means the plan's sample picture. A repeat under the same key is known
by the URL, so it gives the first answer whatever the remote server says by then, and its own copy goes again.

A deletion is several commands, in an order that a crash between them cannot spoil: the job is hidden first, which ends
it where it lives, and only then, once the read model knows what it had made, its pictures are removed. A repeat finds a
hidden generation whose pictures are still there, and removes them.
"""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from infra.http.answers import JsonAnswer
from infra.http.auth import caller_of
from infra.http.problems import Problem, WireProblem
from infra.http.requests import header_once, json_body
from infra.http.routing import port_of
from infra.postgres.outcomes import JobOutcome
from infra.samples import sample
from ingest.contracts.support import another, checked_job, delete_unused, take_back
from ingest.envelopes import unavailable
from ingest.intake import Intake, Minted, Who, caller_as_who
from ingest.jobs import CheckedJob
from ingest.remote import input_asset, own_asset
from ingest.samples import sample_asset
from ingest.shapes import Preference
from ingest.standing import Standing
from ingest.submit import submit
from schemas.commands import CancelJob, DeleteAsset, HideJob
from schemas.refusals import IdempotencyMismatch, InputRequired
from schemas.wire import pix_loom_documents as shown
from schemas.wire import pix_loom_errors as wrong
from schemas.wire.pix_loom_request import GenerateRequest, read_generate

_decoder = msgspec.json.Decoder(dict[str, Any])


class _Picture(msgspec.Struct, frozen=True):
    """What a generation works on. `content` stands for it in repeats; `own` says that this request has made it."""

    asset: str
    url: str
    content: str | None = None
    own: bool = False


async def generate(request: Request) -> Response:
    """POST /api/ai/generate."""
    intake, who = port_of(request, Intake), caller_as_who(caller_of(request))
    body = await json_body(request, _decoder)
    asked = read_generate(body)
    if isinstance(asked, list):
        raise WireProblem(wrong.invalid(*asked))
    job = checked_job(intake, who, asked.operation, {}, metadata=shown.record_of(asked))
    minted, prefer = intake.minted(request), intake.waiting(request, who)
    try:
        picture = await _picture(intake, request, who, asked)
    except Problem as problem:
        return await _without_picture(intake, request, who, minted, asked, job, prefer, problem)
    standing = await _submitted(intake, request, who, minted, job, picture, prefer)
    return _answer(intake, who, asked.operation, picture.url, standing)


async def _picture(intake: Intake, request: Request, who: Who, asked: GenerateRequest) -> _Picture:
    """The picture as an asset. Raises Problem 400 naming the field, and 503."""
    if asked.url is None:
        terms = intake.ports.plan.terms(who.product, who.plan)
        if terms is None or terms.sample is None:
            raise WireProblem(wrong.refused(InputRequired(asked.operation)))
        asset = await sample_asset(intake, request, who, terms.sample)
        return _Picture(asset, intake.ports.links.shown(who.account, asset), f"sample {terms.sample}")
    own = own_asset(intake.ports.base_url, who.account, asked.url)
    if own is not None:
        return _Picture(own, asked.url)
    key = intake.ports.ids.mint("idem")  # not the request's: a refused job gives its picture back, and keeps its key
    asset = await input_asset(intake, request, who, key, asked.url, wrong.IMAGE)
    return _Picture(asset, asked.url, asked.url, own=True)


async def _submitted(
    intake: Intake, request: Request, who: Who, minted: Minted, job: CheckedJob, picture: _Picture, prefer: Preference
) -> Standing:
    """How the job stands at the end of what the client waits for. A picture that it does not use is taken back."""
    made = [picture.asset] if picture.own else []
    whole = msgspec.structs.replace(job, input=picture.asset, bytes_of=picture.content)
    try:
        standing = await submit(intake, request, who, minted, whole, prefer)
    except Problem as problem:
        await take_back(intake, request, who, minted, problem, *made)
        raise
    if standing.job != minted.id("job"):
        await delete_unused(intake, request, who, *made)
    return standing


async def _without_picture(
    intake: Intake,
    request: Request,
    who: Who,
    minted: Minted,
    asked: GenerateRequest,
    job: CheckedJob,
    prefer: Preference,
    problem: Problem,
) -> Response:
    """The first answer, where this is a repeat whose picture cannot be had any more; else raises `problem`.

    The job is asked for with a picture that is not there: only the key's earlier decision can accept that.
    """
    if asked.url is None or problem.status != 400 or not prefer.decided or not header_once(request, "idempotency-key"):
        raise problem
    absent = _Picture(minted.id("asset"), asked.url, asked.url)
    try:
        standing = await _submitted(intake, request, who, minted, job, absent, prefer)
    except Problem as refused:
        raise refused if isinstance(refused.refusal, IdempotencyMismatch) else problem from None
    if not standing.is_decided:
        raise problem
    return _answer(intake, who, asked.operation, asked.url, standing)


def _answer(intake: Intake, who: Who, operation: str, url: str, standing: Standing) -> Response:
    """200 with the result, 202 while there is none. Raises the documented 500 of a generation that has failed."""
    generation, status = shown.generation_of(standing.job), shown.status_word(standing.status)
    if status == "failed":
        reason = wrong.error_message(standing.status, standing.reason)
        raise WireProblem(wrong.failed(generation, str(reason)))
    if status == "completed" and standing.asset is None:
        status = "processing"  # its result is not known here yet
    done = status == "completed"
    data = {
        "generationId": generation,
        wrong.IMAGE: url,
        "generatedImageUrl": intake.ports.links.shown(who.account, str(standing.asset)) if done else None,
        wrong.OPERATION: operation,
        "processingTimeMs": shown.processing_ms(standing.accepted_ms, standing.ended_ms) if done else None,
        "creditsConsumed": standing.charged if done else standing.cost,
        "newBalance": standing.balance,
        "status": status,
        "message": shown.message_of(operation, status),
    }
    headers = () if done else ((b"location", f"/api/ai/generation/{generation}".encode()),)
    return JsonAnswer(200 if done else 202, {"success": True, "data": data}, headers)


async def delete_generation(request: Request) -> Response:
    """DELETE /api/ai/generation/{id}: out of the history, its pictures removed; what is unfinished is canceled."""
    intake, who = port_of(request, Intake), caller_as_who(caller_of(request))
    generation = request.path_params["id"]
    job = shown.job_of(generation)
    if job is None:
        raise WireProblem(wrong.not_found())
    minted = intake.minted(request)
    outcome = await _known(intake, who, job) or await _looked_for(intake, request, who, minted, job)
    if outcome is None or outcome.model not in wrong.OPERATIONS:
        raise WireProblem(wrong.not_found())
    was_hidden, is_repeat = outcome.hidden_ms is not None, False
    if not was_hidden or header_once(request, "idempotency-key"):
        is_repeat = await _hide(intake, request, who, minted, job)
        outcome = await intake.ports.read_side.job(who.account, job) or outcome
    removed = await _remove_pictures(intake, request, who, job, outcome)
    if was_hidden and not removed and not is_repeat:
        raise WireProblem(wrong.not_found())
    return JsonAnswer(200, {"success": True, "data": {"message": shown.DELETED, "deletedId": generation}})


async def _known(intake: Intake, who: Who, job: str) -> JobOutcome | None:
    """The job, as of this gateway's last command of the account at least. Raises Problem 503."""
    last = intake.ports.last_positions.of(who.account)
    if last is not None and not await intake.caught_up(last):
        raise _behind()
    return await intake.ports.read_side.job(who.account, job)


async def _looked_for(intake: Intake, request: Request, who: Who, minted: Minted, job: str) -> JobOutcome | None:
    """The job that the read model does not have, once it has all that the log has; None: there is none.

    The log is asked by a cancel, which is the beginning of the deletion of a job that came in a moment ago, and is
    refused for all others. Raises Problem 503.
    """
    probe = another(intake, minted)
    with intake.waiter(probe, who) as waiter:
        position = await intake.append(request, who, probe, "cancel-job", [job], CancelJob(job))
        reply = await waiter.take(intake.ports.decision_wait_s)
    intake.acknowledged(request, who, position)
    if reply is None or not await intake.caught_up(position):
        raise _behind()
    return await intake.ports.read_side.job(who.account, job)


async def _hide(intake: Intake, request: Request, who: Who, minted: Minted, job: str) -> bool:
    """Hide the job, after a cancel where it lives, and wait until the read model knows; whether the key had done so.

    Raises Problem 503 while that is not decided.
    """
    with intake.waiter(minted, who) as waiter:
        position = await intake.append(request, who, minted, "hide-job", [job], HideJob(job))
        decision = await intake.decided(request, who, waiter, position)
    if decision.answer is None or not await intake.caught_up(position):
        raise _behind()
    return decision.position.source != position.source


async def _remove_pictures(intake: Intake, request: Request, who: Who, job: str, outcome: JobOutcome) -> bool:
    """Put the deletion of the job's pictures on the log; whether there was any to remove. Raises Problem 503.

    The sample stays, and what another generation shows.
    """
    removed = False
    for asset in dict.fromkeys((outcome.asset, outcome.input)):
        if asset is None or not await _is_to_go(intake, who, job, asset):
            continue
        fresh = Minted(intake.ports.ids.mint("x")[2:], intake.ports.ids.mint("idem"))
        command = DeleteAsset(asset, ())
        position = await intake.append(request, who, fresh, "delete-asset", [asset], command, answered=False)
        intake.acknowledged(request, who, position)
        removed = True
    return removed


async def _is_to_go(intake: Intake, who: Who, job: str, asset: str) -> bool:
    known = await intake.ports.read_side.asset(who.account, asset)
    if known is None:
        raise _behind()
    terms = intake.ports.plan.terms(who.product, who.plan)
    name = None if terms is None else terms.sample
    if known.gone is not None or (name is not None and known.object.sha256 == sample(name).sha256):
        return False
    return not await intake.ports.read_side.shown_elsewhere(who.account, asset, job)


def _behind() -> Problem:
    return unavailable("The read models are behind; try again.", code="behind")

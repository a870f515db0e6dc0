"""Document 000, ai-image, the writing side: a picture and a form become an asset and a job; a job is canceled.

Theory of operation. The form is checked as a whole before anything is on the log; the picture of one that is refused is
removed. Then the picture is an asset under a key of its own, and the job under the client's: a repeat is known by its
bytes and fields, whatever asset they came as, and its own copy of the picture is taken back. So is that of a job which
the decider refuses, and the client's key stays free for another try.

What an answer says of usage is what the decider said with the job, and in the answer to a repeat what the read models
say once they have come to the job's last booking.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from infra.http.answers import JsonAnswer
from infra.http.audit import accessed
from infra.http.auth import add_headers, caller_of
from infra.http.problems import Problem, WireProblem
from infra.http.refusals import problem_of
from infra.http.routing import port_of
from ingest.cancel import cancel
from ingest.contracts.support import asset_of, checked_job, delete_unused, take_back
from ingest.discards import discard
from ingest.forms import Files, Form, FormFile, FormShape, receive_form
from ingest.intake import Intake, Minted, Who, caller_as_who
from ingest.jobs import CheckedJob, input_problem
from ingest.pictures import Wanted
from ingest.standing import Standing
from ingest.submit import submit
from schemas.identifiers import partition_of
from schemas.plans import AccountTerms
from schemas.positions import parse_position
from schemas.refusals import JobUnknown
from schemas.wire import ai_image as wire
from schemas.wire.ai_image_errors import IMAGE_REQUIRED, failure, invalid
from schemas.wire.ai_image_request import FORM_TEXTS, FORMATS, asked

_IMAGE = "image"
_FORM = FormShape(texts=FORM_TEXTS, files={_IMAGE: Files(Wanted(_IMAGE, FORMATS, status=400))})
_CATCH_UPS = 3


async def generate(request: Request) -> Response:
    """POST /api/ai-image/generate: 200 with the picture, 202 while the job goes on."""
    intake, who = port_of(request, Intake), _who(request)
    prefer, minted = intake.waiting(request, who), intake.minted(request)
    if prefer.applied is not None:
        add_headers(request.scope, [(b"preference-applied", prefer.applied.encode())])
    image, job = await _received(intake, request, who)
    upload = Minted(intake.ports.ids.mint("x")[2:], intake.ports.ids.mint("idem"))
    original = (await asset_of(intake, request, who, upload, image)).asset
    try:
        standing = await submit(intake, request, who, minted, job, prefer)
    except Problem as problem:
        await take_back(intake, request, who, minted, problem, original)
        raise
    if standing.job != minted.id("job"):
        await delete_unused(intake, request, who, original)
        await _caught_up(intake, standing)
        first = await intake.ports.read_side.job(who.account, standing.job)
        original = first.input if first is not None and first.input is not None else original
    accessed(request, original)
    if standing.has_ended and standing.status != "succeeded":
        raise WireProblem(failure(standing.job, standing.status, standing.reason))
    return await _answer(intake, who, job.model, original, standing)


async def cancel_job(request: Request) -> Response:
    """POST /api/ai-image/jobs/{id}/cancel: 200; 409 for a job that has ended, 404 for an unknown one."""
    intake, who, job = port_of(request, Intake), _who(request), request.path_params["id"]
    if not wire.is_job_id(job):
        raise problem_of(JobUnknown(job), 0)
    accepted, _ = await cancel(intake, request, who, job)
    data = {
        "id": job,
        "status": "processing" if accepted is None else "canceled",
        "canceledAt": None if accepted is None else wire.time_or_none(accepted.decided_ms),
    }
    return JsonAnswer(202 if accepted is None else 200, {"success": True, "data": data})


def _who(request: Request) -> Who:
    """Who asks; the answer says what kind of owner that is."""
    caller = caller_of(request)
    add_headers(request.scope, [wire.owner_header(caller.plan)])
    return caller_as_who(caller)


async def _received(intake: Intake, request: Request, who: Who) -> tuple[FormFile, CheckedJob]:
    """The stored picture and the job on it. Raises Problem; then the picture is removed."""
    objects, ids = intake.ports.objects, intake.ports.ids
    async with intake.uploads.taken(who.account):
        form = await receive_form(request, objects, lambda _, __: f"{who.account}/{ids.mint('asset')}", _FORM)
    try:
        return _checked(intake, who, form)
    except Problem:
        await discard(objects, *form.stored)
        raise


def _checked(intake: Intake, who: Who, form: Form) -> tuple[FormFile, CheckedJob]:
    image, wish = form.file(_IMAGE), asked(form.texts)
    if image is None or image.object is None:
        raise WireProblem(invalid(IMAGE_REQUIRED))
    if isinstance(wish, str):
        raise WireProblem(invalid(wish))
    asset = image.object.key.rpartition("/")[2]
    job = checked_job(intake, who, wish.model, wish.params, asset=asset)
    problem = input_problem(job, {asset: (image.object.width, image.object.height)})
    if problem is not None:
        raise problem
    return image, replace(job, bytes_of=image.object.sha256)


async def _answer(intake: Intake, who: Who, model: str, original: str, standing: Standing) -> Response:
    links = intake.ports.links
    data: dict[str, Any] = {
        "jobId": standing.job,
        "model": model,
        "imageUrl": None if standing.asset is None else links.shown(who.account, standing.asset),
        "originalUrl": links.shown(who.account, original),
        **await _spent(intake, who, standing),
        "charge": {"type": "free" if standing.reused_of is None else "reused", "amount": 0},
    }
    if standing.asset is not None:
        return JsonAnswer(200, {"success": True, "data": data})
    data["status"] = "processing" if standing.has_ended else wire.status_word(standing.status)
    return JsonAnswer(202, {"success": True, "data": data})


async def _spent(intake: Intake, who: Who, standing: Standing) -> dict[str, Any]:
    """Usage, limits and entitlements after this job; what nobody says now is null."""
    windows: Sequence[tuple[str, int, int]] | None = None
    plan, name = intake.ports.plan, standing.plan
    if standing.windows is not None:
        windows = [(use.kind, use.start_ms, use.units) for use in standing.windows]
    if windows is None or standing.plan_version != plan.version:
        is_current = not standing.is_decided or windows is not None or await _caught_up(intake, standing)
        partition = partition_of(who.account, intake.ports.partitions)
        spending = await intake.ports.read_side.spending(who.account, partition)
        if spending is not None:
            plan, name = spending.plan, spending.plan_name
            windows = windows or (spending.windows if is_current else None)
    terms = plan.terms(who.product, name or who.plan) or AccountTerms()
    usage = wire.unknown_usage(terms)
    if windows is not None:
        usage = wire.usage_document(terms, windows, intake.ports.clock.now_ms())
    limits, entitlements = wire.limits_document(plan), wire.entitlements_document(terms)
    return {"usage": usage, "limits": limits, "entitlements": entitlements}


async def _caught_up(intake: Intake, standing: Standing) -> bool:
    """Whether the read models come to the job's last booking within a few seconds."""
    position = parse_position(standing.position or "")
    for _ in range(_CATCH_UPS):
        if position is None or await intake.caught_up(position):
            return True
    return False

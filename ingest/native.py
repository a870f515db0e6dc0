"""Single jobs: submitted and canceled, request to command, decision to answer."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from infra.http.answers import JsonAnswer
from infra.http.auth import add_headers, caller_of
from infra.http.requests import json_body
from infra.http.routing import port_of
from ingest.cancel import cancel
from ingest.intake import Intake, caller_as_who
from ingest.remote import located
from ingest.shapes import job_decoder, preference_of
from ingest.submit import submit


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
    if prefer.applied is not None:
        add_headers(request.scope, [(b"preference-applied", prefer.applied.encode())])
    standing = await submit(intake, request, who, minted, job, prefer)
    document = standing.document(intake.ports.base_url, job.model)
    location = (b"location", document["links"]["self"].encode())
    return JsonAnswer(200 if standing.has_ended else 202, document, (location,))


async def cancel_job(request: Request) -> Response:
    """POST /v1/jobs/{id}:cancel: 200; 409 for a finished job, 404 for an unknown one."""
    intake = port_of(request, Intake)
    who = caller_as_who(caller_of(request))
    job = request.path_params["id"]
    accepted, position = await cancel(intake, request, who, job)
    document: dict[str, Any] = {
        "id": job,
        "status": "pending" if accepted is None else "canceled",
        "balance": None if accepted is None else accepted.balance,
        "position": str(position),
    }
    return JsonAnswer(202 if accepted is None else 200, document)

"""What operators change about accounts: credits granted, charges given back, plans. Each is repeated by its key."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from infra.http.answers import JsonAnswer
from infra.http.problems import bad_field
from infra.http.refusals import problem_of
from infra.http.requests import json_body
from infra.http.routing import port_of
from ingest.intake import Intake, Who
from ingest.money_shapes import grant_decoder, plan_decoder, refund_decoder
from schemas.commands import AnyCommand, GrantCredits, RefundJob, SetPlan
from schemas.identifiers import PRODUCTS, account_id
from schemas.refusals import JobUnknown
from schemas.replies import BalanceChanged

_ACCOUNT_PREFIX = "acct_"


async def grant_credits(request: Request) -> Response:
    """POST /v1/accounts/{account}:grant: adds units to the account `P:S`, which opens with it if need be."""
    intake = port_of(request, Intake)
    body = await json_body(request, grant_decoder)
    if body.amount == 0:
        raise bad_field("amount", "This must not be zero.")
    name = request.path_params["account"]
    expires_ms = None if body.expires_at is None else int(body.expires_at.timestamp() * 1000)
    command = GrantCredits(body.amount, body.reason, expires_ms, body.priority)
    who = _named(intake, name)
    return await _changed(request, intake, who, "grant-credits", body, command, {"account": name})


async def set_plan(request: Request) -> Response:
    """POST /v1/accounts/{account}:plan: puts the account `P:S` under another plan of its product."""
    intake = port_of(request, Intake)
    body = await json_body(request, plan_decoder)
    name = request.path_params["account"]
    named = {"account": name, "plan": body.plan}
    return await _changed(request, intake, _named(intake, name), "set-plan", body, SetPlan(body.plan), named)


async def refund_job(request: Request) -> Response:
    """POST /v1/jobs/{id}:refund: gives a succeeded job's charge back, once."""
    intake = port_of(request, Intake)
    job = request.path_params["id"]
    body = await json_body(request, refund_decoder)
    who = await _owner(intake, job, body.account)
    named = {"job": job, "account": who.account}
    return await _changed(request, intake, who, "refund-job", [job, body.reason], RefundJob(job, body.reason), named)


async def _changed(
    request: Request,
    intake: Intake,
    who: Who,
    operation: str,
    content: object,
    command: AnyCommand,
    named: dict[str, Any],
) -> Response:
    """Send the command and answer 200 with the new balance, 202 while it is not decided."""
    minted = intake.minted(request)
    with intake.waiter(minted, who) as waiter:
        position = await intake.append(request, who, minted, operation, content, command)
        decision = await intake.decided(request, who, waiter, position)
    changed = decision.answer if isinstance(decision.answer, BalanceChanged) else None
    document = {**named, "balance": None if changed is None else changed.balance, "position": str(decision.position)}
    return JsonAnswer(202 if changed is None else 200, document)


def _named(intake: Intake, name: str) -> Who:
    """The account `PRODUCT:SUBJECT`, split at the first colon. Raises Problem 400."""
    product, colon, subject = name.partition(":")
    if product not in PRODUCTS or not colon or not subject:
        raise bad_field("account", f"Name it as PRODUCT:SUBJECT, with a product of {', '.join(PRODUCTS)}.")
    account = account_id(intake.ports.identifier_key, product, subject)
    return Who(account=account, product=product, subject=subject, actor="operator")


async def _owner(intake: Intake, job: str, name: str | None) -> Who:
    """Whose job it is, as it was named or as the read model has it. Raises Problem 400, 404, 503."""
    if name is not None and not name.startswith(_ACCOUNT_PREFIX):
        return _named(intake, name)
    owner = await intake.ports.read_side.owner(job, name)
    if owner is None:
        raise problem_of(JobUnknown(job), 0)
    return Who(account=owner.account, product=owner.product, subject=None, actor="operator")

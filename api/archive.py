"""Reads of the archive: what happened to a job, event by event, and an account as one of its events left it.

The archive is written beside the read models, after them, and has a position of its own; a read of it waits (bounded)
until it holds the event that it has to show.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api.account_fold import AccountFold
from api.documents import event_document
from api.jobs import unknown_job
from api.lists import answer
from api.money_documents import account_document, standing_of
from api.ports import ApiPorts
from infra.http.auth import caller_of
from infra.http.problems import Problem, bad_field
from infra.http.routing import port_of
from schemas.events import decode_event
from schemas.identifiers import partition_of
from schemas.positions import Position

PAGE_EVENTS = 2_000


async def get_job_history(request: Request) -> Response:
    """GET /v1/jobs/{id}/history."""
    ports = port_of(request, ApiPorts)
    account, job = caller_of(request).account, request.path_params["id"]
    await ports.consistency.ready(request, account)
    row = await ports.consistency.found(account, lambda: ports.queries.job(account, job))
    if row is None:
        raise unknown_job(job)
    await ports.archive.reach(_position(row["position"]))
    events = await ports.archive.job_events(account, job)
    return answer({"data": [event_document(value, ports.deployment) for value in events], "next_cursor": None})


async def account_of_version(ports: ApiPorts, account: str, product: str, version: int) -> dict[str, Any]:
    """The document of the account as its event `version` left it. Raises Problem 400 where it has no such event yet."""
    row = await ports.queries.account(account, partition_of(account, ports.partitions))
    known = 0 if row is None or row["version"] is None else int(row["version"])
    if version > known:
        raise bad_field("version", f"The account has {known} events so far.")
    assert row is not None
    await ports.archive.reach(_position(row["position"]))
    fold, read = AccountFold(), 0
    while read < version:
        values = await ports.archive.account_events(account, read, min(version, read + PAGE_EVENTS))
        for value in values:
            fold.add(decode_event(value))
        read = min(version, read + PAGE_EVENTS)
    partition = partition_of(account, ports.partitions)
    plan = await ports.queries.plan_at(partition, fold.time_ms)
    terms = None if plan is None else plan.terms(fold.product or product, fold.plan_name)
    if terms is None:
        raise Problem(404, "product-unknown", f"No plan of then has terms for the product {product}.")
    standing = standing_of(
        fold.sums, since_ms=fold.since_ms, windows=fold.windows, lots=fold.lots, position=fold.position
    )
    return {**account_document(account, fold.plan_name, terms, standing, fold.time_ms), "as_of": fold.position}


def _position(text: str) -> Position:
    return Position(*map(int, text.split(".")))

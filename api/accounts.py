"""Reads of money: the account as of now, the lines of its ledger; and the models that cost it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from api.documents import account_document, catalogue_document, ledger_line
from api.jobs import answer, next_cursor, page_start
from api.ports import ApiPorts
from api.shapes import LedgerQuery
from infra.http.auth import caller_of
from infra.http.problems import Problem
from infra.http.requests import query_of
from infra.http.routing import port_of
from schemas.identifiers import partition_of


async def get_account(request: Request) -> Response:
    """GET /v1/account; an account that has never written shows its opening terms, and reading opens nothing."""
    ports, caller = port_of(request, ApiPorts), caller_of(request)
    partition = partition_of(caller.account, ports.partitions)
    await ports.consistency.ready(request, caller.account)

    found = await ports.queries.account_under_plan(caller.account, partition)
    if found is None or found[0]["position"] is None:
        await ports.consistency.settle(caller.account)
        found = await ports.queries.account_under_plan(caller.account, partition)
    if found is None:
        detail = "No plan is in force yet; try again in a moment."
        raise Problem(503, "plan-missing", detail, headers={"Retry-After": "1"})
    row, plan = found
    is_open = row["position"] is not None
    product = row["product"] if is_open else caller.product
    plan_name = row["plan"] if is_open else caller.plan
    terms = plan.terms(product, plan_name)
    if terms is None:
        raise Problem(404, "product-unknown", f"The plan in force has no product {product}.")
    document = account_document(caller.account, plan_name, terms, row if is_open else None, ports.clock.now_ms())
    return answer(document)


async def list_ledger(request: Request) -> Response:
    """GET /v1/ledger."""
    ports, query = port_of(request, ApiPorts), query_of(request, LedgerQuery)
    account = caller_of(request).account
    newest_first = query.sort.startswith("-")
    scope = f"ledger {account} {query.sort} {query.kind} {query.job}"
    cursor = page_start(ports, scope, query.cursor, newest_first)
    await ports.consistency.ready(request, account)
    filters = [query.kind, query.job]
    rows = await ports.queries.ledger(account, newest_first, cursor.pin, cursor.after, filters, query.limit + 1)
    data = [ledger_line(row) for row in rows[: query.limit]]
    return answer({"data": data, "next_cursor": next_cursor(ports, scope, cursor, rows, query.limit)})


async def list_models(request: Request) -> Response:
    """GET /v1/models."""
    return answer(catalogue_document(port_of(request, ApiPorts).catalogue))

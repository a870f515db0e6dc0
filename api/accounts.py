"""Reads of money: the account now and at an earlier moment, the lines of its ledger, plans, and what models cost."""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.archive import account_of_version
from api.documents import moment
from api.lists import answer, milliseconds, next_cursor, page_start, scope_of
from api.money_documents import (
    Standing,
    account_document,
    catalogue_document,
    entitlements_document,
    ledger_line,
    standing_of,
    standing_of_row,
    terms_document,
)
from api.money_queries import Moment
from api.money_shapes import AccountQuery, LedgerQuery
from api.ports import ApiPorts
from infra.http.auth import caller_of
from infra.http.problems import Problem, bad_field
from infra.http.requests import query_of
from infra.http.routing import port_of
from infra.http.tokens import Caller
from schemas.events import decode_event
from schemas.identifiers import partition_of
from schemas.plans import AccountTerms, Plan
from schemas.positions import Position, parse_position
from schemas.spendable import LotLeft

_RECENT_MS = 60_000
_MONEY = ("credits-reserved", "credits-captured", "credits-released", "credits-refunded")


class Now(NamedTuple):
    """An account as of its last event, under the plan in force."""

    standing: Standing
    product: str
    plan_name: str
    terms: AccountTerms
    plan: Plan


async def account_now(request: Request, ports: ApiPorts, caller: Caller) -> Now:
    """The caller's account; one that has never written stands by its opening terms. Raises Problem 404, 503."""
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
    terms = terms_of(plan, product, plan_name)
    standing = standing_of_row(row) if is_open else Standing(available=terms.opening_credits)
    return Now(standing, product, plan_name, terms, plan)


def terms_of(plan: Plan, product: str, plan_name: str) -> AccountTerms:
    """The terms that hold. Raises Problem 404 where the plan has none for the product."""
    terms = plan.terms(product, plan_name)
    if terms is None:
        raise Problem(404, "product-unknown", f"The plan in force has no product {product}.")
    return terms


async def get_account(request: Request) -> Response:
    """GET /v1/account; an account that has never written shows its opening terms, and reading opens nothing."""
    ports, caller, query = port_of(request, ApiPorts), caller_of(request), query_of(request, AccountQuery)
    if query.as_of is not None and query.version is not None:
        raise bad_field("version", "Give either as_of or version.")
    now = await account_now(request, ports, caller)
    time_ms = ports.clock.now_ms()
    if query.as_of is not None:
        return answer(await _as_of(ports, caller.account, now, query.as_of, time_ms))
    if query.version is not None:
        return answer(await account_of_version(ports, caller.account, now.product, query.version))
    return answer(account_document(caller.account, now.plan_name, now.terms, now.standing, time_ms))


async def _as_of(ports: ApiPorts, account: str, now: Now, text: str, now_ms: int) -> dict[str, Any]:
    """The document of the account at a position or a time."""
    position = parse_position(text)
    if position is not None:
        found, time_ms = await _at_position(ports, account, position), None
    else:
        time_ms = _past(text, now_ms)
        if time_ms > now_ms - _RECENT_MS:
            await ports.consistency.settle(account)
        found = await ports.queries.moment_at_time(account, time_ms)
    partition = partition_of(account, ports.partitions)
    if found is None:
        opened = await ports.queries.opened(account)
        at_ms = now_ms if time_ms is None else time_ms
        plan = await ports.queries.plan_at(partition, at_ms) or now.plan
        terms = terms_of(plan, now.product, now.plan_name)
        is_open = opened is not None and time_ms is not None and opened["time_ms"] <= time_ms
        since_ms = opened["time_ms"] if is_open and opened is not None else None
        standing = Standing(available=0 if is_open else terms.opening_credits, since_ms=since_ms)
        return {**account_document(account, now.plan_name, terms, standing, at_ms), "as_of": text}
    at_ms = found.time_ms if time_ms is None else time_ms
    plan = await ports.queries.plan_at(partition, at_ms) or now.plan
    terms = terms_of(plan, found.product, found.plan_name)
    return {**account_document(account, found.plan_name, terms, _standing(found), at_ms), "as_of": text}


async def _at_position(ports: ApiPorts, account: str, position: Position) -> Moment | None:
    if position.partition != partition_of(account, ports.partitions):
        raise bad_field("as_of", "This is a position of another account's partition.")
    await ports.consistency.reach("as_of", str(position))
    return await ports.queries.moment_at_position(account, msgspec.structs.astuple(position))


def _past(text: str, now_ms: int) -> int:
    try:
        time = datetime.datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise bad_field("as_of", "This must be a position, or a time with its zone, as in 2026-01-31T12:00:00Z.")
    time_ms = int(time.timestamp() * 1000)
    if time_ms > now_ms:
        raise bad_field("as_of", "This time has not come yet.")
    return time_ms


def _standing(found: Moment) -> Standing:
    lots = [LotLeft(*lot) for lot in found.lots]
    return standing_of(found.sums, since_ms=found.since_ms, windows=found.windows, lots=lots, position=found.position)


async def list_ledger(request: Request) -> Response:
    """GET /v1/ledger."""
    ports, query = port_of(request, ApiPorts), query_of(request, LedgerQuery)
    account = caller_of(request).account
    newest_first = query.sort.startswith("-")
    after_ms, before_ms = milliseconds(query.created_after), milliseconds(query.created_before)
    scope = scope_of("ledger", account, query.sort, query.kind, query.job, after_ms, before_ms)
    cursor = page_start(ports, scope, query.cursor, newest_first)
    await ports.consistency.ready(request, account)
    rows = await ports.queries.ledger(
        account,
        newest_first=newest_first,
        pin=cursor.pin,
        after=cursor.after,
        limit=query.limit + 1,
        kind=query.kind,
        versions=None if query.job is None else await _versions(ports, account, query.job),
        after_ms=after_ms,
        before_ms=before_ms,
    )
    data = [ledger_line(row) for row in rows[: query.limit]]
    return answer({"data": data, "next_cursor": next_cursor(ports, scope, cursor, rows, query.limit)})


async def _versions(ports: ApiPorts, account: str, job: str) -> list[int]:
    """The versions of a job's bookings."""
    events = map(decode_event, await ports.queries.job_events(account, job) or ())
    return [event.version for event in events if event.data.__struct_config__.tag in _MONEY]


async def list_plans(request: Request) -> Response:
    """GET /v1/plans."""
    ports, caller = port_of(request, ApiPorts), caller_of(request)
    now = await account_now(request, ports, caller)
    versions = await ports.queries.plans(partition_of(caller.account, ports.partitions))
    named = now.plan.products[now.product]
    prices = {
        slug: msgspec.to_builtins(model.cost)
        for slug, model in now.plan.models.items()
        if not model.products or now.product in model.products
    }
    data = [
        {"name": name, "terms": terms_document(terms), "entitlements": entitlements_document(terms)}
        for name, terms in named.items()
    ]
    shown = [
        {
            "version": row["plan_version"],
            "published_at": moment(row["published_ms"]),
            "in_force": row["plan_version"] == now.plan.version,
        }
        for row in versions
    ]
    document = {"product": now.product, "version": now.plan.version, "data": data, "prices": prices, "versions": shown}
    return answer(document)


async def list_models(request: Request) -> Response:
    """GET /v1/models: those that the caller's product may use."""
    return answer(catalogue_document(port_of(request, ApiPorts).catalogue, caller_of(request).product))

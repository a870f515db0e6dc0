"""Reads of the trail of accesses: who read, changed or deleted what of an account."""

from __future__ import annotations

from typing import Any, Literal

import asyncpg
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from api.cursors import FIRST_PIN, Cursor, write_cursor
from api.documents import moment
from api.lists import answer, milliseconds, page_start, scope_of
from api.ports import ApiPorts
from api.shapes import AFTER, BEFORE, CURSOR, LIMIT, SORT, Moment, Query, Sort, Text
from infra.http.auth import caller_of
from infra.http.problems import bad_field
from infra.http.requests import query_of
from infra.http.routing import Answer, Operation, port_of
from schemas.identifiers import account_id


class AuditQuery(Query):
    """Parameters of GET /v1/audit."""

    action: Literal["read", "change", "delete"] | None = Field(None, description="What was done.")
    object: Text | None = Field(None, description="Accesses to one job, asset, album or group.")
    created_after: Moment | None = AFTER
    created_before: Moment | None = BEFORE
    sort: Sort = SORT
    limit: int = LIMIT
    cursor: str | None = CURSOR


class AccessModel(BaseModel):
    """One access, or `times` equal ones within about a second."""

    at: str
    actor: str | None = Field(description="The account id of the caller; null for a signed link.")
    own: bool = Field(description="Whether the caller was the account itself.")
    role: Literal["user", "admin", "link"]
    action: Literal["read", "change", "delete"]
    operation: str
    objects: list[str] = Field(description="Ids that were named or made; empty for the account as a whole.")
    status: int
    address: str | None = Field(description="A keyed hash of the client's address.")
    trace: str | None
    times: int


class AccessPage(BaseModel):
    """A page of the trail."""

    data: list[AccessModel]
    next_cursor: str | None


async def list_accesses(request: Request) -> Response:
    """GET /v1/audit."""
    return await _page(request, caller_of(request).account)


async def list_accesses_of(request: Request) -> Response:
    """GET /v1/admin/accounts/{account}/audit."""
    return await _page(request, _named(port_of(request, ApiPorts), request.path_params["account"]))


def _named(ports: ApiPorts, name: str) -> str:
    """The account's id, given as it is or as `PRODUCT:SUBJECT`. Raises Problem 400."""
    product, colon, subject = name.partition(":")
    if name.startswith("acct_"):
        return name
    if not (product and colon and subject):
        raise bad_field("account", "Name it as PRODUCT:SUBJECT, or by its id (acct_…).")
    return account_id(ports.identifier_key, product, subject)


async def _page(request: Request, account: str) -> Response:
    ports, query = port_of(request, ApiPorts), query_of(request, AuditQuery)
    newest_first = query.sort.startswith("-")
    filters = query.action, query.object, milliseconds(query.created_after), milliseconds(query.created_before)
    scope = scope_of("audit", account, query.sort, filters)
    cursor = page_start(ports, scope, query.cursor, newest_first)
    if cursor.pin == FIRST_PIN:
        cursor = Cursor(await ports.audit.last_access(account), FIRST_PIN if newest_first else -1)
    rows = await ports.audit.accesses(
        account, *filters, newest_first=newest_first, pin=cursor.pin, after=cursor.after, limit=query.limit + 1
    )
    following = None
    if len(rows) > query.limit:
        following = write_cursor(ports.signer, scope, Cursor(cursor.pin, rows[query.limit - 1]["place"]))
    return answer({"data": [_document(account, row) for row in rows[: query.limit]], "next_cursor": following})


def _document(account: str, row: asyncpg.Record) -> dict[str, Any]:
    return {
        "at": moment(row["at_ms"]),
        "actor": row["actor"],
        "own": row["actor"] == account,
        "role": row["role"],
        "action": row["action"],
        "operation": row["operation"],
        "objects": row["objects"].split(),
        "status": row["status"],
        "address": row["address"],
        "trace": row["trace"],
        "times": row["times"],
    }


_TEXT = "The newest first. An access is in it about a second after its answer."

AUDIT_ROUTES: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/v1/audit",
        handler=list_accesses,
        name="list-accesses",
        audit="read",
        tag="Account",
        summary="List who read, changed or deleted what of the account",
        description=_TEXT,
        query=AuditQuery,
        answers={200: Answer(description="A page.", model=AccessPage)},
        problems=(503,),
    ),
    Operation(
        method="GET",
        path="/v1/admin/accounts/{account}/audit",
        handler=list_accesses_of,
        name="list-accesses-of",
        access="admin",
        audit="read",
        tag="Operator",
        summary="List who read, changed or deleted what of an account",
        description=_TEXT,
        path_parameters={"account": "`PRODUCT:SUBJECT`, split at the first colon, or the account's id."},
        query=AuditQuery,
        answers={200: Answer(description="A page.", model=AccessPage)},
        problems=(503,),
    ),
)

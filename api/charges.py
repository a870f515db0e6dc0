"""Why a job was charged: the rule, the plan and its terms of then, and every booking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.documents import moment
from api.jobs import job_row
from api.lists import answer
from api.money_documents import CHANGES, lot_uses, price_document, terms_document, window_uses
from api.ports import ApiPorts
from infra.http.auth import caller_of
from infra.http.routing import port_of
from schemas import events as ev
from schemas.events import decode_event
from schemas.identifiers import partition_of

_KINDS: dict[type[Any], str] = {
    ev.CreditsReserved: "reserved",
    ev.CreditsCaptured: "captured",
    ev.CreditsReleased: "released",
    ev.CreditsRefunded: "refunded",
}


async def get_job_charge(request: Request) -> Response:
    """GET /v1/jobs/{id}/charge."""
    ports = port_of(request, ApiPorts)
    account, job = caller_of(request).account, request.path_params["id"]
    await ports.consistency.ready(request, account)
    row = await job_row(ports, account, job)
    events = [decode_event(value) for value in await ports.queries.job_events(account, row["job"]) or ()]
    plan = await ports.queries.plan_of_version(partition_of(account, ports.partitions), row["plan_version"])
    terms = None if plan is None else plan.terms(row["product"], row["plan"])
    model = None if plan is None else plan.models.get(row["model"])
    reservation = next((event.data for event in events if isinstance(event.data, ev.CreditsReserved)), None)
    params = msgspec.json.decode(row["params"])
    document = {
        "job": row["job"],
        "model": row["model"],
        "status": row["status"],
        "cost": row["cost"],
        "charged": row["charged"],
        "refunded": row["refunded"],
        "reused_of": row["reused_of"],
        "price": None if model is None else price_document(model.cost, params),
        "plan": None
        if terms is None
        else {"name": row["plan"], "version": row["plan_version"], "terms": terms_document(terms)},
        "windows": [] if reservation is None else window_uses(reservation.windows),
        "lots": [] if reservation is None else lot_uses(reservation.lots),
        "lines": _lines(events),
    }
    return answer(document)


def _lines(events: Sequence[ev.Event]) -> list[dict[str, Any]]:
    lines = []
    for event in events:
        data: Any = event.data
        kind = _KINDS.get(type(data))
        if kind is not None:
            line = {
                "kind": kind,
                "amount": data.units,
                "change": CHANGES[kind] * data.units,
                "balance": data.balance,
                "job": data.job,
                "reason": getattr(data, "reason", None),
                "plan_version": getattr(data, "plan_version", None),
                "lots": lot_uses(getattr(data, "lots", ())),
                "created_at": moment(event.time_ms),
                "position": event.position,
            }
            lines.append(line)
    return lines

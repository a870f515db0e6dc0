"""Rows as documents: one function for each kind, no reads and no decisions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from infra.http.documents import job_document
from schemas.amounts import regenerated_units, window_end_ms, window_start_ms
from schemas.catalogue import Catalogue, Entry
from schemas.cloudevents import rfc3339, structured
from schemas.commands import StoredObject
from schemas.events import decode_event
from schemas.plans import AccountTerms

Row = Mapping[str, Any]
_stored_decoder = msgspec.json.Decoder(StoredObject)
_TIMES = (("queued", "queued_ms"), ("running", "running_ms"))
_CHANGES = {"granted": 1, "regenerated": 1, "reserved": -1, "captured": 0, "released": 1}
_FOR_DELIVERY = ("reply", "idempotency")


def job_detail(base_url: str, row: Row, metadata: Mapping[str, Any] | None, texts: Mapping[str, str]) -> dict[str, Any]:
    """The document of `JobDetailModel` for a row of `queries`; `texts` are the free texts among the parameters."""
    status, result, source, params = row["status"], row["result"], row["input"], row["params"]
    document = job_document(
        base_url,
        row["job"],
        status=status,
        model=row["model"],
        cost=row["cost"],
        balance=row["balance"],
        position=row["position"],
        asset=row["asset"],
        result=None if result is None else _stored_decoder.decode(result),
        reason=row["reason"],
        detail=row["detail"],
    )
    times = {"accepted": moment(row["accepted_ms"])}
    for name, column in _TIMES:
        if row[column] is not None:
            times[name] = moment(row[column])
    if row["ended_ms"] is not None:
        times[status] = moment(row["ended_ms"])
    document["engine"] = row["engine"]
    document["engine_version"] = row["engine_version"]
    document["params"] = {**msgspec.json.decode(params), **texts} if texts else msgspec.Raw(params.encode())
    document["input"] = None if source is None else {"asset": source}
    document["metadata"] = metadata
    document["charged"] = row["charged"]
    document["attempts"] = row["attempts"]
    document["plan"] = row["plan"]
    document["plan_version"] = row["plan_version"]
    document["created_at"] = times["accepted"]
    document["times"] = times
    return document


@lru_cache(maxsize=4_096)
def _second(time_s: int) -> str:
    return rfc3339(time_s * 1000)[:-4]


def moment(time_ms: int) -> str:
    """`rfc3339`, quicker for times of seconds that were shown lately."""
    return f"{_second(time_ms // 1000)}{time_ms % 1000:03d}Z"


def event_document(value: bytes, deployment: str) -> dict[str, Any]:
    """An event of the topic in structured mode, without what only concerns its delivery."""
    document = structured(decode_event(value), deployment)
    data = document["data"]["data"]
    for name in _FOR_DELIVERY:
        data.pop(name, None)
    return document


def account_document(account: str, plan_name: str, terms: AccountTerms, row: Row | None, now_ms: int) -> dict[str, Any]:
    """The document of `AccountModel` at `now_ms`; a row of None is an account that has never written."""
    used: dict[tuple[str, int], int] = {}
    available, reserved, position = terms.opening_credits, 0, None
    if row is not None:
        reserved, position = row["reserved"], row["position"]
        available = row["granted"] + row["regenerated"] + row["refunded"] - row["captured"] - reserved - row["expired"]
        available += _regenerated(terms, available, row["since_ms"], now_ms)
        used = {(kind, start_ms): units for kind, start_ms, units in msgspec.json.decode(row["windows"] or "[]")}
    return {
        "account": account,
        "balance": available if terms.uses_balance else None,
        "reserved": reserved,
        "quota": [
            {
                "window": window.kind,
                "limit": window.limit,
                "used": used.get((window.kind, window_start_ms(window.kind, now_ms)), 0),
                "resets_at": rfc3339(window_end_ms(window.kind, now_ms)),
            }
            for window in terms.windows
        ],
        "plan": plan_name,
        "position": position,
    }


def ledger_line(row: Row) -> dict[str, Any]:
    """The document of `LedgerLineModel`."""
    kind, amount = row["kind"], row["amount"]
    return {
        "kind": kind,
        "amount": amount,
        "change": _CHANGES[kind] * amount,
        "balance": row["balance"],
        "job": row["job"],
        "reason": row["reason"],
        "plan_version": row["plan_version"],
        "created_at": moment(row["time_ms"]),
        "position": row["position"],
    }


def catalogue_document(catalogue: Catalogue) -> dict[str, Any]:
    """The document of `ModelList`."""
    return {
        "data": [_model(entry) for entry in catalogue.models],
        "next_cursor": None,
        "version": catalogue.version,
    }


def _model(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.slug,
        "title": entry.title,
        "description": entry.description,
        "task": entry.task,
        "input": entry.input,
        "parameters": {name: _parameter(msgspec.to_builtins(p)) for name, p in entry.parameters.items()},
        "cost": msgspec.to_builtins(entry.cost),
        "limits": msgspec.to_builtins(entry.limits),
    }


def _parameter(parameter: dict[str, Any]) -> dict[str, Any]:
    """Only what applies: bounds of numbers, choices where there are any, the length of free texts."""
    shown = {name: value for name, value in parameter.items() if value is not None and value != []}
    if parameter["type"] != "text" or parameter["choices"]:
        shown.pop("length_max", None)
    return {**shown, "required": parameter["default"] is None}


def _regenerated(terms: AccountTerms, available: int, since_ms: int | None, now_ms: int) -> int:
    regeneration = terms.regeneration
    if regeneration is None or since_ms is None:
        return 0
    gained, _ = regenerated_units(
        units=regeneration.units,
        every_ms=regeneration.every_ms,
        cap=regeneration.cap,
        available=available,
        since_ms=since_ms,
        time_ms=now_ms,
    )
    return gained

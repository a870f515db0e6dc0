"""Rows of money, plans and models as documents: no reads and no decisions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from api.documents import moment, moment_or_none
from schemas import events as ev
from schemas.amounts import window_end_ms, window_start_ms
from schemas.catalogue import Catalogue, Entry
from schemas.cloudevents import rfc3339
from schemas.plans import AccountTerms, CostRule
from schemas.spendable import LotLeft, spendable_units

Row = Mapping[str, Any]
CHANGES = {
    "granted": 1,
    "regenerated": 1,
    "reserved": -1,
    "captured": 0,
    "released": 1,
    "refunded": 1,
    "expired": -1,
}
"""What a line of each kind does to the balance, as a factor of its amount."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What an account has by its last event, before time has given and taken."""

    available: int
    reserved: int = 0
    since_ms: int | None = None
    windows: Sequence[tuple[str, int, int]] = ()
    lots: Sequence[LotLeft] = ()
    position: str | None = None


def standing_of(sums: Mapping[str, int], **more: Any) -> Standing:
    """The standing that an account's totals make."""
    added = sums["granted"] + sums["regenerated"] + sums["refunded"]
    available = added - sums["captured"] - sums["reserved"] - sums["expired"]
    return Standing(available=available, reserved=sums["reserved"], **more)


def standing_of_row(row: Row) -> Standing:
    """The standing of a row of `queries.account`."""
    windows = msgspec.json.decode(row["windows"] or "[]", type=list[tuple[str, int, int]])
    lots = msgspec.json.decode(row["lots"] or "[]", type=list[tuple[str, int, int | None, int]])
    return standing_of(
        row,
        since_ms=row["since_ms"],
        windows=windows,
        lots=[LotLeft(*lot) for lot in lots],
        position=row["position"],
    )


def account_document(
    account: str, plan_name: str, terms: AccountTerms, standing: Standing, time_ms: int
) -> dict[str, Any]:
    """The document of `AccountModel` at `time_ms`."""
    spendable = spendable_units(
        available=standing.available,
        regeneration=terms.regeneration,
        since_ms=standing.since_ms,
        lots=standing.lots,
        time_ms=time_ms,
    )
    return {
        "account": account,
        "balance": spendable if terms.uses_balance else None,
        "reserved": standing.reserved,
        "quota": quota_document(terms, standing.windows, time_ms),
        "lots": [lot_document(lot) for lot in standing.lots if not lot.is_over(time_ms)],
        "plan": plan_name,
        "position": standing.position,
    }


def quota_document(terms: AccountTerms, windows: Iterable[tuple[str, int, int]], time_ms: int) -> list[dict[str, Any]]:
    """A `QuotaModel` for each window of the terms."""
    used = {(kind, start_ms): units for kind, start_ms, units in windows}
    return [
        {
            "window": window.kind,
            "limit": window.limit,
            "used": used.get((window.kind, window_start_ms(window.kind, time_ms)), 0),
            "resets_at": rfc3339(window_end_ms(window.kind, time_ms)),
        }
        for window in terms.windows
    ]


def lot_document(lot: LotLeft) -> dict[str, Any]:
    """The document of `LotModel`."""
    return {
        "lot": lot.lot,
        "units": lot.units,
        "priority": lot.priority,
        "expires_at": moment_or_none(lot.expires_ms),
    }


def ledger_line(row: Row) -> dict[str, Any]:
    """The document of `LedgerLineModel`."""
    kind, amount = row["kind"], row["amount"]
    lots = [] if row["lots"] is None else msgspec.json.decode(row["lots"], type=list[ev.LotUse])
    shown = lot_uses(lots)
    if row["lot"] is not None:
        shown = [{"lot": row["lot"], "units": amount}]
    return {
        "kind": kind,
        "amount": amount,
        "change": CHANGES[kind] * amount,
        "balance": row["balance"],
        "job": row["job"],
        "reason": row["reason"],
        "plan_version": row["plan_version"],
        "lots": shown,
        "created_at": moment(row["time_ms"]),
        "position": row["position"],
    }


def lot_uses(lots: Iterable[ev.LotUse]) -> list[dict[str, Any]]:
    """Units by lot."""
    return [{"lot": use.lot, "units": use.units} for use in lots]


def window_uses(windows: Iterable[ev.WindowUse]) -> list[dict[str, Any]]:
    """Units by window."""
    return [
        {
            "window": use.kind,
            "units": use.units,
            "began_at": moment(use.start_ms),
            "resets_at": moment(window_end_ms(use.kind, use.start_ms)),
        }
        for use in windows
    ]


def price_document(rule: CostRule, params: Mapping[str, Any]) -> dict[str, Any]:
    """The document of `PriceModel`: the rule, and what of it applied to these parameters."""
    applied = {"base": rule.base}
    for name, units_by_value in rule.per.items():
        value = str(params.get(name))
        if units_by_value.get(value):
            applied[f"{name}={value}"] = units_by_value[value]
    return {**msgspec.to_builtins(rule), "applied": applied}


def terms_document(terms: AccountTerms) -> dict[str, Any]:
    """What a plan grants, as its file writes it."""
    document: dict[str, Any] = msgspec.to_builtins(terms)
    return document


_ENTITLEMENTS = (
    *("lane", "weight", "in_flight_jobs_max", "lane_in_flight_jobs_max", "queued_jobs_max", "models_denied"),
    *("param_limits", "albums_max", "originals", "uploads_ttl_ms", "results_ttl_ms", "reuse_ttl_ms"),
)


def entitlements_document(terms: AccountTerms) -> dict[str, Any]:
    """The document of `EntitlementsModel`."""
    return {name: getattr(terms, name) for name in _ENTITLEMENTS}


def threshold_document(row: Row) -> dict[str, Any]:
    """The document of `ThresholdModel`."""
    return {
        "of": row["measure"],
        "percent": row["percent"],
        "used": row["used"],
        "limit": row["limit_units"],
        "resets_at": moment_or_none(row["resets_ms"]),
        "reached_at": moment(row["time_ms"]),
        "position": row["position"],
    }


def catalogue_document(catalogue: Catalogue, product: str) -> dict[str, Any]:
    """The document of `ModelList`: what is offered to the product."""
    return {
        "data": [_model(entry) for entry in catalogue.models if entry.offered_to(product)],
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

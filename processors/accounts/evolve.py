"""What events about plans, money, assets and keys change. See processors/evolve.py for the contract."""

from msgspec.structs import replace

from processors.accounts import ledger
from processors.accounts.state import (
    Account,
    Idempotency,
    PlanRecord,
    Reservation,
    idempotency_key,
    plan_key,
    reservation_key,
)
from processors.assets.state import Asset, Charge, asset_key, result_asset
from processors.overlay import Overlay
from schemas import events as ev
from schemas.replies import AnyAnswer, BalanceChanged


def plan_published(state: Overlay, event: ev.Event, data: ev.PlanPublished) -> None:
    partition = state.partition(event.account)
    state.changes[plan_key(event.account, data.plan.version)] = PlanRecord(data.plan)
    state.put_partition(event.account, replace(partition, plan_version=data.plan.version))


def account_opened(state: Overlay, event: ev.Event, data: ev.AccountOpened) -> None:
    opened = Account(
        product=event.product,
        plan=data.plan,
        opened_ms=event.time_ms,
        version=0,
        regenerating_since_ms=event.time_ms,
    )
    state.put_header(event.account, opened)


def plan_changed(state: Overlay, event: ev.Event, data: ev.PlanChanged) -> None:
    header = replace(state.header(event.account), plan=data.plan, regenerating_since_ms=event.time_ms)
    state.put_header(event.account, header)
    remember(state, event, data.idempotency, data.plan, BalanceChanged(data.balance))


def credits_granted(state: Overlay, event: ev.Event, data: ev.CreditsGranted) -> None:
    state.put_header(event.account, ledger.grant(state.header(event.account), data, event.position))
    remember(state, event, data.idempotency, event.position, BalanceChanged(data.balance))


def credits_regenerated(state: Overlay, event: ev.Event, data: ev.CreditsRegenerated) -> None:
    header = state.header(event.account)
    after = replace(header, regenerated=header.regenerated + data.amount, regenerating_since_ms=data.since_ms)
    state.put_header(event.account, after)


def remember(state: Overlay, event: ev.Event, use: ev.IdempotencyUse | None, made: str, answer: AnyAnswer) -> None:
    """Keep what a key decided, where there was one; the position is the command's, as in the first answer."""
    if use is not None:
        source = event.position.rpartition(".")[0] + ".0"
        record = Idempotency(use.fingerprint, source, made, answer, use.expires_ms)
        state.changes[idempotency_key(event.account, use.key)] = record


def credits_expired(state: Overlay, event: ev.Event, data: ev.CreditsExpired) -> None:
    state.put_header(event.account, ledger.expire(state.header(event.account), data.lot, data.units))


def credits_reserved(state: Overlay, event: ev.Event, data: ev.CreditsReserved) -> None:
    header = state.header(event.account)
    reservation = Reservation(data.units, data.windows, data.plan_version, data.lots)
    state.put_header(event.account, ledger.reserve(header, data.units, data.windows, data.lots))
    state.changes[reservation_key(event.account, data.job)] = reservation


def credits_captured(state: Overlay, event: ev.Event, data: ev.CreditsCaptured) -> None:
    reservation = _end_reservation(state, event, data.job)
    state.put_header(event.account, ledger.capture(state.header(event.account), reservation))
    key = asset_key(event.account, result_asset(data.job))
    result = state.get(key)
    if isinstance(result, Asset) and (reservation.units or reservation.windows):
        charge = Charge(reservation.units, reservation.windows, reservation.plan_version)
        state.changes[key] = replace(result, charge=charge)


def credits_released(state: Overlay, event: ev.Event, data: ev.CreditsReleased) -> None:
    _end_reservation(state, event, data.job)
    state.put_header(event.account, ledger.release(state.header(event.account), data))


def credits_refunded(state: Overlay, event: ev.Event, data: ev.CreditsRefunded) -> None:
    state.put_header(event.account, ledger.refund(state.header(event.account), data.units, data.windows))
    key = asset_key(event.account, result_asset(data.job))
    result = state.get(key)
    assert isinstance(result, Asset), f"the result of {data.job} has ended before"
    assert result.charge is not None, f"{data.job} was charged nothing"
    state.changes[key] = replace(result, charge=replace(result.charge, refunded=True))
    remember(state, event, data.idempotency, data.job, BalanceChanged(data.balance))


def _end_reservation(state: Overlay, event: ev.Event, job: str) -> Reservation:
    key = reservation_key(event.account, job)
    reservation = state.get(key)
    assert isinstance(reservation, Reservation), f"the reservation of {job} has ended before"
    state.changes[key] = None
    return reservation


def idempotency_forgotten(state: Overlay, event: ev.Event, data: ev.IdempotencyForgotten) -> None:
    state.changes.update(dict.fromkeys(idempotency_key(event.account, key) for key in data.keys))

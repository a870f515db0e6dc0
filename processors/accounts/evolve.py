"""What events about plans, money, assets and keys change. See processors/evolve.py for the contract."""

from collections.abc import Callable

from msgspec.structs import replace

from processors.accounts import ledger
from processors.accounts.state import (
    Account,
    Asset,
    Idempotency,
    PlanRecord,
    Reservation,
    asset_key,
    idempotency_key,
    plan_key,
    reservation_key,
)
from processors.overlay import Overlay
from schemas import events as ev
from schemas.replies import AnyAnswer, AssetAccepted, BalanceChanged

Settlement = Callable[[Account, Reservation], Account]


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


def credits_granted(state: Overlay, event: ev.Event, data: ev.CreditsGranted) -> None:
    header = state.header(event.account)
    state.put_header(event.account, replace(header, granted=header.granted + data.amount))
    remember(state, event, data.idempotency, event.position, BalanceChanged(data.balance))


def credits_regenerated(state: Overlay, event: ev.Event, data: ev.CreditsRegenerated) -> None:
    header = state.header(event.account)
    after = replace(header, regenerated=header.regenerated + data.amount, regenerating_since_ms=data.since_ms)
    state.put_header(event.account, after)


def asset_registered(state: Overlay, event: ev.Event, data: ev.AssetRegistered) -> None:
    add_asset(state, event.account, data.asset, Asset(data.number, data.object))
    remember(state, event, data.idempotency, data.asset, AssetAccepted(data.asset, data.number, data.object))


def remember(state: Overlay, event: ev.Event, use: ev.IdempotencyUse | None, made: str, answer: AnyAnswer) -> None:
    """Keep what a key decided, where there was one; the position is the command's, as in the first answer."""
    if use is not None:
        source = event.position.rpartition(".")[0] + ".0"
        record = Idempotency(use.fingerprint, source, made, answer, use.expires_ms)
        state.changes[idempotency_key(event.account, use.key)] = record


def add_asset(state: Overlay, account: str, name: str, asset: Asset) -> None:
    """The account with one more asset, numbered after all before it."""
    header = state.header(account)
    state.changes[asset_key(account, name)] = asset
    state.put_header(account, replace(header, assets=max(header.assets, asset.number)))


def credits_reserved(state: Overlay, event: ev.Event, data: ev.CreditsReserved) -> None:
    header = state.header(event.account)
    reservation = Reservation(data.units, data.windows, data.plan_version)
    state.put_header(event.account, ledger.reserve(header, data.units, data.windows))
    state.changes[reservation_key(event.account, data.job)] = reservation


def credits_captured(state: Overlay, event: ev.Event, data: ev.CreditsCaptured) -> None:
    _settle(state, event, data.job, ledger.capture)


def credits_released(state: Overlay, event: ev.Event, data: ev.CreditsReleased) -> None:
    _settle(state, event, data.job, ledger.release)


def _settle(state: Overlay, event: ev.Event, job: str, how: Settlement) -> None:
    key = reservation_key(event.account, job)
    reservation = state.get(key)
    assert isinstance(reservation, Reservation), f"the reservation of {job} has ended before"
    state.put_header(event.account, how(state.header(event.account), reservation))
    state.changes[key] = None


def idempotency_forgotten(state: Overlay, event: ev.Event, data: ev.IdempotencyForgotten) -> None:
    state.changes.update(dict.fromkeys(idempotency_key(event.account, key) for key in data.keys))

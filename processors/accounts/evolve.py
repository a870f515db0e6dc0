"""What events about plans, money, assets and keys change. See processors/evolve.py for the contract."""

from collections.abc import Callable

from msgspec.structs import replace

from processors.accounts import ledger
from processors.accounts.state import (
    Account,
    Asset,
    Idempotency,
    Partition,
    PlanRecord,
    Reservation,
    account_key,
    asset_key,
    idempotency_key,
    partition_key,
    plan_key,
    reservation_key,
)
from processors.draft import Changes, Read, typed
from schemas import events as ev
from schemas.replies import AnyAnswer, AssetAccepted, BalanceChanged

Settlement = Callable[[Account, Reservation], Account]


def header_of(read: Read, account: str) -> Account:
    """The header of an account that is open; events about one that is not are a bug."""
    header = typed(read(account_key(account)), Account)
    assert header is not None, f"{account} is not open"
    return header


def plan_published(read: Read, event: ev.Event, data: ev.PlanPublished) -> Changes:
    key = partition_key(event.account)
    partition = typed(read(key), Partition) or Partition()
    return {
        plan_key(event.account, data.plan.version): PlanRecord(data.plan),
        key: replace(partition, plan_version=data.plan.version),
    }


def account_opened(read: Read, event: ev.Event, data: ev.AccountOpened) -> Changes:
    opened = Account(
        product=event.product,
        plan=data.plan,
        opened_ms=event.time_ms,
        version=0,
        regenerating_since_ms=event.time_ms,
    )
    return {account_key(event.account): opened}


def credits_granted(read: Read, event: ev.Event, data: ev.CreditsGranted) -> Changes:
    header = header_of(read, event.account)
    changes: Changes = {account_key(event.account): replace(header, granted=header.granted + data.amount)}
    remember(changes, event, data.idempotency, event.position, BalanceChanged(data.balance))
    return changes


def credits_regenerated(read: Read, event: ev.Event, data: ev.CreditsRegenerated) -> Changes:
    header = header_of(read, event.account)
    after = replace(header, regenerated=header.regenerated + data.amount, regenerating_since_ms=data.since_ms)
    return {account_key(event.account): after}


def asset_registered(read: Read, event: ev.Event, data: ev.AssetRegistered) -> Changes:
    changes = add_asset(read, event.account, data.asset, Asset(data.number, data.object))
    remember(changes, event, data.idempotency, data.asset, AssetAccepted(data.asset, data.number, data.object))
    return changes


def remember(changes: Changes, event: ev.Event, use: ev.IdempotencyUse | None, made: str, answer: AnyAnswer) -> None:
    """Keep what a key decided, where there was one; the position is the command's, as in the first answer."""
    if use is not None:
        source = event.position.rpartition(".")[0] + ".0"
        record = Idempotency(use.fingerprint, source, made, answer, use.expires_ms)
        changes[idempotency_key(event.account, use.key)] = record


def add_asset(read: Read, account: str, name: str, asset: Asset) -> Changes:
    """The account with one more asset, numbered after all before it."""
    header = header_of(read, account)
    return {
        asset_key(account, name): asset,
        account_key(account): replace(header, assets=max(header.assets, asset.number)),
    }


def credits_reserved(read: Read, event: ev.Event, data: ev.CreditsReserved) -> Changes:
    header = header_of(read, event.account)
    return {
        account_key(event.account): ledger.reserve(header, data.units, data.windows),
        reservation_key(event.account, data.job): Reservation(data.units, data.windows, data.plan_version),
    }


def credits_captured(read: Read, event: ev.Event, data: ev.CreditsCaptured) -> Changes:
    return _settle(read, event, data.job, ledger.capture)


def credits_released(read: Read, event: ev.Event, data: ev.CreditsReleased) -> Changes:
    return _settle(read, event, data.job, ledger.release)


def _settle(read: Read, event: ev.Event, job: str, how: Settlement) -> Changes:
    key = reservation_key(event.account, job)
    reservation = typed(read(key), Reservation)
    assert reservation is not None, f"the reservation of {job} has ended before"
    return {account_key(event.account): how(header_of(read, event.account), reservation), key: None}


def idempotency_forgotten(read: Read, event: ev.Event, data: ev.IdempotencyForgotten) -> Changes:
    return {idempotency_key(event.account, key): None for key in data.keys}

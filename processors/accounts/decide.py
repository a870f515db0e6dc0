"""Decisions about plans, accounts and their credits. Pure: a draft in, events and answers in the draft out."""

from processors.accounts import ledger
from processors.accounts.entry import admitted, idempotency_use, ignore, opened_account, refuse
from processors.accounts.state import Account
from processors.assets.state import Asset, asset_key, result_asset
from processors.draft import Draft
from processors.overlay import typed
from schemas import commands as cmd
from schemas import events as ev
from schemas import refusals as no
from schemas.replies import BalanceChanged, Done


def publish_plan(draft: Draft, command: cmd.PublishPlan) -> None:
    """Put a newer plan in force; the same one again, or an older one, changes nothing."""
    address, current, plan = draft.envelope.reply, draft.plan(), command.plan
    if current is None or plan.version > current.version:
        draft.emit(draft.stream, ev.PlanPublished(plan))
    elif plan.version == current.version and plan != current:
        refuse(draft, draft.stream, no.PlanVersionReused(plan.version))
        return
    else:
        ignore(draft, draft.stream, "plan-already-published")
    draft.answer(address, draft.stream, Done())


def open_account(draft: Draft, command: cmd.OpenAccount) -> None:
    """Open the account, or say that it is open."""
    account = draft.envelope.account
    was_open = draft.account(account) is not None
    opened = opened_account(draft)
    if opened is None:
        return
    if was_open:
        ignore(draft, account, "already-open")
    draft.answer(draft.envelope.reply, account, BalanceChanged(draft.header(account).available))


def set_plan(draft: Draft, command: cmd.SetPlan) -> None:
    """Put the account under another plan of its product; its regeneration, if that has one, counts from now."""
    account = draft.envelope.account
    opened = admitted(draft)
    if opened is None:
        return
    header, terms, plan = opened
    if command.plan not in plan.products[header.product]:
        refuse(draft, account, no.PlanUnknown(command.plan))
        return
    balance = header.available
    draft.emit(account, ev.PlanChanged(command.plan, plan.version, balance, idempotency_use(draft, terms)))
    draft.answer(draft.envelope.reply, account, BalanceChanged(balance))


def grant_credits(draft: Draft, command: cmd.GrantCredits) -> None:
    """Add credits, plain or as a lot; a negative grant takes no more than what is spendable."""
    account = draft.envelope.account
    opened = admitted(draft)
    if opened is None:
        return
    header, terms, _ = opened
    refusal = _refuse_grant(draft, header, command)
    if refusal is not None:
        refuse(draft, account, refusal)
        return
    balance = header.available + command.amount
    granted = ev.CreditsGranted(
        amount=command.amount,
        reason=command.reason,
        balance=balance,
        idempotency=idempotency_use(draft, terms),
        expires_ms=command.expires_ms,
        priority=command.priority if command.amount > 0 else 0,
        lots=ledger.lots_for(header, -command.amount) if command.amount < 0 else (),
    )
    draft.emit(account, granted)
    draft.answer(draft.envelope.reply, account, BalanceChanged(balance))


def _refuse_grant(draft: Draft, header: Account, command: cmd.GrantCredits) -> no.AnyRefusal | None:
    if header.available + command.amount < 0:
        return no.GrantBelowZero(command.amount, header.available)
    if header.granted + command.amount > ledger.BALANCE_MAX:
        return no.GrantTooLarge(command.amount, ledger.BALANCE_MAX)
    if command.expires_ms is not None and (command.expires_ms <= draft.time_ms or command.amount <= 0):
        return no.GrantExpired(command.expires_ms)
    if (command.expires_ms is not None or command.priority) and len(header.lots) >= ledger.LOTS_MAX:
        return no.GrantsFull(ledger.LOTS_MAX)
    return None


def refund_job(draft: Draft, command: cmd.RefundJob) -> None:
    """Give a succeeded job's charge back, once, as long as its result is there."""
    account = draft.envelope.account
    opened = admitted(draft)
    if opened is None:
        return
    header, terms, _ = opened
    result = typed(draft.get(asset_key(account, result_asset(command.job))), Asset)
    if result is None or result.number <= header.erased_through:
        refuse(draft, account, no.ChargeUnknown(command.job))
    elif result.charge is None:
        refuse(draft, account, no.NothingCharged(command.job))
    elif result.charge.refunded:
        refuse(draft, account, no.AlreadyRefunded(command.job))
    else:
        charge, balance = result.charge, header.available + result.charge.units
        refunded = ev.CreditsRefunded(
            job=command.job,
            units=charge.units,
            windows=charge.windows,
            plan_version=charge.plan_version,
            reason=command.reason,
            balance=balance,
            idempotency=idempotency_use(draft, terms),
        )
        draft.emit(account, refunded)
        draft.answer(draft.envelope.reply, account, BalanceChanged(balance))

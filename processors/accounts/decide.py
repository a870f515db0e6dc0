"""Decisions about plans, accounts, money and assets. Pure: a draft in, events and answers in the draft out."""

from processors.accounts import ledger
from processors.accounts.state import Account, Idempotency, idempotency_key
from processors.draft import Draft
from processors.overlay import typed
from schemas import commands as cmd
from schemas import events as ev
from schemas import refusals as no
from schemas.amounts import regenerated_units
from schemas.plans import AccountTerms, Plan
from schemas.replies import AssetAccepted, BalanceChanged, Done, JobDecided, Refused


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
    draft.answer(draft.envelope.reply, account, BalanceChanged(draft.header(draft.envelope.account).available))


def grant_credits(draft: Draft, command: cmd.GrantCredits) -> None:
    """Add credits; a negative grant takes no more than what is spendable."""
    account = draft.envelope.account
    opened = opened_account(draft)
    if opened is None or answered_before(draft):
        return
    header, _, _ = opened
    available = header.available
    if available + command.amount < 0:
        refuse(draft, account, no.GrantBelowZero(command.amount, available))
        return
    if header.granted + command.amount > ledger.BALANCE_MAX:
        refuse(draft, account, no.GrantTooLarge(command.amount, ledger.BALANCE_MAX))
        return
    balance = available + command.amount
    draft.emit(account, ev.CreditsGranted(command.amount, command.reason, balance, idempotency_use(draft, opened[1])))
    draft.answer(draft.envelope.reply, account, BalanceChanged(balance))


def register_asset(draft: Draft, command: cmd.RegisterAsset) -> None:
    """Number the asset; it is usable at once, because the decider knows it before any projection does."""
    account = draft.envelope.account
    opened = opened_account(draft)
    if opened is None or answered_before(draft):
        return
    header, terms, _ = opened
    number = header.assets + 1
    use = idempotency_use(draft, terms)
    draft.emit(account, ev.AssetRegistered(command.asset, number, command.object, command.sealed, use))
    draft.answer(draft.envelope.reply, account, AssetAccepted(command.asset, number, command.object))


def opened_account(draft: Draft) -> tuple[Account, AccountTerms, Plan] | None:
    """The account's header with what time has regenerated booked, opened first where it was not.

    None after a refusal: no plan in this partition has terms for the product.
    """
    envelope, plan = draft.envelope, draft.plan()
    account = envelope.account
    header = draft.account(account)
    terms = plan.terms(envelope.product, header.plan if header else envelope.plan) if plan else None
    if plan is None or terms is None:
        refuse(draft, account if header else draft.stream, no.PlanMissing(envelope.product))
        return None
    if header is None:
        draft.emit(account, ev.AccountOpened(envelope.plan, plan.version, envelope.subject))
        if terms.opening_credits:
            credits = terms.opening_credits
            draft.emit(account, ev.CreditsGranted(credits, "opening", credits, None))
    elif terms.regeneration is not None:
        _regenerate(draft, header, terms)
    return draft.header(draft.envelope.account), terms, plan


def answered_before(draft: Draft) -> bool:
    """Give the earlier answer again where the command's key has decided one; True when it did (or was refused)."""
    envelope = draft.envelope
    if envelope.idempotency is None:
        return False
    key = idempotency_key(envelope.account, envelope.idempotency.key)
    earlier = typed(draft.get(key), Idempotency)
    if earlier is None or earlier.expires_ms <= draft.time_ms:
        return False
    if earlier.fingerprint != envelope.idempotency.fingerprint:
        refuse(draft, envelope.account, no.IdempotencyMismatch(earlier.made))
        return True
    address = envelope.reply if isinstance(earlier.answer, JobDecided) else None
    draft.emit(envelope.account, ev.CommandDuplicate(name(envelope.command), earlier.of, earlier.made, address))
    draft.answer(envelope.reply, envelope.account, earlier.answer, earlier.of)
    return True


def idempotency_use(draft: Draft, terms: AccountTerms) -> ev.IdempotencyUse | None:
    """The key under which this decision will be remembered."""
    key = draft.envelope.idempotency
    if key is None:
        return None
    return ev.IdempotencyUse(key.key, key.fingerprint, draft.time_ms + terms.idempotency_ttl_ms)


def refuse(draft: Draft, stream: str, refusal: no.AnyRefusal) -> None:
    """The command is not carried out; its key, if it has one, stays free."""
    draft.emit(stream, ev.CommandRefused(name(draft.envelope.command), refusal))
    draft.answer(draft.envelope.reply, stream, Refused(refusal))


def ignore(draft: Draft, stream: str, reason: str, subject: str | None = None) -> None:
    """The command changes nothing."""
    draft.emit(stream, ev.CommandIgnored(name(draft.envelope.command), reason, subject))


def name(command: cmd.Command) -> str:
    """The word that names the command's type, as on the wire."""
    return str(command.__struct_config__.tag)


def _regenerate(draft: Draft, header: Account, terms: AccountTerms) -> None:
    regeneration = terms.regeneration
    assert regeneration is not None
    gained, since_ms = regenerated_units(
        units=regeneration.units,
        every_ms=regeneration.every_ms,
        cap=regeneration.cap,
        available=header.available,
        since_ms=header.regenerating_since_ms,
        time_ms=draft.time_ms,
    )
    if gained or since_ms != header.regenerating_since_ms:
        balance = header.available + gained
        draft.emit(draft.envelope.account, ev.CreditsRegenerated(gained, since_ms, balance))

"""What every decision about an account begins and ends with: opening, time, keys, refusals. Pure."""

from processors.accounts.money import settle_time
from processors.accounts.state import Account, Idempotency, idempotency_key
from processors.draft import Draft
from processors.overlay import typed
from schemas import commands as cmd
from schemas import events as ev
from schemas import refusals as no
from schemas.plans import AccountTerms, Plan
from schemas.replies import JobDecided, Refused


def opened_account(draft: Draft) -> tuple[Account, AccountTerms, Plan] | None:
    """The account's header with what time has given and taken booked, opened first where it was not.

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
    else:
        settle_time(draft, account, header, terms)
    return draft.header(account), terms, plan


def admitted(draft: Draft) -> tuple[Account, AccountTerms, Plan] | None:
    """`opened_account` for a command that its key has not decided; None once it is refused or answered again."""
    opened = opened_account(draft)
    return None if opened is None or answered_before(draft) else opened


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
    subject = _subject(envelope.command)
    repeated = None if subject == earlier.made else subject
    command = name(envelope.command)
    draft.emit(envelope.account, ev.CommandDuplicate(command, earlier.of, earlier.made, address, repeated))
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
    command = draft.envelope.command
    draft.emit(stream, ev.CommandRefused(name(command), refusal, _subject(command)))
    draft.answer(draft.envelope.reply, stream, Refused(refusal))


def ignore(draft: Draft, stream: str, reason: str, subject: str | None = None) -> None:
    """The command changes nothing."""
    draft.emit(stream, ev.CommandIgnored(name(draft.envelope.command), reason, subject))


def ignore_late(draft: Draft, reason: str, subject: str) -> None:
    """The same for a report that comes too late, perhaps about an account that was never opened."""
    account = draft.envelope.account
    ignore(draft, account if draft.account(account) else draft.stream, reason, subject)


def name(command: cmd.Command) -> str:
    """The word that names the command's type, as on the wire."""
    return str(command.__struct_config__.tag)


def _subject(command: cmd.Command) -> str | None:
    """The id that the command would give to what it makes."""
    match command:
        case cmd.SubmitJob():
            return command.job
        case cmd.SubmitGroup():
            return command.group
        case cmd.RegisterAsset():
            return command.asset
        case cmd.CreateAlbum():
            return command.album
        case _:
            return None

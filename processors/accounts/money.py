"""What time does to an account's money: regeneration and the expiry of lots. Pure."""

from processors.accounts.state import Account
from processors.draft import Draft
from schemas import events as ev
from schemas.amounts import regenerated_units
from schemas.plans import AccountTerms, RegenerationTerms


def settle_time(draft: Draft, account: str, header: Account, terms: AccountTerms) -> None:
    """Book what the time since the last event has given, then what it has taken."""
    if terms.regeneration is not None:
        _regenerate(draft, account, header, terms.regeneration)
    expire_lots(draft, account)


def expire_late_returns(draft: Draft, account: str, lots: tuple[ev.LotUse, ...]) -> None:
    """Units that came back to lots whose time is over are gone as well."""
    for use in lots:
        balance = draft.header(account).available - use.units
        draft.emit(account, ev.CreditsExpired(use.lot, use.units, balance))


def _regenerate(draft: Draft, account: str, header: Account, regeneration: RegenerationTerms) -> None:
    gained, since_ms = regenerated_units(
        units=regeneration.units,
        every_ms=regeneration.every_ms,
        cap=regeneration.cap,
        available=header.available,
        since_ms=header.regenerating_since_ms,
        time_ms=draft.time_ms,
    )
    if gained or since_ms != header.regenerating_since_ms:
        draft.emit(account, ev.CreditsRegenerated(gained, since_ms, header.available + gained))


def expire_lots(draft: Draft, account: str) -> None:
    """Take what is left of lots whose time is over."""
    for lot in draft.header(account).lots:
        if lot.expires_ms is not None and lot.expires_ms <= draft.time_ms:
            balance = draft.header(account).available - lot.units
            draft.emit(account, ev.CreditsExpired(lot.lot, lot.units, balance))

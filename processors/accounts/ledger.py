"""Money and windows of an account's header: reserve, then capture or release, each reservation ends exactly once.

Pure arithmetic on `Account`; every function returns a new header. The laws it keeps are those of design section 4.
"""

from msgspec.structs import replace

from processors.accounts.state import Account, Reservation
from schemas.amounts import window_end_ms, window_start_ms
from schemas.events import WindowUse
from schemas.plans import AccountTerms
from schemas.refusals import AnyRefusal, InsufficientCredits, QuotaExceeded

BALANCE_MAX = 2**53 - 1  # what every JSON reader holds exactly


def used_units(account: Account, kind: str, start_ms: int) -> int:
    """Units taken from the window of `kind` that began at `start_ms`."""
    for use in account.windows:
        if use.kind == kind and use.start_ms == start_ms:
            return use.units
    return 0


def windows_of(terms: AccountTerms, time_ms: int) -> tuple[WindowUse, ...]:
    """What one job takes from each window of the terms at this time."""
    return tuple(WindowUse(w.kind, window_start_ms(w.kind, time_ms), 1) for w in terms.windows)


def refuse_reservation(account: Account, terms: AccountTerms, cost: int, time_ms: int) -> AnyRefusal | None:
    """Why a job of this price cannot be reserved now, or None. Windows are asked before the balance."""
    for window in terms.windows:
        used = used_units(account, window.kind, window_start_ms(window.kind, time_ms))
        if used + 1 > window.limit:
            return QuotaExceeded(window.kind, window.limit, used, window_end_ms(window.kind, time_ms))
    if terms.uses_balance and cost > account.available:
        return InsufficientCredits(cost, account.available)
    return None


def reserve(account: Account, units: int, windows: tuple[WindowUse, ...]) -> Account:
    """The header after a reservation; a window that has begun anew replaces the old one of its kind."""
    return replace(account, reserved=account.reserved + units, windows=_take(account.windows, windows))


def capture(account: Account, reservation: Reservation) -> Account:
    """The header after the reservation became a charge; its windows stay used."""
    return replace(
        account,
        reserved=account.reserved - reservation.units,
        captured=account.captured + reservation.units,
    )


def release(account: Account, reservation: Reservation) -> Account:
    """The header after the reservation ended without a charge; units go back to the windows they came from."""
    return replace(
        account,
        reserved=account.reserved - reservation.units,
        windows=_give_back(account.windows, reservation.windows),
    )


def _take(held: tuple[WindowUse, ...], taken: tuple[WindowUse, ...]) -> tuple[WindowUse, ...]:
    uses = {use.kind: use for use in held}
    for use in taken:
        before = uses.get(use.kind)
        units = before.units if before is not None and before.start_ms == use.start_ms else 0
        uses[use.kind] = WindowUse(use.kind, use.start_ms, units + use.units)
    return tuple(uses.values())


def _give_back(held: tuple[WindowUse, ...], returned: tuple[WindowUse, ...]) -> tuple[WindowUse, ...]:
    back = {(use.kind, use.start_ms): use.units for use in returned}
    return tuple(WindowUse(u.kind, u.start_ms, u.units - back.get((u.kind, u.start_ms), 0)) for u in held)

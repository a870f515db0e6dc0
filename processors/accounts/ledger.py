"""Money and windows of an account's header: reserve, then capture or release, each reservation ends exactly once.

Pure arithmetic on `Account`; every function returns a new header. The laws it keeps are those of design section 4.
"""

from msgspec.structs import replace

from processors.accounts.state import Account, Lot, Reservation
from schemas.amounts import window_end_ms, window_start_ms
from schemas.events import CreditsGranted, CreditsReleased, LotUse, ThresholdReached, WindowUse
from schemas.plans import AccountTerms
from schemas.refusals import AnyRefusal, InsufficientCredits, QuotaExceeded

BALANCE_MAX = 2**53 - 1  # what every JSON reader holds exactly
LOTS_MAX = 64
_NEVER_MS = 1 << 62


def used_units(account: Account, kind: str, start_ms: int) -> int:
    """Units taken from the window of `kind` that began at `start_ms`."""
    for use in account.windows:
        if use.kind == kind and use.start_ms == start_ms:
            return use.units
    return 0


def used_windows(account: Account, terms: AccountTerms, time_ms: int) -> tuple[WindowUse, ...]:
    """What the account has used of each window of the terms that is open now."""
    if not terms.windows:
        return ()
    starts = ((window.kind, window_start_ms(window.kind, time_ms)) for window in terms.windows)
    return tuple(WindowUse(kind, start_ms, used_units(account, kind, start_ms)) for kind, start_ms in starts)


def windows_of(terms: AccountTerms, time_ms: int) -> tuple[WindowUse, ...]:
    """What one job takes from each window of the terms at this time."""
    if not terms.windows:
        return ()
    return tuple(WindowUse(w.kind, window_start_ms(w.kind, time_ms), 1) for w in terms.windows)


def refuse_reservation(
    account: Account, terms: AccountTerms, cost: int, time_ms: int, jobs: int = 1
) -> AnyRefusal | None:
    """Why `jobs` of this price in all cannot be reserved now, or None. Windows are asked before the balance."""
    for window in terms.windows:
        used = used_units(account, window.kind, window_start_ms(window.kind, time_ms))
        if used + jobs > window.limit:
            return QuotaExceeded(window.kind, window.limit, used, window_end_ms(window.kind, time_ms))
    if terms.uses_balance and cost > account.available:
        return InsufficientCredits(cost, account.available)
    return None


def lots_for(account: Account, units: int) -> tuple[LotUse, ...]:
    """Where `units` come from: lower priorities first, then what expires first; the rest is plain."""
    if not account.lots:
        return ()
    plain = account.available - sum(lot.units for lot in account.lots)
    order = [(lot.priority, _NEVER_MS if lot.expires_ms is None else lot.expires_ms, lot) for lot in account.lots]
    uses = []
    for priority, expires_ms, lot in sorted(order, key=lambda entry: entry[:2]):
        if (priority, expires_ms) > (0, _NEVER_MS):
            taken = min(units, plain)
            units, plain = units - taken, plain - taken
        taken = min(units, lot.units)
        if taken:
            uses.append(LotUse(lot.lot, taken, lot.expires_ms))
            units -= taken
    return tuple(uses)


def grant(account: Account, data: CreditsGranted, position: str) -> Account:
    """The header after a grant: more plain units, a new lot, or (when negative) less of both."""
    granted = account.granted + data.amount
    if data.amount < 0:
        return replace(account, granted=granted, lots=_take_lots(account.lots, data.lots))
    if data.expires_ms is None and data.priority == 0:
        return replace(account, granted=granted)
    lot = Lot(position, data.amount, data.expires_ms, data.priority)
    return replace(account, granted=granted, lots=(*account.lots, lot))


def expire(account: Account, lot: str, units: int) -> Account:
    """The header after units of a lot are gone, and the lot with them."""
    kept = tuple(other for other in account.lots if other.lot != lot)
    return replace(account, expired=account.expired + units, lots=kept)


def reserve(account: Account, units: int, windows: tuple[WindowUse, ...], lots: tuple[LotUse, ...] = ()) -> Account:
    """The header after a reservation; a window that has begun anew replaces the old one of its kind."""
    return replace(
        account,
        reserved=account.reserved + units,
        windows=_take(account.windows, windows) if windows else account.windows,
        lots=_take_lots(account.lots, lots) if lots else account.lots,
    )


def capture(account: Account, reservation: Reservation) -> Account:
    """The header after the reservation became a charge; its windows stay used."""
    return replace(
        account,
        reserved=account.reserved - reservation.units,
        captured=account.captured + reservation.units,
    )


def release(account: Account, data: CreditsReleased) -> Account:
    """The header after a reservation ended without a charge; units go back to the windows and lots they came from."""
    return replace(
        account,
        reserved=account.reserved - data.units,
        windows=_give_back(account.windows, data.windows),
        lots=_give_lots(account.lots, data.lots) if data.lots else account.lots,
    )


def refund(account: Account, units: int, windows: tuple[WindowUse, ...]) -> Account:
    """The header after a charge was given back."""
    return replace(account, refunded=account.refunded + units, windows=_give_back(account.windows, windows))


def thresholds_reached(
    before: Account, after: Account, terms: AccountTerms, time_ms: int
) -> tuple[ThresholdReached, ...]:
    """The percentages of the terms that the step from one header to the other came to or past."""
    reached = []
    for window in terms.windows:
        start_ms = window_start_ms(window.kind, time_ms)
        uses = used_units(before, window.kind, start_ms), used_units(after, window.kind, start_ms)
        for percent in terms.thresholds:
            if _passes(*uses, window.limit, percent):
                resets_ms = window_end_ms(window.kind, time_ms)
                reached.append(ThresholdReached(window.kind, percent, uses[1], window.limit, resets_ms))
    left = after.available
    if terms.uses_balance and left != (left_before := before.available):
        added = after.granted + after.regenerated + after.refunded - after.expired
        for percent in terms.thresholds:
            if _passes(added - left_before, added - left, added, percent):
                reached.append(ThresholdReached("balance", percent, added - left, added, None))
    return tuple(reached)


def _passes(before: int, after: int, limit: int, percent: int) -> bool:
    return before * 100 < limit * percent <= after * 100


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


def _take_lots(held: tuple[Lot, ...], taken: tuple[LotUse, ...]) -> tuple[Lot, ...]:
    units = {use.lot: use.units for use in taken}
    after = (replace(lot, units=lot.units - units.get(lot.lot, 0)) for lot in held)
    return tuple(lot for lot in after if lot.units or lot.expires_ms is not None)


def _give_lots(held: tuple[Lot, ...], returned: tuple[LotUse, ...]) -> tuple[Lot, ...]:
    units = {use.lot: use.units for use in returned}
    return tuple(replace(lot, units=lot.units + units.get(lot.lot, 0)) for lot in held)

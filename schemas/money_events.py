"""Events of money: grants, reservations and how they end, refunds, what expires. `schemas.events` names them all.

Every amount is in whole units; `balance` is what can be spent after the event. A lot is units that expire or have a
priority; `lots` names what was taken from which, the rest are plain units.
"""

from typing import Literal

from schemas.event_base import EventData, IdempotencyUse, LotUse, WindowUse


class CreditsGranted(EventData, frozen=True, omit_defaults=True, tag="credits-granted"):
    """Units added (taken back when negative: `lots` says from where). With an expiry or a priority they are a lot."""

    amount: int
    reason: str
    balance: int
    idempotency: IdempotencyUse | None
    expires_ms: int | None = None
    priority: int = 0
    lots: tuple[LotUse, ...] = ()


class CreditsRegenerated(EventData, frozen=True, tag="credits-regenerated"):
    """Units that time gave; the clock of regeneration now stands at `since_ms`."""

    amount: int
    since_ms: int
    balance: int


class CreditsExpired(EventData, frozen=True, tag="credits-expired"):
    """What was left of a lot, or came back to it too late, is gone."""

    lot: str
    units: int
    balance: int


class CreditsReserved(EventData, frozen=True, omit_defaults=True, tag="credits-reserved"):
    """A job's price left the balance and its windows."""

    job: str
    units: int
    windows: tuple[WindowUse, ...]
    plan_version: int
    balance: int
    lots: tuple[LotUse, ...] = ()


class CreditsCaptured(EventData, frozen=True, tag="credits-captured"):
    """The reservation became a charge."""

    job: str
    units: int
    plan_version: int
    balance: int


class CreditsReleased(EventData, frozen=True, omit_defaults=True, tag="credits-released"):
    """The reservation ended without a charge; its units are back where they came from (`lots`: those still live)."""

    job: str
    units: int
    windows: tuple[WindowUse, ...]
    reason: str
    balance: int
    lots: tuple[LotUse, ...] = ()


class CreditsRefunded(EventData, frozen=True, tag="credits-refunded"):
    """An operator gave a charge back, and its units to the windows they came from."""

    job: str
    units: int
    windows: tuple[WindowUse, ...]
    plan_version: int
    reason: str
    balance: int
    idempotency: IdempotencyUse | None


class ThresholdReached(EventData, frozen=True, tag="threshold-reached"):
    """A reservation took the use of a window, or of all units ever added, to `percent` or past it."""

    of: Literal["day", "month", "balance"]
    percent: int
    used: int
    limit: int
    resets_ms: int | None

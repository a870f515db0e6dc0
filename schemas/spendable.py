"""What an account can spend at a moment between two events: pure, and in the order in which a decider books it.

Time gives first (regeneration, under what is there before anything expires), then it takes (lots whose time is over).
"""

from collections.abc import Iterable

import msgspec

from schemas.amounts import regenerated_units
from schemas.plans import RegenerationTerms


class LotLeft(msgspec.Struct, frozen=True, gc=False):
    """What is left of the lot that was granted at the position `lot`."""

    lot: str
    units: int
    expires_ms: int | None = None
    priority: int = 0

    def is_over(self, time_ms: int) -> bool:
        """Whether the lot's units can no longer be spent, booked or not."""
        return self.expires_ms is not None and self.expires_ms <= time_ms


def spendable_units(
    *,
    available: int,
    regeneration: RegenerationTerms | None,
    since_ms: int | None,
    lots: Iterable[LotLeft],
    time_ms: int,
) -> int:
    """What can be spent at `time_ms` of `available` (as of the last event, expired lots still in it)."""
    gained = 0
    if regeneration is not None and since_ms is not None:
        gained, _ = regenerated_units(
            units=regeneration.units,
            every_ms=regeneration.every_ms,
            cap=regeneration.cap,
            available=available,
            since_ms=since_ms,
            time_ms=time_ms,
        )
    return available + gained - sum(lot.units for lot in lots if lot.is_over(time_ms))

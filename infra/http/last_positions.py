"""The last position this gateway acknowledged, per account: reads use it unasked (design section 2, point 22)."""

from __future__ import annotations

from collections import OrderedDict

from schemas.positions import Position


class LastPositions:
    """Intake writes, reads ask. Bounded: the accounts that wrote longest ago are forgotten first."""

    def __init__(self, accounts_max: int = 100_000) -> None:
        self._accounts_max = accounts_max
        self._positions: OrderedDict[str, Position] = OrderedDict()

    def note(self, account: str, position: Position) -> None:
        """Remember `position` unless a later one of the same partition is known."""
        known = self._positions.get(account)
        if known is None or known.partition != position.partition or known < position:
            self._positions[account] = position
        self._positions.move_to_end(account)
        if len(self._positions) > self._accounts_max:
            self._positions.popitem(last=False)

    def of(self, account: str) -> Position | None:
        """The last acknowledged position of the account, or None."""
        return self._positions.get(account)

"""An account's change in the making: what the fold of `projections.balances` sums up. Nothing here does I/O."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from schemas import events as ev
from schemas.amounts import DAY_MS
from schemas.codec import encode_json


class Totals:
    """An account's change in the making."""

    __slots__ = ("columns", "day", "day_ms", "days", "lots", "windows")

    def __init__(self, event: ev.Event) -> None:
        self.columns: dict[str, Any] = {"account": event.account, "first_version": event.version, "seen": 0}
        self.windows: dict[str, tuple[int, int]] = {}
        self.lots: dict[str, dict[str, Any]] = {}
        self.days: dict[int, defaultdict[str, int]] = {}
        self.day_ms = -1
        self.day: defaultdict[str, int] = defaultdict(int)

    def turn_to(self, time_ms: int) -> None:
        """Add to the day of this time from now on."""
        day_ms = time_ms - time_ms % DAY_MS
        if day_ms != self.day_ms:
            self.day_ms = day_ms
            self.day = self.days.setdefault(day_ms, defaultdict(int))

    def use(self, windows: Sequence[ev.WindowUse], sign: int) -> str | None:
        """Take units from windows (give them back); of each kind the newest window counts. What it was, as JSON."""
        for window in windows:
            start_ms, used = self.windows.get(window.kind, (window.start_ms, 0))
            if window.start_ms > start_ms:
                start_ms, used = window.start_ms, 0
            if window.start_ms == start_ms:
                used += sign * window.units
            self.windows[window.kind] = (start_ms, used)
        return encode_json(windows).decode() if windows else None

    def use_lots(self, lots: Sequence[ev.LotUse], sign: int) -> str | None:
        """Add units to lots. What it was, as JSON."""
        for use in lots:
            lot = self.lot(use.lot)
            lot["units_left"] += sign * use.units
        return encode_json(lots).decode() if lots else None

    def lot(self, lot: str) -> dict[str, Any]:
        """The change of a lot in the making."""
        return self.lots.setdefault(lot, {"account": self.columns["account"], "lot": lot, "units_left": 0})

"""An account as a prefix of its events leaves it: pure, and independent of the sums that the read models keep."""

from __future__ import annotations

from collections.abc import Iterable

from schemas import events as ev
from schemas.spendable import LotLeft


class AccountFold:
    """Totals, windows, lots and plan after the events added so far."""

    def __init__(self) -> None:
        self.product = ""
        self.plan_name = "default"
        self.sums = dict.fromkeys(("granted", "regenerated", "refunded", "captured", "reserved", "expired"), 0)
        self.since_ms: int | None = None
        self.time_ms = 0
        self.position: str | None = None
        self._windows: dict[str, tuple[int, int]] = {}
        self._lots: dict[str, LotLeft] = {}

    @property
    def windows(self) -> list[tuple[str, int, int]]:
        """(kind, start in ms, units used) of the newest window of each kind."""
        return [(kind, start_ms, used) for kind, (start_ms, used) in self._windows.items()]

    @property
    def lots(self) -> list[LotLeft]:
        """What is left of lots."""
        return [lot for lot in self._lots.values() if lot.units > 0]

    def add(self, event: ev.Event) -> None:
        """The next event of the account."""
        self.position, self.time_ms, self.product = event.position, event.time_ms, event.product
        sums = self.sums
        match event.data:
            case ev.AccountOpened(plan=plan) | ev.PlanChanged(plan=plan):
                self.plan_name, self.since_ms = plan, event.time_ms
            case ev.CreditsGranted() as data:
                sums["granted"] += data.amount
                self._grant(event.position, data)
            case ev.CreditsRegenerated(amount=amount, since_ms=since_ms):
                sums["regenerated"] += amount
                self.since_ms = since_ms
            case ev.CreditsExpired(lot=lot, units=units):
                sums["expired"] += units
                self._lots.pop(lot, None)
            case ev.CreditsReserved() as data:
                sums["reserved"] += data.units
                self._use(data.windows, +1)
                self._use_lots(data.lots, -1)
            case ev.CreditsCaptured(units=units):
                sums["reserved"] -= units
                sums["captured"] += units
            case ev.CreditsReleased() as data:
                sums["reserved"] -= data.units
                self._use(data.windows, -1)
                self._use_lots(data.lots, +1)
            case ev.CreditsRefunded() as data:
                sums["refunded"] += data.units
                self._use(data.windows, -1)
            case _:
                pass

    def _grant(self, position: str, data: ev.CreditsGranted) -> None:
        if data.amount < 0:
            self._use_lots(data.lots, -1)
        elif data.expires_ms is not None or data.priority != 0:
            self._lots[position] = LotLeft(position, data.amount, data.expires_ms, data.priority)

    def _use(self, windows: Iterable[ev.WindowUse], sign: int) -> None:
        for use in windows:
            start_ms, used = self._windows.get(use.kind, (use.start_ms, 0))
            if use.start_ms > start_ms:
                start_ms, used = use.start_ms, 0
            if use.start_ms == start_ms:
                used += sign * use.units
            self._windows[use.kind] = (start_ms, used)

    def _use_lots(self, lots: Iterable[ev.LotUse], sign: int) -> None:
        for use in lots:
            held = self._lots.get(use.lot)
            if held is not None:
                left = held.units + sign * use.units
                self._lots[use.lot] = LotLeft(held.lot, left, held.expires_ms, held.priority)

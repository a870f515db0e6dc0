"""How a dispatcher's slots are shared among lanes: pure.

A lane's reserved slots are its alone. What is left is drawn by weight among the lanes that have waiting work and their
own slots full: each draw adds every candidate's weight to its credit, the one with the most credit wins and pays the
weights of all (smooth weighted round robin, as in nginx). So no lane ever takes a slot that is reserved for another,
no lane with weight starves, and a lane alone gets all that is left, up to its own `most`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec


class Share(msgspec.Struct, frozen=True):
    """`reserved` slots of its own, `weight` in the draw for the others, at most `most` in all (0: no bound)."""

    reserved: int = 0
    weight: int = 1
    most: int = 0


class Table(msgspec.Struct, frozen=True):
    """All shares of `slots`; the reserved ones together are at most `slots`."""

    slots: int
    shares: Mapping[str, Share]

    def share(self, lane: str) -> Share:
        """A lane that is not named has nothing reserved and weight 1."""
        return self.shares.get(lane, Share())


class Drawn(msgspec.Struct, frozen=True):
    """The lane whose next item may begin, or None; `credits` go into the next draw."""

    lane: str | None
    credits: Mapping[str, int]


def draw(table: Table, waiting: Collection[str], running: Mapping[str, int], credits: Mapping[str, int]) -> Drawn:
    """Choose among lanes with `waiting` items, given how many of each are `running`."""
    able = sorted(lane for lane in waiting if running.get(lane, 0) < most(table, lane))
    own = [lane for lane in able if running.get(lane, 0) < table.share(lane).reserved]
    if own:
        return Drawn(own[0], credits)
    if not able or shared_left(table, running) <= 0:
        return Drawn(None, credits)
    raised = {lane: credits.get(lane, 0) + table.share(lane).weight for lane in able}
    winner = max(able, key=lambda lane: (raised[lane], lane))
    raised[winner] -= sum(table.share(lane).weight for lane in able)
    return Drawn(winner, raised)


def shared_left(table: Table, running: Mapping[str, int]) -> int:
    """Slots that are nobody's own and free."""
    reserved = sum(share.reserved for share in table.shares.values())
    used = sum(max(0, count - table.share(lane).reserved) for lane, count in running.items())
    return table.slots - reserved - used


def most(table: Table, lane: str) -> int:
    """How many of a lane may ever run at once."""
    share = table.share(lane)
    left = table.slots - sum(other.reserved for name, other in table.shares.items() if name != lane)
    return min(share.most, left) if share.most else left

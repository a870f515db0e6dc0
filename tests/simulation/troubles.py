"""Which faults strike, drawn from the life's seed, and how often each of them really did."""

from collections import Counter
from random import Random


class Troubles:
    """Faults while `are_on`; `counts` is the table that is printed at the end.

    `factors` makes some more or less likely than they are, `others` all that it does not name.
    """

    def __init__(self, random: Random) -> None:
        self.are_on = False
        self.counts: Counter[str] = Counter()
        self.factors: dict[str, float] = {}
        self.others = 1.0
        self._random = random

    def chance(self, fault: str, chance: float) -> float:
        """How likely this fault is in this life."""
        return chance * self.factors.get(fault, self.others)

    def strikes(self, fault: str, chance: float) -> bool:
        """Whether this fault strikes here and now."""
        if not self.are_on or self._random.random() >= self.chance(fault, chance):
            return False
        self.counts[fault] += 1
        return True

    def saw(self, what: str) -> None:
        """Count something that faults led to."""
        self.counts[what] += 1

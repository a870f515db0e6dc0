"""Requests that arrive whether or not earlier ones were answered: when each is due."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence


class Schedule:
    """So many times a second, evenly spread from its making on; in seconds of `time.perf_counter`."""

    def __init__(self, a_second: float) -> None:
        self._a_second = a_second
        self._begun_s = time.perf_counter()
        self._taken = 0

    def take(self) -> Sequence[float]:
        """The times that have come since the last call, the first one first."""
        come = int((time.perf_counter() - self._begun_s) * self._a_second)
        due = [self._due_s(number) for number in range(self._taken, come)]
        self._taken = max(come, self._taken)
        return due

    def pause_s(self) -> float:
        """Until the next time comes, in whole milliseconds, which are the finest that event loops sleep."""
        left_s = self._due_s(self._taken) - time.perf_counter()
        return max(1, math.ceil(1000 * left_s)) / 1000

    def _due_s(self, number: int) -> float:
        return self._begun_s + (number + 1) / self._a_second

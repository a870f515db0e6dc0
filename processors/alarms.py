"""Alarms: when a tick has to look at which state record, as heaps of (due time, key).

An entry is made whenever a record gets another due time than it had, and counts as long as the record still has it.
Entries that no longer count are counted, dropped when they come up, and cleared away together once they are half of
their heap. What waits for days (keys, assets) has a heap of its own: a million keys are never gone through because of
the leases beside them, and what jobs leave behind is no more than there are jobs.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping

from processors.accounts.state import split_key
from schemas.codec import NO_TIMER, state_due_ms

STALE_MAX = 1_024  # are left where they are, however few others there are
_WAIT_FOR_DAYS = frozenset({"idempotency", "asset"})
Alarm = tuple[int, str]


class _Heap:
    """`stale` is at least the number of entries that do not count any more."""

    __slots__ = ("_values", "entries", "stale")

    def __init__(self, values: Mapping[str, bytes]) -> None:
        self._values = values
        self.entries: list[Alarm] = []
        self.stale = 0

    def counts(self, alarm: Alarm) -> bool:
        """Whether the record still has that due time."""
        return state_due_ms(self._values.get(alarm[1], NO_TIMER)) == alarm[0]

    def first(self) -> Alarm | None:
        """The earliest that counts; those before it are dropped."""
        entries = self.entries
        while entries:
            if self.counts(entries[0]):
                return entries[0]
            self.drop()
        return None

    def drop(self) -> None:
        """Take the earliest away, one that does not count or that stands there twice."""
        heapq.heappop(self.entries)
        self.stale -= 1

    def tidy(self) -> None:
        """Clear away what does not count where it is more than half."""
        if self.stale > max(STALE_MAX, len(self.entries) // 2):
            self.entries = list(dict.fromkeys(filter(self.counts, self.entries)))
            heapq.heapify(self.entries)
            self.stale = 0


class Alarms:
    """All alarms of a partition, whose state records are `values`. Nothing here knows the store that holds both:
    whoever throws that away gets the memory of a whole partition back at once, without a collection.
    """

    def __init__(self, values: Mapping[str, bytes]) -> None:
        self._soon, self._late = self._heaps = _Heap(values), _Heap(values)

    def __len__(self) -> int:
        return len(self._soon.entries) + len(self._late.entries)

    def load(self, alarms: Iterable[Alarm]) -> None:
        """Begin with these, each of which counts."""
        for alarm in alarms:
            self._of(alarm[1]).entries.append(alarm)
        for heap in self._heaps:
            heapq.heapify(heap.entries)

    def change(self, key: str, before: bytes | None, due: int) -> None:
        """The record under `key`, whose value was `before`, is due at `due` now; 0 is never."""
        due_before = 0 if before is None else state_due_ms(before)
        if due == due_before:
            return
        heap = self._of(key)
        if due_before:
            heap.stale += 1
        if due:
            heapq.heappush(heap.entries, (due, key))

    def first(self) -> Alarm | None:
        """The earliest, by due time and key."""
        heap = self._earliest()
        return None if heap is None else heap.entries[0]

    def due(self, time_ms: int, items_max: int) -> tuple[str, ...]:
        """The keys whose time has come, by due time and key, each once; asking changes nothing."""
        found: list[Alarm] = []
        while len(found) < items_max and (heap := self._earliest()) is not None and heap.entries[0][0] <= time_ms:
            alarm = heap.entries[0]
            if found and found[-1] == alarm:
                heap.drop()
            else:
                found.append(heapq.heappop(heap.entries))
        for alarm in found:
            heapq.heappush(self._of(alarm[1]).entries, alarm)
        return tuple(key for _, key in found)

    def tidy(self) -> None:
        """Keep what does not count any more within its bounds."""
        for heap in self._heaps:
            heap.tidy()

    def _earliest(self) -> _Heap | None:
        """The heap whose first alarm is the earliest of all."""
        heaps = [heap for heap in self._heaps if heap.first() is not None]
        return min(heaps, key=lambda heap: heap.entries[0], default=None)

    def _of(self, key: str) -> _Heap:
        return self._late if split_key(key)[1] in _WAIT_FOR_DAYS else self._soon

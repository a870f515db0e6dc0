"""The lanes' consumer group: one member on all lanes of this process, each with its own handler and its own pressure.

Delivery of work does not depend on offsets (design section 2, point 15): a lost item's lease ends and the decider hands
out the next attempt. So an item's offset is committed as soon as it was begun, within a second, only to keep finished
items from running again.

- A lane whose room is full is held by pausing its partitions; the other lanes go on.
- At a rebalance what waits in rooms is forgotten and fetched again: partitions that stay begin after the last item that
  was begun here, new ones at the group's committed offset. All of them begin when Faust says that positions are lost,
  which it does once its rebalance is over; what was fetched before that it drops by itself, by its generation.
- Committed records only, a few a fetch (`RECORDS_A_FETCH`), so that little waits here.

`stuck` looks from outside at position and end: a partition that stands still with records before it, and is not held,
makes the process exit, and whoever started it starts it again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from infra.kafka.ports import Record
from infra.settings import KafkaSettings
from processors.agents import TopicsMember
from processors.dispatch.shares import Table
from processors.dispatch.slots import Handle, Slots, Waiting
from processors.faust_front import TP
from schemas.topics import dispatch_topic

RECORDS_A_FETCH = 16
_POLL_INTERVAL_MS = 3_600_000


class Lanes(TopicsMember):
    """A member of the dispatchers' group; `handlers` has one entry for each lane that this process serves."""

    def __init__(
        self, kafka: KafkaSettings, group: str, table: Table, handlers: Mapping[str, Handle], run_dir: Path, name: str
    ) -> None:
        self._lanes = {dispatch_topic(lane): lane for lane in handlers}
        super().__init__(kafka, group, tuple(self._lanes), run_dir=run_dir, name=name)
        self.slots = Slots(table, handlers, self._release_lane)
        self._next: dict[TP, int] = {}
        self._to_commit: dict[TP, int] = {}
        self._seen: dict[TP, tuple[int, float]] = {}

    @property
    def joined(self) -> bool:
        """Whether the group has assigned something to this member."""
        return bool(self._places)

    def consumer_arguments(self) -> dict[str, Any]:
        return {
            **super().consumer_arguments(),
            "max_poll_records": RECORDS_A_FETCH,
            "max_poll_interval_ms": _POLL_INTERVAL_MS,
        }

    def places_assigned(self, places: frozenset[TP]) -> None:
        self._next = {place: offset for place, offset in self._next.items() if place in places}
        self.slots.forget_waiting()

    def positions_lost(self) -> None:
        self.slots.forget_waiting()
        for place in self._places:
            self._thread().release(place.topic, place.partition, self._next.get(place))

    def places_delivered(self, place: TP, records: Sequence[Record]) -> None:
        lane = self._lanes[place.topic]
        self._next.setdefault(place, records[0].offset)
        for record in records:
            self.slots.put(lane, Waiting(record.value, partial(self._item_begun, place, record.offset)))
        if self.slots.is_full(lane):
            for held in self._of(lane):
                self._thread().hold(held.topic, held.partition)

    def offsets_to_commit(self) -> Mapping[TP, int]:
        """What was begun since the last call, of partitions that are still ours."""
        begun, self._to_commit = self._to_commit, {}
        return {place: offset for place, offset in begun.items() if place in self._places}

    def stuck(self, for_s: float) -> bool:
        """Whether some partition has had records before it for `for_s` without moving. Ask it every second or so."""
        now, stuck = time.monotonic(), False
        for place in self._places:
            behind = self._thread().behind(place.topic, place.partition)
            before = self._seen.get(place)
            held = self.slots.is_full(self._lanes[place.topic])
            if held or behind is None or before is None or before[0] != behind[0]:
                self._seen[place] = (behind[0] if behind else -1, now)
            else:
                stuck = stuck or now - before[1] >= for_s
        return stuck

    def _release_lane(self, lane: str) -> None:
        for place in self._of(lane):
            self._thread().release(place.topic, place.partition, None)

    def _of(self, lane: str) -> list[TP]:
        return [place for place in self._places if self._lanes[place.topic] == lane]

    def _item_begun(self, place: TP, offset: int) -> None:
        self._next[place] = self._to_commit[place] = offset + 1

"""The projector's two ports in memory: read models as PostgreSQL's statements mean them, and a log to read from."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from infra.kafka.ports import Record
from infra.postgres.generations import FIRST, MODELS
from projections import rows as r
from projections.memory_rows import KEYS, Table, apply_row
from projections.ports import Hole, Move, Overtaken, Tracked, holes_within
from projections.source import Place, Records
from schemas.positions import Position


class MemoryReadModels:
    """Implements `projections.ports.ReadModels`; `tables` holds plain values by key."""

    def __init__(self) -> None:
        self.tables: dict[str, Table] = {name: {} for name in KEYS}
        self.tracked: dict[str, Tracked] = {}
        self.reached: dict[int, Position] = {}
        self.live: dict[str, int] = dict.fromkeys(MODELS, FIRST)

    def generations(self) -> Mapping[str, int]:
        """See the port."""
        return dict(self.live)

    def positions(self, names: Sequence[str]) -> Mapping[str, Tracked]:
        """See the port."""
        return {name: self.tracked.setdefault(name, Tracked()) for name in names}

    def apply(self, moves: Sequence[Move], rows: Sequence[r.Rows], reached: Sequence[Position] = ()) -> Sequence[Hole]:
        """See the port."""
        for move in moves:
            model, generation, _ = move.name.split(".")
            if self.live.get(model) != int(generation):
                raise Overtaken(f"generation {generation} of {model} is not live")
            if self.tracked[move.name].offset != move.before or move.after.offset <= move.before:
                raise Overtaken(f"{move.name} stands at {self.tracked[move.name].offset}, not at {move.before}")
        holes: list[Hole] = []
        for group in rows:
            holes += holes_within(group)
            for part in group.values():
                for row in part:
                    holes += apply_row(self.tables, row)
        self.tracked.update((move.name, move.after) for move in moves)
        self.reached.update((position.partition, position) for position in reached)
        return holes

    def close(self) -> None:
        """See the port."""


class MemorySource:
    """Implements `projections.source.Source` over lists; a record stands at its own offset, holes are allowed."""

    def __init__(self, log: Mapping[tuple[str, int], Sequence[Record]]) -> None:
        """`log` may grow while it is read."""
        self._log = log
        self._at: dict[tuple[str, int], int] = {}

    async def start(self, positions: Mapping[tuple[str, int], int]) -> None:
        """See the port."""
        self._at = dict(positions)

    async def poll(self, timeout_s: float, records_max: int, places: Collection[Place] = ()) -> Records:
        """See the port."""
        end_s = asyncio.get_running_loop().time() + timeout_s
        while True:
            found: defaultdict[str, dict[int, Sequence[Record]]] = defaultdict(dict)
            for place, at in self._at.items():
                if places and place not in places:
                    continue
                part = [record for record in self._log.get(place, ()) if record.offset >= at][:records_max]
                if part:
                    found[place[0]][place[1]] = part
                    records_max -= len(part)
                    self._at[place] = part[-1].offset + 1
                if records_max == 0:
                    break
            if found or asyncio.get_running_loop().time() >= end_s:
                return found
            await asyncio.sleep(0.001)

    async def progress(self) -> Mapping[tuple[str, int], tuple[int, int]]:
        """See the port."""
        ends = {place: self._log[place][-1].offset + 1 if self._log.get(place) else 0 for place in self._at}
        return {place: (at, ends[place]) for place, at in self._at.items()}

    async def stop(self) -> None:
        """See the port."""

"""The port of the projector: where rows and positions stand. `projections.memory` and `projections.postgres` do it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from projections.rows import Row, Rows
from schemas.positions import Position

NOTHING_READ = -1


class Tracked(msgspec.Struct, frozen=True):
    """How far a read model is in a partition.

    `offset` is that of the last applied record (NOTHING_READ: none); the rest is the position of the command it came
    from, in the partition's `commands`.
    """

    offset: int = NOTHING_READ
    source_offset: int = -1
    source_index: int = 0
    source_ordinal: int = 0


class Move(msgspec.Struct, frozen=True):
    """A step of the read model `name` from exactly `before` (an offset) to `after`."""

    name: str
    before: int
    after: Tracked


class Hole(msgspec.Struct, frozen=True):
    """Something that the log must have said and did not: an alarm, never a reason to stop reading."""

    what: str
    detail: str


class Overtaken(Exception):
    """Another writer has moved one of the positions, or another generation has taken the place of the one it is of.

    Nothing was written. Read generations and positions again and go on from there.
    """


class StoreFault(Exception):
    """The store is away or gave up; nothing was written, or nobody knows. Read the positions again and go on."""


class ReadModels(Protocol):
    """Rows and positions, always written together."""

    def generations(self) -> Mapping[str, int]:
        """The generation of each read model that this store writes, as of now; what is written later is of these."""
        ...

    def positions(self, names: Sequence[str]) -> Mapping[str, Tracked]:
        """How far each of these is; those that never began are made and stand at NOTHING_READ."""
        ...

    def apply(self, moves: Sequence[Move], rows: Sequence[Rows], reached: Sequence[Position] = ()) -> Sequence[Hole]:
        """All rows and all moves, or nothing; then readers hear what was `reached`.

        Raises `Overtaken`, `StoreFault`.
        """
        ...

    def close(self) -> None:
        """Give connections back; nothing may be called after it."""
        ...


def tracking_name(model: str, generation: int, partition: int) -> str:
    """`<model>.<generation>.<partition>`."""
    return f"{model}.{generation}.{partition}"


def holes_within(rows: Rows) -> list[Hole]:
    """Versions that a batch itself leaves out."""
    holes = []
    for kind in rows.values():
        for row in kind:
            seen = getattr(row, "seen", None)
            if seen is not None and not _is_gapless(row, seen):
                holes.append(Hole("version", f"{seen} events for {_stream(row)} in one batch: {row}"))
    return holes


def _is_gapless(row: Row, seen: int) -> bool:
    return bool(getattr(row, "version") - getattr(row, "first_version") + 1 == seen)  # noqa: B009


def _stream(row: Row) -> str:
    return str(getattr(row, "account", None) or f"partition-{getattr(row, 'partition', '?')}")

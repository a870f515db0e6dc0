"""Records into whole commands: what may be applied together, and what each read model has still to see.

A fetch may end between two events of one command. Applying the first alone would show half a decision, so events wait
here until the one that is marked `last` has come. Pure but for the positions it keeps.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from infra.errors import OperatorError
from projections import assets, balances, jobs, keys, partitions
from projections.assets import fold_assets
from projections.balances import fold_balances
from projections.jobs import fold_jobs
from projections.keys import fold_keys
from projections.partitions import fold_partitions
from projections.ports import Move, Tracked, tracking_name
from projections.rows import Logged, RawRecord, Rows
from schemas.events import EVENT_SCHEMA, decode_event
from schemas.positions import Position

FOLDS = {
    jobs.NAME: fold_jobs,
    balances.NAME: fold_balances,
    assets.NAME: fold_assets,
    partitions.NAME: fold_partitions,
}


class LogUnreadable(OperatorError):
    """The log holds something that this release does not know; skipping it would make every answer after it wrong."""


class Work(msgspec.Struct, frozen=True):
    """One transaction: rows, the positions they end at, and what readers may be told."""

    moves: Sequence[Move]
    rows: Sequence[Rows]
    reached: Sequence[Position]
    events: int


class Intake:
    """The positions of all models in some partitions, and events that wait for the end of their command."""

    def __init__(self, generation: int, shares: Sequence[int], tracked: Mapping[str, Tracked]) -> None:
        """`tracked` has every name of `names(generation, shares)`."""
        self._generation = generation
        self._at = {(model, p): tracked[tracking_name(model, generation, p)] for model in FOLDS for p in shares}
        self._keys_at = {p: tracked[tracking_name(keys.NAME, generation, p)] for p in shares}
        self._waiting: dict[int, list[Logged]] = {p: [] for p in shares}
        self.next_event = {p: min(self._at[model, p].offset for model in FOLDS) + 1 for p in shares}
        self.next_key = {p: self._keys_at[p].offset + 1 for p in shares}

    @staticmethod
    def names(generation: int, shares: Sequence[int]) -> list[str]:
        """The tracking names of all models in the partitions."""
        return [tracking_name(model, generation, p) for model in (*FOLDS, keys.NAME) for p in shares]

    def take_events(self, records: Mapping[int, Sequence[RawRecord]]) -> Work | None:
        """What can be written now of what came and what waited; None: nothing. Raises LogUnreadable."""
        batch: list[Logged] = []
        for partition, part in records.items():
            waiting = self._waiting[partition]
            waiting += _decoded(partition, part, self.next_event[partition])
            if not waiting:
                continue
            self.next_event[partition] = waiting[-1].offset + 1
            count = len(waiting)
            while count and not waiting[count - 1].event.last:
                count -= 1
            batch += waiting[:count]
            del waiting[:count]
        return self._work(batch) if batch else None

    def take_keys(self, records: Mapping[int, Sequence[RawRecord]]) -> Work | None:
        """The same for records of the topic `keys`."""
        moves, fresh = [], []
        for partition, part in records.items():
            before = self._keys_at[partition]
            unseen = [record for record in part if record.offset > before.offset]
            if unseen:
                after = self._keys_at[partition] = Tracked(unseen[-1].offset)
                self.next_key[partition] = after.offset + 1
                moves.append(Move(tracking_name(keys.NAME, self._generation, partition), before.offset, after))
                fresh += unseen
        return Work(moves, [fold_keys(fresh)], [], 0) if moves else None

    def _work(self, batch: Sequence[Logged]) -> Work:
        ends = {logged.partition: logged for logged in batch}
        moves: list[Move] = []
        rows: list[Rows] = []
        for model, fold in FOLDS.items():
            rows.append(fold(self._unseen(model, batch)))
            moves += (move for p, end in ends.items() if (move := self._move(model, p, end)) is not None)
        reached = [end.event.at for end in ends.values()]
        return Work(moves, rows, reached, len(batch))

    def _unseen(self, model: str, batch: Sequence[Logged]) -> Sequence[Logged]:
        """The events that the model has not seen: all of them, unless models began at different places."""
        floors = {p: at.offset for (name, p), at in self._at.items() if name == model}
        if all(logged.offset > floors[logged.partition] for logged in batch):
            return batch
        return [logged for logged in batch if logged.offset > floors[logged.partition]]

    def _move(self, model: str, partition: int, end: Logged) -> Move | None:
        before = self._at[model, partition]
        if end.offset <= before.offset:
            return None
        source = end.event.at
        after = self._at[model, partition] = Tracked(end.offset, source.offset, source.index, source.ordinal)
        return Move(tracking_name(model, self._generation, partition), before.offset, after)


def _decoded(partition: int, records: Iterable[RawRecord], begin: int) -> list[Logged]:
    return [_logged(partition, record) for record in records if record.offset >= begin]


def _logged(partition: int, record: RawRecord) -> Logged:
    value = record.value
    try:
        event = decode_event(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _unreadable(partition, record.offset, str(error)) from error
    if event.schema > EVENT_SCHEMA:
        raise _unreadable(partition, record.offset, f"its schema is {event.schema}, known is {EVENT_SCHEMA}")
    assert value is not None
    return Logged(partition, record.offset, event, value)


def _unreadable(partition: int, offset: int, why: str) -> LogUnreadable:
    return LogUnreadable(
        f"The event at offset {offset} of events-{partition} cannot be read by this release ({why}):"
        " start the release that wrote it; the read models wait until then."
    )

"""Records into whole commands: what may be applied together, and what each read model has still to see.

A fetch may end between two events of one command. Applying the first alone would show half a decision, so events wait
here until the one that is marked `last` has come. Pure but for the positions it keeps.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import inf

import msgspec

from infra.errors import OperatorError
from projections import assets, balances, jobs, keys, partitions
from projections.assets import fold_assets
from projections.balances import fold_balances
from projections.jobs import fold_jobs
from projections.keys import fold_keys
from projections.partitions import fold_partitions
from projections.ports import NOTHING_READ, Move, Tracked, tracking_name
from projections.rows import Logged, RawRecord, Rows
from schemas.events import EVENT_SCHEMA, decode_event
from schemas.positions import Position
from schemas.topics import EVENTS, KEYS

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
    """The positions of some models in some partitions, and records that wait for their turn.

    Without a limit all that comes is taken. `limit` names an offset for each model and partition: nothing beyond it is
    taken, and waits until a later limit lets it pass.
    """

    def __init__(self, generations: Mapping[str, int], shares: Sequence[int], tracked: Mapping[str, Tracked]) -> None:
        """The models are those of `generations`; `tracked` has every name of `names(generations, shares)`."""
        self._generations = generations
        self._folds = {model: fold for model, fold in FOLDS.items() if model in generations}
        self._at = {
            (model, p): tracked[tracking_name(model, number, p)]
            for model, number in generations.items()
            for p in shares
        }
        self._limit: Mapping[tuple[str, int], int] | None = None
        self._waiting: dict[int, list[Logged]] = {p: [] for p in shares if self._folds}
        self._waiting_keys: dict[int, list[RawRecord]] = {p: [] for p in shares if keys.NAME in generations}
        self.next_event = {p: min(self._at[model, p].offset for model in self._folds) + 1 for p in self._waiting}
        self.next_key = {p: self._at[keys.NAME, p].offset + 1 for p in self._waiting_keys}

    @staticmethod
    def names(generations: Mapping[str, int], shares: Sequence[int]) -> list[str]:
        """The tracking names of the generations in the partitions."""
        return [tracking_name(model, number, p) for model, number in generations.items() for p in shares]

    def begin(self) -> Mapping[tuple[str, int], int]:
        """Where to read on: the next offset of each (topic, partition)."""
        events = {(EVENTS, p): offset for p, offset in self.next_event.items()}
        return events | {(KEYS, p): offset for p, offset in self.next_key.items()}

    def limit(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """Take nothing beyond these offsets of (model, partition), each the last one of a command."""
        self._limit = offsets

    def below_limit(self) -> list[tuple[str, int]]:
        """The places (topic, partition) in which a model is below its limit."""
        assert self._limit is not None
        below = {(model, p) for (model, p), offset in self._limit.items() if self._at[model, p].offset < offset}
        return sorted({(KEYS if model == keys.NAME else EVENTS, p) for model, p in below})

    def left(self, offsets: Mapping[tuple[str, int], int] | None = None) -> int:
        """How many offsets of the log lie between what was taken and these offsets (default: the limit)."""
        ends: Mapping[tuple[str, int], int] = (self._limit or {}) if offsets is None else offsets
        places: dict[tuple[bool, int], int] = {}
        for (model, partition), end in ends.items():
            place = (model == keys.NAME, partition)
            places[place] = max(places.get(place, 0), end - self._at[model, partition].offset)
        return sum(places.values())

    def take_events(self, records: Mapping[int, Sequence[RawRecord]]) -> Work | None:
        """What can be written now of what came and what waited; None: nothing. Raises LogUnreadable."""
        batch: list[Logged] = []
        for partition, part in records.items():
            waiting = self._waiting[partition]
            waiting += _decoded(partition, part, self.next_event[partition])
            if waiting:
                self.next_event[partition] = waiting[-1].offset + 1
        for partition, waiting in self._waiting.items():
            count, cut = len(waiting), self._cut(partition)
            while count and (waiting[count - 1].offset > cut or not waiting[count - 1].event.last):
                count -= 1
            if count:
                batch += waiting[:count]
                del waiting[:count]
        return self._work(batch) if batch else None

    def take_keys(
        self, records: Mapping[int, Sequence[RawRecord]], next_offsets: Mapping[int, int] | None = None
    ) -> Work | None:
        """The same for records of the topic `keys`.

        Compaction may have removed the record at a limit: where `next_offsets` (the next ones that a reader would see)
        lie beyond it, all up to the limit has been taken.
        """
        moves, fresh = [], []
        for partition, waiting in self._waiting_keys.items():
            waiting += [record for record in records.get(partition, ()) if record.offset >= self.next_key[partition]]
            if waiting:
                self.next_key[partition] = waiting[-1].offset + 1
            before, cut = self._at[keys.NAME, partition], self._limit_of(keys.NAME, partition)
            taken = [record for record in waiting if record.offset <= cut]
            del waiting[: len(taken)]
            offset = taken[-1].offset if taken else before.offset
            if self._limit is not None and (waiting or (next_offsets or {}).get(partition, 0) > cut):
                offset = max(offset, int(cut))
            if offset > before.offset:
                after = self._at[keys.NAME, partition] = Tracked(offset)
                name = tracking_name(keys.NAME, self._generations[keys.NAME], partition)
                moves.append(Move(name, before.offset, after))
                fresh += taken
        return Work(moves, [fold_keys(fresh)], [], 0) if moves else None

    def _limit_of(self, model: str, partition: int) -> float:
        return inf if self._limit is None else self._limit.get((model, partition), NOTHING_READ)

    def _cut(self, partition: int) -> float:
        """The next offset at which a model has to stop; those that have come to theirs see no more."""
        if self._limit is None:
            return inf
        limits = ((self._limit_of(model, partition), self._at[model, partition].offset) for model in self._folds)
        return min((limit for limit, at in limits if limit > at), default=NOTHING_READ)

    def _work(self, batch: Sequence[Logged]) -> Work:
        ends = {logged.partition: logged for logged in batch}
        moves: list[Move] = []
        rows: list[Rows] = []
        for model, fold in self._folds.items():
            rows.append(fold(self._unseen(model, batch)))
            moves += (move for p, end in ends.items() if (move := self._move(model, p, end)) is not None)
        reached = [end.event.at for end in ends.values()]
        return Work(moves, rows, reached, len(batch))

    def _unseen(self, model: str, batch: Sequence[Logged]) -> Sequence[Logged]:
        """The events that the model has to see: all of them, unless models began at different places."""
        floors: dict[int, float] = {p: at.offset for (name, p), at in self._at.items() if name == model}
        floors = {p: inf if at >= self._limit_of(model, p) else at for p, at in floors.items()}
        if all(logged.offset > floors[logged.partition] for logged in batch):
            return batch
        return [logged for logged in batch if logged.offset > floors[logged.partition]]

    def _move(self, model: str, partition: int, end: Logged) -> Move | None:
        before = self._at[model, partition]
        if end.offset <= before.offset or end.offset > self._limit_of(model, partition):
            return None
        source = end.event.at
        after = self._at[model, partition] = Tracked(end.offset, source.offset, source.index, source.ordinal)
        return Move(tracking_name(model, self._generations[model], partition), before.offset, after)


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

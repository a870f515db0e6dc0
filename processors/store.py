"""A partition's decision state in memory: the bytes of the topic `accounts`, decoded at first use.

The store holds what stands on the topic, byte for byte, plus decoded copies of what was used lately. It is changed by
drafts before their transaction commits and thrown away with its owner when the outcome is unknown, so it never has to
be undone (spike.md section 7). The first nine bytes of each value say when a tick has to look at it (`alarms`).
"""

import itertools
from collections.abc import Callable, Iterable, MutableMapping
from operator import attrgetter
from typing import Any

import msgspec

from infra.kafka import ports
from processors.accounts.state import (
    Account,
    Idempotency,
    Partition,
    PlanRecord,
    Progress,
    Queued,
    Reservation,
    RingEntry,
    Suspect,
    position_key,
    suspect_key,
)
from processors.alarms import Alarms
from processors.assets.state import Album, Asset, Purge, Reuse, Shared
from processors.jobs.state import Job
from processors.overlay import Changes, Record, typed
from schemas.codec import NO_TIMER, encode_state, state_due_ms, state_json
from schemas.identifiers import partition_stream

_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    "account": msgspec.json.Decoder(Account),
    "reservation": msgspec.json.Decoder(Reservation),
    "idempotency": msgspec.json.Decoder(Idempotency),
    "asset": msgspec.json.Decoder(Asset),
    "album": msgspec.json.Decoder(Album),
    "shared": msgspec.json.Decoder(Shared),
    "reuse": msgspec.json.Decoder(Reuse),
    "purge": msgspec.json.Decoder(Purge),
    "queued": msgspec.json.Decoder(Queued),
    "job": msgspec.json.Decoder(Job),
    "partition": msgspec.json.Decoder(Partition),
    "plan": msgspec.json.Decoder(PlanRecord),
    "ring": msgspec.json.Decoder(RingEntry),
    "position": msgspec.json.Decoder(Progress),
    "suspect": msgspec.json.Decoder(Suspect),
}
HOT_RECORDS_MAX = 1_000  # of half a KiB or more, in each of the partitions of a process


def decode_record(key: str, value: bytes) -> Record:
    """The state record that stands under `key`; raises StateTooNew for a newer schema version."""
    state_due_ms(value)
    record: Record = _DECODERS[key.split("|", 2)[1]].decode(state_json(value))
    return record


_DUE_MS: dict[type, Callable[[Any], int]] = {
    Job: attrgetter("due_ms"),
    Account: attrgetter("due_ms"),
    Idempotency: attrgetter("expires_ms"),
    Asset: lambda asset: asset.expires_ms or 0,
    Purge: attrgetter("retry_at_ms"),
}
"""Of each kind of record that a tick may have to look at, when it has to; 0 for never."""


class Store:
    """The state of one partition. Not safe for use by more than its one owner.

    `values` is where the bytes stand: a dictionary, but for an audit, which has less memory than an owner. So it also
    keeps fewer decoded records, and one that only folds has no use for timers.
    """

    def __init__(
        self,
        partition: int,
        values: MutableMapping[str, bytes] | None = None,
        *,
        hot_records_max: int | None = None,
        keeps_timers: bool = True,
    ) -> None:
        self._hot_records_max, self._keeps_timers = hot_records_max, keeps_timers
        self.stream = partition_stream(partition)
        self._values: MutableMapping[str, bytes] = {} if values is None else values
        self._hot: dict[str, Record | None] = {}
        self._dirty: Changes = {}
        self._alarms = Alarms(self._values)
        self._loaded_timed: set[str] = set()

    def load(self, records: Iterable[ports.Record]) -> None:
        """Take records of the topic as they stand there, in the topic's order; `loaded` ends the cold start."""
        values = self._values
        for record in records:
            if record.key is None:
                continue
            name, value = record.key.decode(), record.value
            if value is None:
                values.pop(name, None)
            else:
                if state_due_ms(value):  # raises StateTooNew for what a newer release wrote
                    self._loaded_timed.add(name)
                values[name] = value

    def loaded(self) -> None:
        """Set the alarms of the values that had one when they were loaded."""
        values = self._values
        due = ((state_due_ms(values.get(key, NO_TIMER)), key) for key in self._loaded_timed)
        self._alarms.load(alarm for alarm in due if alarm[0])
        self._loaded_timed.clear()

    def values(self) -> MutableMapping[str, bytes]:
        """The state records as they stand on the topic, by key; do not change it."""
        return self._values

    def __len__(self) -> int:
        return len(self._values)

    def read(self, key: str) -> Record | None:
        """The record under `key`, None where there is none."""
        hot = self._hot
        if key in hot:
            return hot[key]
        value = self._values.get(key)
        if value is None:
            return None
        record = hot[key] = decode_record(key, value)
        return record

    def progress(self) -> Progress:
        """The reserved record `position`."""
        return typed(self.read(position_key(self.stream)), Progress) or Progress()

    def suspect(self) -> Suspect | None:
        """The reserved record `suspect`, None when no command is under suspicion."""
        return typed(self.read(suspect_key(self.stream)), Suspect)

    def change(self, changes: Changes) -> None:
        """Evolve the state; `take_writes` tells what that means for the topic."""
        self._hot.update(changes)
        self._dirty.update(changes)

    def take_writes(self) -> list[tuple[bytes, bytes | None]]:
        """The topic records that bring it up to the state, each key once; what came and went in between is left out."""
        writes: list[tuple[bytes, bytes | None]] = []
        hot, values = self._hot, self._values
        for key, record in self._dirty.items():
            if record is None:
                before = values.pop(key, None)
                if before is not None:
                    writes.append((key.encode(), None))
                    self._alarms.change(key, before, 0)
                del hot[key]
                continue
            due_ms, due = _DUE_MS.get(type(record)), 0
            if due_ms is not None:
                due = due_ms(record)
                if self._keeps_timers:
                    self._alarms.change(key, values.get(key), due)
            value = values[key] = encode_state(record, due)
            writes.append((key.encode(), value))
            if type(record) is Idempotency:
                del hot[key]  # only a repeat asks for it again
        self._dirty.clear()
        self._bound()
        return writes

    def next_due_ms(self) -> int | None:
        """When the next timer ends, None when none runs."""
        first = self._alarms.first()
        return None if first is None else first[0]

    def due(self, time_ms: int, items_max: int) -> tuple[str, ...]:
        """The keys whose time has come, by due time and key; they stay due until a change moves or ends them."""
        return self._alarms.due(time_ms, items_max)

    def _bound(self) -> None:
        self._alarms.tidy()
        most = HOT_RECORDS_MAX if self._hot_records_max is None else self._hot_records_max
        excess = len(self._hot) - most
        if excess > 0:
            for key in list(itertools.islice(self._hot, excess + most // 10)):
                del self._hot[key]

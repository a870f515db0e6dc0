"""Synthetic events as records, and the fold of a whole log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from infra.kafka.ports import Record
from infra.postgres.generations import FIRST, MODELS
from projections.intake import Intake, Work
from projections.memory import MemoryReadModels
from schemas import events as ev
from schemas.events import encode_event
from schemas.topics import EVENTS
from tests.bench.events import Partition

GENERATIONS = dict.fromkeys(MODELS, FIRST)
Log = dict[tuple[str, int], list[Record]]


def records_of(events: Iterable[ev.Event], begin: int = 0) -> list[Record]:
    """The events as records of one partition, from offset `begin` on."""
    return [Record(begin + n, e.time_ms, e.account.encode(), encode_event(e)) for n, e in enumerate(events)]


def log_of(partitions: Sequence[Partition], events: int) -> Log:
    """A log of about `events` events a partition."""
    return {(EVENTS, p.number): records_of(p.events(events)) for p in partitions}


def parts_of(log: Log) -> dict[int, list[Record]]:
    """The records of `events` by partition."""
    return {partition: records for (topic, partition), records in log.items() if topic == EVENTS}


def intake_for(store: MemoryReadModels, shares: Sequence[int]) -> Intake:
    """An intake at the positions of the store."""
    return Intake(GENERATIONS, shares, store.positions(Intake.names(GENERATIONS, shares)))


def applied(store: MemoryReadModels, work: Work | None) -> list[str]:
    """Write the work, if there is any; the holes that were found, as text."""
    return [] if work is None else [hole.detail for hole in store.apply(work.moves, work.rows, work.reached)]


def folded(parts: Mapping[int, Sequence[Record]]) -> MemoryReadModels:
    """The read models of a whole log, folded at once."""
    store = MemoryReadModels()
    assert applied(store, intake_for(store, list(parts)).take_events(parts)) == []
    return store

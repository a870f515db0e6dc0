"""A decision in the making: the events so far and the state as of the last of them. Pure: reads one snapshot, writes
only itself.

A command may cause several events, and later ones depend on earlier ones (a freed slot lets the next job go). Each
event passes through `evolve` as it is drafted, so what the loop stores is by construction the fold of what it appends.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from processors.accounts.state import (
    Account,
    Asset,
    Idempotency,
    LaneShare,
    Partition,
    PlanRecord,
    Progress,
    Queued,
    Reservation,
    RingEntry,
    Suspect,
    account_key,
    partition_key,
    plan_key,
)
from processors.jobs.state import Job
from schemas.commands import Envelope, ReplyAddress
from schemas.events import AnyEvent, Event
from schemas.identifiers import partition_stream
from schemas.plans import Plan
from schemas.replies import AnyAnswer, Reply

Record = (
    Account | Reservation | Idempotency | Asset | Queued | Job | Partition | PlanRecord | RingEntry | Progress | Suspect
)
Read = Callable[[str], Record | None]
Changes = dict[str, Record | None]
Evolve = Callable[[Read, Event], Changes]
R = TypeVar("R", bound=msgspec.Struct)


def typed(record: Record | None, kind: type[R]) -> R | None:
    """The record as its kind; a record of another kind under a key is a bug."""
    if record is None:
        return None
    assert isinstance(record, kind), f"{type(record).__name__} stands where {kind.__name__} belongs"
    return record


class Draft:
    """What deciding one command has led to so far.

    `read` looks into the state before the command; `place` is (partition, offset, index) of the command.
    """

    __slots__ = ("_evolve", "_read", "answers", "changes", "envelope", "events", "place", "stream", "time_ms")

    def __init__(
        self, read: Read, evolve: Evolve, envelope: Envelope, place: tuple[int, int, int], time_ms: int
    ) -> None:
        self._read = read
        self._evolve = evolve
        self.envelope = envelope
        self.place = place
        self.time_ms = time_ms
        self.stream = partition_stream(place[0])
        self.events: list[Event] = []
        self.changes: Changes = {}
        self.answers: list[tuple[str, Reply]] = []

    def get(self, key: str) -> Record | None:
        """The record under `key` as of the last drafted event."""
        try:
            return self.changes[key]
        except KeyError:
            return self._read(key)

    def account(self, account: str) -> Account | None:
        """The account's header, None when it is not open."""
        return typed(self.get(account_key(account)), Account)

    def partition(self) -> Partition:
        """The header of the partition's own stream."""
        return typed(self.get(partition_key(self.stream)), Partition) or Partition()

    def share(self, lane: str) -> LaneShare:
        """The partition's part of a lane."""
        return self.partition().lane(lane)

    def plan(self) -> Plan | None:
        """The plan in force in this partition."""
        record = typed(self.get(plan_key(self.stream, self.partition().plan_version)), PlanRecord)
        return record.plan if record else None

    @property
    def source(self) -> str:
        """The command's position."""
        partition, offset, index = self.place
        return f"{partition}.{offset}.{index}.0"

    def emit(self, stream: str, data: AnyEvent) -> None:
        """Append an event to the stream and evolve the draft's state by it."""
        partition, offset, index = self.place
        event = Event(
            f"{partition}.{offset}.{index}.{len(self.events)}",
            stream,
            self._product(stream),
            self._version(stream) + 1,
            self.time_ms,
            self.envelope.id,
            self.envelope.actor,
            data,
            self.envelope.trace,
        )
        self.events.append(event)
        self.changes.update(self._evolve(self.get, event))

    def answer(
        self, address: ReplyAddress | None, account: str, answer: AnyAnswer, position: str | None = None
    ) -> None:
        """Tell a waiter; without an address there is none. `position` defaults to this command's."""
        if address is not None:
            reply = Reply(address.correlation, account, position or self.source, answer)
            self.answers.append((address.gateway, reply))

    def finish(self) -> None:
        """Mark the last event; a command without a trace is a bug (design section 2, point 10)."""
        assert self.events, "every command leaves at least one event"
        self.events[-1] = msgspec.structs.replace(self.events[-1], last=True)

    def _version(self, stream: str) -> int:
        if stream == self.stream:
            return self.partition().version
        header = self.account(stream)
        return header.version if header else 0

    def _product(self, stream: str) -> str:
        if stream == self.envelope.account:
            return self.envelope.product
        header = self.account(stream)
        return header.product if header else ""


def overlay(changes: Mapping[str, Record | None], read: Read) -> Read:
    """A reader that sees `changes` over `read`."""

    def get(key: str) -> Record | None:
        return changes[key] if key in changes else read(key)

    return get

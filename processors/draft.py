"""A decision in the making: the events so far and the state as of the last of them. Pure: reads one snapshot, writes
only itself.

A command may cause several events, and later ones depend on earlier ones (a freed slot lets the next job go). Each
event passes through `apply` as it is drafted, so what the loop stores is by construction the fold of what it appends.
"""

from collections.abc import Callable

import msgspec

from processors.accounts.state import Account, LaneShare, Partition, PlanRecord, plan_key
from processors.overlay import Changes, Overlay, Read, typed
from schemas.commands import Envelope, ReplyAddress
from schemas.events import AnyEvent, Event
from schemas.identifiers import partition_stream
from schemas.plans import Plan
from schemas.replies import AnyAnswer, Reply

Apply = Callable[[Overlay, Event], None]


class Draft:
    """What deciding one command has led to so far.

    `read` looks into the state before the command, `get` into the one as of the last drafted event, as `account` (None
    when it is not open) and `header` (of one that is) do for an account's header; `place` is (partition, offset, index)
    of the command.
    """

    __slots__ = (
        "_apply",
        "_plan",
        "_source",
        "_state",
        "account",
        "answers",
        "envelope",
        "events",
        "get",
        "header",
        "place",
        "stream",
        "time_ms",
    )

    def __init__(self, read: Read, apply: Apply, envelope: Envelope, place: tuple[int, int, int], time_ms: int) -> None:
        state = self._state = Overlay(read)
        self.get: Read = state.get
        self.account: Callable[[str], Account | None] = state.account
        self.header: Callable[[str], Account] = state.header
        self._apply = apply
        self._plan: Plan | None = None
        self._source = f"{place[0]}.{place[1]}.{place[2]}."
        self.envelope = envelope
        self.place = place
        self.time_ms = time_ms
        self.stream = partition_stream(place[0])
        self.events: list[Event] = []
        self.answers: list[tuple[str, Reply]] = []

    @property
    def changes(self) -> Changes:
        """The records that the events so far have changed."""
        return self._state.changes

    def partition(self) -> Partition:
        """The header of the partition's own stream."""
        return self._state.partition(self.stream)

    def share(self, lane: str) -> LaneShare:
        """The partition's part of a lane."""
        return self._state.partition(self.stream).lane(lane)

    def plan(self) -> Plan | None:
        """The plan in force in this partition before the command."""
        if self._plan is None:
            record = typed(self.get(plan_key(self.stream, self.partition().plan_version)), PlanRecord)
            self._plan = record.plan if record else None
        return self._plan

    @property
    def source(self) -> str:
        """The command's position."""
        return self._source + "0"

    @property
    def next_position(self) -> str:
        """The position of the event that is emitted next."""
        return f"{self._source}{len(self.events)}"

    def emit(self, stream: str, data: AnyEvent) -> None:
        """Append an event to the stream and evolve the draft's state by it."""
        envelope, state, events = self.envelope, self._state, self.events
        header = state.account(stream) if stream != self.stream else None
        if header is not None:
            product, version = header.product, header.version + 1
        else:
            product = envelope.product if stream == envelope.account else ""
            version = state.partition(stream).version + 1 if stream == self.stream else 1
        position, trace = f"{self._source}{len(events)}", envelope.trace
        event = Event(position, stream, product, version, self.time_ms, envelope.id, envelope.actor, data, trace)
        events.append(event)
        self._apply(state, event)

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

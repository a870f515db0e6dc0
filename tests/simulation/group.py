"""A consumer group's coordinator, and a member of it where Faust's app would stand.

Theory of operation. Members join, send heartbeats and fetch; who is silent for a session is put out, and every change
makes a new generation: all who are known join again within the rebalance timeout, or are put out too, and partitions
go round. A member learns of that at its next heartbeat and not before, so a process that hung believes its partitions
its own when it goes on. `App` calls the product's member (`processors.agents.TopicsMember`) in the order in which
Faust's front end does: assigned, positions lost, then batches; whatever was fetched in an older generation is dropped.

Positions in the product are hints. So batches get lost here now and then, and a position goes astray.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from types import SimpleNamespace
from typing import Any

from faust.types import TP

from infra.kafka.ports import Record
from tests.simulation.network import Network
from tests.simulation.processes import SERVER, reach_out

_FETCH_WAIT_S = 0.5
_FETCH_RECORDS_MAX = 500
Assignment = tuple[int, list[TP]]


class _Known:
    def __init__(self, topics: Sequence[str]) -> None:
        self.topics = topics
        self.seen_s = 0.0
        self.joining: asyncio.Future[Assignment] | None = None


class Group:
    """The coordinator of one group."""

    def __init__(self, network: Network, session_s: float) -> None:
        self._network, self._session_s = network, session_s
        self._members: dict[str, _Known] = {}
        self._generation, self._deadline_s = 0, 0.0
        self._stable = True
        self.offsets: dict[TP, int] = {}
        asyncio.get_running_loop().call_later(1.0, self._look, context=SERVER)

    def join(self, member: str, topics: Sequence[str]) -> asyncio.Future[Assignment]:
        """Wait for the next generation and its assignment."""
        known = self._members.setdefault(member, _Known(topics))
        known.seen_s = _now_s()
        joined = known.joining = asyncio.get_running_loop().create_future()
        self._rebalance()
        self._complete_if_all_are_there()
        return joined

    def heartbeat(self, member: str, generation: int) -> str:
        """`fine`, `rebalance` (join again) or `unknown` (join as somebody new)."""
        known = self._members.get(member)
        if known is None:
            return "unknown"
        known.seen_s = _now_s()
        return "fine" if self._stable and generation == self._generation else "rebalance"

    def remove(self, member: str) -> None:
        """It has left, or somebody has seen it die."""
        if self._members.pop(member, None) is not None:
            self._rebalance()
            self._complete_if_all_are_there()

    def _rebalance(self) -> None:
        if self._stable:
            self._network.troubles.saw("rebalances")
            self._stable, self._deadline_s = False, _now_s() + self._session_s

    def _look(self) -> None:
        """Once a second: who is silent is put out."""
        now_s = _now_s()
        for name, known in list(self._members.items()):
            late = known.joining is None and now_s - known.seen_s > self._session_s
            if late or (not self._stable and known.joining is None and now_s > self._deadline_s):
                self._network.troubles.saw("members put out of their group")
                self.remove(name)
        self._complete_if_all_are_there()
        asyncio.get_running_loop().call_later(1.0, self._look, context=SERVER)

    def _complete_if_all_are_there(self) -> None:
        joining = {name: known.joining for name, known in sorted(self._members.items())}
        if self._stable or not joining or None in joining.values():
            return
        self._stable, self._generation = True, self._generation + 1
        topics = sorted({topic for known in self._members.values() for topic in known.topics})
        places = [TP(t, p) for t, p in sorted(self._network.broker.partitions) if t in topics]
        for number, (name, joined) in enumerate(joining.items()):
            self._members[name].joining, self._members[name].seen_s = None, _now_s()
            assert joined is not None
            if not joined.done():
                joined.set_result((self._generation, places[number :: len(joining)]))


class App:
    """What `processors.agents` asks of a Faust app, of its consumer and of the consumer's thread."""

    def __init__(self, network: Network, group: Group, name: str, member: Any, heartbeat_s: float) -> None:
        self._network, self._group, self._name, self._member = network, group, name, member
        self._heartbeat_s = heartbeat_s
        self.consumer = self.thread = self
        self.on_partitions_assigned = SimpleNamespace(connect=self._connect)
        self.crash_reason: BaseException | None = None
        self._topics: tuple[str, ...] = ()
        self._assigned: Callable[..., Any] | None = None
        self._routes: Callable[[Any], Any] | None = None
        self._batches: asyncio.Queue[Any] = asyncio.Queue(4)
        self._tasks: list[asyncio.Task[Any]] = []
        self._generation = self._incarnation = 0
        self._positions: dict[TP, int] = {}
        self._released: dict[TP, None] = {}

    def topic(self, *topics: str, **_: Any) -> None:
        """What the one agent reads."""
        self._topics = topics

    def agent(self, *_: Any, **__: Any) -> Callable[[Callable[[Any], Any]], None]:
        """Takes the agent's function."""

        def take(function: Callable[[Any], Any]) -> None:
            self._routes = function

        return take

    def _connect(self, function: Callable[..., Any]) -> None:
        self._assigned = function

    async def start(self) -> None:
        """Join, fetch, hand over."""
        assert self._routes is not None
        works = (self._belong(), self._fetch(), self._routes(SimpleNamespace(events=self._events)))
        self._tasks = [asyncio.create_task(work) for work in works]

    async def stop(self) -> None:
        """Commit, leave, stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._commit()
        self._group.remove(self.member_id())

    async def wait_until_stopped(self) -> None:
        """Returns when one of the tasks has ended by itself."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        self.crash_reason = next((task.exception() for task in self._tasks if task in done), None)

    def release(self, topic: str, partition: int, offset: int | None) -> None:
        """Fetch from there, or from where the position stands."""
        place = TP(topic, partition)
        if place in self._positions:
            if offset is not None:
                self._positions[place] = offset
            self._released[place] = None
            self._network.broker.tell(topic)

    def hold(self, topic: str, partition: int) -> None:
        """Stop fetching."""
        self._released.pop(TP(topic, partition), None)

    def end_offset(self, topic: str, partition: int) -> int | None:
        """As the member's isolation sees it."""
        place = TP(topic, partition)
        return self._end(place) if place in self._positions else None

    def behind(self, topic: str, partition: int) -> tuple[int, int] | None:
        """(position, end) where records are before it."""
        place, end = TP(topic, partition), self.end_offset(topic, partition)
        position = self._positions.get(place)
        return None if position is None or end is None or position >= end else (position, end)

    def member_id(self) -> str:
        """A member that was put out comes back as somebody else."""
        return f"{self._name}#{self._incarnation}"

    async def _belong(self) -> None:
        while True:
            await self._network.rtt()
            joined = self._group.join(self.member_id(), self._topics)
            generation, places = await joined
            reach_out()
            assert self._assigned is not None
            self._released.clear()
            self._positions = {place: self._group.offsets.get(place, 0) for place in places}
            self._generation = generation
            await self._assigned(self, places)
            self._member.positions_lost()
            while (state := await self._beat()) == "fine":
                pass
            self._commit()
            if state == "unknown":
                self._incarnation += 1

    async def _beat(self) -> str:
        await asyncio.sleep(self._heartbeat_s)
        await self._network.rtt()
        if self._network.troubles.strikes("a heartbeat got lost", 0.01):
            return "fine"
        state = self._group.heartbeat(self.member_id(), self._generation)
        if state == "fine":
            self._commit()
        return state

    def _commit(self) -> None:
        reach_out()
        self._group.offsets.update(self._member.offsets_to_commit())

    async def _fetch(self) -> None:
        most = min(_FETCH_RECORDS_MAX, int(self._member.consumer_arguments().get("max_poll_records", 500)))
        while True:
            generation = self._generation
            found = [(place, part) for place in sorted(self._released) if (part := self._taken(place, most))]
            if not found:
                await self._network.broker.news(self._topics, _FETCH_WAIT_S)
            await self._network.rtt()
            for place, records in found:
                if generation != self._generation:
                    break
                if self._network.troubles.strikes("a fetched batch got lost", 0.01):
                    continue
                await self._batches.put((generation, place, records))

    def _taken(self, place: TP, most: int) -> list[Record]:
        log, begin = self._network.broker.partitions[place.topic, place.partition], self._positions[place]
        if begin and self._network.troubles.strikes("a position went astray", 0.0005):
            begin = self._network.random.randrange(begin)
        end = min(self._end(place), begin + most)
        self._positions[place] = max(begin, end)
        return log.readable(begin, end, committed=self._member.isolation_level == "read_committed")

    async def _events(self) -> AsyncIterator[Any]:
        while True:
            generation, place, records = await self._batches.get()
            if generation == self._generation:
                yield SimpleNamespace(message=SimpleNamespace(tp=place), value=records)

    def _end(self, place: TP) -> int:
        committed = self._member.isolation_level == "read_committed"
        return self._network.broker.partitions[place.topic, place.partition].end(committed=committed)


def _now_s() -> float:
    return asyncio.get_running_loop().time()

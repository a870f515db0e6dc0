"""The way of requests to the broker: late, twice, lost, or answered to nobody; and what reads the log.

`Client` stands in for aiokafka's low-level client, so the product's own producers and its appender run as they are.
Readers stand in for `KafkaLogReader`, `KafkaFollower` and aiokafka's consumer: what they may show is the broker's to
say (`Partition.readable`), and which isolation they ask for is the product's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from random import Random
from typing import Any

from aiokafka.errors import KafkaConnectionError, RequestTimedOutError
from aiokafka.structs import TopicPartition

from infra.kafka.ports import ReadFault, Record
from tests.simulation.broker import Broker
from tests.simulation.partitions import Place
from tests.simulation.processes import SERVER, reach_out
from tests.simulation.troubles import Troubles

REQUEST_TIMEOUT_S = 6.0
NODE = 0
_READ_RECORDS_MAX = 500


class Network:
    """One for a life; clients and readers are made here."""

    def __init__(self, broker: Broker, random: Random, troubles: Troubles) -> None:
        self.broker, self.random, self.troubles = broker, random, troubles
        self.is_closed = False

    async def rtt(self) -> None:
        """There and back."""
        reach_out()
        await asyncio.sleep(self.random.uniform(0.0002, 0.004))
        reach_out()

    async def start_client(self, *_: Any, **__: Any) -> Client:
        """Stands in for `infra.kafka.client.start_client`."""
        await self.rtt()
        return Client(self)

    def reader(self, *_: Any, **__: Any) -> Reader:
        """Stands in for `infra.kafka.reader.KafkaLogReader`."""
        return Reader(self)

    def consumer(self, **arguments: Any) -> Consumer:
        """Stands in for `aiokafka.AIOKafkaConsumer`, without a group."""
        return Consumer(self, str(arguments["isolation_level"]))


class Client:
    """What producers ask of `AIOKafkaClient`; its metadata is always right."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.cluster = self

    def leader_for_partition(self, place: Any) -> int:
        """Two nodes lead, so that a transaction is sent to both; what they have stands in one broker."""
        return NODE + (len(place.topic) + int(place.partition)) % 2

    def get_random_node(self) -> int:
        """The node that coordinates."""
        return NODE

    async def coordinator_lookup(self, *_: Any) -> int:
        """The node that coordinates."""
        await self._network.rtt()
        self._raise_if_away()
        return NODE

    async def add_topic(self, _: str) -> None:
        """Nothing to do."""

    async def force_metadata_update(self) -> None:
        """As long as it takes."""
        await self._network.rtt()

    async def close(self) -> None:
        """What is under way arrives."""

    async def send(self, _: int, request: Any, group: Any = None) -> Any:
        """The answer, or what aiokafka raises where there is none."""
        reach_out()
        self._raise_if_away()
        network, name = self._network, type(request).__name__
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Any] = loop.create_future()
        delay_s = network.random.uniform(0.0001, 0.002)
        if network.troubles.strikes(f"{name} lost", 0.005):
            loop.call_later(delay_s, _fail, answered, context=SERVER)
        elif network.troubles.strikes(f"{name} late, its sender gone", 0.008):
            loop.call_later(delay_s, _fail, answered, context=SERVER)
            loop.call_later(network.random.uniform(0.01, 12), self._arrive, request, None, context=SERVER)
        elif network.troubles.strikes(f"{name} delayed", 0.01):
            loop.call_later(network.random.uniform(0.1, 8), self._arrive, request, answered, context=SERVER)
        else:
            if network.troubles.strikes(f"{name} twice", 0.01):
                loop.call_later(network.random.uniform(0, 3), self._arrive, request, None, context=SERVER)
            loop.call_later(delay_s, self._arrive, request, answered, context=SERVER)
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                answer = await answered
        except TimeoutError as error:
            raise RequestTimedOutError(name) from error
        reach_out()
        return answer

    def _arrive(self, request: Any, answered: asyncio.Future[Any] | None) -> None:
        network, loop = self._network, asyncio.get_running_loop()
        if network.is_closed:
            return
        if network.broker.is_away:
            if answered is not None:
                _fail(answered)
            return
        answer = network.broker.receive(request)
        if answered is None:
            return
        delay_s = network.random.uniform(0.0001, 0.002)
        if network.troubles.strikes(f"reply to {type(request).__name__} lost", 0.01):
            if network.random.random() < 0.5:  # the connection broke; else nobody says anything
                loop.call_later(delay_s, _fail, answered, context=SERVER)
            return
        loop.call_later(delay_s, _settle, answered, answer, context=SERVER)

    def _raise_if_away(self) -> None:
        if self._network.broker.is_away:
            raise KafkaConnectionError("no broker")


class Reader:
    """Implements `infra.kafka.ports.LogReader` and `Follower`'s ways of reading."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def begin_offset(self, topic: str, partition: int) -> int:
        """Nothing is deleted within a life."""
        await self._asked(topic, partition)
        return 0

    async def end_offset(self, topic: str, partition: int, *, committed: bool = True) -> int:
        """See the port."""
        await self._asked(topic, partition)
        return self._network.broker.partitions[topic, partition].end(committed=committed)

    async def read(
        self, topic: str, partition: int, begin: int, end: int | None = None, *, committed: bool = True
    ) -> AsyncIterator[Sequence[Record]]:
        """See the port."""
        log = self._network.broker.partitions[topic, partition]
        end = await self.end_offset(topic, partition, committed=committed) if end is None else end
        while begin < end:
            await self._asked(topic, partition)
            upto = min(begin + _READ_RECORDS_MAX, end, log.end(committed=committed))
            if upto <= begin:
                raise ReadFault(f"{topic}-{partition} gave nothing at offset {begin}, although asked to {end}")
            found = log.readable(begin, upto, committed=committed)
            begin = upto
            if found:
                yield found

    async def _asked(self, topic: str, partition: int) -> None:
        await self._network.rtt()
        if self._network.troubles.strikes("a read took long", 0.06):
            await asyncio.sleep(self._network.random.uniform(0.05, 3))
            reach_out()
        if self._network.broker.is_away or self._network.troubles.strikes("a read failed", 0.004):
            raise ReadFault(f"no broker for {topic}-{partition}")


class Follower:
    """Implements `infra.kafka.ports.Follower` over one topic."""

    def __init__(self, network: Network, topic: str) -> None:
        self._network, self._topic = network, topic
        self._logs = [log for place, log in network.broker.partitions.items() if place[0] == topic]
        self._positions: dict[Place, int] = {}

    async def start(self) -> None:
        """See the port."""
        await self._network.rtt()
        self._positions = {log.place: log.end(committed=True) for log in self._logs}

    async def poll(self) -> Sequence[Record]:
        """See the port."""
        found: list[Record] = []
        for log in self._logs:
            end = log.end(committed=True)
            found += log.readable(self._positions[log.place], end, committed=True)
            self._positions[log.place] = max(end, self._positions[log.place])
        if not found:
            reach_out()
            await self._network.broker.news((self._topic,), 0.5)
        await self._network.rtt()
        return found

    async def close(self) -> None:
        """Nothing is under way."""


class Consumer:
    """What the projector's source asks of an aiokafka consumer at explicit positions."""

    def __init__(self, network: Network, isolation_level: str) -> None:
        self._network, self._committed = network, isolation_level == "read_committed"
        self._positions: dict[Any, int] = {}

    async def start(self) -> None:
        """Connect."""
        await self._asked()

    async def stop(self) -> None:
        """Nothing is under way."""

    def assign(self, places: Iterable[Any]) -> None:
        """Read these, from where `seek` says."""
        self._positions = dict.fromkeys(places, 0)

    def seek(self, place: Any, offset: int) -> None:
        """Read on from there."""
        self._positions[place] = offset

    async def beginning_offsets(self, places: Sequence[Any]) -> Mapping[Any, int]:
        """Nothing is deleted within a life."""
        await self._asked()
        return dict.fromkeys(places, 0)

    async def end_offsets(self, places: Sequence[Any]) -> Mapping[Any, int]:
        """As the isolation level sees them."""
        await self._asked()
        return {place: self._log(place).end(committed=self._committed) for place in places}

    async def position(self, place: Any) -> int:
        """The next offset."""
        return self._positions[place]

    async def getmany(self, *places: Any, timeout_ms: int, max_records: int) -> Mapping[Any, Sequence[Record]]:
        """What there is, or after the timeout nothing."""
        await self._asked()
        found = self._taken(places or tuple(self._positions), max_records)
        if not found:
            await self._network.broker.news({place.topic: None for place in self._positions}, timeout_ms / 1000)
            await self._network.rtt()
            found = self._taken(places or tuple(self._positions), max_records)
        return found

    def _taken(self, places: Iterable[Any], most: int) -> dict[Any, Sequence[Record]]:
        found: dict[Any, Sequence[Record]] = {}
        for place in places:
            log, begin = self._log(place), self._positions[place]
            end = min(log.end(committed=self._committed), begin + most)
            self._positions[place] = max(begin, end)
            part = log.readable(begin, end, committed=self._committed)
            if part:
                found[place] = part
        return found

    def _log(self, place: TopicPartition) -> Any:
        return self._network.broker.partitions[place.topic, place.partition]

    async def _asked(self) -> None:
        await self._network.rtt()
        if self._network.broker.is_away or self._network.troubles.strikes("the projector's broker went away", 0.002):
            raise KafkaConnectionError("no broker")


def _fail(answered: asyncio.Future[Any]) -> None:
    if not answered.done():
        answered.set_exception(KafkaConnectionError("the connection broke"))


def _settle(answered: asyncio.Future[Any], answer: Any) -> None:
    if not answered.done():
        answered.set_result(answer)

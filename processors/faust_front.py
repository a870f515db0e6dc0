"""Faust's consumer with everything taken out that would decide; members of groups are made with it (`agents`).

What a member is not asked for, Faust does not do here, each for a reason that a real run has shown:

- *No commits of its own.* Faust commits past work that is still running. A member says what may be committed, if
  anything; the topics have ``acks=False``.
- *No position of its own.* After each rebalance Faust seeks to committed offsets; here that becomes "positions lost".
  In the consumer's own thread every assigned partition is paused before the first fetch, and only `release` (seek
  and resume in one step, in that thread) starts it. A seek from another thread could lose against a reset.
- *One pseudo-record a fetch.* `getmany` yields one message per partition whose value is the list of records, so
  Faust's cost is per batch. Its offset is a counter that only rises, because Faust silently drops a message whose
  offset is below one it has seen, which is what a seek backwards looks like.
- *No producer, web server, leader topic, stdout capture or table wait*: the app runs inside our event loop, not
  under Faust's command line, which turns the web server on. Consumer arguments come from our settings.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import faust
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from faust.app import BootStrategy
from faust.tables import TableManager
from faust.transport.drivers import aiokafka as driver
from faust.types import TP as TP
from faust.types import ConsumerMessage
from yarl import URL

from infra import failpoints
from infra.kafka.ports import Record
from infra.settings import KafkaSettings

FETCH_POLL_S = 0.1
COMMIT_EVERY_S = 1.0


class Member(Protocol):
    """Whom an app works for."""

    isolation_level: Literal["read_committed", "read_uncommitted"]

    def consumer_arguments(self) -> dict[str, Any]:
        """Arguments of the aiokafka consumer."""
        ...

    def positions_lost(self) -> None:
        """Every partition is held again."""
        ...

    def offsets_to_commit(self) -> Mapping[TP, int]:
        """What may be committed now; asked once a second, at rebalances and at the end."""
        ...


class Thread(driver.AIOKafkaConsumerThread):
    """The thread that holds the aiokafka consumer; `release` and `hold` may be called from any thread."""

    @property
    def member(self) -> Member:
        return cast(App, self.app).member

    def _create_worker_consumer(self, transport: driver.Transport) -> Any:
        self._assignor = RoundRobinPartitionAssignor
        return AIOKafkaConsumer(partition_assignment_strategy=[self._assignor], **self.member.consumer_arguments())

    def pause_at_once(self, places: Iterable[Any]) -> None:
        """Inside the rebalance, before the fetcher's next round: nothing is fetched until it is released."""
        self._ensure_consumer().pause(*places)

    def release(self, topic: str, partition: int, offset: int | None) -> None:
        """Fetch from ``offset`` on, or from where the consumer stands."""
        self.thread_loop.call_soon_threadsafe(self._release, TopicPartition(topic, partition), offset)

    def _release(self, place: Any, offset: int | None) -> None:
        consumer = self._ensure_consumer()
        if place in consumer.assignment():
            if offset is not None:
                consumer.seek(place, offset)
            consumer.resume(place)

    def hold(self, topic: str, partition: int) -> None:
        self.thread_loop.call_soon_threadsafe(self._hold, TopicPartition(topic, partition))

    def _hold(self, place: Any) -> None:
        if place in self._ensure_consumer().assignment():
            self._ensure_consumer().pause(place)

    def end_offset(self, topic: str, partition: int) -> int | None:
        """The end that the last fetch reported; None before the first or without assignment."""
        consumer, place = self._ensure_consumer(), TopicPartition(topic, partition)
        if place not in consumer.assignment():
            return None
        committed = self.member.isolation_level == "read_committed"
        return cast("int | None", consumer.last_stable_offset(place) if committed else consumer.highwater(place))

    def behind(self, topic: str, partition: int) -> tuple[int, int] | None:
        """The consumer's (position, end of the partition) where the second is ahead of the first."""
        consumer, place = self._ensure_consumer(), TopicPartition(topic, partition)
        assignment = consumer._subscription.subscription.assignment
        end = self.end_offset(topic, partition)
        if assignment is None or place not in assignment.tps or end is None:
            return None
        position = cast("int | None", assignment.state_value(place)._position)
        return (position, end) if position is not None and position < end else None

    def member_id(self) -> str:
        return str(self._ensure_consumer()._coordinator.member_id)


class _Listener(driver.ConsumerRebalanceListener):
    async def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        places = list(assigned)
        cast(Thread, self._thread).pause_at_once(places)
        await super().on_partitions_assigned(places)


class Consumer(driver.Consumer):
    """Fetches batches; commits what its member says, neither seeks nor complains of slow commits."""

    RebalanceListener = _Listener
    _numbers = itertools.count(1)

    def _new_consumer_thread(self) -> Thread:
        return Thread(self, loop=self.loop, beacon=self.beacon)

    @property
    def thread(self) -> Thread:
        return cast(Thread, self._thread)

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        if self.crashed:  # the thread has stopped with it and would never answer
            return False
        begun = self.thread.member.offsets_to_commit()
        if not begun:
            return False
        failpoints.passed("dispatcher.offsets.before")
        committed = bool(await self._thread.commit(dict(begun)))
        failpoints.passed("dispatcher.offsets.after")
        return committed

    async def perform_seek(self) -> None:
        self.thread.member.positions_lost()

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing: Faust's detector reads commits, which do not exist; `supervision` watches progress."""

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        if not self.flow_active:
            await self.wait(cast(Any, self.can_resume_flow))
        fetched = await self._thread.getmany(None, FETCH_POLL_S)
        generation = self.app.consumer_generation_id
        for place, records in fetched.items():
            if self.should_stop or not self.flow_active:
                return
            yield place, self._batch(place, records, generation)

    def _batch(self, place: TP, records: Sequence[Any], generation: int) -> ConsumerMessage:
        batch = [Record(raw.offset, raw.timestamp, raw.key, raw.value, tuple(raw.headers)) for raw in records]
        return ConsumerMessage(
            place.topic,
            place.partition,
            next(self._numbers),
            batch[-1].timestamp_ms / 1000,
            0,
            None,
            None,
            cast(Any, batch),
            None,
            0,
            0,
            tp=TP(place.topic, place.partition),
            generation_id=generation,
        )


class _Transport(driver.Transport):
    Consumer = Consumer


class _Tables(TableManager):
    """There are no tables: nothing to wait a second for."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class _Boot(BootStrategy):
    enable_kafka_producer = False
    enable_web = False


class App(faust.App):
    BootStrategy = _Boot
    member: Member

    def _new_transport(self) -> _Transport:
        return _Transport(self.conf.broker_consumer, cast(Any, self))


def make_app(
    member: Member, kafka: KafkaSettings, group: str, data_dir: Path, session_ms: int, heartbeat_ms: int
) -> App:
    """An app of one member; whoever makes it adds its agent."""
    data_dir.mkdir(parents=True, exist_ok=True)
    app = App(
        group,
        broker=[URL(f"kafka://{server}") for server in kafka.bootstrap_servers.split(",")],
        datadir=data_dir,
        autodiscover=False,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        stream_wait_empty=False,
        TableManager=_Tables,
        broker_commit_interval=COMMIT_EVERY_S,
        broker_session_timeout=session_ms / 1000,
        broker_heartbeat_interval=heartbeat_ms / 1000,
        broker_request_timeout=max(10.0, session_ms / 1000),
    )
    app.member = member
    return app

"""Faust as the front end: group membership, assignment and the way of the records, and nothing else.

`GroupMember` is a Faust app with one agent on one topic. Everything that decides is elsewhere (`supervision`, `loop`);
everything of Faust that would decide is taken out, each for a reason that a real run has shown:

- *No commits.* The position lives in our own log. The topic has ``acks=False`` and the consumer's `commit` does
  nothing: Faust commits past work that is still running, and a stored offset could only contradict the position.
- *No position of its own.* After each rebalance Faust seeks to committed offsets; here that becomes "release again".
  In the consumer's own thread every assigned partition is paused before the first fetch, and only `release` (seek
  and resume in one step, in that thread) starts it. A seek from another thread could lose against a reset.
- *One pseudo-record a fetch.* `getmany` yields one message per partition whose value is the list of records, so
  Faust's cost is per batch. Its offset is a counter that only rises, because Faust silently drops a message whose
  offset is below one it has seen, which is what a seek backwards looks like.
- *No producer, web server, leader topic, stdout capture or table wait*: the app runs inside our event loop, not
  under Faust's command line, which turns the web server on. Consumer arguments come from our settings.

A dynamic member, on purpose: an empty static id would be shared by all, and a dead member's id is published, so that
whoever sees the process die can take it out of the group at once (`infra.kafka.groups`).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import faust
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from faust.app import BootStrategy
from faust.tables import TableManager
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from yarl import URL

from infra.kafka.client import connection_arguments
from infra.kafka.ports import Record
from infra.settings import KafkaSettings

FETCH_WAIT_MS = 100
FETCH_POLL_S = 0.1
SESSION_MS = 6_000
HEARTBEAT_MS = 500

Assigned = Callable[[frozenset[int]], None]
Deliver = Callable[[int, Sequence[Record]], None]

log = structlog.get_logger()


class _Thread(driver.AIOKafkaConsumerThread):
    """The thread that holds the aiokafka consumer; `release` and `hold` may be called from any thread."""

    @property
    def member(self) -> GroupMember:
        return cast(_App, self.app).member

    def _create_worker_consumer(self, transport: driver.Transport) -> Any:
        self._assignor = RoundRobinPartitionAssignor
        return AIOKafkaConsumer(partition_assignment_strategy=[self._assignor], **self.member.consumer_arguments())

    def pause_at_once(self, places: Iterable[Any]) -> None:
        """Inside the rebalance, before the fetcher's next round: nothing is fetched until it is released."""
        self._ensure_consumer().pause(*places)

    def release(self, topic: str, partition: int, offset: int) -> None:
        self.thread_loop.call_soon_threadsafe(self._release, TopicPartition(topic, partition), offset)

    def _release(self, place: Any, offset: int) -> None:
        consumer = self._ensure_consumer()
        if place in consumer.assignment():
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

    def member_id(self) -> str:
        return str(self._ensure_consumer()._coordinator.member_id)


class _Listener(driver.ConsumerRebalanceListener):
    async def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        places = list(assigned)
        cast(_Thread, self._thread).pause_at_once(places)
        await super().on_partitions_assigned(places)


class _Consumer(driver.Consumer):
    """Fetches batches; neither commits nor seeks nor complains of slow commits."""

    RebalanceListener = _Listener
    _numbers = itertools.count(1)

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    @property
    def thread(self) -> _Thread:
        return cast(_Thread, self._thread)

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        return False

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
    Consumer = _Consumer


class _Tables(TableManager):
    """There are no tables: nothing to wait a second for."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class _Boot(BootStrategy):
    enable_kafka_producer = False
    enable_web = False


class _App(faust.App):
    BootStrategy = _Boot
    member: GroupMember

    def _new_transport(self) -> _Transport:
        return _Transport(self.conf.broker_consumer, cast(Any, self))


class GroupMember:
    """A member of a consumer group on one topic; implements `processors.supervision.FrontEnd`.

    ``assigned`` gets the full set after each rebalance; ``deliver`` gets fetched records of a partition in order;
    ``positions_lost`` says that every partition is held again. All three are called in the event loop of `start`
    and must return at once.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        group: str,
        topic: str,
        *,
        assigned: Assigned,
        deliver: Deliver,
        positions_lost: Callable[[], None],
        run_dir: Path,
        name: str,
        isolation_level: Literal["read_committed", "read_uncommitted"] = "read_committed",
        session_ms: int = SESSION_MS,
        heartbeat_ms: int = HEARTBEAT_MS,
    ) -> None:
        self.isolation_level = isolation_level
        self.positions_lost = positions_lost
        self._kafka = kafka
        self._group = group
        self._topic = topic
        self._assigned = assigned
        self._deliver = deliver
        self._member_file = run_dir / f"{name}.member"
        self._session_ms = session_ms
        self._heartbeat_ms = heartbeat_ms
        self._ours: frozenset[int] = frozenset()
        self._app = self._make_app(run_dir / name)

    def _make_app(self, data_dir: Path) -> _App:
        data_dir.mkdir(parents=True, exist_ok=True)
        app = _App(
            self._group,
            broker=[URL(f"kafka://{server}") for server in self._kafka.bootstrap_servers.split(",")],
            datadir=data_dir,
            autodiscover=False,
            web_enabled=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
            stream_wait_empty=False,
            TableManager=_Tables,
            broker_session_timeout=self._session_ms / 1000,
            broker_heartbeat_interval=self._heartbeat_ms / 1000,
            broker_request_timeout=max(10.0, self._session_ms / 1000),
        )
        app.member = self
        topic = app.topic(self._topic, key_serializer="raw", value_serializer="raw", acks=False)
        app.agent(topic, concurrency=1, name=f"{self._group}.{self._topic}")(cast(Any, self._route))
        app.on_partitions_assigned.connect(cast(Any, self._on_assigned))
        return app

    def consumer_arguments(self) -> dict[str, Any]:
        """Arguments of the aiokafka consumer. It starts nowhere: each partition is paused until it is released."""
        return {
            **connection_arguments(self._kafka),
            "client_id": self._group,
            "group_id": self._group,
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "isolation_level": self.isolation_level,
            "fetch_max_wait_ms": FETCH_WAIT_MS,
            "session_timeout_ms": self._session_ms,
            "heartbeat_interval_ms": self._heartbeat_ms,
            "rebalance_timeout_ms": self._session_ms,
            "request_timeout_ms": max(10_000, self._session_ms),
        }

    async def start(self) -> None:
        """Join the group. Raises when no broker can be reached."""
        await self._app.start()

    async def stop(self) -> None:
        """Leave the group (LeaveGroup is sent) and stop."""
        await self._app.stop()

    async def failed(self) -> BaseException | None:
        """Returns when Faust has given up, with its reason."""
        await self._app.wait_until_stopped()
        return self._app.crash_reason

    async def _route(self, stream: faust.Stream[Any]) -> None:
        async for event in stream.events():
            self._deliver(event.message.partition, cast("Sequence[Record]", event.value))

    async def _on_assigned(self, _: Any, assigned: Iterable[TP], **__: Any) -> None:
        self._ours = frozenset(place.partition for place in assigned if place.topic == self._topic)
        log.info("partitions assigned", group=self._group, partitions=sorted(self._ours))
        self._publish_member()
        self._assigned(self._ours)

    def _publish_member(self) -> None:
        content = json.dumps({"group": self._group, "member_id": self._consumer_thread().member_id()})
        fresh = self._member_file.with_suffix(".fresh")
        fresh.write_text(content, encoding="utf-8")
        fresh.replace(self._member_file)

    def _consumer_thread(self) -> _Thread:
        return cast(_Consumer, self._app.consumer).thread

    def is_ours(self, partition: int) -> bool:
        """See `processors.supervision.FrontEnd.is_ours`."""
        return partition in self._ours

    def release(self, partition: int, offset: int) -> None:
        """See `processors.supervision.FrontEnd.release`."""
        self._consumer_thread().release(self._topic, partition, offset)

    def hold(self, partition: int) -> None:
        """See `processors.supervision.FrontEnd.hold`."""
        self._consumer_thread().hold(self._topic, partition)

    def end_offset(self, partition: int) -> int | None:
        """See `processors.supervision.FrontEnd.end_offset`."""
        return self._consumer_thread().end_offset(self._topic, partition)

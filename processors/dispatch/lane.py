"""A lane's consumer group: the Faust agent that takes work items and hands them on.

Delivery of work does not depend on offsets (design section 2, point 15): a lost item's lease ends and the decider hands
out the next attempt. So an item's offset is committed as soon as it was begun, at most COMMIT_EVERY_S later, only to
keep finished items from running again. What has to be overridden is what would be wrong or slow:

- commits are ours: Faust waits for a gapless row of acknowledged offsets, and behind a transaction's marker, which is
  an offset that no consumer ever sees, it may wait for ever;
- the consumer reads committed records only: Faust reads aborted ones too, and would run jobs that never were;
- it waits at most FETCH_WAIT_MS for a fetch (Faust: 1.5 s) and takes TLS and SASL from our settings;
- no web server, producer, leader topic or tables; the app runs in our event loop, not under Faust's command line;
- the member id is published, so that whoever sees the process die takes it out of the group at once.

`stuck` looks from outside at position and end: a consumer that stands still with records before it makes the process
exit, and whoever started it starts it again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, cast

import faust
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from faust.app import BootStrategy
from faust.tables import TableManager
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from yarl import URL

from infra.kafka.client import connection_arguments
from infra.logs import get_logger
from infra.settings import KafkaSettings

FETCH_WAIT_MS = 100
SESSION_MS = 6_000
HEARTBEAT_MS = 500
COMMIT_EVERY_S = 1.0
BUFFERED_ITEMS_MAX = 16
"""Items that wait in this process instead of with a dispatcher that has room; their leases run."""

Take = Callable[[bytes | None], Awaitable[None]]
_log = get_logger(__name__)


class _Thread(driver.AIOKafkaConsumerThread):
    """The thread that holds the aiokafka consumer."""

    def _create_worker_consumer(self, transport: driver.Transport) -> Any:
        self._assignor = RoundRobinPartitionAssignor
        arguments = cast(_App, self.app).lane.consumer_arguments()
        return AIOKafkaConsumer(partition_assignment_strategy=[self._assignor], **arguments)

    def member_id(self) -> str:
        return str(self._ensure_consumer()._coordinator.member_id)

    def behind(self, place: TP) -> tuple[int, int] | None:
        """The consumer's (position, last stable offset) where the second is ahead of the first."""
        consumer, at = self._ensure_consumer(), TopicPartition(place.topic, place.partition)
        assignment = consumer._subscription.subscription.assignment
        if assignment is None or at not in assignment.tps:
            return None
        position, end = assignment.state_value(at)._position, consumer.last_stable_offset(at)
        return (position, end) if position is not None and end is not None and position < end else None


class _Consumer(driver.Consumer):
    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit what was begun since the last commit; Faust calls this by its timer, at rebalances and at the end."""
        begun = cast(_App, self.app).lane.take_begun()
        return bool(begun) and await self._thread.commit(begun)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's detector reads acknowledgements that do not exist; `Lane.stuck` watches instead."""


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
    lane: Lane

    def _new_transport(self) -> _Transport:
        return _Transport(self.conf.broker_consumer, cast(Any, self))


class Lane:
    """A member of a lane's group. `take` gets each record's value and returns when the item has begun."""

    def __init__(self, kafka: KafkaSettings, group: str, topic: str, take: Take, run_dir: Path, name: str) -> None:
        self._kafka, self._group, self._topic, self._take = kafka, group, topic, take
        self._member_file = run_dir / f"{name}.member"
        self._assigned: frozenset[TP] = frozenset()
        self._seen: dict[TP, tuple[int, float]] = {}
        self._begun: dict[TP, int] = {}
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
            stream_buffer_maxsize=BUFFERED_ITEMS_MAX,
            TableManager=_Tables,
            broker_commit_interval=COMMIT_EVERY_S,
            broker_session_timeout=SESSION_MS / 1000,
            broker_heartbeat_interval=HEARTBEAT_MS / 1000,
            broker_request_timeout=10.0,
        )
        app.lane = self
        topic = app.topic(self._topic, key_serializer="raw", value_serializer="raw", acks=False)
        app.agent(topic, concurrency=1, name=f"{self._group}.{self._topic}")(cast(Any, self._work))
        app.on_partitions_assigned.connect(cast(Any, self._on_assigned))
        return app

    def consumer_arguments(self) -> dict[str, Any]:
        """Arguments of the aiokafka consumer; a partition without a committed offset begins at its start."""
        return {
            **connection_arguments(self._kafka),
            "client_id": self._group,
            "group_id": self._group,
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "isolation_level": "read_committed",
            "fetch_max_wait_ms": FETCH_WAIT_MS,
            "max_poll_records": BUFFERED_ITEMS_MAX,
            "max_poll_interval_ms": 3_600_000,
            "session_timeout_ms": SESSION_MS,
            "heartbeat_interval_ms": HEARTBEAT_MS,
            "rebalance_timeout_ms": SESSION_MS,
            "request_timeout_ms": 10_000,
        }

    async def start(self) -> None:
        """Join the group. Raises when no broker can be reached."""
        await self._app.start()

    async def stop(self) -> None:
        """Commit, leave the group, stop. Items that were handed out go on."""
        await self._app.stop()

    async def failed(self) -> BaseException | None:
        """Return when Faust has given up, with its reason."""
        await self._app.wait_until_stopped()
        return self._app.crash_reason

    def take_begun(self) -> dict[TP, int]:
        """The offsets to commit, of partitions that are still ours; empty until more has begun."""
        begun, self._begun = self._begun, {}
        return {place: offset for place, offset in begun.items() if place in self._assigned}

    @property
    def joined(self) -> bool:
        """Whether the group has assigned something to this member."""
        return bool(self._assigned)

    def stuck(self, for_s: float) -> bool:
        """Whether some partition has had records before it for `for_s` without moving. Ask it every second or so."""
        now, stuck = time.monotonic(), False
        for place in self._assigned:
            behind = self._thread().behind(place)
            before = self._seen.get(place)
            if behind is None or before is None or before[0] != behind[0]:
                self._seen[place] = (behind[0] if behind else -1, now)
            else:
                stuck = stuck or now - before[1] >= for_s
        return stuck

    async def _work(self, stream: faust.Stream[Any]) -> None:
        async for event in stream.events():
            await self._take(cast("bytes | None", event.value))
            self._begun[event.message.tp] = event.message.offset + 1

    async def _on_assigned(self, _: Any, assigned: Iterable[TP], **__: Any) -> None:
        self._assigned = frozenset(place for place in assigned if place.topic == self._topic)
        _log.info("partitions-assigned", group=self._group, partitions=sorted(p.partition for p in self._assigned))
        content = json.dumps({"group": self._group, "member_id": self._thread().member_id()})
        fresh = self._member_file.with_suffix(".fresh")
        fresh.write_text(content, encoding="utf-8")
        fresh.replace(self._member_file)

    def _thread(self) -> _Thread:
        return cast(_Thread, cast(_Consumer, self._app.consumer)._thread)

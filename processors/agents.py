"""Faust as the front end: group membership, assignment and the way of the records, and nothing else.

`TopicsMember` is a Faust app with one agent on some topics; `GroupMember` is one on one topic whose owners keep their
own positions. Everything that decides is elsewhere (`supervision`, `loop`, `dispatch.lanes`); everything of Faust that
would decide is taken out (`faust_front`).

A dynamic member, on purpose: an empty static id would be shared by all, and a dead member's id is published, so that
whoever sees the process die can take it out of the group at once (`infra.kafka.groups`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, cast

import faust
import structlog
from faust.types import TP

from infra.kafka.client import connection_arguments
from infra.kafka.ports import Record
from infra.settings import KafkaSettings
from processors.faust_front import App, Consumer, Thread, make_app

FETCH_WAIT_MS = 100
SESSION_MS = 6_000
HEARTBEAT_MS = 500
STOP_LIMIT_S = 5.0

Assigned = Callable[[frozenset[int]], None]
Deliver = Callable[[int, Sequence[Record]], None]
Isolation = Literal["read_committed", "read_uncommitted"]

log = structlog.get_logger()


class TopicsMember:
    """A member of a consumer group on some topics; whoever makes one overrides what it is told.

    What it is told, it is told in the event loop of `start`, and must return at once.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        group: str,
        topics: Sequence[str],
        *,
        run_dir: Path,
        name: str,
        isolation_level: Isolation = "read_committed",
        session_ms: int = SESSION_MS,
        heartbeat_ms: int = HEARTBEAT_MS,
    ) -> None:
        self.isolation_level = isolation_level
        self._kafka, self._group, self._topics = kafka, group, tuple(topics)
        self._session_ms, self._heartbeat_ms = session_ms, heartbeat_ms
        self._member_file = run_dir / f"{name}.member"
        self._places: frozenset[TP] = frozenset()
        self._app: App = make_app(self, kafka, group, run_dir / name, session_ms, heartbeat_ms)
        topic = self._app.topic(*self._topics, key_serializer="raw", value_serializer="raw", acks=False)
        self._app.agent(topic, concurrency=1, name=f"{group}.{self._topics[0]}")(cast(Any, self._route))
        self._app.on_partitions_assigned.connect(cast(Any, self._on_assigned))

    def places_assigned(self, places: frozenset[TP]) -> None:
        """The full set after each rebalance; all of it is held."""

    def places_delivered(self, place: TP, records: Sequence[Record]) -> None:
        """Fetched records of a partition, in order."""

    def positions_lost(self) -> None:
        """Every partition is held again."""

    def offsets_to_commit(self) -> Mapping[TP, int]:
        """What may be committed now."""
        return {}

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
        """Leave the group (LeaveGroup is sent) and stop. What of Faust has not ended in STOP_LIMIT_S is left alone."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_LIMIT_S):
                await self._app.stop()

    async def failed(self) -> BaseException | None:
        """Returns when Faust has given up, with its reason."""
        await self._app.wait_until_stopped()
        return self._app.crash_reason

    async def _route(self, stream: faust.Stream[Any]) -> None:
        async for event in stream.events():
            self.places_delivered(event.message.tp, cast("Sequence[Record]", event.value))

    async def _on_assigned(self, _: Any, assigned: Iterable[TP], **__: Any) -> None:
        self._places = frozenset(place for place in assigned if place.topic in self._topics)
        shown = sorted(f"{place.topic}/{place.partition}" for place in self._places)
        log.info("partitions assigned", group=self._group, partitions=shown)
        self._publish_member()
        self.places_assigned(self._places)

    def _publish_member(self) -> None:
        content = json.dumps({"group": self._group, "member_id": self._thread().member_id()})
        fresh = self._member_file.with_suffix(".fresh")
        fresh.write_text(content, encoding="utf-8")
        fresh.replace(self._member_file)

    def _thread(self) -> Thread:
        return cast(Consumer, self._app.consumer).thread


class GroupMember(TopicsMember):
    """A member on one topic whose partitions have owners with own positions: `processors.supervision.FrontEnd`.

    ``assigned`` gets the full set after each rebalance; ``deliver`` gets fetched records of a partition in order;
    ``positions_lost`` says that every partition is held again. Nothing is ever committed.
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
        isolation_level: Isolation = "read_committed",
        session_ms: int = SESSION_MS,
        heartbeat_ms: int = HEARTBEAT_MS,
    ) -> None:
        super().__init__(
            kafka,
            group,
            (topic,),
            run_dir=run_dir,
            name=name,
            isolation_level=isolation_level,
            session_ms=session_ms,
            heartbeat_ms=heartbeat_ms,
        )
        self._topic, self._assigned, self._deliver, self._lost = topic, assigned, deliver, positions_lost

    def places_assigned(self, places: frozenset[TP]) -> None:
        self._assigned(frozenset(place.partition for place in places))

    def places_delivered(self, place: TP, records: Sequence[Record]) -> None:
        self._deliver(place.partition, records)

    def positions_lost(self) -> None:
        self._lost()

    def is_ours(self, partition: int) -> bool:
        """See `processors.supervision.FrontEnd.is_ours`."""
        return TP(self._topic, partition) in self._places

    def release(self, partition: int, offset: int) -> None:
        """See `processors.supervision.FrontEnd.release`."""
        self._thread().release(self._topic, partition, offset)

    def hold(self, partition: int) -> None:
        """See `processors.supervision.FrontEnd.hold`."""
        self._thread().hold(self._topic, partition)

    def end_offset(self, partition: int) -> int | None:
        """See `processors.supervision.FrontEnd.end_offset`."""
        return self._thread().end_offset(self._topic, partition)

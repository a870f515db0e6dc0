"""Faust as a group member: what it may deliver, from where, and that it decides nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from faust.types import TP

from infra import failpoints
from infra.kafka.client import connection_arguments, start_client
from infra.kafka.ports import Outgoing, Record, TransactionError
from infra.kafka.transactions import TransactionalProducer
from infra.settings import Settings
from processors.agents import STOP_LIMIT_S, GroupMember
from tests.kafka.topic import fresh, make_topics
from tests.proxy import END_TXN, KafkaProxy, proxied_client

pytestmark = pytest.mark.servers


class Seat:
    """A started member of a group of its own, and what it was given."""

    def __init__(self, settings: Settings, folder: Path, kind: type[GroupMember] = GroupMember) -> None:
        self.settings = settings
        self.topic, self.group = fresh("seat"), fresh("group")
        self.assignments: list[frozenset[int]] = []
        self.delivered: list[tuple[int, list[int]]] = []
        self.positions_lost = 0
        self.folder = folder
        self.member = kind(
            settings.kafka,
            self.group,
            self.topic,
            assigned=self.assignments.append,
            deliver=self._deliver,
            positions_lost=self._lost,
            run_dir=folder,
            name="seat",
        )

    def _deliver(self, partition: int, records: Sequence[Record]) -> None:
        self.delivered.append((partition, [record.offset for record in records]))

    def _lost(self) -> None:
        self.positions_lost += 1

    def offsets(self, partition: int = 0) -> list[int]:
        return [offset for number, batch in self.delivered for offset in batch if number == partition]

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not true():
                await asyncio.sleep(0.01)

    async def commit(self, client: Any, name: str, count: int, partition: int = 0) -> None:
        producer = TransactionalProducer(client, f"{self.topic}.{name}", 5_000)
        await producer.initialise()
        await producer.commit([Outgoing(self.topic, partition, b"k", b"%d" % number) for number in range(count)])


@pytest.fixture
async def seat(kafka: Settings, tmp_path: Path) -> AsyncIterator[Seat]:
    made = Seat(kafka, tmp_path)
    await make_topics(kafka, {made.topic: (2, {})})
    client = await start_client(kafka.kafka)
    await made.commit(client, "a", 10)
    await made.commit(client, "b", 10, partition=1)
    await client.close()
    await made.member.start()
    await made.until(lambda: bool(made.positions_lost))
    yield made
    await made.member.stop()


async def test_nothing_is_delivered_before_it_is_released_and_then_exactly_from_there(seat: Seat) -> None:
    assert seat.assignments == [frozenset({0, 1})]
    await asyncio.sleep(0.5)
    assert seat.delivered == []
    seat.member.release(0, 4)
    await seat.until(lambda: len(seat.offsets()) == 6)
    assert seat.offsets() == [4, 5, 6, 7, 8, 9]
    assert seat.offsets(1) == []


async def test_a_release_backwards_delivers_again(seat: Seat) -> None:
    seat.member.release(0, 8)
    await seat.until(lambda: len(seat.offsets()) == 2)
    seat.member.release(0, 0)
    await seat.until(lambda: len(seat.offsets()) == 12)
    assert seat.offsets() == [8, 9, *range(10)]


async def test_a_held_partition_does_not_hold_the_other(seat: Seat) -> None:
    seat.member.release(0, 10)
    seat.member.release(1, 10)
    seat.member.hold(0)
    client = await start_client(seat.settings.kafka)
    await seat.commit(client, "c", 3)
    await seat.commit(client, "d", 3, partition=1)
    await client.close()
    await seat.until(lambda: len(seat.offsets(1)) == 3)
    assert seat.offsets(0) == []
    seat.member.release(0, 10)
    await seat.until(lambda: len(seat.offsets(0)) == 3)
    assert seat.member.end_offset(0) is not None


async def test_aborted_records_are_never_delivered(seat: Seat) -> None:
    host, port = seat.settings.kafka.bootstrap_servers.rsplit(":", 1)
    async with KafkaProxy(host, int(port)) as proxy:
        client = await proxied_client(seat.settings.kafka, proxy)
        proxy.catch_request(END_TXN, "cut")
        with pytest.raises(TransactionError):
            await seat.commit(client, "zombie", 5)
        await seat.commit(client, "zombie", 1)
        await client.close()
    seat.member.release(0, 0)
    await seat.until(lambda: len(seat.offsets()) == 11)
    assert seat.offsets() == [*range(10), 17]  # 10 is a marker, 11 to 15 were aborted, 16 is the abort's marker


async def test_no_offset_is_ever_committed(seat: Seat) -> None:
    seat.member.release(0, 0)
    await seat.until(lambda: len(seat.offsets()) == 10)
    await seat.member.stop()
    admin = AIOKafkaAdminClient(**connection_arguments(seat.settings.kafka))
    await admin.start()
    assert await admin.list_consumer_group_offsets(seat.group) == {}
    await admin.close()


async def test_what_is_not_ours_is_ignored(seat: Seat) -> None:
    assert seat.member.is_ours(1)
    assert not seat.member.is_ours(5)
    seat.member.release(5, 0)
    seat.member.hold(5)
    assert seat.member.end_offset(5) is None


async def test_a_second_member_shares_and_its_leaving_gives_back(seat: Seat, tmp_path: Path) -> None:
    other = Seat(seat.settings, tmp_path / "other")
    other.member = GroupMember(
        seat.settings.kafka,
        seat.group,
        seat.topic,
        assigned=other.assignments.append,
        deliver=other._deliver,
        positions_lost=other._lost,
        run_dir=tmp_path / "other",
        name="other",
    )
    await other.member.start()
    await seat.until(lambda: len(other.assignments) > 0 and len(seat.assignments) > 1)
    assert seat.assignments[-1] | other.assignments[-1] == {0, 1}
    assert not seat.assignments[-1] & other.assignments[-1]
    await other.member.stop()
    await seat.until(lambda: seat.assignments[-1] == {0, 1})


async def test_a_crash_of_faust_ends_the_waiting_for_it(seat: Seat) -> None:
    waiting = asyncio.create_task(seat.member.failed())
    await asyncio.sleep(0.1)
    assert not waiting.done()
    reason = RuntimeError("planted")
    await seat.member._app.crash(reason)
    async with asyncio.timeout(5):
        assert await waiting is reason


class Committing(GroupMember):
    """Has something to commit whenever it is asked."""

    def offsets_to_commit(self) -> Mapping[TP, int]:
        return dict.fromkeys(self._places, 1)


async def test_a_commit_that_fails_is_told_and_the_member_stops(
    kafka: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seat = Seat(kafka, tmp_path, Committing)
    member = seat.member
    await make_topics(kafka, {seat.topic: (2, {})})
    await member.start()
    await seat.until(lambda: bool(seat.positions_lost))
    reason = RuntimeError("planted")
    struck: list[str] = []

    def strike(failpoint: str) -> None:
        struck.append(failpoint)
        if len(struck) == 1:
            raise reason

    busy = [asyncio.create_task(member._thread().call_thread(asyncio.sleep, 2)) for _ in range(2)]
    monkeypatch.setattr(failpoints, "passed", strike)
    async with asyncio.timeout(5):
        assert await member.failed() is reason
    await asyncio.gather(*busy, return_exceptions=True)  # after its crash the consumer's thread takes no further call
    began_s = time.monotonic()
    await member.stop()
    assert time.monotonic() - began_s < STOP_LIMIT_S, "nothing had to be left alone"

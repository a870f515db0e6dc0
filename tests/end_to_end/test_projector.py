"""The projector against real Kafka and PostgreSQL: committed events only, through restarts of both, and quick."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from statistics import median
from typing import Any

import psycopg
import pytest
from aiokafka import AIOKafkaProducer

from api.reached import Listener, Reached
from infra.errors import OperatorError
from infra.kafka.client import BrokersUnreachable, start_client
from infra.kafka.ports import Outgoing
from infra.kafka.reader import KafkaLogReader
from infra.kafka.transactions import TransactionalProducer
from infra.settings import KafkaSettings, Settings
from projections.intake import Intake
from projections.postgres import PostgresReadModels
from projections.runner import Runner
from projections.source import KafkaSource
from schemas import events as ev
from schemas.events import encode_event
from schemas.topics import EVENTS, KEYS
from tests.bench.events import Partition
from tests.databases import make_database
from tests.kafka.topic import fresh
from tests.servers import LocalServers
from tests.unit.projections.logs import GENERATIONS, folded, records_of

PARTITION = 5


class Writer:
    """Appends a synthetic partition to the real topic, a transaction a call, and keeps what it has committed."""

    def __init__(self, producer: TransactionalProducer, seed: int) -> None:
        self._producer = producer
        self._commands = Partition(PARTITION, accounts=6, seed=seed).commands()
        self.committed: list[ev.Event] = []

    async def write(self, commands: int = 1) -> ev.Event:
        """Commit some commands; the last event."""
        events = [event for _ in range(commands) for event in next(self._commands)]
        await self._producer.commit([_outgoing(event) for event in events])
        self.committed += events
        return events[-1]


def _outgoing(event: ev.Event) -> Outgoing:
    return Outgoing(EVENTS, PARTITION, event.account.encode(), encode_event(event), (), event.time_ms)


@asynccontextmanager
async def writing(settings: Settings, seed: int) -> AsyncIterator[Writer]:
    client = await start_client(settings.kafka)
    producer = TransactionalProducer(client, fresh("projector-test"))
    await producer.initialise()
    try:
        yield Writer(producer, seed)
    finally:
        await client.close()


@asynccontextmanager
async def projecting(settings: Settings, dsn: str) -> AsyncIterator[Runner]:
    """A projector of one partition, from the end of the topic as it is now."""
    client = await start_client(settings.kafka)
    reader = KafkaLogReader(client)
    ends = {topic: await reader.end_offset(topic, PARTITION) for topic in (EVENTS, KEYS)}
    await client.close()
    store = PostgresReadModels(dsn)
    await asyncio.to_thread(store.positions, Intake.names(GENERATIONS, [PARTITION]))
    await asyncio.to_thread(store.close)
    with psycopg.connect(dsn) as session:
        session.execute(
            "UPDATE tracking SET notification_id = %s - 1 WHERE application_name LIKE '%%.5'", (ends[EVENTS],)
        )
        session.execute(
            "UPDATE tracking SET notification_id = %s - 1 WHERE application_name LIKE 'keys.%%'", (ends[KEYS],)
        )
    runner, stop = (
        Runner([PARTITION], lambda: PostgresReadModels(dsn), lambda: KafkaSource(settings.kafka)),
        asyncio.Event(),
    )
    task = asyncio.create_task(runner.run(stop))
    try:
        yield runner
    finally:
        stop.set()
        await task


@asynccontextmanager
async def hearing(dsn: str) -> AsyncIterator[Reached]:
    reached = Reached()
    task = asyncio.create_task(Listener(dsn, reached).run())
    try:
        yield reached
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _table(dsn: str, columns: str, table: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as session:
        return session.execute(f"SELECT {columns} FROM {table} ORDER BY 1, 2".encode()).fetchall()


def _check(dsn: str, committed: Sequence[ev.Event]) -> None:
    expected = folded({PARTITION: records_of(committed)}).tables
    jobs = sorted((r["account"], r["job"], r["status"], r["charged"], r["position"]) for r in expected["jobs"].values())
    accounts = sorted((r["account"], r["version"], r["captured"], r["reserved"]) for r in expected["accounts"].values())
    ledger = sorted((r["account"], r["version"], r["kind"], r["balance"]) for r in expected["ledger"].values())
    assert _table(dsn, "account, job, status, charged, position", "jobs") == jobs
    assert _table(dsn, "account, version, captured, reserved", "accounts") == accounts
    assert _table(dsn, "account, version, kind, balance", "ledger") == ledger


async def test_committed_events_show_at_once_and_aborted_ones_never(kafka: Settings, postgres: Settings) -> None:
    dsn = make_database(postgres)
    async with writing(kafka, 1) as writer, projecting(kafka, dsn), hearing(dsn) as reached:
        last = await writer.write(3)
        assert await reached.wait(PARTITION, last.at.source, 10)
        await _abort(kafka, writer.committed)
        waits_ms = []
        for _ in range(60):
            last = await writer.write()
            begun_s = time.perf_counter()
            assert await reached.wait(PARTITION, last.at.source, 5)
            waits_ms.append(1000 * (time.perf_counter() - begun_s))
            await asyncio.sleep(0.01)
        _check(dsn, writer.committed)
        print(f"\ncommitted to heard, idle: p50 {median(waits_ms):.1f} ms, p95 {sorted(waits_ms)[-4]:.1f} ms")


async def _abort(settings: Settings, events: Sequence[ev.Event]) -> None:
    """Leave a transaction's events on the log and abort it, by initialising its id again."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap_servers, transactional_id=fresh("aborted"))
    await producer.start()
    await producer.begin_transaction()
    for event in events:
        await producer.send_and_wait(EVENTS, encode_event(event), event.account.encode(), PARTITION)
    await producer.abort_transaction()
    await producer.stop()


@pytest.mark.parametrize("server", ["postgres", "kafka"])
async def test_a_killed_server_loses_nothing_and_doubles_nothing(
    servers: LocalServers, kafka: Settings, postgres: Settings, server: str
) -> None:
    dsn = make_database(postgres)
    async with (
        writing(kafka, {"postgres": 2, "kafka": 3}[server]) as writer,
        projecting(kafka, dsn),
        hearing(dsn) as reached,
    ):
        for _ in range(30):
            await writer.write(4)
        os.kill(servers.pid(server), signal.SIGKILL)
        if server == "kafka":
            await asyncio.sleep(12)
            async with writing(kafka, 3) as again:
                again._commands, again.committed = writer._commands, writer.committed
                last = await again.write(20)
        else:
            last = await writer.write(20)
        assert await reached.wait(PARTITION, last.at.source, 60)
        _check(dsn, writer.committed)


async def test_the_database_of_another_log_is_refused_with_its_cure(kafka: Settings, postgres: Settings) -> None:
    source = KafkaSource(kafka.kafka)
    try:
        with pytest.raises(OperatorError, match="the database belongs to another Kafka"):
            await source.start({(EVENTS, 0): 10**9})
    finally:
        await source.stop()


async def test_a_log_that_cannot_be_reached_is_a_fault_that_ends(postgres: Settings) -> None:
    source = KafkaSource(KafkaSettings(bootstrap_servers="127.0.0.1:9"), deadline_s=0.5)
    with pytest.raises(BrokersUnreachable):
        await source.start({(EVENTS, 0): 0})
    await source.stop()

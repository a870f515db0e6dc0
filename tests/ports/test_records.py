"""Single records with keys: one suite for the log in memory and for Kafka."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from infra.clock import SystemClock
from infra.kafka.client import start_client
from infra.kafka.memory import MemoryLog, MemoryRecords
from infra.kafka.ports import LogReader, NotAppended, Outgoing, Record, Records
from infra.kafka.reader import KafkaLogReader
from infra.kafka.records import KafkaRecords
from infra.settings import Settings
from schemas.topics import ACCESSES


class World(NamedTuple):
    """A log that takes records and can be read."""

    records: Records
    reader: LogReader


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.servers)])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        log = MemoryLog(SystemClock(), {ACCESSES: 8})
        yield World(MemoryRecords(log), log)
        return
    settings: Settings = request.getfixturevalue("kafka")
    client = await start_client(settings.kafka)
    try:
        yield World(KafkaRecords(client), KafkaLogReader(client))
    finally:
        await client.close()


async def test_records_stand_in_their_partitions_in_order(world: World) -> None:
    begins = [await world.reader.end_offset(ACCESSES, number) for number in range(2)]
    key, large = uuid.uuid4().hex.encode(), b"x" * (300 << 10)
    sent = [Outgoing(ACCESSES, number % 2, key, b"%d" % number + large) for number in range(6)]
    await world.records.append(sent)
    for partition in range(2):
        found = await _read(world.reader, partition, begins[partition])
        assert [record.value for record in found if record.key == key] == [s.value for s in sent[partition::2]]


async def test_callers_do_not_disturb_each_other(world: World) -> None:
    begin = await world.reader.end_offset(ACCESSES, 2)
    keys = {b"%d" % number for number in range(20)}
    await asyncio.gather(*(world.records.append([Outgoing(ACCESSES, 2, key, b"")]) for key in keys))
    assert {record.key for record in await _read(world.reader, 2, begin)} >= keys


@pytest.mark.servers
async def test_a_record_that_the_broker_refuses_is_said_so_at_once(kafka: Settings) -> None:
    client = await start_client(kafka.kafka)
    try:
        with pytest.raises(NotAppended, match="MessageSizeTooLarge"):
            await KafkaRecords(client).append([Outgoing(ACCESSES, 0, None, b"x" * (3 << 20))])
    finally:
        await client.close()


@pytest.mark.servers
async def test_brokers_that_are_away_are_waited_for_and_then_said_so(kafka: Settings) -> None:
    client = await start_client(kafka.kafka)
    await client.close()
    with pytest.raises(NotAppended, match="in time"):
        await KafkaRecords(client, delivery_timeout_s=0.5).append([Outgoing(ACCESSES, 0, None, b"x")])


async def _read(reader: LogReader, partition: int, begin: int) -> list[Record]:
    return [record async for batch in reader.read(ACCESSES, partition, begin) for record in batch]

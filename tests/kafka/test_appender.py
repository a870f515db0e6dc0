"""The command appender: packing, repeats, lost acknowledgements, limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from infra.clock import ManualClock
from infra.kafka.appender import CommandAppender
from infra.kafka.client import start_client
from infra.kafka.memory import MemoryAppender, MemoryLog
from infra.kafka.ports import Appended, Appender, LogReader, NotAppended, OutcomeUnknown, Overloaded, Record
from infra.kafka.reader import KafkaLogReader
from infra.settings import Settings
from schemas.codec import unpack_items
from tests.kafka.topic import APPEND_TIME, fresh, make_topics
from tests.proxy import PRODUCE, KafkaProxy, proxied_client

pytestmark = pytest.mark.servers


@dataclass
class Bench:
    appender: CommandAppender
    proxy: KafkaProxy
    client: Any
    reader: KafkaLogReader
    topic: str


async def stored(reader: LogReader, topic: str, partition: int = 0) -> list[Record]:
    return [record async for batch in reader.read(topic, partition, 0) for record in batch]


def items_of(records: list[Record]) -> list[object]:
    return [item for record in records for item in unpack_items(record.value)]


@pytest.fixture
async def bench(kafka: Settings) -> AsyncIterator[Bench]:
    topic = fresh("append")
    await make_topics(kafka, {topic: (2, {**APPEND_TIME, "max.message.bytes": "100000"})})
    host, port = kafka.kafka.bootstrap_servers.rsplit(":", 1)
    async with KafkaProxy(host, int(port)) as proxy:
        client = await proxied_client(kafka.kafka, proxy, request_timeout_ms=500)
        direct = await start_client(kafka.kafka)
        appender = CommandAppender(
            client, topic, record_bytes_max=1_000, queue_bytes_max=20_000, delivery_timeout_s=2.0
        )
        try:
            yield Bench(appender, proxy, client, KafkaLogReader(direct), topic)
            await appender.close()
        finally:
            await client.close()
            await direct.close()


@pytest.fixture(params=["memory", "kafka"])
def either(request: pytest.FixtureRequest) -> tuple[Appender, LogReader, str]:
    if request.param == "memory":
        log = MemoryLog(ManualClock(1_000), {"commands": 2}, ["commands"])
        return MemoryAppender(log, "commands"), log, "commands"
    made: Bench = request.getfixturevalue("bench")
    return made.appender, made.reader, made.topic


async def test_an_item_is_where_the_acknowledgement_says(either: tuple[Appender, LogReader, str]) -> None:
    appender, reader, topic = either
    places = [await appender.append(1, b"item %d" % number) for number in range(3)]
    records = {record.offset: record for record in await stored(reader, topic, 1)}
    for number, place in enumerate(places):
        record = records[place.offset]
        assert unpack_items(record.value)[place.item_index] == b"item %d" % number
        assert record.timestamp_ms == place.broker_time_ms


async def test_many_items_keep_their_order_and_places(either: tuple[Appender, LogReader, str]) -> None:
    appender, reader, topic = either
    wanted = [b"%03d" % number * 20 for number in range(100)]
    places = await appender.append_many(0, wanted)
    records = {record.offset: unpack_items(record.value) for record in await stored(reader, topic)}
    assert [records[place.offset][place.item_index] for place in places] == wanted
    assert items_of(await stored(reader, topic)) == wanted
    assert await appender.append_many(0, []) == []


async def test_callers_that_wait_leave_together_and_none_exceeds_the_record_size(bench: Bench) -> None:
    places = await asyncio.gather(*(bench.appender.append(0, b"%03d" % number * 30) for number in range(50)))
    records = await stored(bench.reader, bench.topic)
    assert len(records) < 15
    assert all(len(record.value or b"") <= 1_001 for record in records)
    assert len({(place.offset, place.item_index) for place in places}) == 50
    assert bench.appender.queued_bytes == 0


async def test_a_lost_acknowledgement_is_asked_for_again_and_nothing_stands_twice(bench: Bench) -> None:
    await bench.appender.append(0, b"before")
    lost = bench.proxy.catch_answer(PRODUCE, "cut")
    place = await bench.appender.append(0, b"once")
    await lost.arrived()
    assert items_of(await stored(bench.reader, bench.topic)) == [b"before", b"once"]
    assert place == Appended(1, 0, place.broker_time_ms)
    await bench.appender.append(0, b"after")
    assert items_of(await stored(bench.reader, bench.topic)) == [b"before", b"once", b"after"]


async def test_an_unknown_outcome_is_told_to_exactly_the_items_of_the_record(bench: Bench) -> None:
    await bench.appender.append(0, b"before")
    for _ in range(8):
        bench.proxy.catch_answer(PRODUCE, "drop")
    lost = [asyncio.create_task(bench.appender.append(0, b"lost %d" % number)) for number in range(2)]
    outcomes = await asyncio.gather(*lost, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [OutcomeUnknown, OutcomeUnknown]
    bench.proxy._answers.clear()
    healed = await bench.appender.append(0, b"healed")
    found = items_of(await stored(bench.reader, bench.topic))
    assert found == [b"before", b"lost 0", b"lost 1", b"healed"]
    assert healed.item_index == 0


async def test_a_request_that_is_repeated_late_changes_nothing(bench: Bench) -> None:
    late = bench.proxy.catch_request(PRODUCE, "copy")
    await bench.appender.append(0, b"one")
    await bench.appender.append(0, b"two")
    await late.replay()
    assert items_of(await stored(bench.reader, bench.topic)) == [b"one", b"two"]


async def test_an_item_that_the_broker_refuses_was_not_appended_and_the_next_goes_on(bench: Bench) -> None:
    large = CommandAppender(bench.client, bench.topic, delivery_timeout_s=2.0)
    with pytest.raises(NotAppended, match="MessageSizeTooLarge"):
        await large.append(0, b"x" * 200_000)
    await large.append(0, b"small")
    await large.close()
    assert items_of(await stored(bench.reader, bench.topic)) == [b"small"]


async def test_a_full_queue_refuses_at_once_and_empties_again(bench: Bench) -> None:
    held = bench.proxy.catch_request(PRODUCE, "hold")
    first = asyncio.create_task(bench.appender.append(0, b"first"))
    await held.arrived()
    waiting = [asyncio.create_task(bench.appender.append(0, b"x" * 900)) for _ in range(22)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await bench.appender.append(0, b"y" * 900)
    await held.forward()
    await asyncio.gather(first, *waiting)
    await bench.appender.append(0, b"y" * 900)


async def test_a_cancelled_caller_disturbs_nobody(bench: Bench) -> None:
    held = bench.proxy.catch_request(PRODUCE, "hold")
    gone = asyncio.create_task(bench.appender.append(0, b"gone"))
    await held.arrived()
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    await held.forward()
    await bench.appender.append(0, b"stays")
    assert items_of(await stored(bench.reader, bench.topic)) == [b"gone", b"stays"]


async def test_a_topic_with_the_senders_time_is_refused(kafka: Settings, bench: Bench) -> None:
    topic = fresh("created")
    await make_topics(kafka, {topic: (1, {})})
    appender = CommandAppender(bench.client, topic)
    with pytest.raises(RuntimeError, match="LogAppendTime"):
        await appender.append(0, b"x")
    await appender.close()


async def test_a_closed_appender_takes_nothing(bench: Bench) -> None:
    await bench.appender.close()
    with pytest.raises(NotAppended, match="closed"):
        await bench.appender.append(0, b"x")

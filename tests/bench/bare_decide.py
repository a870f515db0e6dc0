"""The bare components for decisions: a Faust agent that only counts, and a transactional copy loop without logic.

``python -m tests.bench.bare_decide faust|copy BOOTSTRAP COUNT`` reads the topic `bench-faust` or `bench-copy`, and
writes ``ready`` when it reads, then ``done at`` and the monotonic time when each COUNT records were.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import faust
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.producer import sender

FAUST_TOPIC = "bench-faust"
COPY_TOPIC = "bench-copy"
COPIED_TOPIC = "bench-copied"
TRANSACTION_TOPIC = "bench-transaction"
TRANSACTION_TOPICS = {COPY_TOPIC: 1, TRANSACTION_TOPIC: 1}
"""What `one_record_transactions` needs: where its record goes, and what its offset is of."""
RECORDS_A_TRANSACTION = 500


def cure_backoff() -> None:
    """Wait 1 ms instead of 20 ms for the markers of the last transaction: the bare loop as fast as it can be."""
    sender.BACKOFF_OVERRIDE = 0.001


def faust_application(bootstrap_servers: str, count: int) -> Any:
    """An agent that counts, as Faust's documentation writes one; everything else is Faust's default."""
    app = faust.App(
        "bench-faust",
        broker=f"aiokafka://{bootstrap_servers}",
        web_enabled=False,
        value_serializer="raw",
        consumer_auto_offset_reset="earliest",
        topic_disable_leader=True,
    )
    topic = app.topic(FAUST_TOPIC, value_type=bytes)

    async def counting(stream: Any) -> None:
        done = 0
        async for _ in stream:
            done += 1
            if done % count == 0:
                _say(f"done at {time.monotonic()}")

    app.agent(topic)(counting)

    async def assigned(_: Any, partitions: Any, **__: Any) -> None:
        if partitions:
            _say("ready")

    connect: Any = app.on_partitions_assigned.connect
    connect(assigned)
    return app


async def copy(bootstrap_servers: str, count: int) -> None:
    """Copy records, 500 a transaction, with their offsets: consume, produce, send offsets, commit."""
    cure_backoff()
    place = TopicPartition(COPY_TOPIC, 0)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        enable_auto_commit=False,
        group_id="bench-copy",
        auto_offset_reset="earliest",
    )
    consumer.assign([place])
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, transactional_id="bench-copy")
    async with consumer, producer:
        await consumer.seek_to_beginning(place)
        _say("ready")
        done = 0
        while True:
            batches = await consumer.getmany(place, timeout_ms=1000, max_records=RECORDS_A_TRANSACTION)
            records = batches.get(place, [])
            if not records:
                continue
            async with producer.transaction():
                for record in records:
                    await producer.send(COPIED_TOPIC, record.value, partition=0)
                await producer.send_offsets_to_transaction({place: records[-1].offset + 1}, "bench-copy")
            if (done + len(records)) // count > done // count:
                _say(f"done at {time.monotonic()}")
            done += len(records)


async def one_record_transactions(bootstrap_servers: str, count: int, pause_s: float) -> list[float]:
    """Milliseconds of single transactions of one record with its offset, `pause_s` apart."""
    cure_backoff()
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, transactional_id="bench-one")
    place = TopicPartition(COPY_TOPIC, 0)
    taken: list[float] = []
    async with producer:
        for number in range(count + 3):
            started = time.perf_counter()
            async with producer.transaction():
                await producer.send(TRANSACTION_TOPIC, b"x" * 400, partition=0)
                await producer.send_offsets_to_transaction({place: number}, "bench-one")
            taken.append(1000 * (time.perf_counter() - started))
            await asyncio.sleep(pause_s)
    return taken[3:]


def _say(what: object) -> None:
    print(what, file=sys.__stdout__, flush=True)


def main() -> None:
    kind, bootstrap_servers, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if kind == "copy":
        asyncio.run(copy(bootstrap_servers, count))
    else:
        faust.Worker(
            faust_application(bootstrap_servers, count), loglevel="warning", quiet=True
        ).execute_from_commandline()


if __name__ == "__main__":
    main()

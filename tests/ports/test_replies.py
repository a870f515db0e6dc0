"""The reader of replies: over the log in memory, and over the real topic with its transactions."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple

import pytest

from infra.clock import SystemClock
from infra.kafka.client import start_client
from infra.kafka.follower import KafkaFollower
from infra.kafka.memory import MemoryFollower, MemoryLog
from infra.kafka.ports import Follower, Outgoing, TransactionalLog, TransactionError
from infra.kafka.transactions import TransactionalProducer
from infra.settings import Settings
from ingest.replies import LogReplyReader, TooManyWaiters, Waiters
from schemas.identifiers import partition_of
from schemas.replies import Done, Reply, encode_replies
from schemas.topics import REPLIES
from tests.proxy import END_TXN, KafkaProxy, proxied_client

PARTITIONS = 8


class World(NamedTuple):
    """A log with the topic `replies`: a follower of its own connection, and transactional producers by name."""

    follower: Follower
    producer: Callable[[str], TransactionalLog]
    hang: Callable[[str, Outgoing], Awaitable[None]]
    memory: MemoryLog | None


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.servers)])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        log = MemoryLog(SystemClock(), {REPLIES: PARTITIONS})
        yield World(MemoryFollower(log, REPLIES, PARTITIONS), log.producer, partial(_hang_in_memory, log), log)
        return
    settings: Settings = request.getfixturevalue("kafka")
    writing, following = await asyncio.gather(start_client(settings.kafka), start_client(settings.kafka))
    try:
        follower = KafkaFollower(following, REPLIES, PARTITIONS)
        hang = partial(_hang_on_kafka, settings)
        yield World(follower, lambda name: TransactionalProducer(writing, name), hang, None)
    finally:
        await asyncio.gather(writing.close(), following.close())


async def _hang_in_memory(log: MemoryLog, name: str, outgoing: Outgoing) -> None:
    """Append inside a transaction that nobody ends."""
    producer = log.producer(name)
    await producer.initialise()
    log.fault, log.fault_id = "after-append", name
    with pytest.raises(TransactionError):
        await producer.commit([outgoing])


async def _hang_on_kafka(settings: Settings, name: str, outgoing: Outgoing) -> None:
    """The same with a real broker: EndTxn never arrives."""
    host, port = settings.kafka.bootstrap_servers.rsplit(":", 1)
    async with KafkaProxy(host, int(port)) as proxy:
        client = await proxied_client(settings.kafka, proxy)
        producer = TransactionalProducer(client, name)
        await producer.initialise()
        end = proxy.catch_request(END_TXN, "drop")
        begun = asyncio.create_task(producer.commit([outgoing]))
        await end.arrived()
        begun.cancel()
        await asyncio.gather(begun, return_exceptions=True)
        await client.close()


def record(gateway: str, *correlations: str, partition: int) -> Outgoing:
    replies = [Reply(correlation, "acct_a", "0.1.0.0", Done()) for correlation in correlations]
    return Outgoing(REPLIES, partition, gateway.encode(), encode_replies(replies))


@asynccontextmanager
async def following(world: World, waiters: Waiters) -> AsyncIterator[LogReplyReader]:
    reader = LogReplyReader(world.follower, waiters)
    task = asyncio.create_task(reader.run())
    async with asyncio.timeout(10):
        while not reader.is_ready:
            await asyncio.sleep(0.01)
    try:
        yield reader
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_replies_reach_their_waiters_and_nobody_elses(world: World) -> None:
    gateway = f"gw_{uuid.uuid4().hex}"
    partition = partition_of(gateway, PARTITIONS)
    producer = world.producer(f"replies-{gateway}")
    await producer.initialise()
    await producer.commit([record(gateway, "before", partition=partition)])
    waiters = Waiters(gateway)
    async with following(world, waiters):
        with waiters.open("one", 0) as first, waiters.open("two", 0) as second:
            strange = record("gw_other", "one", partition=partition)
            await producer.commit([strange, record(gateway, "two", "one", "two", "nobody", partition=partition)])
            for waiter in (first, second, second):
                reply = await waiter.take(5)
                assert reply is not None
                assert reply.correlation == waiter.correlation
            assert await first.take(0.05) is None


async def test_aborted_and_unreadable_replies_are_passed_over(world: World) -> None:
    gateway = f"gw_{uuid.uuid4().hex}"
    partition = partition_of(gateway, PARTITIONS)
    waiters = Waiters(gateway)
    name = f"replies-{gateway}"
    async with following(world, waiters):
        with waiters.open("one", 0) as waiter:
            dead = world.producer(name)
            await dead.initialise()
            begun = asyncio.create_task(dead.commit([record(gateway, "one", partition=partition)]))
            begun.cancel()
            await asyncio.gather(begun, return_exceptions=True)
            successor = world.producer(name)
            await successor.initialise()
            broken = Outgoing(REPLIES, partition, gateway.encode(), b"{nonsense")
            await successor.commit([broken, record(gateway, "one", partition=partition)])
            assert await waiter.take(5) is not None


async def test_silence_and_lost_history_do_not_end_the_reader(world: World) -> None:
    gateway = f"gw_{uuid.uuid4().hex}"
    partition = partition_of(gateway, PARTITIONS)
    producer = world.producer(f"replies-{gateway}")
    await producer.initialise()
    waiters = Waiters(gateway)
    async with following(world, waiters):
        await asyncio.sleep(0.5)  # longer than a fetch waits at the broker
        if world.memory is not None:
            for _ in range(3):
                world.memory.append(REPLIES, partition, b"x", key=b"other")
            world.memory.delete_before(REPLIES, partition, 2)
        with waiters.open("one", 0) as waiter:
            await producer.commit([record(gateway, "one", partition=partition)])
            assert await waiter.take(5) is not None


async def test_an_open_transaction_holds_back_its_own_partition_alone(world: World) -> None:
    gateway = f"gw_{uuid.uuid4().hex}"
    lively = world.producer(f"lively-{gateway}")
    await lively.initialise()
    waiters = Waiters(gateway)
    async with following(world, waiters):
        with waiters.open("hung", 0) as held, waiters.open("lively", 0) as waiter:
            await world.hang(f"hung-{gateway}", record(gateway, "hung", partition=1))
            await lively.commit([record(gateway, "lively", partition=2)])
            assert await waiter.take(5) is not None
            assert await held.take(0.2) is None


async def test_waiting_is_bounded_and_forgotten() -> None:
    waiters = Waiters("gw", waiting_max=1)
    with waiters.open("one", 0) as waiter:
        with pytest.raises(TooManyWaiters):
            waiters.open("two", 0)
        began_s = time.monotonic()
        assert await waiter.take(0.05) is None
        assert 0.04 < time.monotonic() - began_s < 2
    waiters.deliver(Reply("one", "acct_a", "0.1.0.0", Done()))
    with waiters.open("two", 0) as other:
        assert await other.take(0) is None


async def test_a_partition_that_is_behind_takes_a_few_waiters_and_the_others_take_all() -> None:
    now = [100.0]
    waiters = Waiters("gw", behind_after_s=0.5, behind_waiting_min=2, clock=lambda: now[0])
    early = [waiters.open(name, 3) for name in ("one", "two", "three")]  # many may wait while the first waits shortly
    now[0] += 0.6
    with pytest.raises(TooManyWaiters):
        waiters.open("four", 3)
    waiters.open("four", 4).close()
    waiters.deliver(Reply("one", "acct_a", "3.1.0.0", Done()))
    with pytest.raises(TooManyWaiters):
        waiters.open("four", 3)
    early[1].close()
    with waiters.open("four", 3):  # one of those before waits, and may wait for long
        now[0] += 60.0
        with pytest.raises(TooManyWaiters):
            waiters.open("five", 3)
        waiters.deliver(Reply("three.2", "acct_a", "3.2.0.0", Done()))  # one of many commands of its request
        waiters.open("five", 3).close()
    assert [await waiter.take(0) is not None for waiter in early] == [True, False, True]


@pytest.mark.parametrize("a_second", [40, 400])
async def test_a_partition_that_is_behind_takes_as_many_as_it_decides_in_half_a_second(a_second: int) -> None:
    """More arrive than are decided: those that are let in wait about half a second, whatever the pace is."""
    now = [100.0]
    waiters = Waiters("gw", behind_after_s=0.3, behind_waiting_min=8, clock=lambda: now[0])
    queue: deque[tuple[str, float]] = deque()
    waits: list[float] = []
    refused = 0
    for number in range(20 * a_second):  # 10 s in which twice as many come as go
        now[0] += 0.5 / a_second
        try:
            waiters.open(f"w{number}", 0)
            queue.append((f"w{number}", now[0]))
        except TooManyWaiters:
            refused += 1
        if number % 2 and queue:
            name, opened_s = queue.popleft()
            waiters.deliver(Reply(name, "acct_a", f"0.{number}.0.0", Done()))
            waits.append(now[0] - opened_s)
    assert refused > 8 * a_second
    assert 0.2 < max(waits) < 0.7
    now[0] += 60.0
    while len(queue) >= 8:
        waiters.deliver(Reply(queue.popleft()[0], "acct_a", "0.0.0.0", Done()))
    now[0] += 2.0  # an owner is dead, and nothing is decided any more
    waiters.open("late", 0)
    with pytest.raises(TooManyWaiters):
        waiters.open("later", 0)

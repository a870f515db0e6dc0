"""Owners under supervision, with a front end that forgets, repeats and loses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from infra.kafka.ports import Record, TransactionError
from processors.supervision import INBOX_RECORDS_MAX, Fleet, Owner


def record(offset: int) -> Record:
    return Record(offset, 0, None, b"%d" % offset)


class Partition:
    """One partition as the broker holds it, and what became of it."""

    def __init__(self) -> None:
        self.end = 0
        self.applied: list[int] = []


class ToyOwner:
    """Applies records in order from where the partition stands; fails when told to."""

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self._queue: asyncio.Queue[Record] = asyncio.Queue()
        self._ready = asyncio.Event()
        self.fail = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.stopped = False

    @property
    def next_offset(self) -> int:
        return len(self._partition.applied)

    async def taken_over(self) -> None:
        await self._ready.wait()

    async def offer(self, records: Sequence[Record]) -> None:
        await self.gate.wait()
        for one in records:
            self._queue.put_nowait(one)

    async def run(self) -> None:
        await asyncio.sleep(0)
        self._ready.set()
        failing = asyncio.create_task(self.fail.wait())
        try:
            while True:
                getting = asyncio.create_task(self._queue.get())
                await asyncio.wait((getting, failing), return_when=asyncio.FIRST_COMPLETED)
                if failing.done():
                    getting.cancel()
                    raise TransactionError("told to fail")
                if (await getting).offset == self.next_offset:
                    self._partition.applied.append(self.next_offset)
        finally:
            failing.cancel()


class Front:
    """Implements `processors.supervision.FrontEnd`: delivers what is released, unless it is told to lose it."""

    def __init__(self, partitions: dict[int, Partition]) -> None:
        self.partitions = partitions
        self.ours = frozenset(partitions)
        self.position: dict[int, int | None] = dict.fromkeys(partitions)
        self.releases: list[tuple[int, int]] = []
        self.lose_releases = 0
        self.deliver: Callable[[int, Sequence[Record]], None] = lambda partition, records: None

    def is_ours(self, partition: int) -> bool:
        return partition in self.ours

    def release(self, partition: int, offset: int) -> None:
        self.releases.append((partition, offset))
        if self.lose_releases:
            self.lose_releases -= 1
            return
        self.position[partition] = offset

    def hold(self, partition: int) -> None:
        self.position[partition] = None

    def end_offset(self, partition: int) -> int | None:
        return self.partitions[partition].end

    def fetch(self) -> None:
        """One round: everything from the position of each partition that is not held."""
        for number, position in self.position.items():
            end = self.partitions[number].end
            if position is not None and position < end:
                self.position[number] = end
                self.deliver(number, [record(offset) for offset in range(position, end)])


class Bench:
    def __init__(self, count: int = 2, stuck_after_s: float = 30.0) -> None:
        self.partitions = {number: Partition() for number in range(count)}
        self.front = Front(self.partitions)
        self.made: list[tuple[int, ToyOwner]] = []
        self.refuse = 0
        self.fleet = Fleet(self._make, self.front, rebuild_wait_s=0.01, stuck_after_s=stuck_after_s)
        self.front.deliver = self.fleet.deliver

    async def _make(self, partition: int) -> Owner:
        if self.refuse:
            self.refuse -= 1
            raise TransactionError("no coordinator")
        owner = ToyOwner(self.partitions[partition])
        self.made.append((partition, owner))
        return owner

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(3):
            while not true():
                self.front.fetch()
                await asyncio.sleep(0.001)

    def all_applied(self) -> bool:
        return all(partition.applied == list(range(partition.end)) for partition in self.partitions.values())


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    made.fleet.assign(frozenset({0, 1}))
    await made.until(lambda: made.fleet.live == {0, 1})
    yield made
    await made.fleet.close()


async def test_records_reach_the_owner_of_their_partition_in_order(bench: Bench) -> None:
    for number in (0, 1):
        bench.partitions[number].end = 50
    await bench.until(bench.all_applied)
    assert bench.fleet.partitions == {0, 1}


async def test_a_failed_owner_is_replaced_and_goes_on_where_the_log_stands(bench: Bench) -> None:
    bench.partitions[0].end = 10
    await bench.until(bench.all_applied)
    bench.made[0][1].fail.set()
    bench.partitions[0].end = 20
    await bench.until(lambda: len(bench.made) == 3)
    await bench.until(bench.all_applied)
    assert bench.front.releases[-1] == (0, 10)


async def test_an_owner_that_cannot_be_made_is_tried_again(bench: Bench) -> None:
    bench.refuse = 3
    bench.made[0][1].fail.set()
    bench.partitions[0].end = 5
    await bench.until(lambda: bench.refuse == 0 and bench.all_applied())


async def test_a_partition_that_is_no_longer_ours_is_not_taken_back(bench: Bench) -> None:
    bench.front.ours = frozenset({1})
    bench.made[0][1].fail.set()
    await asyncio.sleep(0.1)
    assert [number for number, _ in bench.made] == [0, 1]
    bench.front.ours = frozenset({0, 1})
    await bench.until(lambda: len(bench.made) == 3)


async def test_partitions_that_stay_are_not_disturbed_by_an_assignment(bench: Bench) -> None:
    bench.fleet.assign(frozenset({1}))
    bench.fleet.assign(frozenset({0, 1}))
    await bench.until(lambda: bench.fleet.live == {0, 1})
    assert [number for number, _ in bench.made] == [0, 1, 0]


async def test_what_a_rebalance_drops_is_fetched_again(bench: Bench) -> None:
    bench.partitions[0].end = 7
    await bench.until(bench.all_applied)
    bench.front.position = {0: None, 1: None}
    bench.partitions[0].end = 9
    bench.fleet.release_again()
    await bench.until(bench.all_applied)


async def test_a_lost_release_is_noticed_and_repeated() -> None:
    """Planted: the seek after a takeover is lost, and no later record comes to show it."""
    bench = Bench(1)
    bench.front.lose_releases = 1
    bench.partitions[0].end = 3
    bench.fleet.assign(frozenset({0}))
    await bench.until(lambda: bench.fleet.live == {0})
    bench.front.fetch()
    assert bench.partitions[0].applied == []
    watching = asyncio.create_task(bench.fleet.watch())
    async with asyncio.timeout(5):
        while not bench.all_applied():
            bench.front.fetch()
            await asyncio.sleep(0.01)
    watching.cancel()
    assert bench.fleet.healthy()
    await bench.fleet.close()


async def test_a_slow_owner_holds_its_own_partition_only_and_gets_everything_later(bench: Bench) -> None:
    bench.made[0][1].gate.clear()
    bench.partitions[0].end = INBOX_RECORDS_MAX + 10
    bench.partitions[1].end = 10
    await bench.until(lambda: bench.front.position[0] is None)
    await bench.until(lambda: bench.partitions[1].applied == list(range(10)))
    bench.partitions[0].end += 500
    bench.made[0][1].gate.set()
    await bench.until(bench.all_applied)


async def test_a_partition_that_stands_still_makes_the_process_unhealthy() -> None:
    bench = Bench(1, stuck_after_s=0.05)
    bench.fleet.assign(frozenset({0}))
    await bench.until(lambda: bench.fleet.live == {0})
    bench.made[0][1].gate.clear()
    bench.partitions[0].end = 1
    async with asyncio.timeout(5):
        await bench.fleet.watch()
    assert not bench.fleet.healthy()
    await bench.fleet.close()


async def test_a_partition_that_waits_for_an_operator_is_healthy() -> None:
    bench = Bench(1, stuck_after_s=1.5)
    bench.fleet.assign(frozenset({0}))
    await bench.until(lambda: bench.fleet.live == {0})
    bench.made[0][1].stopped = True
    bench.made[0][1].gate.clear()
    bench.partitions[0].end = 1
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2.5):
            await bench.fleet.watch()
    assert bench.fleet.healthy()
    await bench.fleet.close()


async def test_records_without_an_owner_are_dropped_and_read_at_takeover() -> None:
    bench = Bench(1)
    bench.fleet.deliver(0, [record(0)])
    bench.fleet.assign(frozenset({0}))
    bench.fleet.deliver(0, [record(0)])
    bench.partitions[0].end = 1
    await bench.until(bench.all_applied)
    await bench.fleet.close()

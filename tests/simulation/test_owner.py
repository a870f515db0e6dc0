"""One owner after the other over the log in memory: takeover, fences, gaps, ticks."""

import asyncio
from typing import Any

import pytest

from infra.kafka.memory import FAULTS, Fault
from infra.kafka.ports import Fenced, ReadFault, Record, TransactionError
from processors import batch as batch_module
from processors.effects import Addressing
from processors.loop import LOOK_AFTER_S
from processors.takeover import StateBehindLog, load_store
from schemas import commands as cmd
from schemas import events as ev
from schemas import topics
from schemas.codec import pack_items
from tests.simulation.checker import check
from tests.simulation.cluster import PARTITION, Cluster
from tests.simulation.harness import owner_fed_by_hand, run_until_applied, simulated, types


@simulated
async def test_a_new_owner_goes_on_where_the_last_one_stopped() -> None:
    cluster = Cluster()
    await cluster.publish()
    await cluster.send(cluster.submit())
    assert await run_until_applied(cluster) is None
    await cluster.send(cluster.submit())
    assert await run_until_applied(cluster) is None
    assert (await types(cluster)).count("job-accepted") == 2
    await check(cluster, quiet=False)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("committed_before", [0, 1, 2])
@simulated
async def test_a_crash_in_the_middle_of_a_record_decides_each_command_once(
    fault: Fault, committed_before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_module, "COMMANDS_A_TRANSACTION_MAX", 2)
    cluster = Cluster()
    await cluster.publish()
    await cluster.send(*[cluster.submit() for _ in range(7)])
    owner = cluster.new_owner()
    commits = 0

    def count(asked: Fault, transactional_id: str) -> bool:
        nonlocal commits
        if asked != fault:
            return False
        commits += 1
        return commits == committed_before + 1

    monkeypatch.setattr(cluster.log, "meets", count)
    assert isinstance(await run_until_applied(cluster, owner), TransactionError)
    assert await run_until_applied(cluster) is None
    await check(cluster, quiet=False)


@simulated
async def test_a_crash_after_a_batch_of_refusals_only_refuses_each_once() -> None:
    cluster = Cluster()
    await cluster.send(*[cluster.submit() for _ in range(3)])  # no plan yet: everything is refused
    cluster.log.fault = "after-commit"
    assert isinstance(await run_until_applied(cluster), TransactionError)
    assert await run_until_applied(cluster) is None
    assert await types(cluster) == ["command-refused"] * 3
    await check(cluster)


@simulated
async def test_a_gap_in_what_is_offered_is_read_from_the_log() -> None:
    cluster = Cluster()
    await cluster.publish()
    async with owner_fed_by_hand(cluster) as owner:
        await asyncio.sleep(1)
        for _ in range(4):
            await cluster.send(cluster.submit())
        records = await cluster.records(topics.COMMANDS)
        await owner.offer(records[4:])
        await owner.offer(records[2:4])  # and older ones once more
        await asyncio.sleep(1)
        assert owner.next_offset == 5
    await check(cluster, quiet=False)


@simulated
async def test_an_owner_that_nobody_tells_anything_looks_at_the_log_itself() -> None:
    cluster = Cluster()
    await cluster.publish()
    async with owner_fed_by_hand(cluster) as owner:
        await asyncio.sleep(1)
        for _ in range(4):
            await cluster.send(cluster.submit())
        await asyncio.sleep(LOOK_AFTER_S + 1)
        assert owner.next_offset == 5
        await owner.offer((await cluster.records(topics.COMMANDS))[1:])  # late, and once more
        await asyncio.sleep(1)
    await check(cluster, quiet=False)


@pytest.mark.parametrize("away", [ReadFault("no broker"), None], ids=["refused", "no answer"])
@simulated
async def test_an_owner_outlives_brokers_that_do_not_answer_its_looks(away: ReadFault | None) -> None:
    cluster = Cluster()
    await cluster.publish()
    asked, whole = 0, cluster.log.end_offset

    async def end_offset(topic: str, partition: int, *, committed: bool = True) -> int:
        nonlocal asked
        asked += 1
        if away is None:
            await asyncio.Event().wait()
        raise away or AssertionError

    async with owner_fed_by_hand(cluster) as owner:
        await asyncio.sleep(1)
        cluster.log.end_offset = end_offset  # type: ignore[method-assign]
        await asyncio.sleep(10 * LOOK_AFTER_S)
        assert asked > 1
        cluster.log.end_offset = whole  # type: ignore[method-assign]
        await cluster.send(cluster.submit())
        await asyncio.sleep(2 * LOOK_AFTER_S + 1)
        assert owner.next_offset == 2
    await check(cluster, quiet=False)


@simulated
async def test_commands_that_are_gone_are_a_fault_and_never_skipped() -> None:
    cluster = Cluster()
    for _ in range(4):
        await cluster.publish()
    cluster.log.delete_before(topics.COMMANDS, PARTITION, 2)
    ended = await run_until_applied(cluster)
    assert isinstance(ended, ReadFault)
    assert await cluster.events() == []


@simulated
async def test_a_state_that_was_read_short_is_refused() -> None:
    cluster = Cluster()
    await cluster.publish()
    assert await run_until_applied(cluster) is None
    await cluster.send(cluster.submit())
    assert await run_until_applied(cluster) is None
    whole = cluster.log.read

    async def short(topic: str, partition: int, begin: int, end: int | None = None, **flags: bool) -> Any:
        async for records in whole(topic, partition, begin, end, **flags):
            yield records[:4] if topic == topics.ACCOUNTS else records

    cluster.log.read = short  # type: ignore[method-assign]
    ended = await run_until_applied(cluster)
    assert isinstance(ended, StateBehindLog)
    assert "rebuild-state" in str(ended)


@simulated
async def test_a_position_without_events_is_refused() -> None:
    cluster = Cluster()
    await cluster.publish()
    assert await run_until_applied(cluster) is None
    cluster.log.delete_before(topics.EVENTS, PARTITION, 100)
    assert isinstance(await run_until_applied(cluster), StateBehindLog)


@simulated
async def test_a_fenced_owner_commits_nothing_more() -> None:
    """A zombie that decided before its successor took over cannot append what it decided."""
    cluster = Cluster()
    await cluster.publish()
    zombie = cluster.new_owner()
    haunting = asyncio.create_task(cluster.own(zombie))
    await asyncio.sleep(1)
    successor = asyncio.create_task(cluster.own())
    await asyncio.sleep(1)
    await cluster.send(cluster.submit())
    await asyncio.sleep(1)
    assert isinstance(haunting.result(), Fenced)
    successor.cancel()
    await asyncio.wait({successor})
    assert (await types(cluster)).count("job-accepted") == 1
    await check(cluster, quiet=False)


@simulated
async def test_ticks_come_at_most_once_a_second_and_only_when_something_is_due() -> None:
    cluster = Cluster()
    await cluster.publish()
    owning = asyncio.create_task(cluster.own())
    await asyncio.sleep(60)
    assert cluster.tick_writers[0].times_ms == [], "nothing waits"
    await cluster.send(cluster.submit())
    await asyncio.sleep(4.9)
    assert cluster.tick_writers[0].times_ms == [], "the lease still runs"
    await asyncio.sleep(600)
    owning.cancel()
    await asyncio.wait({owning})
    await check(cluster)
    reasons = [event.data.reason for event in await cluster.events() if isinstance(event.data, ev.CommandIgnored)]
    assert "nothing-due" not in reasons, "a tick finds what made it"


@simulated
async def test_time_never_runs_backwards() -> None:
    cluster = Cluster()
    await cluster.publish()
    assert await run_until_applied(cluster) is None
    last_ms = (await cluster.events())[-1].time_ms
    store = await load_store(cluster.log, PARTITION)
    batch = batch_module.Batch(store, store.progress(), PARTITION, Addressing("simulation", 1))
    batch.add(Record(1, last_ms - 60_000, None, pack_items([cmd.encode_command(cluster.submit())])))
    assert batch.progress.time_ms == last_ms


@simulated
async def test_a_whole_job() -> None:
    cluster = Cluster()
    await cluster.publish()
    owning = asyncio.create_task(cluster.supervise())
    await cluster.send(cluster.submit())
    await asyncio.sleep(1)
    (item,) = await cluster.work()
    await cluster.send(cluster.envelope(cmd.AttemptStarted(item.job, 1, "d"), item.account))
    how = cmd.Succeeded(cmd.StoredObject("acct/job/1", 10, "ab" * 32, "png", 4, 4), 3)
    await cluster.send(cluster.envelope(cmd.RecordOutcome(item.job, 1, how), item.account))
    await asyncio.sleep(1)
    assert (await types(cluster))[-2:] == ["job-succeeded", "credits-captured"]
    owning.cancel()
    await asyncio.wait({owning})

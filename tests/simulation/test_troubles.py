"""Commands that cannot be read or decided, and the partition that stops itself because of them."""

import asyncio

import pytest

from infra.kafka.ports import TransactionError
from processors.accounts.state import Suspect, suspect_key
from processors.batch import TAKEOVERS_MAX, DecisionFailed
from processors.store import decode_record
from schemas import commands as cmd
from schemas import topics
from schemas.replies import Broken
from tests.simulation.checker import check
from tests.simulation.cluster import STREAM, Cluster
from tests.simulation.harness import owner_fed_by_hand, poisoned, run_until_applied, simulated, types


@simulated
async def test_an_unreadable_item_in_the_middle_of_a_record() -> None:
    cluster = Cluster()
    await cluster.publish()
    await cluster.send(cluster.submit(), b"{", cluster.submit())
    assert await run_until_applied(cluster) is None
    found = await types(cluster)
    assert found.count("job-accepted") == 2
    assert found.count("command-unreadable") == 1
    (letter,) = await cluster.records(topics.DEAD_LETTERS)
    assert (letter.key, letter.value) == (b"0.1.1", b"{")
    await check(cluster, quiet=False)


@simulated
async def test_a_command_that_cannot_be_decided_is_put_aside_after_three_takeovers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Cluster()
    await cluster.publish()
    poison = cluster.submit()
    assert isinstance(poison.command, cmd.SubmitJob)
    tried = poisoned(monkeypatch, poison.command.job)
    await cluster.send(cluster.submit(), poison, cluster.submit())
    for takeover in range(1, TAKEOVERS_MAX + 1):
        assert isinstance(await run_until_applied(cluster), DecisionFailed)
        assert len(tried) == takeover
        suspects = [r for r in await cluster.records(topics.ACCOUNTS) if r.key == suspect_key(STREAM).encode()]
        assert decode_record(suspect_key(STREAM), suspects[-1].value or b"") == Suspect(1, 1, takeover)
        assert (await types(cluster)).count("job-accepted") == 1, "what stood before it is committed"
    assert await run_until_applied(cluster) is None
    assert len(tried) == TAKEOVERS_MAX
    found = await types(cluster)
    assert found.count("command-quarantined") == 1
    assert found.count("job-accepted") == 2
    (reply,) = [reply for reply in await cluster.replies() if reply.correlation == poison.id]
    assert reply.answer == Broken("command-quarantined")
    (letter,) = await cluster.records(topics.DEAD_LETTERS)
    assert letter.value == cmd.encode_command(poison)
    await check(cluster, quiet=False)


@simulated
async def test_other_crashes_in_between_do_not_count_as_takeovers_of_the_suspect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Cluster()
    await cluster.publish()
    poison = cluster.submit()
    assert isinstance(poison.command, cmd.SubmitJob)
    tried = poisoned(monkeypatch, poison.command.job)
    await cluster.send(poison)
    assert isinstance(await run_until_applied(cluster), DecisionFailed)
    cluster.log.fault = "before-append"
    assert isinstance(await run_until_applied(cluster), TransactionError)
    monkeypatch.undo()
    assert await run_until_applied(cluster) is None
    assert len(tried) == 2
    assert (await types(cluster)).count("job-accepted") == 1
    await check(cluster, quiet=False)


@simulated
async def test_too_many_troubles_stop_the_partition_until_an_operator_lets_it_go_on() -> None:
    cluster = Cluster()
    await cluster.publish()
    await cluster.send(*[b"?"] * 6, cluster.submit())
    owning = asyncio.create_task(cluster.own())
    await asyncio.sleep(30)
    assert (await types(cluster)).count("command-unreadable") == 6
    assert "job-accepted" not in await types(cluster)
    assert cluster.owners[-1].stopped
    owning.cancel()
    await asyncio.wait({owning})
    owning = asyncio.create_task(cluster.own())
    await cluster.send(cluster.submit())
    await asyncio.sleep(30)
    assert "job-accepted" not in await types(cluster), "a new owner stands still as well"
    await cluster.send(cluster.envelope(cmd.ResumePartition()))
    await asyncio.sleep(5)
    found = await types(cluster)
    assert found.count("job-accepted") == 2
    assert found.count("partition-resumed") == 1
    owning.cancel()
    await asyncio.wait({owning})
    await check(cluster, quiet=False)


@simulated
async def test_a_partition_that_stops_while_it_runs_goes_on_without_a_new_owner() -> None:
    cluster = Cluster()
    await cluster.publish()
    owning = asyncio.create_task(cluster.own())
    await asyncio.sleep(1)
    await cluster.send(*[b"?"] * 6)
    await asyncio.sleep(10)
    await cluster.send(cluster.submit())
    await asyncio.sleep(10)
    await cluster.send(cluster.envelope(cmd.ResumePartition()))
    await asyncio.sleep(5)
    assert {"job-accepted", "partition-resumed"} <= set(await types(cluster))
    assert len(cluster.owners) == 1
    owning.cancel()
    await asyncio.wait({owning})
    await check(cluster, quiet=False)


@simulated
async def test_a_partition_goes_on_although_nobody_offers_what_was_dropped() -> None:
    cluster = Cluster()
    await cluster.publish()
    async with owner_fed_by_hand(cluster) as owner:
        await cluster.send(*[b"?"] * 6)
        await owner.offer((await cluster.records(topics.COMMANDS))[1:])
        await asyncio.sleep(10)
        await cluster.send(cluster.submit())
        await cluster.send(cluster.envelope(cmd.ResumePartition()))
        await asyncio.sleep(3)
        assert {"job-accepted", "partition-resumed"} <= set(await types(cluster))

"""Read models made anew on a real PostgreSQL, over a log in memory: compared, switched, taken back, cut off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import psycopg
import pytest

from infra.errors import OperatorError
from infra.kafka.ports import Record
from infra.postgres.generations import begin_building
from infra.postgres.positions import READ_MODELS, reached_positions
from infra.postgres.readers import Readers, Reads
from infra.settings import Settings
from projections.memory import MemorySource
from projections.postgres import PostgresReadModels
from projections.rebuild import MODELS, Rebuild, rebuilding
from projections.runner import Runner
from schemas import events as ev
from schemas.events import encode_event
from schemas.topics import EVENTS, KEYS
from tests.bench.events import Partition
from tests.databases import make_database
from tests.unit.projections.logs import Log, log_of

SHARES = (0, 1)
T = TypeVar("T")
TABLES = ("jobs", "job_events", "accounts", "account_windows", "ledger", "assets", "partitions", "data_keys")


class Quiet:
    """Implements `projections.rebuild.Progress`."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.events = 0

    def phase(self, name: str, total: int) -> None:
        self.phases.append(name)

    def at(self, done: int, events: int) -> None:
        self.events += events


class Side:
    """A database whose live read models are at the end of the log, with a projector that goes on."""

    def __init__(self, dsn: str, log: Log, partition: Partition) -> None:
        self.dsn, self.log, self.partition = dsn, log, partition
        self._commands = partition.commands()
        self.progress = Quiet()

    def write(self, commands: int) -> None:
        """More commands of partition 0 on the log."""
        for _ in range(commands):
            self.append(next(self._commands))

    def append(self, events: Sequence[ev.Event]) -> None:
        """One command's events on the log of partition 0."""
        records = self.log[EVENTS, 0]
        for event in events:
            records.append(Record(len(records), 0, event.account.encode(), encode_event(event)))

    async def caught_up(self) -> None:
        """Return when the live read models show all that is on the log."""
        ends = {f"%.{p}": self.log[EVENTS, p][-1].offset for p in SHARES}
        async with asyncio.timeout(20):
            while min(self.offset(f"{name}") - end for name, end in ends.items()) < 0:
                await asyncio.sleep(0.01)

    def offset(self, pattern: str) -> int:
        found = self.sql(
            "SELECT min(t.notification_id) FROM tracking t JOIN generations g"
            f" ON t.application_name LIKE g.model || '.' || g.generation || '{pattern[1:]}'"
            f" WHERE g.state = 'live' AND g.model IN {READ_MODELS}"
        )
        return -1 if found[0][0] is None else int(found[0][0])

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn) as session:
            cursor = session.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        return {name: self.sql(f"SELECT t::text FROM {name} t ORDER BY 1") for name in TABLES if name != "job_events"}

    async def rebuild(self, work: Callable[[Rebuild], Awaitable[T]]) -> T:
        async with rebuilding(self.dsn, len(SHARES), lambda: MemorySource(self.log), self.progress) as rebuild:
            return await work(rebuild)


@asynccontextmanager
async def projecting(side: Side) -> AsyncIterator[None]:
    stop = asyncio.Event()
    runner = Runner(SHARES, lambda: PostgresReadModels(side.dsn), lambda: MemorySource(side.log))
    task = asyncio.create_task(runner.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


@pytest.fixture
async def side(postgres: Settings) -> AsyncIterator[Side]:
    partitions = [Partition(n, partitions=2, accounts=5) for n in SHARES]
    log = log_of(partitions[1:], 800)
    log[EVENTS, 0] = []
    log[KEYS, 0], log[KEYS, 1] = [], [Record(3, 0, b"acct_a.key_1", b"wrapped")]
    made = Side(make_database(postgres), log, partitions[0])
    made.write(300)
    async with projecting(made):
        await made.caught_up()
        yield made


async def test_a_rebuild_gives_the_same_rows_in_new_generations(side: Side) -> None:
    before = side.tables()
    outcome = await side.rebuild(lambda work: work.anew(MODELS))
    assert (outcome.switched, outcome.differences) == (True, [])
    assert outcome.events == side.progress.events == sum(len(side.log[EVENTS, p]) for p in SHARES)
    assert side.progress.phases == ["filling from the log", "making indexes", "comparing", "switching"]
    assert side.tables() == before
    live = dict(side.sql("SELECT model, generation FROM generations WHERE state = 'live'"))
    assert {model: live[model] for model in MODELS} == dict(outcome.generations)
    kept = {model for (model,) in side.sql("SELECT model FROM generations WHERE state = 'previous'")}
    assert kept == set(MODELS) - {"keys"}, "a data key that is erased later must not stand in an old table"


async def test_what_was_hidden_is_hidden_after_a_rebuild(side: Side) -> None:
    """Live, a job is hidden long after it began; a rebuild meets both in one batch."""
    ended = side.sql("SELECT account, job FROM jobs WHERE outcome IS NOT NULL ORDER BY job")
    mine = [(account, job) for account, job in ended if account in side.partition.names][:3]
    for account, job in (*mine, mine[0]):
        side.append(side.partition.hide(account, job))
    side.append(side.partition.hide(mine[0][0], "job_nobody"))
    await side.caught_up()
    hidden = "SELECT account, job, hidden_ms FROM jobs WHERE hidden_ms IS NOT NULL ORDER BY job"
    before = side.sql(hidden)
    assert [row[:2] for row in before] == mine
    outcome = await side.rebuild(lambda work: work.anew(MODELS))
    assert (outcome.switched, outcome.differences, side.sql(hidden)) == (True, [], before)


async def test_the_projector_goes_on_with_the_new_generation(side: Side) -> None:
    await side.rebuild(lambda work: work.anew(MODELS))
    side.write(50)
    await side.caught_up()
    outcome = await side.rebuild(lambda work: work.anew(MODELS))
    assert outcome.differences == []


async def test_one_model_alone_is_rebuilt_and_the_others_stand(side: Side) -> None:
    before = dict(side.sql("SELECT model, generation FROM generations"))
    outcome = await side.rebuild(lambda work: work.anew(["balances"]))
    assert (list(outcome.generations), outcome.differences) == (["balances"], [])
    live = dict(side.sql("SELECT model, generation FROM generations WHERE state = 'live'"))
    assert live == {**before, **outcome.generations}
    outcome = await side.rebuild(lambda work: work.anew(["keys"]))
    assert (outcome.events, side.sql("SELECT key_id FROM data_keys")) == (0, [("key_1",)])


@pytest.mark.parametrize(
    ("plant", "told"),
    [
        ("UPDATE accounts SET captured = captured + 7 WHERE account = (SELECT min(account) FROM accounts)", "captured"),
        ("DELETE FROM ledger WHERE (account, version) = (SELECT account, max(version) FROM ledger GROUP BY 1 LIMIT 1)",
         "is missing, the log says it"),
        ("INSERT INTO data_keys VALUES ('acct_z', 'key_9', 'x')", "keys.data_keys (acct_z key_9): stands, the log"),
        ("UPDATE job_events SET events = 'x' WHERE job = (SELECT min(job) FROM job_events)", "jobs.job_events"),
    ],
)  # fmt: skip
async def test_a_planted_difference_is_told_and_stops_the_switch(side: Side, plant: str, told: str) -> None:
    side.sql(plant)
    before, live = side.tables(), side.sql("SELECT * FROM generations")
    outcome = await side.rebuild(lambda work: work.anew(MODELS))
    assert not outcome.switched
    assert len(outcome.differences) == 1
    assert told in outcome.differences[0]
    assert (side.tables(), side.sql("SELECT * FROM generations")) == (before, live)
    assert side.sql("SELECT count(*) FROM tracking WHERE NOT application_name ~ '[.]1[.]|__'") == [(0,)]
    accepted = await side.rebuild(lambda work: work.anew(MODELS, accept_differences=True))
    assert (accepted.switched, len(accepted.differences)) == (True, 1)
    assert (await side.rebuild(lambda work: work.anew(MODELS))).differences == []


async def test_many_differences_are_told_in_few_lines(side: Side) -> None:
    side.sql("UPDATE jobs SET cost = cost + 1")
    (jobs,) = side.sql("SELECT count(*) FROM jobs")
    outcome = await side.rebuild(lambda work: work.anew(["jobs"]))
    assert (len(outcome.differences), outcome.differences[-1]) == (21, f"jobs: {jobs[0] - 20} more")


async def test_a_switch_is_taken_back_at_the_position_that_was_reached_meanwhile(side: Side) -> None:
    side.sql("UPDATE accounts SET refunded = 1 WHERE account = (SELECT min(account) FROM accounts)")
    await side.rebuild(lambda work: work.anew(MODELS, accept_differences=True))
    side.write(40)
    await side.caught_up()
    assert await side.rebuild(lambda work: work.last_switched()) == sorted(set(MODELS) - {"keys"})
    before = side.offset("%.0")
    outcome = await side.rebuild(lambda work: work.back(sorted(set(MODELS) - {"keys"})))
    assert outcome.events > 0
    assert side.offset("%.0") == before
    assert side.sql("SELECT sum(refunded) FROM accounts") == [(1,)]
    side.write(10)
    await side.caught_up()
    again = await side.rebuild(lambda work: work.back(sorted(set(MODELS) - {"keys"})))
    assert (again.switched, side.sql("SELECT sum(refunded) FROM accounts")) == (True, [(0,)])


async def test_two_rebuilds_at_once_are_refused_and_what_a_killed_one_left_is_gone(side: Side) -> None:
    with psycopg.connect(side.dsn, autocommit=True) as session:
        begin_building(session, MODELS)
    async with rebuilding(side.dsn, len(SHARES), lambda: MemorySource(side.log), Quiet()) as rebuild:
        with pytest.raises(OperatorError, match="Another rebuild is running"):
            await side.rebuild(lambda work: work.anew(MODELS))
        await rebuild.anew(MODELS)
    assert side.sql("SELECT count(*) FROM generations WHERE state = 'building'") == [(0,)]
    assert side.sql("SELECT count(*) FROM pg_namespace WHERE nspname ~ '^jobs_'") == [(2,)]


async def test_reads_beside_a_rebuild_never_fail_mix_or_go_back(side: Side) -> None:
    """An account's ledger and totals are of one moment in every answer, and later answers are never older."""
    from infra.postgres.pool import create_pool

    (account,) = side.sql("SELECT account FROM ledger GROUP BY 1 ORDER BY count(*) DESC LIMIT 1")[0]
    pool = await create_pool(side.dsn, connections_max=4)
    readers, stop, reads = Readers(pool, 4), asyncio.Event(), 0

    async def both(of: Reads) -> tuple[int, int, int]:
        totals = await of.row("SELECT captured, version FROM accounts WHERE account = $1", account)
        lines = await of.row("SELECT coalesce(sum(amount) FILTER (WHERE kind = 'captured'), 0)::bigint FROM ledger"
                             " WHERE account = $1", account)  # fmt: skip
        assert totals is not None
        assert lines is not None
        return totals[0], lines[0], totals[1]

    async def read() -> None:
        nonlocal reads
        seen, reached = 0, (0, 0)
        while not stop.is_set():
            captured, summed, version = await readers.snapshot(both)
            assert captured == summed
            assert version >= seen
            at = (await reached_positions(readers.rows))[0].source
            assert at >= reached
            seen, reached, reads = version, at, reads + 1

    async def write() -> None:
        while not stop.is_set():
            side.write(5)
            await asyncio.sleep(0.005)

    tasks = [asyncio.create_task(work()) for work in (read, read, read, write)]
    try:
        for _ in range(2):
            assert (await side.rebuild(lambda work: work.anew(MODELS))).differences == []
        await side.rebuild(lambda work: work.back(["jobs", "balances"]))
    finally:
        stop.set()
        await asyncio.gather(*tasks)
    assert reads > 50
    await readers.close()
    await pool.close()

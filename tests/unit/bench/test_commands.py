"""What the bench of decisions sends does what it is taken for."""

import pytest

from processors.jobs.state import Waiting
from schemas import commands as cmd
from schemas import events as ev
from schemas.codec import unpack_items
from schemas.commands import decode_command
from schemas.identifiers import partition_of
from schemas.replies import JobEndedAnswer
from tests.bench.decide import COMMANDS_A_RECORD, bench_accounts, outcomes, packed, submits
from tests.specification.given import World, plan

PARTITIONS = 8
COUNT = 700


@pytest.mark.parametrize("accounts", [(), bench_accounts(1), bench_accounts(3)])
def test_outcomes_are_of_the_jobs_and_accounts_of_the_rounds_submits(accounts: list[str]) -> None:
    seen: set[str] = set()
    for number in (1, 2):
        jobs: list[set[tuple[str, str]]] = []
        for made in (submits(number, COUNT, PARTITIONS, accounts), outcomes(number, COUNT, PARTITIONS, accounts)):
            envelopes = [(partition, decode_command(item)) for partition, part in made.items() for item in part]
            assert all(partition_of(envelope.account, PARTITIONS) == partition for partition, envelope in envelopes)
            commands = [(envelope.account, envelope.command) for _, envelope in envelopes]
            ids = {envelope.id for _, envelope in envelopes}
            assert len(ids) == COUNT
            assert not ids & seen
            seen |= ids
            jobs.append({(of, c.job) for of, c in commands if isinstance(c, cmd.SubmitJob | cmd.RecordOutcome)})
        assert jobs[0] == jobs[1]
        assert len(jobs[0]) == COUNT


def test_records_hold_as_many_commands_as_they_may_and_none_is_lost() -> None:
    made = submits(0, COUNT, PARTITIONS)
    for partition, records in packed(made).items():
        items = [item for record in records for item in unpack_items(record)]
        assert items == made[partition]
        assert len(records) == -(-len(items) // COMMANDS_A_RECORD)


def test_an_outcome_ends_a_job_that_was_never_started_and_leaves_no_record_of_it() -> None:
    world = World(plan())
    world.given(cmd.GrantCredits(10, "bench"))
    world.given(cmd.SubmitJob("job_1", "echo", {}), reply="submit-1")
    job = world.job("job_1")
    assert job is not None
    assert not isinstance(job.phase, Waiting)
    then = world.when(cmd.RecordOutcome("job_1", 1, cmd.Failed("permanent", "bench", "The bench runs no jobs.")))
    assert isinstance(then.events[0], ev.JobFailed)
    assert world.job("job_1") is None
    assert [type(answer) for _, answer in then.answers] == [JobEndedAnswer]

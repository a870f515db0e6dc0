"""What the read model tells of a job, and that it is what the decider's own answer has told."""

from __future__ import annotations

from msgspec.structs import replace

from infra.postgres.outcomes import Owner, job_outcome, job_outcomes, known_asset, public_owner, results_of
from infra.settings import Settings
from ingest.standing import Standing, after_end, of_outcome
from schemas import events as ev
from schemas.commands import EngineRun, PassedOver, StoredObject
from tests.bench.events import START_MS
from tests.ports.scripted import played, readers_over
from tests.properties.scripts import PAUSES
from tests.unit.projections.test_folds import ACCOUNT, HIDDEN, JOB, RELEASED, STARTED, accepted, events_of

RESULT = StoredObject("k/1", 4321, "cd" * 32, "mp4", 128, 96, 2_000)
STILL = StoredObject("k/1.jpg", 99, "ef" * 32, "jpeg", 64, 48)
RUN = EngineRun("second", "2", "r-1", (PassedOver("first", "1", "away"),))
ONLY_READ = ("cost", "accepted_ms", "queued_ms", "running_ms", "model", "params", "input", "position")


async def test_a_jobs_row_tells_what_came_of_it_when_and_by_what(postgres: Settings) -> None:
    made = ev.JobSucceeded(JOB, 1, "asset_1", 7, RESULT, 25, STILL, RUN)
    events = events_of(accepted(input="asset_in"), RELEASED, STARTED, made, ev.CreditsCaptured(JOB, 3, 1, 6), HIDDEN)
    async with readers_over(postgres, events) as readers:
        found = await job_outcome(readers, ACCOUNT, JOB)
        assert found is not None
        times = (found.accepted_ms, found.queued_ms, found.running_ms, found.ended_ms, found.hidden_ms)
        assert times == tuple(START_MS + n * 1_000 for n in (1, 2, 3, 4, 6))
        assert (found.asset, found.asset_number, found.result, found.thumbnail) == ("asset_1", 7, RESULT, STILL)
        assert (found.run, found.model_ms, found.charged, found.reused_of) == (RUN, 25, 3, None)
        assert (found.model, found.params, found.input) == ("classical/upscale", {"scale": 2}, "asset_in")
        assert await job_outcomes(readers, ACCOUNT, [JOB, "job_nobody"]) == {JOB: found}
        assert await job_outcome(readers, "acct_other", JOB) is None
        known = await known_asset(readers, ACCOUNT, "asset_1")
        assert known is not None
        assert (known.number, known.object) == (7, RESULT)


async def test_a_live_jobs_row_leaves_out_what_has_not_come(postgres: Settings) -> None:
    async with readers_over(postgres, events_of(accepted())) as readers:
        found = await job_outcome(readers, ACCOUNT, JOB)
    assert found is not None
    assert (found.accepted_ms, found.queued_ms, found.running_ms, found.ended_ms) == (
        START_MS + 1_000,
        None,
        None,
        None,
    )
    assert (found.asset_number, found.thumbnail, found.run, found.model_ms, found.hidden_ms) == (None,) * 5


async def test_replies_and_rows_tell_the_same_of_every_end(postgres: Settings) -> None:
    player = played(12, 700, PAUSES[:-2])
    owners = {
        event.data.job: event.account
        for event in player.events
        if isinstance(event.data, ev.JobAccepted | ev.JobReused)
    }
    told = {end.job: end for end in player.ended_answers}
    async with readers_over(postgres, player.events) as readers:
        for job, end in told.items():
            outcome = await job_outcome(readers, owners[job], job)
            assert outcome is not None
            read, heard = of_outcome(job, outcome), after_end(Standing(job=job), end, "")
            assert heard == replace(read, **{name: getattr(heard, name) for name in (*ONLY_READ, "balance", "reason")})
            assert end.reason in (outcome.reason, "queue-deadline")
    assert {end.status for end in told.values()} == {"succeeded", "failed", "canceled", "expired"}
    assert any(end.reused_of for end in told.values())


async def test_results_of_an_asset_and_whose_public_asset_it_is(postgres: Settings) -> None:
    made = ev.JobSucceeded(JOB, 1, "asset_1", 7, RESULT, 25)
    events = (
        ev.AccountOpened("default", 1, None),
        ev.AssetRegistered("asset_in", 1, STILL, None, None),
        accepted(input="asset_in"),
        *(RELEASED, STARTED, made, ev.CreditsCaptured(JOB, 3, 1, 6)),
        accepted(job="job_live", input="asset_in"),
        ev.VisibilityChanged("asset_in", True),
    )
    async with readers_over(postgres, events_of(*events)) as readers:
        assert await results_of(readers, ACCOUNT, "asset_in", 9) == {JOB: "asset_1"}
        assert await results_of(readers, ACCOUNT, "asset_in", 0) == {}
        assert await results_of(readers, ACCOUNT, "asset_1", 9) == {}
        assert await public_owner(readers, "asset_in") == Owner(ACCOUNT, "darkroom")
        assert await public_owner(readers, "asset_1") is None
    ended = (ev.AssetDeleted("asset_1", "deleted", None), ev.AssetDeleted("asset_in", "deleted", None))
    async with readers_over(postgres, events_of(*events, *ended)) as readers:
        assert await results_of(readers, ACCOUNT, "asset_in", 9) == {}
        assert await public_owner(readers, "asset_in") is None

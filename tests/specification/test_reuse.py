"""An identical job gets the earlier result for nothing, as long as that is there."""

from typing import Any

import pytest
from msgspec.structs import replace

from schemas import commands as cmd
from schemas import events as ev
from schemas.plans import WindowTerms
from schemas.replies import JobDecided, JobEndedAnswer
from tests.specification.given import (
    ANNA,
    BEN,
    DAY,
    HOUR,
    PICTURE,
    T0,
    World,
    outcome,
    plan,
    result_of,
    submit,
    terms,
)


def upscale(job: str, asset: str = "asset_p", scale: int = 2, **changes: Any) -> cmd.SubmitJob:
    """A job on a picture."""
    return submit(job, "upscale", params={"scale": scale}, input=asset, **changes)


def upload(name: str, account: str = ANNA, sha256: str = PICTURE.sha256) -> cmd.RegisterAsset:
    """A picture under another id and key, with the same bytes unless told otherwise."""
    return cmd.RegisterAsset(name, replace(PICTURE, key=f"{account}/{name}", sha256=sha256))


def world_of(**changes: Any) -> World:
    """job_1 of ANNA has succeeded on asset_p; results may be reused for a day."""
    account_terms = terms(**{"reuse_ttl_ms": DAY, **changes})
    return World(plan(account_terms)).given(upload("asset_p"), upscale("job_1"), outcome("job_1"))


def test_the_same_bytes_and_parameters_give_the_earlier_result() -> None:
    world = world_of().given(upload("asset_q"))
    then = world.when(upscale("job_2", "asset_q"), reply="r")
    (reused,) = then.events
    assert isinstance(reused, ev.JobReused)
    assert (reused.of, reused.asset, reused.number, reused.result) == ("job_1", "asset_2", 4, result_of("job_1"))
    assert then.work == []
    made = JobEndedAnswer("job_2", "succeeded", 0, 9, "asset_2", result_of("job_1"))
    assert then.answers == [
        ("r", JobDecided("job_2", "succeeded", 0, 9, T0, (), "default", 1)),
        ("r", replace(made, number=4, ended_ms=T0, reused_of="job_1")),
    ]
    assert world.header().captured == 1


def test_a_reused_result_takes_nothing_from_a_window() -> None:
    world = world_of(windows=(WindowTerms("day", 1),), uses_balance=False)
    assert world.when(upscale("job_2")).types == ["job-reused"]
    assert world.when(upscale("job_3", scale=4)).types == ["command-refused"]


@pytest.mark.parametrize(
    ("job", "earlier"),
    [
        (upscale("job_2", scale=4), ()),
        (upscale("job_2", "asset_o"), (upload("asset_o", sha256="ee" * 32),)),
        (upscale("job_2", content="0123"), ()),
    ],
)
def test_whatever_is_different_runs(job: cmd.SubmitJob, earlier: tuple[cmd.AnyCommand, ...]) -> None:
    assert world_of().given(*earlier).when(job).types[0] == "job-accepted"


def test_another_account_runs_its_own() -> None:
    world = world_of().given(upload("asset_p", BEN), account=BEN)
    assert world.when(upscale("job_2"), account=BEN).types[0] == "job-accepted"


def test_a_newer_engine_runs_anew() -> None:
    world = world_of()
    models = dict(plan().models)
    models["upscale"] = replace(models["upscale"], engine_version="2")
    world.given(cmd.PublishPlan(plan(terms(reuse_ttl_ms=DAY), version=2, models=models)), account="partition-0")
    assert world.when(upscale("job_2")).types[0] == "job-accepted"


def test_what_a_second_engine_made_stands_for_nobody_else() -> None:
    world = World(plan(terms(reuse_ttl_ms=DAY))).given(upload("asset_p"), upscale("job_1"))
    run = cmd.EngineRun("lanczos", "1", "7", (cmd.PassedOver("upscale", "1", "unreachable"),))
    then = world.when(outcome("job_1", 1, cmd.Succeeded(result_of("job_1"), 5, run=run)))
    assert isinstance(then.events[0], ev.JobSucceeded)
    assert (then.events[0].run, then.events[0].reuse_until_ms) == (run, None)
    assert world.when(upscale("job_2")).types[0] == "job-accepted"


def test_reuse_ends_with_its_time_and_with_the_earlier_asset() -> None:
    assert world_of().when(upscale("job_2"), at=DAY).types[0] == "job-accepted"
    assert world_of().given(cmd.DeleteAsset("asset_1")).when(upscale("job_2")).types[0] == "job-accepted"
    assert (
        World(plan()).given(upload("asset_p"), upscale("job_1"), outcome("job_1")).when(upscale("job_2")).types[0]
        == "job-accepted"
    )


def test_shared_bytes_are_purged_with_the_last_reference() -> None:
    world = world_of().given(upscale("job_2"))
    assert world.when(cmd.DeleteAsset("asset_1")).types == ["asset-deleted"]
    late = world.when(outcome("job_1"))
    assert late.purges == [], "a late repetition must not take the bytes that job_2 refers to"
    assert world.when(cmd.DeleteAsset("asset_2")).purges[0].keys == (result_of("job_1").key,)


def test_a_reusing_job_does_not_keep_its_original_where_the_plan_purges_them() -> None:
    world = world_of(originals="purge").given(upload("asset_q"))
    then = world.when(upscale("job_2", "asset_q"))
    assert then.types == ["job-reused", "asset-deleted", "purge-released"]


def test_a_reused_result_has_a_life_of_its_own() -> None:
    world = world_of(results_ttl_ms=DAY)
    then = world.when(upscale("job_2"), at=HOUR)
    assert isinstance(then.events[0], ev.JobReused)
    assert then.events[0].expires_ms == T0 + HOUR + DAY
    assert world.tick(DAY).types == ["asset-deleted"]
    assert world.tick(DAY + HOUR).types == ["asset-deleted", "purge-released"]


def test_a_repeat_of_a_reusing_job_is_answered_the_same() -> None:
    world = world_of().given(upscale("job_2"), key=("k", "f"))
    then = world.when(upscale("job_3"), key=("k", "f"), reply="r")
    assert then.answers == [("r", JobDecided("job_2", "succeeded", 0, 9, T0))]

"""Given a work item and a fact, when the dispatcher looks at it, then it begins, drops, tries again or reports."""

from pathlib import Path

import msgspec
import pytest

from infra.s3.store import IntegrityError, ObjectNotFound, StoreUnavailable
from infra.sealing.keys import KeyStoreUnavailable
from infra.triton.engine import EngineCrashed, EngineUnavailable, PermanentFailure, TransientFailure
from processors.dispatch.engines import CrashedAlone
from processors.dispatch.media import InputUndecodable, MediaUnavailable
from processors.dispatch.production import TextsUnfit
from processors.dispatch.secrets import Erased
from processors.dispatch.workflow import (
    RETRY_PAUSES_MS,
    Begin,
    Drop,
    Report,
    RetryHere,
    after_failure,
    begin,
    classify,
    stopped,
)
from schemas.catalogue import parse_catalogue
from schemas.commands import Failed, StoredObject
from schemas.work import WorkItem

CATALOGUE = parse_catalogue((Path(__file__).parents[2] / "infra" / "catalogue.toml").read_bytes())
NOW_MS = 1_000_000
PICTURE = StoredObject("acct_a/asset_1", 100, "00" * 32, "png", 40, 30)
ITEM = WorkItem(
    job="job_1",
    account="acct_a",
    product="darkroom",
    attempt=1,
    lane="standard",
    model="classical/upscale",
    engine="classical_upscale",
    engine_version="1",
    params={"scale": 2},
    input=PICTURE,
    sealed=None,
    output_key="acct_a/job_1/1",
    lease_until_ms=NOW_MS + 60_000,
    lease_ms=15_000,
    run_until_ms=NOW_MS + 180_000,
)


def given(**changes: object) -> WorkItem:
    return msgspec.structs.replace(ITEM, **changes)


def test_a_fresh_item_begins_and_renews_three_times_a_lease() -> None:
    decision = begin(ITEM, CATALOGUE, NOW_MS)
    assert isinstance(decision, Begin)
    assert decision.entry.slug == "classical/upscale"
    assert decision.renew_every_ms == 5_000
    assert decision.run_until_ms == ITEM.run_until_ms


@pytest.mark.parametrize("late_ms", [0, 1, 1_000_000])
def test_an_item_whose_lease_is_over_is_dropped(late_ms: int) -> None:
    assert begin(ITEM, CATALOGUE, ITEM.lease_until_ms + late_ms) == Drop("lease-over")


def test_an_item_whose_run_time_is_over_is_dropped() -> None:
    item = given(lease_until_ms=NOW_MS + 500_000)
    assert begin(item, CATALOGUE, item.run_until_ms) == Drop("run-time-over")


def test_a_model_this_catalogue_lacks_costs_an_attempt() -> None:
    decision = begin(given(model="classical/other"), CATALOGUE, NOW_MS)
    assert isinstance(decision, Report)
    assert (decision.failed.cause, decision.failed.reason) == ("transient", "model-unknown")


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"params": {"scale": 3}}, "params.scale: This must be one of 2, 4."),
        ({"params": {"size": 1}}, "params.size: classical/upscale takes only scale."),
        ({"input": None}, "input: classical/upscale works on a picture; name one of your assets."),
    ],
)
def test_a_request_that_no_longer_fits_fails_for_good(changes: dict[str, object], detail: str) -> None:
    decision = begin(given(**changes), CATALOGUE, NOW_MS)
    assert decision == Report(Failed("permanent", "request-invalid", detail))


@pytest.mark.parametrize(
    ("error", "cause", "reason"),
    [
        (PermanentFailure("made to fail"), "permanent", "model-failed"),
        (TransientFailure("not this time"), "transient", "model-failed"),
        (EngineUnavailable("refused"), "engine-unavailable", "engine-unavailable"),
        (InputUndecodable("The picture is broken."), "permanent", "input-undecodable"),
        (ObjectNotFound("acct_a/asset_1"), "permanent", "input-gone"),
        (EngineCrashed("died"), "engine-crashed", "engine-crashed"),
        (CrashedAlone("died"), "permanent", "crashes-engine"),
        (Erased("The texts of this job were erased."), "permanent", "erased"),
        (TextsUnfit("params.prompt: This must be a text."), "permanent", "request-invalid"),
        (KeyStoreUnavailable("away"), "transient", "keys-unavailable"),
        (IntegrityError("other bytes"), "transient", "input-corrupt"),
        (StoreUnavailable("no answer"), "transient", "store-unavailable"),
        (MediaUnavailable("two lost"), "transient", "media-unavailable"),
        (TimeoutError(), "transient", "run-deadline"),
        (ZeroDivisionError(), "transient", "dispatcher-fault"),
    ],
)
def test_every_failure_has_a_cause_and_a_name(error: Exception, cause: str, reason: str) -> None:
    failure = classify(error)
    assert (failure.cause, failure.reason) == (cause, reason)
    assert failure.detail


@pytest.mark.parametrize("error", [EngineUnavailable("refused"), StoreUnavailable("no answer")])
def test_what_is_around_the_dispatcher_is_tried_again_with_growing_pauses(error: Exception) -> None:
    steps = [after_failure(ITEM, error, tried, NOW_MS) for tried in range(1, len(RETRY_PAUSES_MS) + 2)]
    assert steps[:-1] == [RetryHere(pause_ms) for pause_ms in RETRY_PAUSES_MS]
    assert steps[-1] == Report(classify(error))


@pytest.mark.parametrize("error", [PermanentFailure("no"), TransientFailure("no"), InputUndecodable("no")])
def test_what_is_the_jobs_own_is_the_deciders_to_try_again(error: Exception) -> None:
    assert after_failure(ITEM, error, 1, NOW_MS) == Report(classify(error))


def test_nothing_is_tried_again_past_the_run_time() -> None:
    step = after_failure(ITEM, EngineUnavailable("refused"), 1, ITEM.run_until_ms - 10)
    assert isinstance(step, Report)


def test_an_unreached_engine_and_a_stop_are_no_attempt_of_the_job() -> None:
    assert classify(EngineUnavailable("refused")).cause == "engine-unavailable"
    assert stopped().cause == "engine-unavailable"


def test_a_long_detail_is_cut() -> None:
    assert len(classify(PermanentFailure("x" * 1_000)).detail) == 300

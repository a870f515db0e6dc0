"""An attempt with every port in memory: what is told to the decider, in which order, whatever goes wrong."""

import asyncio
import hashlib
import io
import time
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import pytest
from PIL import Image

from infra.media.header import read_header
from infra.s3.store import StoreUnavailable
from infra.triton.engine import PermanentFailure, Tensors, TransientFailure
from processors.dispatch.runner import START_TOLD_AFTER_S
from processors.dispatch.sender import DispatchCommand
from schemas.commands import AttemptStarted, Failed, RecordOutcome, RenewLease, Succeeded
from schemas.work import PurgeItem, WorkItem
from tests.unit.dispatch.world import SlowEngine, World, item, upscale


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def picture() -> bytes:
    noise = np.random.default_rng(5).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    target = io.BytesIO()
    Image.fromarray(noise).save(target, "PNG")
    return target.getvalue()


async def test_a_card_is_started_stored_and_recorded(world: World) -> None:
    await world.runner.run(item())
    started, recorded = world.sender.sent
    assert isinstance(started, AttemptStarted)
    assert (started.job, started.attempt, started.dispatcher) == ("job_1", 1, "dispatcher-0")
    assert isinstance(recorded, RecordOutcome)
    assert isinstance(recorded.outcome, Succeeded)
    result = recorded.outcome.result
    assert result.key.startswith("acct_a/job_1/1-")
    content = await world.store.get(result.key, result.sha256)
    assert (result.format, result.width, result.height, result.bytes) == ("png", 64, 64, len(content))
    assert (await world.store.head(result.key)).content_type == "image/png"


async def test_a_picture_is_enlarged_tile_by_tile(world: World, picture: bytes) -> None:
    await world.runner.run(upscale(await world.asset(picture), params={"scale": 4}))
    assert isinstance(world.outcome, Succeeded)
    content = await world.store.get(world.outcome.result.key)
    assert (read_header(content).width, read_header(content).height) == (240, 160)
    wanted = np.asarray(Image.open(io.BytesIO(picture))).repeat(4, 0).repeat(4, 1)
    assert (np.asarray(Image.open(io.BytesIO(content))) == wanted).all()


async def test_a_stale_item_is_dropped_in_silence(world: World) -> None:
    await world.runner.run(item(lease_until_ms=1))
    assert world.sender.sent == []
    assert world.engine.calls == []


@pytest.mark.parametrize(
    ("content", "reason"), [(b"broken", "input-undecodable"), (None, "input-gone"), (b"other", "input-corrupt")]
)
async def test_bad_inputs_have_names(world: World, content: bytes | None, reason: str) -> None:
    asset = await world.asset(content or b"gone")
    if content is None:
        await world.store.delete(asset.key)
    if content == b"other":
        asset = msgspec.structs.replace(asset, sha256=hashlib.sha256(b"expected").hexdigest())
    await world.runner.run(upscale(asset))
    assert isinstance(world.outcome, Failed)
    assert world.outcome.reason == reason
    assert world.store.keys() == ([] if content is None else [asset.key])


def failing(error: Exception) -> Callable[[Tensors], Tensors]:
    def model(_: Tensors) -> Tensors:
        raise error

    return model


@pytest.mark.parametrize(
    ("error", "cause"),
    [(PermanentFailure("no"), "permanent"), (TransientFailure("no"), "transient"), (ValueError("bug"), "transient")],
)
async def test_a_model_that_fails_ends_the_attempt_once(
    world: World, error: Exception, cause: str, picture: bytes
) -> None:
    world.engine.models["sandbox_echo"] = world.engine.models["classical_upscale"] = failing(error)
    await world.runner.run(item())
    await world.runner.run(upscale(await world.asset(picture), job="job_2"))
    outcomes = [sent.outcome for sent in world.sender.sent if isinstance(sent, RecordOutcome)]
    assert [outcome.cause for outcome in outcomes if isinstance(outcome, Failed)] == [cause, cause]
    assert len(world.engine.calls) <= 1 + 2


async def test_an_answer_of_the_wrong_shape_is_transient(world: World, picture: bytes) -> None:
    world.engine.models["classical_upscale"] = lambda _: {"PIXELS": np.zeros((1, 1, 3), np.uint8)}
    await world.runner.run(upscale(await world.asset(picture)))
    assert isinstance(world.outcome, Failed)
    assert world.outcome.cause == "transient"


async def test_an_engine_that_comes_back_soon_costs_nothing(world: World) -> None:
    world.engine.available = False
    run = asyncio.create_task(world.runner.run(item()))
    await asyncio.sleep(0.1)
    world.engine.available = True
    await run
    assert isinstance(world.outcome, Succeeded)


async def test_an_engine_that_stays_away_is_no_attempt_of_the_job(world: World) -> None:
    world.engine.available = False
    await world.runner.run(item())
    assert isinstance(world.outcome, Failed)
    assert world.outcome.cause == "engine-unavailable"


async def test_a_store_that_comes_back_soon_costs_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    put, failures = world.store.put, [StoreUnavailable("down"), StoreUnavailable("down")]

    async def shaky(key: str, body: bytes, content_type: str) -> object:
        if failures:
            raise failures.pop()
        return await put(key, body, content_type)

    monkeypatch.setattr(world.store, "put", shaky)
    await world.runner.run(item())
    assert isinstance(world.outcome, Succeeded)


async def test_a_second_delivery_replaces_nothing(world: World) -> None:
    await world.runner.run(item())
    await world.runner.run(item())
    keys = [
        sent.outcome.result.key
        for sent in world.sender.sent
        if isinstance(sent, RecordOutcome) and isinstance(sent.outcome, Succeeded)
    ]
    assert len(set(keys)) == 2
    assert all([await world.store.exists(key) for key in keys])


async def test_a_quick_attempt_tells_its_start_and_its_end_in_one_record(world: World) -> None:
    await world.runner_with(SlowEngine(START_TOLD_AFTER_S / 5)).run(item())
    ((started, ended),) = world.sender.records
    assert isinstance(started, AttemptStarted)
    assert isinstance(ended, RecordOutcome)
    assert started.ran_ms >= 1000 * START_TOLD_AFTER_S / 5


async def test_the_start_of_a_longer_attempt_is_told_while_it_runs(world: World) -> None:
    running = asyncio.create_task(world.runner_with(SlowEngine(30)).run(item()))
    async with asyncio.timeout(5):
        while not world.sender.sent:
            await asyncio.sleep(0.01)
    ((started,),) = world.sender.records
    assert isinstance(started, AttemptStarted)
    assert started.ran_ms >= 1000 * START_TOLD_AFTER_S - 1
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert [type(sent) for sent in world.sender.sent] == [AttemptStarted, RecordOutcome]


async def test_the_start_of_an_attempt_whose_lease_is_nearly_over_is_told_at_once(world: World) -> None:
    soon_ms = time.time_ns() // 1_000_000 + 900
    await world.runner_with(SlowEngine(START_TOLD_AFTER_S / 5)).run(item(lease_until_ms=soon_ms))
    (started,), (ended,) = world.sender.records
    assert isinstance(started, AttemptStarted)
    assert isinstance(ended, RecordOutcome)
    assert started.ran_ms < 1000 * START_TOLD_AFTER_S / 5


async def test_the_end_never_overtakes_a_start(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    send = world.sender.send

    async def slow_start(to: WorkItem | PurgeItem, commands: Sequence[DispatchCommand], until_ms: int) -> bool:
        if isinstance(commands[0], AttemptStarted):
            await asyncio.sleep(0.2)
        return await send(to, commands, until_ms)

    monkeypatch.setattr(world.sender, "send", slow_start)
    await world.runner_with(SlowEngine(2 * START_TOLD_AFTER_S)).run(item())
    assert [[type(told) for told in record] for record in world.sender.records] == [[AttemptStarted], [RecordOutcome]]


async def test_long_work_renews_its_lease_until_its_outcome(world: World) -> None:
    await world.runner_with(SlowEngine(0.5)).run(item(lease_ms=300))
    kinds = [type(sent) for sent in world.sender.sent]
    assert kinds[0] is AttemptStarted
    assert kinds[-1] is RecordOutcome
    assert kinds.count(RenewLease) in (3, 4, 5)
    await asyncio.sleep(0.2)
    assert type(world.sender.sent[-1]) is RecordOutcome


async def test_nothing_runs_past_its_deadline(world: World) -> None:
    soon_ms = time.time_ns() // 1_000_000 + 200
    await world.runner_with(SlowEngine(30)).run(item(run_until_ms=soon_ms))
    assert isinstance(world.outcome, Failed)
    assert world.outcome.reason == "run-deadline"


async def test_an_item_delivered_twice_runs_once_at_a_time(world: World) -> None:
    engine = SlowEngine(0.05)
    runner = world.runner_with(engine)
    await asyncio.gather(*(runner.run(item()) for _ in range(5)))
    assert engine.most == 1
    assert isinstance(world.outcome, Succeeded)


async def test_lost_commands_stop_nobody(world: World) -> None:
    world.sender.dropped = {AttemptStarted}
    await world.runner.run(item())
    assert isinstance(world.outcome, Succeeded)


async def test_a_result_has_the_format_that_its_model_wants(world: World, picture: bytes) -> None:
    await world.runner.run(upscale(await world.asset(picture), model="real-esrgan", product="ai-image"))
    assert isinstance(world.outcome, Succeeded)
    assert (world.outcome.result.format, world.outcome.result.width) == ("webp", 120)
    stored = await world.store.get(world.outcome.result.key, world.outcome.result.sha256)
    assert stored[8:12] == b"WEBP"

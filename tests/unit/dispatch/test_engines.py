"""Which engine serves an attempt, what its outcome tells of that, and how suspects run."""

import asyncio
import io
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec
import numpy as np
import pytest
from PIL import Image

from infra.sealing.cipher import seal
from infra.sealing.content import JOB, JobSecrets, encode_secrets
from infra.triton.engine import (
    Engine,
    EngineCrashed,
    EngineUnavailable,
    MemoryEngine,
    PermanentFailure,
    Tensors,
    TransientFailure,
    request_id,
)
from infra.triton.quarantine import LocalExclusive
from processors.dispatch.engines import Gates, gravest
from processors.dispatch.secrets import Erased, texts_of
from schemas.commands import EngineRun, Failed, PassedOver, SealedPart, StoredObject, Succeeded
from schemas.work import WorkItem
from tests.unit.dispatch.world import World, card, enlarge_plainly, item, upscale

LANCZOS = "classical_lanczos"


def crash(_: Tensors) -> Tensors:
    raise EngineCrashed("died")


def away(_: Tensors) -> Tensors:
    raise EngineUnavailable("refused", "breaker-open")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def picture() -> bytes:
    target = io.BytesIO()
    Image.fromarray(np.random.default_rng(5).integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(target, "PNG")
    return target.getvalue()


async def test_an_outcome_names_its_engine_and_the_request(world: World) -> None:
    asked: list[str] = []

    def model(inputs: Tensors) -> Tensors:
        asked.append(request_id.get())
        return card(inputs)

    world.engine.models["sandbox_echo"] = model
    await world.runner.run(item())
    assert isinstance(world.outcome, Succeeded)
    assert world.outcome.run == EngineRun("sandbox_echo", "1", "job_1/1")
    assert asked == ["job_1/1"]


async def test_a_second_engine_steps_in_and_the_trail_says_why(world: World, picture: bytes) -> None:
    world.engine.models |= {"classical_upscale": away, LANCZOS: enlarge_plainly}
    await world.runner.run(upscale(await world.asset(picture)))
    assert isinstance(world.outcome, Succeeded)
    passed = (PassedOver("classical_upscale", "1", "breaker-open"),)
    assert world.outcome.run == EngineRun(LANCZOS, "1", "job_1/1", passed)
    assert set(world.engine.calls) == {"classical_upscale", LANCZOS}

    world.engine.models["classical_upscale"] = enlarge_plainly
    world.sender.records.clear()
    await world.runner.run(upscale(await world.asset(picture), job="job_2"))
    assert isinstance(world.outcome, Succeeded)
    assert world.outcome.run == EngineRun("classical_upscale", "1", "job_2/1")


async def test_no_engine_left_is_told_with_the_whole_trail(world: World, picture: bytes) -> None:
    world.engine.models |= {"classical_upscale": away, LANCZOS: away}
    await world.runner.run(upscale(await world.asset(picture)))
    assert isinstance(world.outcome, Failed)
    assert world.outcome.cause == "engine-unavailable"
    assert world.outcome.run is not None
    assert [passed.engine for passed in world.outcome.run.passed_over] == ["classical_upscale", LANCZOS]


async def test_a_crash_is_suspicion_and_no_reason_to_ask_the_second_engine(world: World, picture: bytes) -> None:
    world.engine.models |= {"classical_upscale": crash, LANCZOS: enlarge_plainly}
    await world.runner.run(upscale(await world.asset(picture)))
    assert isinstance(world.outcome, Failed)
    assert (world.outcome.cause, world.outcome.reason) == ("engine-crashed", "engine-crashed")
    assert LANCZOS not in world.engine.calls


class MemoryQuarantine:
    """Another engine in memory, claimed by one at a time."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.claim, self.loaded = engine, LocalExclusive(), list[str]()

    @asynccontextmanager
    async def alone(self, model: str, wait_s: float) -> AsyncGenerator[Engine]:
        async with self.claim.held("quarantine", wait_s):
            self.loaded.append(model)
            yield self.engine


@pytest.mark.parametrize("with_server", [True, False])
async def test_only_a_crash_alone_is_the_jobs_own_failure(world: World, with_server: bool) -> None:
    engine = MemoryEngine({"sandbox_echo": crash})
    quarantine = MemoryQuarantine(engine) if with_server else None
    runner = world.runner_with(world.engine if with_server else engine, quarantine)
    await runner.run(item(quarantine=True))
    assert isinstance(world.outcome, Failed)
    assert (world.outcome.cause, world.outcome.reason) == ("permanent", "crashes-engine")
    assert world.outcome.run == EngineRun("sandbox_echo", "1", "job_1/1")
    assert world.engine.calls == []
    world.sender.records.clear()
    engine.models["sandbox_echo"] = card
    await runner.run(item(job="job_2", quarantine=True))
    assert isinstance(world.outcome, Succeeded)
    assert quarantine is None or quarantine.loaded == ["sandbox_echo", "sandbox_echo"]


async def test_a_quarantine_that_is_away_costs_nothing_and_is_not_asked_again_at_once(world: World) -> None:
    engine = MemoryEngine({})
    await world.runner_with(world.engine, MemoryQuarantine(engine)).run(item(quarantine=True))
    assert isinstance(world.outcome, Failed)
    assert world.outcome.cause == "engine-unavailable"
    assert engine.calls == ["sandbox_echo"]


async def test_who_wants_to_be_alone_waits_for_those_inside_and_holds_up_those_who_come() -> None:
    gates, order = Gates(), list[str]()

    async def shared(name: str, until: asyncio.Event) -> None:
        async with gates.shared("upscale"):
            order.append(name)
            await until.wait()

    async def alone() -> None:
        async with gates.exclusive("upscale"):
            order.append("alone")

    first_may_go, second_may_go = asyncio.Event(), asyncio.Event()
    second_may_go.set()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(shared("first", first_may_go))
        await asyncio.sleep(0)
        tasks.create_task(alone())
        await asyncio.sleep(0)
        tasks.create_task(shared("second", second_may_go))
        await asyncio.sleep(0.01)
        async with gates.shared("another model"):
            assert order == ["first"]
        first_may_go.set()
    assert order == ["first", "alone", "second"]


def test_of_several_failures_the_one_that_says_most_counts() -> None:
    crashed, unavailable, other = EngineCrashed("x"), EngineUnavailable("x"), TransientFailure("x")
    nested = ExceptionGroup("inner", [other, crashed])
    assert gravest(ExceptionGroup("tiles", [unavailable, nested])) is crashed
    assert gravest(ExceptionGroup("tiles", [other, unavailable])) is unavailable
    assert gravest(ExceptionGroup("tiles", [unavailable, PermanentFailure("x")])).args == ("x",)
    assert gravest(other) is other


async def sealed_prompt(world: World, **texts: str) -> str:
    key = await world.ring.key_for("acct_a")
    return seal(key, "acct_a", JOB, encode_secrets(JobSecrets(texts=texts)))


async def test_sealed_texts_are_opened_from_the_item_or_from_its_part_of_an_object(world: World) -> None:
    sealed = await sealed_prompt(world, prompt="a lake")
    assert await texts_of(item(sealed=sealed), world.opener, world.store) == {"prompt": "a lake"}
    packed = b"other" + sealed.encode() + b"other"
    await world.store.put("acct_a/in_1", packed, "application/octet-stream")
    part = item(sealed_at=SealedPart("acct_a/in_1", 5, len(sealed)))
    assert await texts_of(part, world.opener, world.store) == {"prompt": "a lake"}
    assert await texts_of(item(), world.opener, world.store) == {}


async def test_what_cannot_be_opened_any_more_says_so(world: World) -> None:
    sealed = await sealed_prompt(world, prompt="a lake")
    gone = item(sealed_at=SealedPart("acct_a/in_1", 0, 10))
    other = item(sealed=sealed, account="acct_b")
    for broken in (gone, other, item(sealed=sealed[:-4]), item(sealed="nonsense")):
        with pytest.raises(Erased):
            await texts_of(broken, world.opener, world.store)
    world.keys.erase("acct_a")
    fresh = World()
    fresh.keys.erase("acct_a")
    with pytest.raises(Erased, match="were erased"):
        await texts_of(item(sealed=sealed), fresh.opener, fresh.store)


def generated(**changes: object) -> WorkItem:
    drawn = {"model": "procedural/image", "engine": "procedural", "params": {"size": "512x512", "seed": 1}}
    return item(**{**drawn, **changes})


async def test_a_prompt_reaches_the_engine_and_an_erased_one_ends_the_job(world: World) -> None:
    told: list[dict[str, object]] = []

    def draw(inputs: Tensors) -> Tensors:
        told.append(msgspec.json.decode(inputs["REQUEST"][0])["params"])
        return {"PIXELS": np.zeros((1, 512, 512, 3), np.uint8)}

    world.engine.models["procedural"] = draw
    await world.runner.run(generated(sealed=await sealed_prompt(world, prompt="a lake at night")))
    assert isinstance(world.outcome, Succeeded)
    assert told[0]["prompt"] == "a lake at night"
    world.sender.records.clear()
    elsewhere = await sealed_prompt(World(), prompt="a lake at night")
    await world.runner.run(generated(job="job_2", sealed=elsewhere))
    assert isinstance(world.outcome, Failed)
    assert (world.outcome.cause, world.outcome.reason) == ("permanent", "erased")
    assert len(told) == 1


async def test_a_mask_is_fetched_and_handed_on(world: World, picture: bytes) -> None:
    source = await world.asset(picture)
    mask = await world.store.put("acct_a/asset_2", picture, "image/png")
    painted = StoredObject(mask.key, mask.size, mask.sha256, "png", 60, 40)
    of_model = {"model": "classical/inpaint", "params": {}, "mask": painted}
    seen: list[bool] = []

    def fill(inputs: Tensors) -> Tensors:
        seen.append("MASK" in inputs)
        return {"PIXELS": inputs["PIXELS"]}

    world.engine.models["classical_filters"] = fill
    await world.runner.run(upscale(source, **of_model))
    assert isinstance(world.outcome, Succeeded), world.outcome
    assert seen
    assert all(seen)

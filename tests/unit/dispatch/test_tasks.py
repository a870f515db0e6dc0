"""`perform`, with engines that are plain functions: what they are sent, how their answers are put together."""

import json
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from infra.triton.engine import PermanentFailure, Tensors, TransientFailure
from processors.dispatch.inpainting import MARGIN, PIECE, in_turn, pieces
from processors.dispatch.pixels import Clip, Pixels
from processors.dispatch.tasks import GUIDE_EDGE, Product, first_failure, guide_of, perform, samples_of
from processors.dispatch.tiles import Tile, reduced
from schemas.catalogue import Entry, ResultSize, ValidParams, fallback
from schemas.plans import CostRule
from tests.unit.dispatch.world import CATALOGUE

Array = NDArray[np.uint8]
RANDOM = np.random.default_rng(7)


def entry(slug: str, **changes: object) -> Entry:
    found = CATALOGUE.entry(slug)
    assert found is not None
    return msgspec.structs.replace(found, **changes)


def noise(height: int, width: int, channels: int = 3) -> Array:
    return RANDOM.integers(0, 256, (height, width, channels), dtype=np.uint8)


class Recorder:
    """An engine that is a function, and what it was sent."""

    def __init__(self, answer: Callable[[Tensors], Array]) -> None:
        self.answer, self.sent = answer, list[tuple[str, Tensors]]()

    async def call(self, engine: str, inputs: Tensors) -> Tensors:
        self.sent.append((engine, inputs))
        return {"PIXELS": self.answer(inputs)}

    @property
    def requests(self) -> list[dict[str, object]]:
        return [json.loads(inputs["REQUEST"][0]) for _, inputs in self.sent]

    async def run(
        self,
        model: Entry,
        params: dict[str, object],
        source: Array | None = None,
        mask: Array | None = None,
        **texts: str,
    ) -> Product:
        given = None if source is None else Pixels.of(source)
        veil = None if mask is None else Pixels.of(np.repeat(mask[..., None], 3, -1))
        return await perform(self.call, model, 1, params, texts, given, veil)  # type: ignore[arg-type]


def inner(inputs: Tensors) -> Array:
    halo = json.loads(inputs["REQUEST"][0]).get("halo", 0)
    return inputs["PIXELS"][halo:-halo, halo:-halo] if halo else inputs["PIXELS"]


def box_blur(inputs: Tensors) -> Array:
    """The mean of 5x5 pixels: looks 2 pixels far."""
    halo = json.loads(inputs["REQUEST"][0])["halo"]
    wide = inputs["PIXELS"].astype(np.int64)
    height, width = wide.shape[0] - 2 * halo, wide.shape[1] - 2 * halo
    views = [
        wide[halo + y : halo + y + height, halo + x : halo + x + width] for y in range(-2, 3) for x in range(-2, 3)
    ]
    return np.asarray(np.sum(views, axis=0) // 25, np.uint8)


async def test_tiles_join_to_what_the_whole_would_be(monkeypatch: pytest.MonkeyPatch) -> None:
    picture, model = noise(300, 530), entry("classical/stylize")
    tiled = await Recorder(box_blur).run(model, {"style": "oil"}, picture)
    monkeypatch.setattr("processors.dispatch.tasks.tiles", lambda width, height: [Tile(0, 0, width, height)])
    whole = await Recorder(box_blur).run(model, {"style": "oil"}, picture)
    assert isinstance(tiled, Pixels)
    assert isinstance(whole, Pixels)
    assert (tiled.array == whole.array).all()


async def test_an_engine_sees_a_tile_a_small_guide_and_what_was_asked() -> None:
    engine = Recorder(inner)
    made = await engine.run(entry("classical/stylize", fixed={"calm": 1}), {"style": "flat"}, noise(700, 1100))
    assert isinstance(made, Pixels)
    assert (made.width, made.height) == (1100, 700)
    assert {name for name, _ in engine.sent} == {"classical_filters"}
    assert len(engine.sent) == 3 * 5
    last = engine.requests[-1]
    assert last["operation"] == "stylize"
    assert last["params"] == {"calm": 1, "style": "flat"}
    assert (last["size"], last["box"], last["halo"]) == ([1100, 700], [1024, 512, 76, 188], 48)
    for _, inputs in engine.sent:
        assert max(inputs["GUIDE"].shape) <= GUIDE_EDGE
        assert max(inputs["PIXELS"].shape) <= 256 + 96


async def test_a_filter_may_add_alpha_or_enlarge() -> None:
    def opaque(inputs: Tensors) -> Array:
        tile = inner(inputs)
        return np.dstack([tile, np.full(tile.shape[:2], 9, np.uint8)])

    made = await Recorder(opaque).run(entry("classical/background"), {}, noise(40, 300))
    assert isinstance(made, Pixels)
    assert made.channels == 4
    assert (made.array[..., 3] == 9).all()
    doubled = entry("classical/stylize", result=ResultSize(factor=2))
    large = await Recorder(lambda inputs: inner(inputs).repeat(2, 0).repeat(2, 1)).run(doubled, {}, noise(30, 300))
    assert isinstance(large, Pixels)
    assert (large.width, large.height) == (600, 60)


@pytest.mark.parametrize("answer", [lambda _: np.zeros((1, 1, 3), np.uint8), lambda i: inner(i).astype(np.float32)])
async def test_a_wrong_answer_is_a_failure_that_may_pass(answer: Callable[[Tensors], Array]) -> None:
    with pytest.raises((TransientFailure, ExceptionGroup)) as caught:
        await Recorder(answer).run(entry("classical/stylize"), {"style": "oil"}, noise(300, 300))
    assert isinstance(first_failure(caught.value), TransientFailure)


UNFIT: dict[str, Callable[[Array], Tensors]] = {
    "not a number": lambda pixels: {"PIXELS": np.full(pixels.shape, np.nan, np.float32)},
    "other axes": lambda pixels: {"PIXELS": np.swapaxes(pixels, -1, -2)},
    "a row too few": lambda pixels: {"PIXELS": pixels[..., 1:, :, :]},
    "two of them": lambda pixels: {"PIXELS": np.stack([pixels, pixels])},
    "one value": lambda _: {"PIXELS": np.array(7, np.uint8)},
    "nothing": lambda _: {},
}


@pytest.mark.parametrize("unfit", UNFIT)
@pytest.mark.parametrize("slug", [model.slug for model in CATALOGUE.models if model.task == "card"])
async def test_a_card_is_made_of_its_own_shape_alone(slug: str, unfit: str) -> None:
    model = entry(slug)
    fit = np.zeros((1, 64, 64, 3) if model.batched else (64, 64, 3), np.uint8)

    async def answer(_: str, __: Tensors) -> Tensors:
        return UNFIT[unfit](fit)

    names = [source.partition(".")[2] for source in model.tensors.values() if source.startswith("params.")]
    params: ValidParams = dict.fromkeys(names, 1)
    with pytest.raises(TransientFailure, match="the engine answered"):
        await perform(answer, model, 1, params, {}, None, None)


async def test_texts_travel_to_the_engine_beside_the_parameters() -> None:
    engine = Recorder(lambda inputs: np.zeros((1, 256, 512, 3), np.uint8))
    made = await engine.run(entry("procedural/image"), {"size": "512x256", "seed": 3}, prompt="a secret wish")
    assert isinstance(made, Pixels)
    assert (made.width, made.height) == (512, 256)
    assert engine.requests[0]["params"] == {"size": "512x256", "seed": 3, "prompt": "a secret wish"}


async def test_a_video_is_asked_for_a_few_frames_at_a_time() -> None:
    def frames(inputs: Tensors) -> Array:
        asked = json.loads(inputs["REQUEST"][0])
        (width, height), params = asked["size"], asked["params"]
        numbers = np.arange(params["first"], params["first"] + params["count"], dtype=np.uint8)
        return np.broadcast_to(numbers[:, None, None, None], (params["count"], height, width, 3)).copy()

    engine = Recorder(frames)
    made = await engine.run(entry("procedural/video"), {"seconds": 2, "seed": 0}, noise(600, 1001), prompt="pan")
    assert isinstance(made, Clip)
    assert (made.width, made.height, made.count, made.fps) == (768, 460, 48, 24)
    assert made.frames[:, 5, 5, 0].tolist() == list(range(48))
    assert all(inputs["GUIDE"].shape == (460, 768, 3) for _, inputs in engine.sent)


async def test_what_is_not_masked_stays_byte_for_byte() -> None:
    def white(inputs: Tensors) -> Array:
        assert max(inputs["PIXELS"].shape) <= PIECE + 2 * MARGIN
        return np.where(inputs["MASK"][..., None] > 0, 255, inputs["PIXELS"] // 2).astype(np.uint8)

    picture, mask = noise(900, 1400), np.zeros((900, 1400), np.uint8)
    mask[100:140, 30:1390] = mask[600:850, 200:300] = 255
    engine = Recorder(white)
    made = await engine.run(entry("classical/inpaint"), {}, picture, mask, prompt="")
    assert isinstance(made, Pixels)
    assert (made.array[mask > 0] == 255).all()
    assert (made.array[mask == 0] == picture[mask == 0]).all()
    assert len(engine.sent) == 4
    untouched = await engine.run(entry("classical/inpaint"), {}, picture, np.zeros_like(mask), prompt="")
    assert isinstance(untouched, Pixels)
    assert (untouched.array == picture).all()


async def test_a_mask_over_everything_or_of_another_size_fails_for_good() -> None:
    for mask in (np.full((40, 60), 255, np.uint8), np.zeros((10, 10), np.uint8)):
        with pytest.raises(PermanentFailure):
            await Recorder(inner).run(entry("classical/inpaint"), {}, noise(40, 60), mask, prompt="")


def test_a_large_hole_grows_together_from_its_rim() -> None:
    hole = np.zeros((2000, 2000), np.bool_)
    hole[:1600, :1600] = True
    cut = pieces(hole)
    assert len(cut) == 16
    turns = in_turn(cut, hole)
    assert sorted(turns, key=lambda t: (t.top, t.left)) == sorted(cut, key=lambda t: (t.top, t.left))
    assert turns[-1] != Tile(1536, 1536, 64, 64)
    first = turns[0]
    assert max(first.left, first.top) == 1536


def test_guides_are_small_and_cells_are_true() -> None:
    picture = noise(1500, 2100)
    with Pixels.of(picture) as source:
        assert guide_of(source).shape == (366, 512, 3)
        samples = samples_of(source)
    assert samples.shape == (384, 384, 3)
    assert (samples[:32, :32] == picture[:32, :32]).all()
    assert (samples[-32:, -32:] == picture[1468:1500, 2068:2100]).all()


def test_reducing_strip_by_strip_is_reducing(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = noise(777, 901)
    whole = reduced(picture, 333, 257)
    monkeypatch.setattr("processors.dispatch.tiles._STRIP_PIXELS", 30_000)
    assert np.abs(reduced(picture, 333, 257).astype(int) - whole).max() <= 1


def test_a_second_engine_takes_the_same_task() -> None:
    other = fallback(entry("classical/upscale"))
    assert other is not None
    assert (other.engine, other.engine_version, other.task) == ("classical_lanczos", "1", "upscale")
    assert fallback(other) is None
    assert fallback(entry("classical/denoise")) is None
    assert CostRule(1) == other.cost

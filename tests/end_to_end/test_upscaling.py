"""`classical/upscale` on the real Triton: better than what everybody has, without seams, with its alpha."""

import resource
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from infra.settings import Settings
from infra.triton.client import TritonEngine, open_engine
from infra.triton.engine import PermanentFailure, Tensors
from infra.triton.training.fit import load_upscale
from processors.dispatch.pixels import Pixels
from processors.dispatch.tasks import perform
from processors.dispatch.tiles import HALO
from schemas.catalogue import Entry, parse_catalogue

ROOT = Path(__file__).parents[2]
PHOTOGRAPH = ROOT / "tests" / "photographs" / "coffee.png"
Array = NDArray[np.uint8]


@pytest.fixture
def entry() -> Entry:
    found = parse_catalogue((ROOT / "infra" / "catalogue.toml").read_bytes()).entry("classical/upscale")
    assert found is not None
    return found


@pytest.fixture
async def engine(triton: Settings) -> AsyncIterator[TritonEngine]:
    async with open_engine(triton.triton_urls) as opened:
        yield opened


async def enlarge(engine: TritonEngine, entry: Entry, source: Pixels, scale: int) -> Pixels:
    async def call(name: str, inputs: Tensors) -> Tensors:
        return await engine.infer(name, entry.engine_version, inputs, 120)

    made = await perform(call, entry, 1, {"scale": scale}, {}, source, None)
    assert isinstance(made, Pixels)
    return made


async def upscaled(engine: TritonEngine, entry: Entry, picture: Array, scale: int) -> Array:
    with Pixels.of(picture) as source:
        result = await enlarge(engine, entry, source, scale)
    with result:
        return result.array.copy()


def psnr(one: Array, other: Array) -> float:
    inner = np.s_[16:-16, 16:-16]
    error = np.mean((one[inner].astype(float) - other[inner].astype(float)) ** 2)
    return float(10 * np.log10(255**2 / error))


@pytest.mark.parametrize("reduced", [Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BOX])
@pytest.mark.parametrize(("scale", "gain_db"), [(2, 0.75), (4, 0.35)])
async def test_a_photograph_comes_back_nearer_to_itself(
    engine: TritonEngine, entry: Entry, scale: int, gain_db: float, reduced: Image.Resampling
) -> None:
    original = Image.open(PHOTOGRAPH).convert("RGB")
    small = original.resize((original.width // scale, original.height // scale), reduced)
    ours = await upscaled(engine, entry, np.asarray(small), scale)
    wanted = np.asarray(original)
    plain = max(
        psnr(np.asarray(small.resize(original.size, how)), wanted)
        for how in (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
    )
    assert psnr(ours, wanted) > plain + gain_db


@pytest.mark.parametrize("scale", [2, 4])
async def test_a_flat_picture_stays_flat_over_all_tiles(engine: TritonEngine, entry: Entry, scale: int) -> None:
    flat = np.full((300, 530, 3), (13, 200, 77), np.uint8)
    ours = await upscaled(engine, entry, flat, scale)
    assert ours.shape == (300 * scale, 530 * scale, 3)
    assert np.abs(ours.astype(int) - (13, 200, 77)).max() <= 1


async def test_an_edge_gets_no_halo(engine: TritonEngine, entry: Entry) -> None:
    picture = np.full((80, 80, 3), 60, np.uint8)
    picture[:, 40:] = 190
    ours = await upscaled(engine, entry, picture, 2)
    assert ours.min() >= 60 - 15
    assert ours.max() <= 190 + 15
    assert (np.diff(ours[80, :, 0].astype(int)) >= -15).all()


async def test_what_transparency_hides_does_not_bleed(engine: TritonEngine, entry: Entry) -> None:
    picture = np.zeros((64, 64, 4), np.uint8)
    picture[..., 0] = 255  # red everywhere, but hidden on the left
    picture[:, 32:] = (0, 0, 255, 255)
    ours = await upscaled(engine, entry, picture, 2)
    visible = ours[ours[..., 3] > 8]
    assert visible[:, 0].max() <= 8
    assert visible[:, 2].min() >= 235
    assert ours[:, :56, 3].max() == 0
    assert ours[:, 72:, 3].min() == 255


async def test_alpha_of_an_opaque_picture_changes_nothing(engine: TritonEngine, entry: Entry) -> None:
    picture = np.asarray(Image.open(PHOTOGRAPH).convert("RGB"))[:100, :100]
    opaque = np.dstack([picture, np.full((100, 100), 255, np.uint8)])
    ours = await upscaled(engine, entry, opaque, 2)
    assert (ours[..., :3] == await upscaled(engine, entry, picture, 2)).all()
    assert (ours[..., 3] == 255).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (257, 3), (256, 256)])
async def test_odd_sizes_are_fine(engine: TritonEngine, entry: Entry, size: tuple[int, int]) -> None:
    picture = np.random.default_rng(4).integers(0, 255, (*size, 3), dtype=np.uint8)
    assert (await upscaled(engine, entry, picture, 2)).shape == (size[0] * 2, size[1] * 2, 3)


def test_512_pixels_a_side_take_well_under_a_second_of_one_core() -> None:
    upscale = load_upscale()
    bank = upscale.load_banks(Path(upscale.__file__ or "").with_name("filters.npz"))[2]
    picture = np.asarray(Image.open(PHOTOGRAPH).convert("RGB").resize((512 + 2 * HALO, 512 + 2 * HALO)))
    began = time.process_time()
    upscale.upscale_tile(picture, bank, 2)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("shape", "scale"), [((40, 40, 3), 3), ((40, 40, 2), 2), ((2 * HALO, 40, 3), 2), ((1100, 40, 3), 2)]
)
async def test_what_no_tile_can_be_fails_for_good(
    engine: TritonEngine, entry: Entry, shape: tuple[int, int, int], scale: int
) -> None:
    inputs: Tensors = {"PIXELS": np.zeros(shape, np.uint8), "SCALE": np.array([scale], np.int32)}
    with pytest.raises(PermanentFailure):
        await engine.infer(entry.engine, entry.engine_version, inputs, 30)


async def test_a_large_picture_stays_within_bounded_memory(engine: TritonEngine, entry: Entry) -> None:
    """The result lies in shared memory; our own share does not grow with it."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    picture = np.tile(np.asarray(Image.open(PHOTOGRAPH).convert("RGB")), (3, 3, 1))
    with Pixels.of(picture) as source:
        result = await enlarge(engine, entry, source, 4)
    with result:
        assert (result.width, result.height) == (7200, 4800)
        small = Image.fromarray(result.array[:1600, :2400]).resize((600, 400), Image.Resampling.BOX)
    assert psnr(np.asarray(small), picture[:400, :600]) > 35
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mib < 150

"""What the documented slugs ask of engines beyond Darkroom's own models, measured on the real Triton."""

from collections.abc import AsyncIterator

import numpy as np
import pytest
from PIL import Image

from infra.settings import Settings
from infra.triton.client import TritonEngine, open_engine
from infra.triton.engine import PermanentFailure, Tensors
from processors.dispatch.tiles import Tile
from tests.gallery import pictures
from tests.gallery.engines import Array, Engines, psnr

CHEEK, WALL = np.s_[200:225, 258:275], np.s_[20:120, 20:120]
"""Places in the drawn portrait."""


@pytest.fixture
async def engine(triton: Settings) -> AsyncIterator[TritonEngine]:
    async with open_engine(triton.triton_urls) as opened:
        yield opened


@pytest.fixture
def engines(engine: TritonEngine) -> Engines:
    return Engines(engine)


@pytest.fixture(scope="module")
def photograph() -> Array:
    return pictures.photograph()


@pytest.fixture(scope="module")
def large(photograph: Array) -> Array:
    """Wider than the first tier's edge, a little soft."""
    image = Image.fromarray(photograph).resize((1200, 800), Image.Resampling.BICUBIC)
    return np.asarray(image.crop((0, 200, 1200, 600)))


def steepness(picture: Array) -> float:
    """The mean step from pixel to pixel along the clearest twentieth of all rows' edges."""
    steps = np.sort(np.abs(np.diff(picture[..., :3].astype(int), axis=1)).ravel())
    return float(steps[-steps.size // 20 :].mean())


@pytest.mark.parametrize("second", [False, True])
async def test_an_enhancement_at_its_own_size_is_clearer(engines: Engines, large: Array, second: bool) -> None:
    made = await engines.picture("enhance", large, second=second, tier="TIER_1K")
    assert made.shape == large.shape
    assert steepness(made) > 1.15 * steepness(large)
    assert psnr(made, large) > 25, "it is still the same picture"


async def test_an_enhancement_calms_faint_noise_where_nothing_else_is(engines: Engines) -> None:
    noise = np.random.default_rng(4).normal(0, 2, (300, 1100, 1))
    faint = np.clip(np.full((300, 1100, 3), 120) + noise + 0.5, 0, 255).astype(np.uint8)
    assert (await engines.picture("enhance", faint, tier="TIER_1K")).std() < 0.8 * faint.std()


@pytest.mark.parametrize("second", [False, True])
async def test_a_tiny_picture_reaches_the_largest_tier(engines: Engines, photograph: Array, second: bool) -> None:
    tiny = np.asarray(Image.fromarray(photograph).resize((60, 40), Image.Resampling.BOX))
    made = await engines.picture("enhance", tiny, second=second, tier="TIER_4K")
    assert made.shape == (2731, 4096, 3)
    back = np.asarray(Image.fromarray(made).resize((60, 40), Image.Resampling.BOX))
    assert psnr(back, tiny) > 20


@pytest.mark.parametrize("tier", ["TIER_1K", "TIER_2K"])
async def test_an_enhancement_leaves_no_seam(
    engines: Engines, large: Array, tier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = pictures.noisy(large[:, :1024], 7)
    tiled = await engines.picture("enhance", wide, tier=tier)
    monkeypatch.setattr("processors.dispatch.enlarging.tiles", lambda width, height: [Tile(0, 0, width, height)])
    assert (await engines.picture("enhance", wide, tier=tier) == tiled).all()


async def test_what_transparency_hides_is_no_detail(engines: Engines, large: Array) -> None:
    clear = np.dstack([large, np.full(large.shape[:2], 255, np.uint8)])
    clear[:, :600] = 0
    for second in (False, True):
        made = await engines.picture("enhance", clear, second=second, tier="TIER_1K")
        assert (made[..., 3] == clear[..., 3]).all()
        assert (made[:, :602] == clear[:, :602]).all(), "nothing changes beside what is hidden"
        assert steepness(made[:, 610:, :3]) > 1.15 * steepness(clear[:, 610:, :3])


async def test_faces_are_worked_on_where_that_was_asked(engines: Engines) -> None:
    face = pictures.portrait()
    spared, worked = [await engines.picture("gfpgan", face, face_enhance=wish) for wish in (False, True)]
    assert worked[CHEEK][..., 1].std() < 0.9 * face[CHEEK][..., 1].std(), "skin is calmed"
    assert spared[CHEEK][..., 1].std() > 0.98 * face[CHEEK][..., 1].std(), "skin is left alone"
    assert steepness(worked) > steepness(spared) > 1.05 * steepness(face)
    gentle = await engines.picture("codeformer", face, face_enhance=True)
    assert psnr(gentle, face) > psnr(worked, face) + 0.5


@pytest.mark.parametrize("slug", ["gfpgan", "enhancement"])
async def test_a_plain_unsharp_mask_takes_the_place_of_sharpening(
    engines: Engines, photograph: Array, slug: str
) -> None:
    opaque = np.dstack([photograph, np.full(photograph.shape[:2], 255, np.uint8)])
    for source in (photograph, opaque):
        made = await engines.picture(slug, source, second=True)
        assert made.shape == source.shape
        assert steepness(made) > 1.15 * steepness(source)


async def test_guidance_and_what_is_not_wanted_change_a_restyled_picture(engines: Engines, photograph: Array) -> None:
    async def restyled(guidance: int = 75, steps: int = 30, negative_prompt: str = "") -> Array:
        return await engines.picture(
            "sdxl-img2img",
            photograph,
            prompt="an oil painting of a cold winter",
            guidance=guidance,
            steps=steps,
            negative_prompt=negative_prompt,
        )

    plain = await restyled()
    assert (await restyled(steps=50) == plain).all()
    low, high = await restyled(guidance=10), await restyled(guidance=200)
    blueness = [float(made[..., 2].mean()) - float(made[..., 0].mean()) for made in (low, plain, high)]
    assert blueness[0] + 5 < blueness[1] < blueness[2] - 5
    assert psnr(await restyled(negative_prompt="oil"), plain) < 30
    warm = await restyled(negative_prompt="winter, cold")
    assert float(warm[..., 2].mean()) < float(plain[..., 2].mean()) - 5


@pytest.mark.parametrize("style", ["natural", "vivid"])
async def test_high_definition_is_the_same_scene_with_more_detail(engines: Engines, style: str) -> None:
    wish = "winter cabin in the mountains"
    plain, fine = [
        await engines.picture(slug, prompt=wish, seed=3, provider_style=style) for slug in ("dall-e-3", "dall-e-3-hd")
    ]
    assert steepness(fine) > 1.4 * steepness(plain)
    small = [np.asarray(Image.fromarray(made).resize((64, 64), Image.Resampling.BOX)) for made in (plain, fine)]
    assert psnr(*small) > 24


async def test_the_style_that_is_drawn_is_the_providers(engines: Engines) -> None:
    async def draw(style: str, provider_style: str, slug: str = "imagen-3") -> Array:
        return await engines.picture(slug, prompt="sea", style=style, provider_style=provider_style)

    assert (await draw("artistic", "vivid", "dall-e-3") == await draw("vivid", "vivid")).all()
    assert psnr(await draw("artistic", "artistic"), await draw("artistic", "vivid")) < 35


async def test_what_an_engine_cannot_do_fails_for_good(engine: TritonEngine) -> None:
    tile, one = np.zeros((40, 40, 3), np.uint8), np.array([1], np.int32)
    asked = np.array([b'{"operation": "restyle", "params": {}, "size": [8, 8], "halo": 4}'], np.object_)
    wrong: list[tuple[str, Tensors]] = [
        ("classical_plain", {"REQUEST": asked, "PIXELS": tile}),
        ("classical_upscale", {"PIXELS": tile, "SCALE": one, "ENHANCE": np.array([101], np.int32)}),
        ("classical_upscale", {"PIXELS": tile[:32], "SCALE": one, "ENHANCE": one}),
        ("classical_lanczos", {"PIXELS": tile[:32], "SCALE": one, "ENHANCE": one}),
    ]
    for model, inputs in wrong:
        with pytest.raises(PermanentFailure):
            await engine.infer(model, "1", inputs, 20)

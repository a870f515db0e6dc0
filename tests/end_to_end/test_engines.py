"""Every other engine on the real Triton: does it do what its name says, measured where it can be, without seams."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from infra.settings import Settings
from infra.triton.client import TritonEngine, open_engine
from infra.triton.engine import PermanentFailure, Tensors, TransientFailure
from processors.dispatch.media_pool import open_media_pool
from processors.dispatch.pixels import Clip
from processors.dispatch.tasks import first_failure
from processors.dispatch.tiles import Tile
from tests.gallery import pictures
from tests.gallery.engines import Array, Engines, catalogue, entry_of, psnr
from tests.gallery.memory import BOUND_MIB, watched
from tests.servers import LocalServers, Servers

DOCUMENTED_SIZES = ("256x256", "512x512", "1024x1024", "1792x1024", "1024x1792")


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


async def test_noise_goes_and_the_photograph_stays(engines: Engines, photograph: Array) -> None:
    noisy = pictures.noisy(photograph, 20)
    calm = await engines.picture("classical/denoise", noisy)
    halved = (
        Image.fromarray(noisy).resize((300, 200), Image.Resampling.BICUBIC).resize((600, 400), Image.Resampling.BICUBIC)
    )
    assert psnr(calm, photograph) > psnr(noisy, photograph) + 7
    assert psnr(calm, photograph) > psnr(np.asarray(halved), photograph) + 1.5
    clean = np.asarray(Image.fromarray(photograph).resize((300, 200), Image.Resampling.BOX))
    assert psnr(await engines.picture("classical/denoise", clean), clean) > 34, "a clean picture is left nearly alone"


async def test_a_hole_is_filled_nearer_to_what_was_there(engines: Engines, photograph: Array) -> None:
    mask = pictures.hole(photograph)
    hidden = mask > 127
    holed = np.where(hidden[..., None], 255, photograph).astype(np.uint8)
    filled = await engines.picture("classical/inpaint", holed, mask)
    even = np.broadcast_to(photograph[~hidden].mean(0), photograph.shape)
    assert psnr(filled, photograph, hidden) > max(18.5, psnr(even, photograph, hidden) + 5)
    assert (filled[~hidden] == photograph[~hidden]).all()


async def test_texture_goes_on_through_a_hole(engines: Engines) -> None:
    """A diffusion would leave grey where stripes have to go on."""
    stripes = np.broadcast_to(
        (np.arange(240) // 6 % 2 * 200 + 20).astype(np.uint8)[None, :, None], (160, 240, 3)
    ).copy()
    mask = np.zeros((160, 240), np.uint8)
    mask[50:100, 90:150] = 255
    filled = await engines.picture(
        "classical/inpaint", np.where(mask[..., None] > 0, 0, stripes).astype(np.uint8), mask
    )
    assert psnr(filled, stripes, mask > 0) > 20


async def test_an_old_photograph_comes_back(engines: Engines, photograph: Array) -> None:
    faded = pictures.faded(photograph)
    old = pictures.scratched(faded)
    restored = await engines.picture("classical/restore", old)
    assert psnr(restored, photograph) > psnr(old, photograph) + 4
    filled = await engines.picture("classical/restore", old, fading=False)
    touched = (old != faded).any(-1)
    assert psnr(filled, faded, touched) > psnr(old, faded, touched) + 6
    toned = await engines.picture("classical/restore", faded, scratches=False)
    assert toned.std() > faded.std() * 1.4


async def test_colours_come_and_brightness_stays(engines: Engines, photograph: Array) -> None:
    grey = pictures.grey(photograph)
    for palette, warm in (("natural", True), ("sepia", True), ("ocean", False)):
        coloured = await engines.picture("classical/colorize", grey, palette=palette)
        difference = float(coloured[..., 0].mean()) - float(coloured[..., 2].mean())
        assert difference > 15 if warm else difference < -15
        assert psnr(pictures.grey(coloured), grey) > 24
    bare = await engines.picture("classical/colorize", grey, strength=0)
    assert np.ptp(bare.astype(int), axis=-1).max() <= 2


async def test_styles_differ_and_the_flat_one_has_few_colours(engines: Engines, photograph: Array) -> None:
    made = {
        style: await engines.picture("classical/stylize", photograph, style=style)
        for style in ("oil", "pencil", "flat")
    }
    assert psnr(made["oil"], made["flat"]) < 30
    assert np.ptp(made["pencil"].astype(int), axis=-1).max() < 12
    counts = np.unique(made["flat"].reshape(-1, 3) // 8, axis=0, return_counts=True)[1]
    assert np.sort(counts)[::-1][:14].sum() > 0.7 * counts.sum()


async def test_a_prompt_names_style_and_tint_and_strength_mixes(engines: Engines, photograph: Array) -> None:
    async def restyled(prompt: str, strength: int = 75) -> Array:
        return await engines.picture("classical/restyle", photograph, prompt=prompt, strength=strength)

    oil, cold = await restyled("an oil painting"), await restyled("an oil painting of a cold winter")
    assert cold[..., 2].mean() > oil[..., 2].mean() + 10
    assert psnr(oil, await restyled("a pencil sketch")) < 20
    assert (await restyled("whatever", 0) == photograph).all()
    assert psnr(await restyled("an oil painting", 30), photograph) > psnr(oil, photograph) + 5


async def test_sharpening_sharpens_and_faces_are_seen(engines: Engines, photograph: Array) -> None:
    soft = np.asarray(
        Image.fromarray(photograph)
        .resize((500, 333), Image.Resampling.BOX)
        .resize((600, 400), Image.Resampling.BICUBIC)
    )
    sharp = await engines.picture("classical/sharpen", soft, amount=60)
    assert np.abs(np.diff(sharp.astype(int), axis=1)).mean() > 1.2 * np.abs(np.diff(soft.astype(int), axis=1)).mean()
    face = pictures.portrait()
    plain, aware = [
        await engines.picture("classical/sharpen", face, mode=mode, amount=80) for mode in ("picture", "faces")
    ]
    cheek, wall = np.s_[200:225, 258:275], np.s_[20:120, 20:120]
    assert aware[cheek][..., 1].std() < 0.8 * plain[cheek][..., 1].std(), "skin is calmed"
    assert (aware[wall] == plain[wall]).all(), "what is no face is sharpened as ever"


async def test_the_background_goes_where_the_subject_stands_apart(engines: Engines, photograph: Array) -> None:
    cut = await engines.picture("classical/background", photograph)
    assert cut.shape == (400, 600, 4)
    assert cut[200, 300, 3] == 255
    assert cut[10, 10, 3] == cut[390, 590, 3] == cut[100, 550, 3] == 0
    with pytest.raises((PermanentFailure, ExceptionGroup)) as caught:
        await engines.picture("classical/background", np.full((80, 90, 3), 120, np.uint8))
    assert "no subject stands apart" in str(first_failure(caught.value))


@pytest.mark.parametrize(
    ("slug", "params"),
    [
        ("classical/denoise", {}),
        ("classical/restore", {}),
        ("classical/colorize", {}),
        ("classical/sharpen", {"mode": "faces"}),
        ("codeformer", {"face_enhance": True}),
        ("classical/restyle", {"prompt": "a blue comic"}),
        ("classical/background", {}),
        *(("classical/stylize", {"style": style}) for style in ("oil", "watercolor", "pencil", "ink", "flat")),
    ],
)
async def test_tiles_leave_no_seam(
    engines: Engines, photograph: Array, slug: str, params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiled = await engines.picture(slug, photograph, **params)
    monkeypatch.setattr("processors.dispatch.tasks.tiles", lambda width, height: [Tile(0, 0, width, height)])
    whole = await engines.picture(slug, photograph, **params)
    far = np.abs(tiled.astype(int) - whole).max(-1)
    assert (far > 2).mean() < 0.0005


@pytest.mark.parametrize("size", DOCUMENTED_SIZES)
async def test_pictures_are_drawn_at_every_documented_size(engines: Engines, size: str) -> None:
    made = await engines.picture("procedural/image", prompt="A beautiful sunset over mountains", size=size)
    assert f"{made.shape[1]}x{made.shape[0]}" == size
    assert made.std() > 25


async def test_a_prompt_a_seed_and_a_style_decide_the_picture(engines: Engines) -> None:
    async def draw(prompt: str, seed: int = 1, style: str = "natural") -> Array:
        return await engines.picture("procedural/image", prompt=prompt, size="256x256", seed=seed, style=style)

    first = await draw("a red car in the city")
    assert (first == await draw("a red car in the city")).all()
    others = [await draw("a blue car in the city"), await draw("a red car in the city", 2), await draw("zwei Katzen")]
    others += [
        await draw("a red car in the city", style=style) for style in ("vivid", "artistic", "photographic", "vector")
    ]
    assert all(psnr(first, other) < 35 for other in others)
    red, blue = await draw("red"), await draw("blue")
    assert red[..., 0].mean() - red[..., 2].mean() > blue[..., 0].mean() - blue[..., 2].mean() + 10


async def test_a_video_moves_and_plays(engines: Engines, photograph: Array) -> None:
    made = await engines.product(entry_of("procedural/video"), photograph, None, {"seconds": 2, "prompt": "zoom in"})
    assert isinstance(made, Clip)
    async with open_media_pool(1) as pool:
        with made:
            encoded = await pool.encode_clip(made, entry_of("procedural/video").label)
    with av.open(io.BytesIO(encoded.content), "r") as container:
        assert container.format.name.startswith("mov") == (encoded.format == "mp4")
        frames = [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in container.decode(video=0)]
    assert len(frames) == 48
    assert frames[0].shape == (400, 600, 3)
    steps = [float(np.abs(a.astype(int) - b).mean()) for a, b in pairwise(frames)]
    assert 0.05 < float(np.mean(steps)) < 12
    assert psnr(frames[0], frames[-1]) < 25
    assert Image.open(io.BytesIO(encoded.thumbnail)).size == (600, 400)


async def test_lanczos_takes_the_upscalers_place(engines: Engines, photograph: Array) -> None:
    small = np.asarray(Image.fromarray(photograph).resize((300, 200), Image.Resampling.LANCZOS))
    for scale in (2, 4):
        ours = await engines.picture("classical/upscale", small, second=True, scale=scale)
        theirs = np.asarray(Image.fromarray(small).resize((300 * scale, 200 * scale), Image.Resampling.LANCZOS))
        assert psnr(ours[32:-32, 32:-32], theirs[32:-32, 32:-32]) > 45
    clear = np.zeros((30, 30, 4), np.uint8)
    clear[..., 0] = 255
    clear[:, 15:] = (0, 0, 255, 255)
    large = await engines.picture("classical/upscale", clear, second=True, scale=2)
    assert large[large[..., 3] > 8][:, 0].max() <= 12, "what transparency hides does not bleed"


async def test_a_crash_takes_only_its_own_instance(engine: TritonEngine, engines: Engines) -> None:
    entry = entry_of("sandbox/crash")
    assert entry.deployments == ("local",)
    assert entry not in catalogue().of_deployment("production").models
    attempt: Tensors = {"ATTEMPT": np.array([1], np.int32)}
    for _ in range(2):
        with pytest.raises(Exception, match=r".+") as caught:
            await asyncio.wait_for(engine.infer(entry.engine, "1", attempt, 20), 25)
        assert not isinstance(caught.value, PermanentFailure)
    card = await engines.picture("classical/denoise", np.full((40, 40, 3), 7, np.uint8))
    assert (card == 7).all()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda inputs: {**inputs, "PIXELS": np.zeros((1500, 40, 3), np.uint8)},
        lambda inputs: {**inputs, "PIXELS": np.zeros((40, 40, 2), np.uint8)},
        lambda inputs: {
            **inputs,
            "REQUEST": np.array([b'{"operation": "magic", "params": {}, "size": [4, 4]}'], np.object_),
        },
    ],
)
async def test_what_no_filter_can_do_fails_for_good(engine: TritonEngine, spoil: Callable[[Tensors], Tensors]) -> None:
    asked = np.array([b'{"operation": "sharpen", "params": {}, "size": [8, 8], "halo": 4}'], np.object_)
    inputs: Tensors = {"REQUEST": asked, "PIXELS": np.zeros((16, 16, 3), np.uint8)}
    assert (await engine.infer("classical_filters", "1", inputs, 20))["PIXELS"].shape == (8, 8, 3)
    with pytest.raises(PermanentFailure):
        await engine.infer("classical_filters", "1", spoil(inputs), 20)
    with pytest.raises((PermanentFailure, TransientFailure)):
        await engine.infer("procedural", "1", {"REQUEST": asked}, 20)


async def test_triton_stays_small_whatever_the_picture(servers: Servers, engines: Engines, photograph: Array) -> None:
    """Tiles are all that it sees, so 2 megapixels show what 12 do (`python -m tests.gallery.memory`: 0.56 GB)."""
    if not isinstance(servers, LocalServers):
        return  # somebody else's processes cannot be looked at
    async with watched(servers.pid("triton")) as samples:
        for slug, params in (("classical/upscale", {"scale": 4}), ("classical/restore", {})):
            made = await engines.product(entry_of(slug), np.tile(photograph, (3, 3, 1)), None, params)
            made.close()
    assert max(samples) < BOUND_MIB

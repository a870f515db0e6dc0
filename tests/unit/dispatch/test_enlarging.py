"""Enlarging: which passes lead to a size, and what goes with the first one alone."""

import numpy as np
import pytest

from infra.triton.engine import Tensors
from processors.dispatch.enlarging import Pass, passes, pixels_at_most
from processors.dispatch.pixels import Pixels
from schemas.catalogue import Entry
from tests.unit.dispatch.test_tasks import Array, Recorder, entry, noise

HALOS = {True: 16, False: 8}
"""How far a tile looks beyond its edge, with the wish for detail and without."""


def plain(inputs: Tensors) -> Array:
    """Enlarge by repeating pixels."""
    scale, halo = int(inputs["SCALE"][0]), HALOS["ENHANCE" in inputs]
    return inputs["PIXELS"][halo:-halo, halo:-halo].repeat(scale, 0).repeat(scale, 1)


@pytest.mark.parametrize(
    ("own", "wanted", "steps"),
    [
        ((3000, 2000), (3000, 2000), [(1, 3000, 2000)]),
        ((600, 400), (1200, 800), [(2, 1200, 800)]),
        ((600, 400), (1024, 683), [(2, 1024, 683)]),
        ((600, 400), (2048, 1365), [(4, 2048, 1365)]),
        ((600, 400), (4096, 2731), [(2, 1024, 683), (4, 4096, 2731)]),
        ((48, 32), (4096, 2731), [(2, 64, 43), (4, 256, 171), (4, 1024, 683), (4, 4096, 2731)]),
        ((1, 1), (4096, 4096), [(4, 4, 4), (4, 16, 16), (4, 64, 64), (4, 256, 256), (4, 1024, 1024), (4, 4096, 4096)]),
    ],
)
def test_passes_lead_to_a_size(
    own: tuple[int, int], wanted: tuple[int, int], steps: list[tuple[int, int, int]]
) -> None:
    assert passes(own, wanted) == [Pass(scale, (width, height)) for scale, width, height in steps]


@pytest.mark.parametrize("own", [(1, 1), (7, 3), (48, 32), (99, 1), (1023, 300), (1025, 4096), (4000, 2666)])
@pytest.mark.parametrize("edge", [1024, 2048, 4096])
def test_every_pass_can_be_made_and_the_last_is_what_was_wanted(own: tuple[int, int], edge: int) -> None:
    grow = max(1.0, edge / max(own))
    wanted = (max(1, round(own[0] * grow)), max(1, round(own[1] * grow)))
    before = own
    for step in passes(own, wanted):
        assert step.size[0] <= before[0] * step.scale
        assert step.size[1] <= before[1] * step.scale
        before = step.size
    assert before == wanted
    assert wanted[0] * wanted[1] <= pixels_at_most(own, wanted) <= 4 * wanted[0] * wanted[1] + 16 * (sum(wanted) + 4)


async def enhanced(engine: Recorder, source: Array, tier: str) -> Array:
    made = await engine.run(entry("enhance"), {"tier": tier}, source)
    assert isinstance(made, Pixels)
    with made:
        return made.array.copy()


@pytest.mark.parametrize(
    ("side", "tier", "wanted", "calls"),
    [
        (48, "TIER_1K", 1024, [2, 4, 4]),
        (600, "TIER_1K", 1024, [2] * 6),
        (600, "TIER_4K", 4096, [2] * 6 + [4] * 8),
        (1500, "TIER_1K", 1500, [1] * 18),
        (1500, "TIER_2K", 2048, [2] * 18),
    ],
)
async def test_an_enhancement_reaches_its_tier_and_never_shrinks(
    side: int, tier: str, wanted: int, calls: list[int]
) -> None:
    engine = Recorder(plain)
    made = await enhanced(engine, np.full((side // 2, side, 3), 77, np.uint8), tier)
    assert made.shape == (wanted // 2, wanted, 3)
    assert (made == 77).all()
    assert [int(inputs["SCALE"][0]) for _, inputs in engine.sent] == calls


async def test_the_wish_for_detail_goes_with_the_first_pass_alone() -> None:
    engine = Recorder(plain)
    await enhanced(engine, noise(40, 60), "TIER_1K")
    wishes = [inputs.get("ENHANCE") for _, inputs in engine.sent]
    assert wishes[0] is not None
    assert wishes[0].tolist() == [60]
    assert len(wishes) > 2
    assert all(wish is None for wish in wishes[1:])


async def test_at_its_own_size_a_picture_is_still_worked_on() -> None:
    engine = Recorder(lambda inputs: 255 - plain(inputs))
    picture = noise(600, 1100)
    assert (await enhanced(engine, picture, "TIER_1K") == 255 - picture).all()
    assert [int(inputs["SCALE"][0]) for _, inputs in engine.sent] == [1] * 15


async def test_without_a_wish_a_picture_that_is_large_enough_needs_no_engine() -> None:
    engine, picture = Recorder(plain), noise(60, 1100)
    same: Entry = entry("enhance", tensors={}, halo=8)
    made = await engine.run(same, {"tier": "TIER_1K"}, picture)
    assert isinstance(made, Pixels)
    assert (made.array == picture).all()
    assert engine.sent == []


async def test_a_failure_in_a_later_pass_leaves_nothing_open() -> None:
    def failing(inputs: Tensors) -> Array:
        return plain(inputs) if "ENHANCE" in inputs else np.zeros((1, 1, 3), np.uint8)

    made: list[Pixels] = []
    blank = Pixels.blank

    def kept(width: int, height: int, channels: int) -> Pixels:
        made.append(blank(width, height, channels))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pixels, "blank", kept)
        with pytest.raises(ExceptionGroup):
            await enhanced(Recorder(failing), noise(40, 60), "TIER_1K")
    assert len(made) > 2
    assert [pixels.descriptor for pixels in made[1:]] == [-1] * (len(made) - 1), "the first is the test's own source"

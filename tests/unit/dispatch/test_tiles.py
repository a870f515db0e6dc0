"""Tiles cover a picture exactly once and carry their surroundings."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.triton.training.fit import load_upscale
from processors.dispatch.tiles import HALO, Tile, cut, place, tiles

sides = st.integers(1, 70)


@given(width=sides, height=sides, side=st.integers(1, 32))
def test_every_pixel_is_in_exactly_one_tile(width: int, height: int, side: int) -> None:
    covered = np.zeros((height, width), int)
    for tile in tiles(width, height, side):
        assert 0 < tile.width <= side
        assert 0 < tile.height <= side
        covered[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width] += 1
    assert (covered == 1).all()


@given(width=sides, height=sides)
def test_a_cut_is_the_padded_picture(width: int, height: int) -> None:
    picture = np.random.default_rng(width * 100 + height).integers(0, 255, (height, width, 3), dtype=np.uint8)
    padded = np.pad(picture, ((HALO, HALO), (HALO, HALO), (0, 0)), mode="edge")
    for tile in tiles(width, height, 16):
        rows, columns = tile.height + 2 * HALO, tile.width + 2 * HALO
        assert (cut(picture, tile) == padded[tile.top : tile.top + rows, tile.left : tile.left + columns]).all()


def test_answers_are_placed_where_they_belong() -> None:
    picture = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    result = np.zeros((10, 14, 3), np.uint8)
    for tile in tiles(7, 5, 3):
        plain = picture[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width]
        place(result, tile, 2, plain.repeat(2, 0).repeat(2, 1))
    assert (result == picture.repeat(2, 0).repeat(2, 1)).all()


def test_the_halo_is_the_models() -> None:
    assert load_upscale().HALO == HALO


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("channels", [3, 4])
def test_tiles_join_without_a_seam(scale: int, channels: int) -> None:
    upscale = load_upscale()
    bank = upscale.load_banks(Path(upscale.__file__ or "").with_name("filters.npz"))[scale]
    picture = np.random.default_rng(3).integers(0, 255, (70, 90, channels), dtype=np.uint8)
    whole = upscale.upscale_tile(cut(picture, Tile(0, 0, 90, 70)), bank, scale)
    joined = np.zeros_like(whole)
    for tile in tiles(90, 70, 32):
        place(joined, tile, scale, upscale.upscale_tile(cut(picture, tile), bank, scale))
    assert np.abs(whole.astype(int) - joined).max() <= 1

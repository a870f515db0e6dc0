"""Cutting a picture into tiles for an engine: no engine ever holds more than a tile.

A tile carries a halo of the pixels around it, at the picture's edge its outermost pixels again. What an engine answers
depends on no pixel further away, so tiles join without a seam.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

HALO = 8
TILE_SIDE = 256
_STRIP_PIXELS = 4_000_000


class Tile(msgspec.Struct, frozen=True):
    """A rectangle of a picture in pixels."""

    left: int
    top: int
    width: int
    height: int


def tiles(width: int, height: int, side: int = TILE_SIDE) -> Iterator[Tile]:
    """Cover the picture with tiles of at most side x side, row by row, each pixel exactly once."""
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield Tile(left, top, min(side, width - left), min(side, height - top))


def cut(picture: NDArray[np.uint8], tile: Tile, halo: int = HALO) -> NDArray[np.uint8]:
    """Copy the tile with its halo out of (height, width, channels)."""
    rows = np.clip(np.arange(tile.top - halo, tile.top + tile.height + halo), 0, picture.shape[0] - 1)
    columns = np.clip(np.arange(tile.left - halo, tile.left + tile.width + halo), 0, picture.shape[1] - 1)
    return picture[rows[:, None], columns[None, :]]


def place(result: NDArray[np.uint8], tile: Tile, scale: int, answer: NDArray[np.uint8]) -> None:
    """Write an engine's answer for the tile to its place in the enlarged picture."""
    top, left = tile.top * scale, tile.left * scale
    result[top : top + tile.height * scale, left : left + tile.width * scale] = answer


def reduced(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Resize a picture strip by strip, by area averages or a cubic; no second copy of a large one is made."""
    rows, columns, channels = picture.shape
    if (columns, rows) == (width, height):
        return picture.copy()
    how = Image.Resampling.BOX if columns >= 2 * width else Image.Resampling.BICUBIC
    strip_rows = max(1, _STRIP_PIXELS // max(width, columns))
    result = np.empty((height, width, channels), np.uint8)
    for top in range(0, height, strip_rows):
        bottom = min(height, top + strip_rows)
        first, last = top * rows / height, bottom * rows / height
        margin = int(np.ceil(3 * max(1.0, rows / height))) + 1
        begin, end = max(0, int(first) - margin), min(rows, int(np.ceil(last)) + margin)
        box = (0.0, first - begin, float(columns), last - begin)
        part = Image.fromarray(np.ascontiguousarray(picture[begin:end]))
        result[top:bottom] = np.asarray(part.resize((width, bottom - top), how, box=box))
    return result

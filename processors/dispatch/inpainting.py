"""Filling what a mask covers, piece by piece: each call sees a hole with its surroundings, never the whole picture.

Connected holes are cut into pieces of at most PIECE pixels a side. The piece that has most known pixels around it is
filled next, and what is filled counts as known for the others, so that a large hole grows together from its rim.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from infra.triton.engine import PermanentFailure
from processors.dispatch.pixels import Pixels
from processors.dispatch.tiles import Tile, tiles
from schemas.catalogue import Entry, ValidParams

if TYPE_CHECKING:
    from processors.dispatch.tasks import Call

PIECE = 512
MARGIN = 128
_BLOCK = 64
_COARSE = 16
Mask = NDArray[np.bool_]


async def inpainted(
    call: Call, entry: Entry, params: ValidParams, texts: Mapping[str, str], source: Pixels, mask: Pixels
) -> Pixels:
    """Fill the pixels where the mask is bright and not transparent; all others stay as they are, byte for byte."""
    from processors.dispatch.tasks import OUTPUT, expected, request

    hole = covered(mask)
    if hole.shape != source.array.shape[:2]:
        raise PermanentFailure("the mask has another size than the picture")
    if hole.all():
        raise PermanentFailure("the mask covers everything: nothing is left to fill it from")
    result = Pixels.of(source.array)
    try:
        for piece in in_turn(pieces(hole), hole):
            around = _around(piece, source.width, source.height)
            part = np.s_[around.top : around.top + around.height, around.left : around.left + around.width]
            inputs = {
                "REQUEST": request(entry, params, texts, size=(around.width, around.height)),
                OUTPUT: result.array[part].copy(),
                "MASK": np.where(hole[part], 255, 0).astype(np.uint8),
            }
            answer = expected(await call(entry.engine, inputs), (around.height, around.width, source.channels))
            own = np.s_[piece.top : piece.top + piece.height, piece.left : piece.left + piece.width]
            inside = np.s_[piece.top - around.top :, piece.left - around.left :]
            filled = answer[inside][: piece.height, : piece.width]
            result.array[own] = np.where(hole[own][..., None], filled, result.array[own])
            hole[own] = False
    except BaseException:
        result.close()
        raise
    return result


def covered(mask: Pixels) -> Mask:
    """Where a mask picture is brighter than middle grey and not transparent."""
    bright = np.asarray(mask.array[..., :3].max(axis=2) > 127)
    return np.asarray(bright & (mask.array[..., 3] > 127)) if mask.channels == 4 else bright


def pieces(hole: Mask) -> list[Tile]:
    """Cut the connected holes into pieces; pieces of one hole do not overlap, empty ones are left out."""
    found = []
    for box in _boxes(hole):
        for tile in tiles(box.width, box.height, PIECE):
            piece = msgspec.structs.replace(tile, left=tile.left + box.left, top=tile.top + box.top)
            if hole[piece.top : piece.top + piece.height, piece.left : piece.left + piece.width].any():
                found.append(piece)
    return found


def in_turn(waiting: list[Tile], hole: Mask) -> list[Tile]:
    """Order pieces so that the one with the most known pixels around it comes next. Pure: works on a coarse copy."""
    coarse = hole[::_COARSE, ::_COARSE].copy()
    height, width = hole.shape

    def known(piece: Tile) -> float:
        around = _around(piece, width, height)
        rows = slice(around.top // _COARSE, (around.top + around.height) // _COARSE + 1)
        part = coarse[rows, around.left // _COARSE : (around.left + around.width) // _COARSE + 1]
        return float(np.mean(~part))

    ordered, left = [], list(waiting)
    while left:
        piece = max(left, key=known)
        left.remove(piece)
        ordered.append(piece)
        top, beside = piece.top // _COARSE, piece.left // _COARSE
        coarse[top : (piece.top + piece.height) // _COARSE + 1, beside : (piece.left + piece.width) // _COARSE + 1] = 0
    return ordered


def _around(piece: Tile, width: int, height: int) -> Tile:
    left, top = max(0, piece.left - MARGIN), max(0, piece.top - MARGIN)
    right, bottom = min(width, piece.left + piece.width + MARGIN), min(height, piece.top + piece.height + MARGIN)
    return Tile(left, top, right - left, bottom - top)


def _boxes(hole: Mask) -> list[Tile]:
    """The bounding boxes of holes that touch in a grid of blocks."""
    height, width = hole.shape
    rows, columns = -(-height // _BLOCK), -(-width // _BLOCK)
    padded = np.zeros((rows * _BLOCK, columns * _BLOCK), np.bool_)
    padded[:height, :width] = hole
    waiting = {(int(y), int(x)) for y, x in np.argwhere(padded.reshape(rows, _BLOCK, columns, _BLOCK).any(axis=(1, 3)))}
    found = []
    while waiting:
        group, edge = [], [min(waiting)]
        waiting.discard(edge[0])
        while edge:
            y, x = edge.pop()
            group.append((y, x))
            beside = [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (y + dy, x + dx) in waiting]
            waiting.difference_update(beside)
            edge += beside
        top, left = min(y for y, _ in group) * _BLOCK, min(x for _, x in group) * _BLOCK
        bottom, right = (max(y for y, _ in group) + 1) * _BLOCK, (max(x for _, x in group) + 1) * _BLOCK
        down, across = np.nonzero(hole[top:bottom, left:right])
        size = (int(np.ptp(across)) + 1, int(np.ptp(down)) + 1)
        found.append(Tile(left + int(across.min()), top + int(down.min()), *size))
    return found

"""Denoising in two passes over overlapping 8x8 cosine transforms: what stands clearly above the noise is kept.

The first pass cuts weak coefficients off and gives a pilot; the second weighs each coefficient by how far the pilot
stands above the noise (Wiener). Colours are taken apart into brightness and two differences first, whose noise is
measured in flat patches of the picture. No neural network; fine texture below the noise goes with it.
"""

from __future__ import annotations

import numpy as np
from work import Floats, Pixels, Work, to_bytes

SIDE = 8
FINE, COARSE = 2, 4
"""Steps between blocks: fine for brightness, coarse for colours and for the brightness of large pictures."""
LARGE_PIXELS = 4_000_000
CELL = 32
_FACTOR = {"light": 0.65, "auto": 1.0, "strong": 1.6}
_CUT = 2.75
_OPPONENT = np.array(
    [[1 / 3**0.5] * 3, [1 / 2**0.5, 0, -1 / 2**0.5], [1 / 6**0.5, -2 / 6**0.5, 1 / 6**0.5]], np.float32
)


def _transform() -> Floats:
    k, n = np.mgrid[:SIDE, :SIDE]
    rows = np.cos(np.pi * (2 * n + 1) * k / (2 * SIDE)) * np.where(k == 0, (1 / SIDE) ** 0.5, (2 / SIDE) ** 0.5)
    return np.kron(rows, rows).astype(np.float32)


_COSINES = _transform()


def denoise(work: Work) -> Pixels:
    """Take away as much as the picture's own noise."""
    deviations = work.learn(measure) * np.float32(_FACTOR[work.params.get("strength", "auto")])
    if deviations.max() < 0.5:
        return work.inner(work.pixels)
    planes = np.ascontiguousarray((work.pixels.astype(np.float32) @ _OPPONENT.T).transpose(2, 0, 1))
    pilot = np.empty_like(planes)
    steps = (COARSE if work.size[0] * work.size[1] > LARGE_PIXELS else FINE, COARSE, COARSE)
    for plane, out, deviation, step in zip(planes, pilot, deviations, steps, strict=True):
        out[:] = _first_pass(plane, float(deviation), step)
    given = zip(planes, pilot, deviations, steps, strict=True)
    result = np.stack([_second_pass(plane, clean, float(deviation), step) for plane, clean, deviation, step in given], -1)
    return to_bytes(work.inner(result @ _OPPONENT))


def measure(guide: Pixels) -> Floats:
    """Deviation of the noise in brightness and both differences, from the flattest cells of the guide."""
    rows, columns = (side // CELL * CELL for side in guide.shape[:2])
    if not rows or not columns:
        return np.zeros(3, np.float32)
    planes = guide[:rows, :columns].astype(np.float32) @ _OPPONENT.T
    detail = (planes[::2, ::2] - planes[1::2, ::2] - planes[::2, 1::2] + planes[1::2, 1::2]) * np.float32(0.5)
    half = CELL // 2
    cells = detail.reshape(rows // CELL, half, columns // CELL, half, 3).transpose(0, 2, 1, 3, 4).reshape(-1, half**2, 3)
    each = np.median(np.abs(cells), axis=1) / np.float32(0.6745)
    return np.asarray(np.percentile(each, 35, axis=0), np.float32)


def _blocks(plane: Floats, top: int, left: int) -> tuple[Floats, tuple[int, int]]:
    rows, columns = (plane.shape[0] - top) // SIDE, (plane.shape[1] - left) // SIDE
    part = plane[top : top + rows * SIDE, left : left + columns * SIDE]
    return part.reshape(rows, SIDE, columns, SIDE).transpose(0, 2, 1, 3).reshape(-1, SIDE * SIDE), (rows, columns)


def _lay(total: Floats, values: Floats, top: int, left: int, grid: tuple[int, int]) -> None:
    rows, columns = grid
    laid = values.reshape(rows, columns, SIDE, SIDE).transpose(0, 2, 1, 3).reshape(rows * SIDE, columns * SIDE)
    total[top : top + rows * SIDE, left : left + columns * SIDE] += laid


def _shifts(step: int) -> list[tuple[int, int]]:
    return [(top, left) for top in range(0, SIDE, step) for left in range(0, SIDE, step)]


def _first_pass(plane: Floats, deviation: float, step: int) -> Floats:
    total, weights = np.zeros_like(plane), np.full_like(plane, 1e-6)
    for top, left in _shifts(step):
        blocks, grid = _blocks(plane, top, left)
        waves = blocks @ _COSINES.T
        kept = np.abs(waves) > _CUT * deviation
        kept[:, 0] = True
        weight = 1 / (kept.sum(axis=1, keepdims=True).astype(np.float32))
        _lay(total, (np.where(kept, waves, 0) @ _COSINES) * weight, top, left, grid)
        _lay(weights, np.broadcast_to(weight, blocks.shape), top, left, grid)
    return np.where(weights > 1e-5, total / weights, plane)


def _second_pass(plane: Floats, pilot: Floats, deviation: float, step: int) -> Floats:
    total, weights = np.zeros_like(plane), np.full_like(plane, 1e-6)
    for top, left in _shifts(step):
        blocks, grid = _blocks(plane, top, left)
        power = (_blocks(pilot, top, left)[0] @ _COSINES.T) ** 2
        gain = power / (power + np.float32(max(deviation, 1e-3) ** 2))
        gain[:, 0] = 1
        weight = 1 / (gain * gain).sum(axis=1, keepdims=True)
        _lay(total, ((blocks @ _COSINES.T) * gain) @ _COSINES * weight, top, left, grid)
        _lay(weights, np.broadcast_to(weight, blocks.shape), top, left, grid)
    return np.where(weights > 1e-5, total / weights, plane)

"""Bringing out detail ahead of enlarging, or at the picture's own size: on one tile, in brightness alone.

Where the neighbourhood holds more than noise, two bands of detail are raised; where it is calm, the finer one is
lowered. Each pixel stays within what its 5x5 neighbours span, widened a little, so that edges get steep and not haloed.
Near transparent pixels nothing is changed: what they hide is no detail. A pixel depends on those at most `HALO` away.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from upscale import Floats, Pixels, luma

HALO = 8
"""Pixels that a tile carries on each side beyond what is answered for."""

_FLOOR = 5.0
"""What is weaker than this deviation, in levels of 0 to 255, counts as noise."""
_FINE, _COARSE = 0.9, 2.2
_CALM = 0.6
_ROOM = 0.12


def bring_out(pixels: Pixels, percent: int) -> Pixels:
    """Enhance a tile of (height + 2 HALO, width + 2 HALO, 3 or 4) bytes; the halo is not in the answer."""
    brightness = luma(pixels[..., :3].astype(np.float32))
    soft, softer = _blurred(brightness, _FINE, 3), _blurred(brightness, _COARSE, 6)
    fine, coarse = brightness - soft, soft - softer
    energy = _box(fine * fine, 3) ** 2
    sure = energy / (energy + np.float32(_FLOOR**4))
    raised = np.float32(percent / 50)
    changed = brightness + fine * (sure * raised * np.float32(0.9) - (1 - sure) * np.float32(_CALM))
    changed += coarse * sure * raised * np.float32(0.45)
    low, high = _extreme(brightness, np.minimum, 2), _extreme(brightness, np.maximum, 2)
    room = (high - low) * np.float32(_ROOM)
    added = np.clip(changed, low - room, high + room) - brightness
    if pixels.shape[2] == 4:
        added *= _extreme(pixels[..., 3].astype(np.float32), np.minimum, 4) / np.float32(255)
    result = pixels[HALO:-HALO, HALO:-HALO].copy()
    inner = result[..., :3] + added[HALO:-HALO, HALO:-HALO, None]
    result[..., :3] = np.clip(inner + np.float32(0.5), 0, 255).astype(np.uint8)
    return result


def _blurred(plane: Floats, deviation: float, radius: int) -> Floats:
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / deviation) ** 2)
    return _along(_along(plane, taps / taps.sum()).T, taps / taps.sum()).T


def _box(plane: Floats, radius: int) -> Floats:
    taps = np.full(2 * radius + 1, 1 / (2 * radius + 1))
    return _along(_along(plane, taps).T, taps).T


def _along(plane: Floats, taps: NDArray[np.float64]) -> Floats:
    """Weigh each pixel's column; rows beyond the tile are its outermost again."""
    radius = len(taps) // 2
    padded = np.pad(plane, ((radius, radius), (0, 0)), mode="edge")
    return sum((padded[i : i + plane.shape[0]] * np.float32(tap) for i, tap in enumerate(taps)), np.float32(0))


def _extreme(plane: Floats, how: np.ufunc, radius: int) -> Floats:
    """The least or greatest of each pixel's neighbours."""
    for _ in range(2):
        padded = np.pad(plane, ((radius, radius), (0, 0)), mode="edge")
        plane = how.reduce(sliding_window_view(padded, 2 * radius + 1, axis=0), axis=-1).T
    return plane

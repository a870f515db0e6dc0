"""Edge-directed upscaling by a bank of linear filters, on one tile.

Each source pixel is sorted by its local structure tensor into one of `BUCKETS` kinds (direction, strength and coherence
of the gradient) and every kind has its own set of 7x7 filters, one for each of the scale x scale output pixels that
take its place. The filters were fitted once by least squares (`infra/triton/training`) on generated pictures, so that an
edge is continued along its own direction: sharper than Lanczos and without its ringing.

It works in gamma-encoded light: the filters sharpen, and sharpening in linear light shows dark halos to the eye, which
judges differences in gamma light. Brightness goes through the bank; colour differences, in which the eye sees no such
detail, go through a cubic. Colour is premultiplied by alpha meanwhile, so that what a transparent pixel hides cannot
bleed into its neighbours; alpha itself goes through the bank like brightness.

A pixel of the result depends on source pixels at most `HALO` away: tiles with that halo fit together without a seam.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

HALO = 8
"""Source pixels that a tile carries on each side beyond what it answers for."""

RADIUS = 3
TAPS = (2 * RADIUS + 1) ** 2
DIRECTIONS = 16
STRENGTHS = (2.0, 5.0, 12.0, 25.0)
COHERENCES = (0.25, 0.5, 0.75)
BUCKETS = DIRECTIONS * (len(STRENGTHS) + 1) * (len(COHERENCES) + 1)
ROWS_AT_ONCE = 64
"""Source rows filtered together: bounds the memory of the patches."""

_TENSOR_MARGIN = 3
_BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def load_banks(path: Path) -> dict[int, Floats]:
    """Read the fitted filters: scale -> array of (BUCKETS, TAPS, scale * scale)."""
    with np.load(path) as stored:
        return {int(name.removeprefix("x")): stored[name].astype(np.float32) for name in stored.files}


def structure_buckets(plane: Floats) -> NDArray[np.int32]:
    """Sort each pixel by its gradient's direction, strength and coherence; the answer is 3 pixels smaller per side."""
    gradient_x = (plane[1:-1, 2:] - plane[1:-1, :-2]) * np.float32(0.5)
    gradient_y = (plane[2:, 1:-1] - plane[:-2, 1:-1]) * np.float32(0.5)
    xx, xy, yy = (_smooth(p) for p in (gradient_x * gradient_x, gradient_x * gradient_y, gradient_y * gradient_y))
    spread = np.sqrt((xx - yy) ** 2 + 4 * xy * xy)
    major = np.sqrt(np.maximum((xx + yy + spread) * np.float32(0.5), 0))
    minor = np.sqrt(np.maximum((xx + yy - spread) * np.float32(0.5), 0))
    angle = np.arctan2(2 * xy, xx - yy) * np.float32(0.5 / np.pi)
    direction = np.floor(angle * DIRECTIONS + np.float32(DIRECTIONS + 0.5)).astype(np.int32) % DIRECTIONS
    strength = np.searchsorted(np.array(STRENGTHS, np.float32), major).astype(np.int32)
    coherence = np.searchsorted(
        np.array(COHERENCES, np.float32), (major - minor) / (major + minor + np.float32(1e-3))
    ).astype(np.int32)
    return (direction * (len(STRENGTHS) + 1) + strength) * (len(COHERENCES) + 1) + coherence


def patches(plane: Floats) -> Floats:
    """Show each pixel's 7x7 neighbourhood: (height - 6, width - 6, 7, 7), a view."""
    size = 2 * RADIUS + 1
    return sliding_window_view(plane, (size, size))


def filter_plane(plane: Floats, bank: Floats, scale: int) -> Floats:
    """Enlarge one plane (0 to 255, with HALO) through the bank; the halo is not in the answer."""
    height, width = plane.shape[0] - 2 * HALO, plane.shape[1] - 2 * HALO
    result = np.empty((height * scale, width * scale), np.float32)
    for top in range(0, height, ROWS_AT_ONCE):
        rows = min(ROWS_AT_ONCE, height - top)
        strip = plane[top : top + rows + 2 * HALO]
        result[top * scale : (top + rows) * scale] = _filter_strip(strip, bank, scale)
    return result


def enlarge_cubic(plane: Floats, scale: int) -> Floats:
    """Enlarge one plane (with HALO) by the Catmull-Rom cubic; the halo is not in the answer."""
    return _cubic_rows(_cubic_rows(plane, scale).T, scale).T


def upscale_tile(pixels: Pixels, bank: Floats, scale: int) -> Pixels:
    """Enlarge one tile of (height + 2 HALO, width + 2 HALO, 3 or 4) bytes to (height * scale, width * scale, the same)."""
    colour = pixels[..., :3].astype(np.float32)
    if pixels.shape[2] == 3:
        return _to_bytes(_upscale_colour(colour, bank, scale))
    alpha = pixels[..., 3].astype(np.float32)
    if alpha.min() == 255:
        opaque = _to_bytes(_upscale_colour(colour, bank, scale))
        return np.dstack([opaque, np.full(opaque.shape[:2], 255, np.uint8)])
    large_alpha = np.clip(filter_plane(alpha, bank, scale), 0, 255)
    large = _upscale_colour(colour * (alpha / 255)[..., None], bank, scale)
    large = large * (255 / np.maximum(large_alpha, 1))[..., None]
    large[large_alpha < 0.5] = 0
    return _to_bytes(np.dstack([large, large_alpha]))


def luma(colour: Floats) -> Floats:
    """Weigh red, green and blue to brightness (BT.601, as JPEG does)."""
    weighed: Floats = colour[..., 0] * np.float32(0.299) + colour[..., 1] * np.float32(0.587)
    return weighed + colour[..., 2] * np.float32(0.114)


def _upscale_colour(colour: Floats, bank: Floats, scale: int) -> Floats:
    brightness = luma(colour)
    large = filter_plane(brightness, bank, scale)
    blue, red = (enlarge_cubic(colour[..., channel] - brightness, scale) for channel in (2, 0))
    green = (np.float32(0.299) * red + np.float32(0.114) * blue) * np.float32(-1 / 0.587)
    return np.stack([large + red, large + green, large + blue], axis=-1)


def _filter_strip(strip: Floats, bank: Floats, scale: int) -> Floats:
    margin = HALO - RADIUS
    centre = strip[HALO:-HALO, HALO:-HALO]
    height, width = centre.shape
    trim = HALO - _TENSOR_MARGIN
    kinds = structure_buckets(strip[trim:-trim, trim:-trim]).ravel()
    order = np.argsort(kinds, kind="stable")
    view = patches(strip[margin:-margin, margin:-margin])
    sorted_patches = view[order // width, order % width].reshape(-1, TAPS)
    middle = sorted_patches[:, TAPS // 2].copy()
    sorted_patches -= middle[:, None]
    bounds = np.searchsorted(kinds[order], np.arange(BUCKETS + 1))
    answers = np.empty((height * width, scale * scale), np.float32)
    for kind in np.flatnonzero(np.diff(bounds)):
        part = slice(bounds[kind], bounds[kind + 1])
        np.matmul(sorted_patches[part], bank[kind], out=answers[part])
    answers += middle[:, None]
    _limit_ringing(answers, sorted_patches, middle)
    placed = np.empty_like(answers)
    placed[order] = answers
    return placed.reshape(height, width, scale, scale).transpose(0, 2, 1, 3).reshape(height * scale, width * scale)


def _limit_ringing(answers: Floats, differences: Floats, middle: Floats) -> None:
    """Keep each answer within what its 3x3 source neighbours span, widened by a tenth of that span."""
    near = differences.reshape(-1, 7, 7)[:, 2:5, 2:5].reshape(-1, 9)
    low, high = near.min(axis=1), near.max(axis=1)
    room = (high - low) * np.float32(0.1)
    np.clip(answers, (middle + low - room)[:, None], (middle + high + room)[:, None], out=answers)


def _smooth(plane: Floats) -> Floats:
    down = sum((plane[i : plane.shape[0] - 4 + i] * np.float32(w) for i, w in enumerate(_BINOMIAL)), np.float32(0))
    along = sum((down[:, i : down.shape[1] - 4 + i] * np.float32(w) for i, w in enumerate(_BINOMIAL)), np.float32(0))
    return np.asarray(along, np.float32)


def _cubic_rows(plane: Floats, scale: int) -> Floats:
    height = plane.shape[0] - 2 * HALO
    result = np.empty((height, scale, plane.shape[1]), np.float32)
    for phase in range(scale):
        offset = (phase + 0.5) / scale - 0.5
        start = HALO - 1 + int(np.floor(offset))
        weights = _catmull_rom(offset - np.floor(offset))
        result[:, phase] = sum(
            (plane[start + tap : start + tap + height] * np.float32(weight) for tap, weight in enumerate(weights)),
            np.float32(0),
        )
    return result.reshape(height * scale, plane.shape[1])


def _catmull_rom(t: float) -> tuple[float, float, float, float]:
    return (
        ((-0.5 * t + 1.0) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((-1.5 * t + 2.0) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    )


def _to_bytes(large: Floats) -> Pixels:
    return np.clip(large + np.float32(0.5), 0, 255).astype(np.uint8)

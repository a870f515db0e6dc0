"""Painterly and graphic styles by rules: oil, watercolour, pencil, ink, and a flat one as drawn with vectors.

Sizes of strokes grow with the picture; palettes come from the whole of it; paper and grain belong to places in it.
"""

from __future__ import annotations

import cv2
import numpy as np
from work import Floats, Pixels, Work, luma, to_bytes

_FLAT_COLOURS = 14


def stylize(work: Work) -> Pixels:
    """Draw the picture in the style `style`."""
    return work.inner(STYLES[work.params.get("style", "oil")](work))


def _coarseness(radius: int) -> int:
    """How many times smaller strokes of this radius are worked out: what is large needs no full resolution.

    It divides the sides of tiles and halos, so that all tiles cut the picture alike.
    """
    return 4 if radius >= 12 else 2 if radius >= 6 else 1


def _smaller(pixels: Pixels, times: int) -> Pixels:
    if times == 1:
        return pixels
    height, width = pixels.shape[:2]
    even = cv2.copyMakeBorder(pixels, 0, -height % times, 0, -width % times, cv2.BORDER_REPLICATE)
    return cv2.resize(even, (even.shape[1] // times, even.shape[0] // times), interpolation=cv2.INTER_AREA)


def _larger(values: np.ndarray, times: int, shape: tuple[int, ...]) -> np.ndarray:
    if times == 1:
        return values
    size = (values.shape[1] * times, values.shape[0] * times)
    return cv2.resize(values, size, interpolation=cv2.INTER_LINEAR)[: shape[0], : shape[1]]


def _smooth(pixels: Pixels, radius: int, colour: float, passes: int) -> Pixels:
    for _ in range(passes):
        pixels = cv2.bilateralFilter(pixels, 2 * radius + 1, colour, radius * 0.7)
    return pixels


def _oil(work: Work) -> Pixels:
    """Kuwahara's filter: each pixel becomes the mean of its calmest quarter, weighed softly."""
    radius = work.reach(5, 3)
    pixels = work.pixels.astype(np.float32)
    brightness = luma(pixels)
    side = radius + 1
    total, weights = np.zeros_like(pixels), np.zeros_like(brightness)
    for down in (0, radius):
        for across in (0, radius):
            anchor = (across, down)
            mean = cv2.blur(pixels, (side, side), anchor=anchor)
            spread = cv2.blur(brightness**2, (side, side), anchor=anchor) - cv2.blur(brightness, (side, side), anchor=anchor) ** 2
            weight = 1 / (1 + np.maximum(spread, 0)) ** 4
            total += mean * weight[..., None]
            weights += weight
    painted = total / np.maximum(weights, 1e-30)[..., None]
    middle = luma(painted)[..., None]
    vivid = middle + (painted - middle) * np.float32(1.3)
    relief = cv2.Sobel(luma(painted), cv2.CV_32F, 1, 1, ksize=3)
    return to_bytes(vivid + np.clip(relief * 0.15, -10, 10)[..., None])


def _watercolour(work: Work) -> Pixels:
    radius = work.reach(4, 3)
    times = _coarseness(radius)
    small = _smooth(_smaller(work.pixels, times), max(3, radius // times), 42, 3)
    washed = _larger(small.astype(np.float32), times, work.pixels.shape)
    steps, tone = np.float32(255 / 9), luma(washed)
    banded = (np.floor(tone / steps) + np.clip((tone % steps) / steps * 3 - 1, 0, 1)) * steps
    bands = washed + (banded - tone)[..., None]
    calm = cv2.GaussianBlur(bands, (0, 0), max(1.0, radius / 3))
    rim = cv2.GaussianBlur(np.abs(cv2.Laplacian(luma(calm), cv2.CV_32F)), (0, 0), max(0.8, radius / 4))
    paper = cv2.GaussianBlur(work.grain(7), (0, 0), 1.1) * np.float32(6)
    pale = 255 - (255 - calm) * np.float32(0.82)
    middle = luma(pale)[..., None]
    return to_bytes(middle + (pale - middle) * np.float32(1.25) - np.clip(rim * 3.5, 0, 55)[..., None] + paper[..., None])


def _pencil(work: Work) -> Pixels:
    """Dodge by the blurred negative, with shading strokes where it is dark."""
    brightness = luma(work.pixels)
    blurred = cv2.GaussianBlur(255 - brightness, (0, 0), min(work.reach(6, 4), max(1, work.halo // 3)))
    lines = np.minimum(brightness * 255 / np.maximum(255 - blurred, 1), 255)
    strokes = cv2.filter2D(work.grain(3), -1, np.eye(11, dtype=np.float32)[::-1] / 5)
    dark = np.clip((150 - brightness) / 150, 0, 1)
    drawn = 255 * (lines / 255) ** 1.6 - dark * (42 + 26 * np.clip(strokes, -1.5, 1.5))
    paper = 248 + cv2.GaussianBlur(work.grain(5), (0, 0), 0.8) * 3
    return to_bytes(np.repeat(np.minimum(drawn, paper)[..., None], 3, -1) * np.array([1, 0.99, 0.965], np.float32))


def _ink(work: Work) -> Pixels:
    """Black lines and three tones of hatching."""
    brightness = cv2.GaussianBlur(luma(work.pixels), (0, 0), 1.6)
    low, high = work.learn(_tones)
    light = np.clip((brightness - low) / max(high - low, 1), 0, 1)
    x, y = work.places()
    pitch = max(4, work.reach(7, 5))
    across, down = (x[None, :] + y[:, None]) % pitch, (x[None, :] - y[:, None]) % pitch
    hatched = np.full_like(light, 255)
    for limit, phase in ((0.5, across), (0.32, down)):
        width = np.clip((limit - light) * pitch * 1.6, 0, pitch * 0.6)
        hatched = np.minimum(hatched, 255 - 225 * np.clip(width - phase + 1, 0, 1) * (light < limit))
    solid = 255 * np.clip((light - 0.08) / 0.06, 0, 1)
    return to_bytes(np.repeat(np.minimum(np.minimum(hatched, solid), 255 - _lines(work.pixels, 60.0))[..., None], 3, -1))


def _tones(guide: Pixels) -> tuple[float, float]:
    low, high = np.percentile(luma(guide), (1, 97))
    return float(low), float(high)


def _lines(pixels: Pixels, strength: float) -> Floats:
    """Outlines: 0 nowhere, 255 on strong ones."""
    brightness = luma(pixels)
    fine, coarse = (cv2.GaussianBlur(brightness, (0, 0), deviation) for deviation in (1.0, 2.6))
    return np.asarray(np.clip((coarse - fine - 2.5) * np.float32(strength / 4), 0, 255), np.float32)


def _flat(work: Work) -> Pixels:
    """Few even colours with clean borders, as in a vector illustration."""
    radius = work.reach(4, 3)
    times = _coarseness(radius)
    fine = max(3, radius // times)
    calm = cv2.medianBlur(_smooth(_smaller(work.pixels, times), fine, 50, 3), 5)
    palette = work.learn(_palette)
    lab = cv2.cvtColor(calm, cv2.COLOR_RGB2LAB).astype(np.float32)
    far = np.stack([((lab - colour) ** 2).sum(-1) for colour in palette], -1)
    nearest = cv2.medianBlur(far.argmin(-1).astype(np.uint8), 5)
    colours = cv2.cvtColor(palette.astype(np.uint8)[None], cv2.COLOR_LAB2RGB)[0].astype(np.float32)
    shape = work.pixels.shape
    total, weights = np.zeros(shape, np.float32), np.full(shape[:2], 1e-12, np.float32)
    for label, colour in enumerate(colours):
        where = nearest == label
        if not where.any():
            continue
        share = _larger(cv2.GaussianBlur(where.astype(np.float32), (0, 0), fine * 0.75), times, shape)
        share = share**10  # the strongest wins, with a border that is round and soft by a pixel
        total += share[..., None] * colour
        weights += share
    return to_bytes(total / weights[..., None])


def _palette(guide: Pixels) -> Floats:
    """The picture's main colours in Lab, a little purer than they are."""
    calm = _smooth(guide, 4, 45, 2)
    lab = cv2.cvtColor(calm, cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(np.float32)
    cv2.setRNGSeed(1)
    weighed = np.ascontiguousarray(lab[:: max(1, len(lab) // 40_000)])
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 30, 0.5)
    count = min(_FLAT_COLOURS, len(weighed))
    _, _, centres = cv2.kmeans(weighed, count, None, stop, 2, cv2.KMEANS_PP_CENTERS)
    centres[:, 1:] = 128 + (centres[:, 1:] - 128) * np.float32(1.18)
    centres[:, 0] = 128 + (centres[:, 0] - 128) * np.float32(1.08)
    return np.clip(centres, 0, 255)


STYLES = {"oil": _oil, "watercolor": _watercolour, "pencil": _pencil, "ink": _ink, "flat": _flat}

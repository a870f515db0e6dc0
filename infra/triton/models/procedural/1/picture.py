"""A picture out of a prompt, a seed and a style, by rules alone: sky and light first, then the scene from far to near.

The same parameters and size give the same bytes. It stands in for a generative model and is named as what it is.
With `quality` = `hd` the same scene has surfaces with a grain of their own, clearer edges and, where it is flat, more
colours.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from canvas import Canvas, fractal, mix
from scenes import SCENES
from sky import paint_sky
from things import add_things
from words import Wish, read_wish


def draw(params: dict[str, Any], width: int, height: int) -> np.ndarray:
    """Draw the picture as (height, width, 3) bytes."""
    wish = read_wish(params)
    canvas = Canvas(width, height, wish)
    outdoors = wish.scene not in ("abstract", "space")
    if outdoors:
        paint_sky(canvas)
    sky = canvas.pixels
    SCENES[wish.scene](canvas)
    add_things(canvas)
    if wish.fine and wish.style != "vector":
        canvas.pixels = _detailed(canvas, sky if outdoors else None)
    return _finish(canvas.pixels, wish)


def _detailed(canvas: Canvas, sky: np.ndarray | None) -> np.ndarray:
    """Give what stands before the sky a grain that catches the light, and every edge more contrast."""
    pixels = canvas.pixels
    if sky is not None:
        solid = cv2.GaussianBlur(np.minimum(np.abs(pixels - sky).max(-1) * 8, 1), (0, 0), 1.0)
        grain = fractal(canvas.random, canvas.width, canvas.height, 90.0, 5)
        side = 1.0 if canvas.light[0] < 0.5 else -1.0
        lit = cv2.Sobel(grain, cv2.CV_32F, 1, 0, scale=side) + cv2.Sobel(grain, cv2.CV_32F, 0, 1)
        pixels = pixels * (1 + ((0.18 * (grain - 0.5) + 0.05 * np.clip(lit, -1.2, 1.2)) * solid)[..., None])
    return pixels + 0.6 * (pixels - cv2.GaussianBlur(pixels, (0, 0), max(1.0, canvas.unit / 500)))


def _finish(pixels: np.ndarray, wish: Wish) -> np.ndarray:
    height, width = pixels.shape[:2]
    unit = max(width, height)
    if wish.colours:
        tint = np.mean(np.array(wish.colours, np.float32), 0) / 255
        pixels = mix(pixels, pixels.mean(-1, keepdims=True) * 0.55 + 0.45 * tint, 0.22)
    if wish.style == "vivid":
        pixels = _vivid(pixels, 1.35, 1.12)
    elif wish.style == "artistic":
        pixels = _brushed(_vivid(pixels, 1.2, 1.05), unit, wish.random)
    elif wish.style == "vector":
        pixels = _flat(pixels, unit, 24 if wish.fine else 12)
    elif wish.style == "photographic":
        pixels = pixels + 0.35 * (cv2.GaussianBlur(np.maximum(pixels - 0.72, 0), (0, 0), unit / 50))
        pixels = pixels + wish.random.normal(0, 0.012, pixels.shape[:2]).astype(np.float32)[..., None]
    if wish.style != "vector":
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
        pixels = pixels * (1 - (0.22 if wish.style == "photographic" else 0.12) * (x * x + y * y) / 2)[..., None]
        pixels = pixels + wish.random.uniform(-0.5, 0.5, pixels.shape[:2]).astype(np.float32)[..., None] / 255
    return np.clip(pixels * 255 + 0.5, 0, 255).astype(np.uint8)


def _vivid(pixels: np.ndarray, saturation: float, contrast: float) -> np.ndarray:
    grey = pixels.mean(-1, keepdims=True)
    return 0.5 + (grey + (pixels - grey) * saturation - 0.5) * contrast


def _brushed(pixels: np.ndarray, unit: int, random: np.random.Generator) -> np.ndarray:
    """Push pixels along short bent strokes and take the calmest quarter's mean (Kuwahara)."""
    height, width = pixels.shape[:2]
    angle = fractal(random, width, height, 3.0, 3) * 6
    y, x = np.mgrid[:height, :width].astype(np.float32)
    jitter = (fractal(random, width, height, 90.0, 2) - 0.5) * unit / 90
    moved = cv2.remap(pixels.astype(np.float32), x + np.cos(angle) * jitter, y + np.sin(angle) * jitter, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    side = max(3, unit // 160)
    total, weights = np.zeros_like(moved), np.zeros(moved.shape[:2], np.float32)
    grey = moved.mean(-1)
    for anchor in ((0, 0), (side - 1, 0), (0, side - 1), (side - 1, side - 1)):
        mean = cv2.blur(moved, (side, side), anchor=anchor)
        spread = cv2.blur(grey * grey, (side, side), anchor=anchor) - cv2.blur(grey, (side, side), anchor=anchor) ** 2
        weight = 1 / (1e-4 + np.maximum(spread, 0)) ** 2
        total += mean * weight[..., None]
        weights += weight
    return total / weights[..., None]


def _flat(pixels: np.ndarray, unit: int, colours: int) -> np.ndarray:
    """Even areas of few colours with round borders."""
    calm = np.clip(cv2.GaussianBlur(pixels.astype(np.float32), (0, 0), unit / 220), 0, 1)
    cv2.setRNGSeed(1)
    samples = calm.reshape(-1, 3)[:: max(1, calm.size // 90_000)]
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 25, 0.001)
    _, _, palette = cv2.kmeans(np.ascontiguousarray(samples), colours, None, stop, 2, cv2.KMEANS_PP_CENTERS)
    nearest = np.stack([((calm - colour) ** 2).sum(-1) for colour in palette], -1).argmin(-1)
    total, weights = np.zeros_like(calm), np.full(nearest.shape, 1e-12, np.float32)
    for label, colour in enumerate(_vivid(palette, 1.2, 1.05)):
        share = cv2.GaussianBlur((nearest == label).astype(np.float32), (0, 0), unit / 400) ** 10
        total += share[..., None] * colour
        weights += share
    return total / weights[..., None]

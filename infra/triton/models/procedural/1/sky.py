"""Skies by the time of day: a gradient, a sun or moon with its glow, clouds lit from below, stars."""

from __future__ import annotations

import numpy as np
from canvas import Array, Canvas, colour, fractal, mix

_SKIES = {
    "day": ((54, 118, 198), (126, 184, 232), (222, 238, 246)),
    "sunset": ((44, 40, 96), (214, 88, 84), (255, 196, 108)),
    "dawn": ((94, 120, 182), (236, 168, 178), (255, 226, 188)),
    "night": ((6, 9, 28), (18, 30, 66), (52, 70, 110)),
    "storm": ((62, 70, 82), (112, 122, 132), (178, 184, 186)),
}
_CLOUDS = {"day": (255, 255, 255), "sunset": (255, 150, 110), "dawn": (255, 214, 206), "night": (50, 62, 96), "storm": (84, 90, 100)}


def paint_sky(canvas: Canvas) -> None:
    """Paint the whole picture as sky and set where the light comes from."""
    wish, random = canvas.wish, canvas.random
    stops = np.array(_SKIES[wish.time], np.float32) / 255
    height = np.clip(canvas.y / canvas.horizon, 0, 1)
    canvas.pixels = np.stack([np.interp(height, (0, 0.6, 1), stops[:, c]) for c in range(3)], -1).astype(np.float32)
    canvas.haze = stops[2]
    low = wish.time in ("sunset", "dawn")
    canvas.light = (float(random.uniform(0.22, 0.78)), canvas.horizon - (0.09 if low else float(random.uniform(0.3, 0.42))))
    if wish.time == "night":
        stars(canvas, 260)
    if wish.time != "storm" or "sun" in wish.things:
        _light(canvas, low)
    if wish.time != "night" or "clouds" in wish.things:
        _clouds(canvas, low)


def stars(canvas: Canvas, count: int) -> None:
    """Scatter stars of different brightness."""
    random, layer = canvas.random, np.zeros(canvas.pixels.shape[:2], np.float32)
    for _ in range(count):
        x, y, size = random.random(), random.random(), random.random() ** 3
        column, row = int(x * (canvas.width - 1)), int(y * (canvas.height - 1))
        layer[row, column] = max(layer[row, column], 0.25 + 0.75 * size)
        if size > 0.6:
            reach = max(1, canvas.unit // 500)
            layer[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1] = 0.9
    canvas.pixels = canvas.pixels + layer[..., None] * colour(255, 246, 228)


def _light(canvas: Canvas, low: bool) -> None:
    x, y = canvas.light
    far = canvas.far(x, y)
    night = canvas.wish.time == "night"
    tone = colour(232, 236, 246) if night else colour(255, 214, 140) if low else colour(255, 250, 226)
    glow = 0.30 * np.exp(-far / (0.10 if night else 0.30)) + 0.55 * np.exp(-((far / 0.11) ** 2)) * (0.4 if night else 1)
    canvas.pixels = canvas.pixels + glow[..., None] * tone
    disc = canvas.disc(x, y, 0.055 if not low else 0.075)
    face = tone * 1.3
    if night:
        marks = fractal(canvas.random, canvas.width, canvas.height, 22.0, 3)
        face = tone * (0.86 + 0.14 * marks[..., None])
    canvas.cover(disc, face)


def _clouds(canvas: Canvas, low: bool) -> None:
    wish = canvas.wish
    amount = 0.62 if "clouds" in wish.things or wish.time == "storm" else float(canvas.random.uniform(0.42, 0.54))
    field = fractal(canvas.random, canvas.width, canvas.height, 2.6, 6, 2.2)
    lit = fractal(canvas.random, canvas.width, canvas.height, 5.0, 4, 2.2)
    cover = np.clip((field - (1 - amount)) * 3.2, 0, 0.92) * np.clip((canvas.horizon + 0.02 - canvas.y) * 5, 0, 1)
    tone = np.array(_CLOUDS[wish.time], np.float32) / 255
    shade: Array = mix(tone * 0.72, tone, np.clip(lit * 1.3 - field * 0.35, 0, 1)[..., None])
    if low:
        near = np.exp(-canvas.far(*canvas.light) / 0.5)[..., None]
        shade = mix(shade * colour(190, 150, 190), shade * 1.12, near)
    canvas.cover(cover.astype(np.float32), shade.astype(np.float32))

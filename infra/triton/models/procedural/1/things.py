"""Things that a prompt names, set into a scene: a house, a boat, birds, a balloon, a car, falling snow."""

from __future__ import annotations

import numpy as np
from canvas import Array, Canvas, colour, mix


def add_things(canvas: Canvas) -> None:
    """Draw what was named, from far to near."""
    for name, draw in _THINGS:
        if name in canvas.wish.things:
            draw(canvas)


def _paint(canvas: Canvas, default: tuple[int, int, int]) -> Array:
    named = canvas.wish.colours
    return np.array(named[0] if named else default, np.float32) / 255


def _shape(canvas: Canvas, x: float, y: float, size: float, points: list[tuple[float, float]], tone: Array) -> None:
    """Points in units of `size` around (x, y); sizes in units of the shorter side."""
    across, down = size * canvas.unit / canvas.width, size * canvas.unit / canvas.height
    canvas.polygon([(x + px * across, y + py * down) for px, py in points], tone)


def _house(canvas: Canvas) -> None:
    x, y, size = 0.3 + 0.4 * canvas.random.random(), 0.84, 0.12
    wall = _paint(canvas, (196, 120, 84))
    _shape(canvas, x, y, size, [(-1, 0), (1, 0), (1, -0.9), (-1, -0.9)], wall)
    _shape(canvas, x, y, size, [(0.2, 0), (1, 0), (1, -0.9), (0.2, -0.9)], wall * 0.8)
    _shape(canvas, x, y, size, [(-1.15, -0.85), (1.15, -0.85), (0.7, -1.65), (-0.7, -1.65)], colour(84, 48, 44))
    _shape(canvas, x, y, size, [(0.45, -1.5), (0.65, -1.5), (0.65, -2.0), (0.45, -2.0)], colour(70, 50, 48))
    for left in (-0.75, 0.45):
        _shape(canvas, x, y, size, [(left, -0.65), (left + 0.3, -0.65), (left + 0.3, -0.3), (left, -0.3)], colour(255, 224, 150))
    _shape(canvas, x, y, size, [(-0.2, 0), (0.1, 0), (0.1, -0.55), (-0.2, -0.55)], colour(66, 42, 36))


def _boat(canvas: Canvas) -> None:
    x, y, size = 0.3 + 0.4 * canvas.random.random(), canvas.horizon + 0.1, 0.09
    _shape(canvas, x, y, size, [(-1, 0), (1.1, 0), (0.7, 0.35), (-0.7, 0.35)], _paint(canvas, (120, 60, 44)))
    _shape(canvas, x, y, size, [(0.05, -0.05), (0.05, -1.7), (0.95, -0.15)], colour(250, 246, 236))
    _shape(canvas, x, y, size, [(-0.05, -0.05), (-0.05, -1.5), (-0.7, -0.15)], colour(222, 214, 200))
    _shape(canvas, x, y, size, [(-0.7, 0.38), (0.7, 0.38), (0.3, 0.95), (-0.4, 0.9)], mix(canvas.haze, colour(40, 50, 60), 0.6))


def _birds(canvas: Canvas) -> None:
    for _ in range(9):
        x, y, size = canvas.random.uniform(0.1, 0.9), canvas.random.uniform(0.1, 0.4), canvas.random.uniform(0.012, 0.028)
        wing = [(-1, -0.35), (-0.45, -0.55), (0, 0), (0.45, -0.55), (1, -0.35), (0.45, -0.35), (0, 0.22), (-0.45, -0.35)]
        _shape(canvas, x, y, size, wing, colour(28, 28, 36))


def _balloon(canvas: Canvas) -> None:
    for number in range(3):
        x, y, size = canvas.random.uniform(0.15, 0.85), canvas.random.uniform(0.16, 0.42), (0.11, 0.07, 0.045)[number]
        tone = _paint(canvas, (214, 60, 54)) if number == 0 else colour(*canvas.random.integers(70, 250, 3))
        angles = np.linspace(0, 2 * np.pi, 60)
        shape = [(np.cos(a) * (1 if np.sin(a) < 0 else 1 - 0.45 * np.sin(a)), np.sin(a) * 1.12) for a in angles]
        _shape(canvas, x, y, size, shape, tone)
        for left, right in ((-0.5, -0.2), (0.15, 0.5)):
            stripe = [(px, py) for px, py in shape if left <= px <= right]
            upper = sorted((p for p in stripe if p[1] < 0), key=lambda p: p[0])
            lower = sorted((p for p in stripe if p[1] >= 0), key=lambda p: -p[0])
            _shape(canvas, x, y, size, [*upper, *lower], mix(tone, colour(255, 244, 220), 0.65))
        _shape(canvas, x, y, size, [(-0.2, 1.4), (0.2, 1.4), (0.16, 1.68), (-0.16, 1.68)], colour(96, 64, 40))


def _car(canvas: Canvas) -> None:
    x, y, size = 0.35 + 0.3 * canvas.random.random(), 0.9, 0.15
    body = _paint(canvas, (196, 40, 40))
    _shape(canvas, x, y, size, [(-1.5, 0.22), (1.6, 0.22), (1.5, 0.34), (-1.4, 0.34)], colour(14, 14, 18))
    _shape(canvas, x, y, size, [(-1.5, 0.1), (-1.5, -0.25), (-1.05, -0.36), (-0.6, -0.75), (0.45, -0.75), (0.95, -0.34), (1.5, -0.22), (1.55, 0.1)], body)
    _shape(canvas, x, y, size, [(-0.92, -0.38), (-0.56, -0.66), (-0.1, -0.66), (-0.1, -0.38)], colour(176, 206, 224))
    _shape(canvas, x, y, size, [(0.0, -0.38), (0.0, -0.66), (0.4, -0.66), (0.78, -0.38)], colour(150, 184, 206))
    _shape(canvas, x, y, size, [(-1.5, 0.1), (1.55, 0.1), (1.55, -0.02), (-1.5, -0.02)], body * 0.7)
    for wheel in (-0.9, 0.95):
        ring = [(wheel + 0.3 * np.cos(a), 0.1 + 0.3 * np.sin(a)) for a in np.linspace(0, 6.28, 40)]
        _shape(canvas, x, y, size, ring, colour(22, 22, 26))
        _shape(canvas, x, y, size, [((px - wheel) * 0.5 + wheel, (py - 0.1) * 0.5 + 0.1) for px, py in ring], colour(190, 194, 200))
    _shape(canvas, x, y, size, [(1.42, -0.16), (1.54, -0.14), (1.54, -0.04), (1.42, -0.06)], colour(255, 240, 190))


def _snow(canvas: Canvas) -> None:
    layer = np.zeros(canvas.pixels.shape[:2], np.float32)
    for _ in range(260):
        x, y, size = canvas.random.random(), canvas.random.random(), 0.0015 + 0.0035 * canvas.random.random() ** 2
        reach = max(1, round(size * canvas.unit))
        row, column = int(y * canvas.height), int(x * canvas.width)
        part = np.s_[max(0, row - reach) : row + reach, max(0, column - reach) : column + reach]
        layer[part] = 0.75
    canvas.cover(layer, colour(255, 255, 255))


_THINGS = (("balloon", _balloon), ("birds", _birds), ("house", _house), ("boat", _boat), ("car", _car), ("snow", _snow))

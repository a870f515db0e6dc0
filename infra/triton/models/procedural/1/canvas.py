"""The surface that scenes draw on: pixels of 0 to 1, noise that does not depend on the size, soft shapes."""

from __future__ import annotations

import cv2
import numpy as np
from words import Wish

Array = np.ndarray


class Canvas:
    """`x` and `y` run from 0 to 1 over the picture's width and height; `unit` is its shorter side in pixels."""

    def __init__(self, width: int, height: int, wish: Wish) -> None:
        self.width, self.height, self.wish, self.random = width, height, wish, wish.random
        self.unit = min(width, height)
        self.pixels: Array = np.zeros((height, width, 3), np.float32)
        self.y, self.x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j].astype(np.float32)
        self.horizon = 0.62
        self.light = (0.5, 0.4)
        self.haze: Array = np.array([0.8, 0.85, 0.9], np.float32)

    def cover(self, mask: Array, colour: Array) -> None:
        """Lay a colour (one, or one a pixel) over the picture where the mask of 0 to 1 is."""
        self.pixels = mix(self.pixels, colour, mask[..., None])

    def below(self, line: Array) -> Array:
        """A mask of what lies below a line given as a height (0 top, 1 bottom) for each column, soft by a pixel."""
        return np.clip((self.y - line[None, :]) * self.height + 0.5, 0, 1)

    def ridge(self, middle: float, rough: float, pitch: float, octaves: int = 6) -> Array:
        """A line of hills: a height for each column."""
        at = np.linspace(0, pitch * self.width / self.unit, self.width)
        line, size = np.zeros(self.width), 1.0
        for octave in range(octaves):
            knots = self.random.uniform(-1, 1, int(at[-1] * 2**octave) + 4)
            line += size * np.interp(at * 2**octave, np.arange(len(knots)), knots)
            size *= 0.5
        return (middle + rough * line).astype(np.float32)

    def polygon(self, points: list[tuple[float, float]], colour: Array) -> None:
        """Fill a polygon given in x and y of 0 to 1, with smooth borders."""
        mask = np.zeros((self.height, self.width), np.uint8)
        scaled = np.array([[x * self.width, y * self.height] for x, y in points])
        cv2.fillPoly(mask, [np.round(scaled * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        left, top = np.maximum(np.floor(scaled.min(0)).astype(int) - 2, 0)
        right, bottom = np.ceil(scaled.max(0)).astype(int) + 3
        part = np.s_[top : max(top, bottom), left : max(left, right)]
        self.pixels[part] = mix(self.pixels[part], colour, mask[part][..., None].astype(np.float32) / 255)

    def disc(self, x: float, y: float, radius: float, softness: float = 0.0) -> Array:
        """A mask of a disc; the radius is in units of the shorter side."""
        far = np.hypot((self.x - x) * self.width, (self.y - y) * self.height) / self.unit
        return np.clip((radius - far) / max(softness, 1.2 / self.unit) + 0.5, 0, 1).astype(np.float32)

    def far(self, x: float, y: float) -> Array:
        """The distance to a point in units of the shorter side."""
        return (np.hypot((self.x - x) * self.width, (self.y - y) * self.height) / self.unit).astype(np.float32)


def mix(first: Array, second: Array, share: Array | float) -> Array:
    """From the first to the second."""
    return first + (second - first) * share


def colour(*levels: int) -> Array:
    """A colour of 0 to 255 as 0 to 1."""
    return np.array(levels, np.float32) / 255


def fractal(random: np.random.Generator, width: int, height: int, pitch: float, octaves: int, stretch: float = 1.0) -> Array:
    """Smooth noise of 0 to 1 with detail on several scales; `pitch` counts its waves along the shorter side."""
    total, size, sum_of_sizes = np.zeros((height, width), np.float32), 1.0, 0.0
    unit = min(width, height)
    for octave in range(octaves):
        waves = pitch * 2**octave
        columns, rows = max(2, int(waves * width / unit / stretch) + 2), max(2, int(waves * height / unit) + 2)
        if max(columns, rows) > 2 * max(width, height):
            break
        knots = random.random((min(rows, 1024), min(columns, 1024)), np.float32)
        total += size * cv2.resize(knots, (width, height), interpolation=cv2.INTER_CUBIC)
        sum_of_sizes += size
        size *= 0.5
    return np.clip(0.5 + (total / sum_of_sizes - 0.5) * 1.6, 0, 1)

"""Pictures for tests, drawn from a seed: smooth shades, sharp edges and fine texture, as photographs have them."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw


def scene(width: int, height: int, seed: int = 0) -> Image.Image:
    """An RGB picture; equal arguments give equal pixels."""
    numbers = np.random.default_rng(seed)
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    shades = np.stack([across, down, (across + down) / 2], axis=-1) * 160 + 40
    grain = numbers.normal(0, 4, shades.shape)
    picture = Image.fromarray(np.clip(shades + grain, 0, 255).astype(np.uint8), "RGB")
    pen = ImageDraw.Draw(picture)
    for _ in range(12):
        x, y = (int(v) for v in numbers.integers(0, (width, height)))
        size = int(numbers.integers(max(2, width // 10), max(4, width // 3)))
        colour = (int(numbers.integers(256)), int(numbers.integers(256)), int(numbers.integers(256)))
        pen.line((x, y, x + size, y + size // 2), fill=colour, width=2)
        pen.ellipse((y, x, y + size // 2, x + size // 2), outline=colour, width=2)
    return picture


def encoded(picture: Image.Image, form: str = "JPEG") -> bytes:
    """The picture's file."""
    buffer = io.BytesIO()
    picture.save(buffer, form, quality=92)
    return buffer.getvalue()


def decoded(content: bytes) -> Image.Image:
    """The picture in a file, as RGB."""
    with Image.open(io.BytesIO(content)) as picture:
        return picture.convert("RGB")


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean absolute difference of two pictures of one size, in levels of 0 to 255."""
    assert one.size == other.size
    return float(np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).mean())

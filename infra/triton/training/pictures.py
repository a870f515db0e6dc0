"""Generated pictures to fit filters on: overlapping leaves, textures, letters and lines, softened like a lens does.

Everything is drawn from a seed; no picture of anybody else's is in it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Pixels = NDArray[np.uint8]

_SUPERSAMPLING = 2


def generate(seed: int, size: int) -> Image.Image:
    """Draw one grey picture of size x size."""
    random = np.random.default_rng(seed)
    large = size * _SUPERSAMPLING
    image = Image.fromarray(_texture(random, large, 1.6))
    for _ in range(int(random.integers(250, 700))):
        _leaf(random, image)
    for _ in range(int(random.integers(0, 40))):
        _stroke(random, image)
    if random.random() < 0.4:
        _letters(random, image)
    image = image.filter(ImageFilter.GaussianBlur(float(random.choice([0.0, 0.6, 1.0, 1.6, 2.4]))))
    image = image.resize((size, size), Image.Resampling.BOX)
    grain = random.normal(0, float(random.choice([0.0, 0.5, 1.5])), (size, size))
    return Image.fromarray(np.clip(np.asarray(image, np.float32) + grain + 0.5, 0, 255).astype(np.uint8))


def _texture(random: np.random.Generator, size: int, slope: float) -> Pixels:
    """Noise whose amplitude falls with frequency as natural textures' does."""
    spectrum = np.fft.rfft2(random.normal(size=(size, size)))
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    frequency[0, 0] = 1
    noise = np.fft.irfft2(spectrum / frequency**slope, (size, size))
    noise = (noise - noise.mean()) / (noise.std() + 1e-9)
    level, contrast = random.uniform(30, 225), random.uniform(2, 35)
    texture: Pixels = np.clip(level + contrast * noise, 0, 255).astype(np.uint8)
    return texture


def _waves(random: np.random.Generator, size: int) -> Pixels:
    """Fine stripes: fabric, fur, blinds."""
    angle, period = random.uniform(0, np.pi), random.uniform(5, 24) * _SUPERSAMPLING
    y, x = np.mgrid[:size, :size]
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period)
    if random.random() < 0.5:
        wave = np.tanh(wave * 4)
    stripes: Pixels = np.clip(random.uniform(60, 195) + random.uniform(5, 55) * wave, 0, 255).astype(np.uint8)
    return stripes


def _leaf(random: np.random.Generator, image: Image.Image) -> None:
    side = image.width
    radius = int(min(side / 3, 4 * _SUPERSAMPLING / max(1e-3, random.random()) ** 0.6))
    box = 2 * radius + 1
    mask = Image.new("L", (box, box), 0)
    kind = random.random()
    if kind < 0.35:
        ImageDraw.Draw(mask).ellipse((0, radius * (1 - random.uniform(0.2, 1)), box, box), fill=255)
    else:
        angles = np.sort(random.uniform(0, 2 * np.pi, int(random.integers(3, 8))))
        points = [(radius + radius * np.cos(a), radius + radius * np.sin(a)) for a in angles]
        ImageDraw.Draw(mask).polygon(points, fill=255)
    mask = mask.rotate(float(random.uniform(0, 360)), Image.Resampling.BILINEAR)
    if random.random() < 0.15:
        mask = mask.filter(ImageFilter.GaussianBlur(radius / 6))
    fill = _filling(random, box)
    x, y = (int(v) for v in random.integers(-radius, side, 2))
    image.paste(fill, (x, y), mask)


def _filling(random: np.random.Generator, box: int) -> Image.Image:
    kind = random.random()
    if kind < 0.45:
        return Image.new("L", (box, box), int(random.integers(5, 250)))
    if kind < 0.65:
        first, last = (float(level) for level in random.uniform(10, 245, 2))
        ramp = np.linspace(first, last, box)
        return Image.fromarray(np.broadcast_to(ramp, (box, box)).astype(np.uint8)).rotate(90 * int(random.integers(4)))
    if kind < 0.85:
        return Image.fromarray(_texture(random, box, float(random.uniform(0.6, 1.6))))
    return Image.fromarray(_waves(random, box))


def _stroke(random: np.random.Generator, image: Image.Image) -> None:
    points = random.uniform(0, image.width, (int(random.integers(2, 4)), 2))
    width = int(random.integers(1, 6) * _SUPERSAMPLING)
    ImageDraw.Draw(image).line([tuple(p) for p in points], fill=int(random.integers(256)), width=width, joint="curve")


def _letters(random: np.random.Generator, image: Image.Image) -> None:
    draw = ImageDraw.Draw(image)
    for _ in range(int(random.integers(5, 30))):
        font = ImageFont.load_default(size=float(random.uniform(10, 60) * _SUPERSAMPLING))
        text = "".join(chr(c) for c in random.integers(33, 126, int(random.integers(2, 14))))
        x, y = random.uniform(-50, image.width, 2)
        draw.text((x, y), text, fill=int(random.integers(256)), font=font)

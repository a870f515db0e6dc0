"""Pictures to try engines on: three photographs, a drawn face; and what time does to pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Array = NDArray[np.uint8]
PHOTOGRAPHS = Path(__file__).parents[1] / "photographs"
SIZE = (600, 400)


def photograph() -> Array:
    """A cup of coffee."""
    return np.asarray(Image.open(PHOTOGRAPHS / "coffee.png").convert("RGB"))


def astronaut() -> Array:
    """A smiling face before a busy background."""
    return np.asarray(Image.open(PHOTOGRAPHS / "astronaut.jpg").convert("RGB").crop((0, 0, 512, 384)))


def cat() -> Array:
    """Fur and whiskers, close."""
    return np.asarray(Image.open(PHOTOGRAPHS / "chelsea.jpg").convert("RGB").crop((0, 0, 448, 300)))


def portrait() -> Array:
    """A face before a wall, shaded as if lit from the left: good enough for a detector of faces."""
    large = Image.new("RGB", (SIZE[0] * 2, SIZE[1] * 2), (126, 150, 170))
    draw = ImageDraw.Draw(large)
    wall = np.linspace(1.12, 0.8, large.width)[None, :, None] * np.asarray(large, float)
    large.paste(Image.fromarray(np.clip(wall, 0, 255).astype(np.uint8)))
    draw.ellipse((330, 560, 870, 1100), fill=(52, 70, 110))
    draw.ellipse((420, 80, 780, 560), fill=(58, 38, 26))
    draw.rectangle((540, 480, 660, 660), fill=(196, 146, 116))
    draw.ellipse((450, 130, 750, 600), fill=(226, 178, 146))
    draw.pieslice((440, 90, 760, 400), 180, 360, fill=(58, 38, 26))
    for x in (532, 668):
        draw.ellipse((x - 44, 318, x + 44, 372), fill=(205, 155, 126))
        draw.ellipse((x - 34, 326, x + 34, 366), fill=(244, 240, 236))
        draw.ellipse((x - 18, 326, x + 18, 366), fill=(70, 50, 34))
        draw.ellipse((x - 8, 336, x + 8, 354), fill=(10, 8, 8))
        draw.ellipse((x - 8, 334, x, 342), fill=(255, 255, 255))
        draw.arc((x - 50, 276, x + 50, 340), 200, 340, fill=(64, 40, 26), width=14)
    draw.polygon([(600, 360), (572, 460), (628, 460)], fill=(208, 158, 128))
    draw.ellipse((572, 438, 628, 470), fill=(200, 146, 118))
    draw.ellipse((584, 454, 594, 464), fill=(120, 74, 60))
    draw.ellipse((608, 454, 618, 464), fill=(120, 74, 60))
    draw.ellipse((536, 498, 664, 548), fill=(176, 84, 78))
    draw.line((536, 522, 664, 522), fill=(110, 46, 46), width=6)
    soft = np.asarray(large.filter(ImageFilter.GaussianBlur(3)).resize(SIZE, Image.Resampling.BOX), float)
    beside = np.linspace(-1, 1, SIZE[0])[None, :, None]
    grain = np.random.default_rng(3).normal(0, 2.0, (SIZE[1], SIZE[0], 1))
    return np.clip(soft * (1 - 0.14 * beside) + grain, 0, 255).astype(np.uint8)


def noisy(picture: Array, deviation: float = 20.0) -> Array:
    noise = np.random.default_rng(1).normal(0, deviation, picture.shape)
    return np.clip(picture + noise + 0.5, 0, 255).astype(np.uint8)


def grey(picture: Array) -> Array:
    return np.asarray(Image.fromarray(picture).convert("L").convert("RGB"))


def faded(picture: Array) -> Array:
    """Half the colours gone, blacks grey, whites yellow."""
    pale = 0.55 * picture.astype(float) + 0.45 * grey(picture)
    return np.clip(pale * 0.5 * (1.05, 0.98, 0.8) + (92, 84, 72), 0, 255).astype(np.uint8)


def scratched(picture: Array) -> Array:
    """Nine thin scratches, bright and dark."""
    image = Image.fromarray(picture).resize((picture.shape[1] * 2, picture.shape[0] * 2), Image.Resampling.NEAREST)
    draw, random = ImageDraw.Draw(image), np.random.default_rng(8)
    for number in range(9):
        ends = random.integers((0, 0, 0, 0), (image.width, image.height, image.width, image.height))
        fill = (246, 242, 230) if number % 3 else (38, 34, 30)
        draw.line([int(v) for v in ends], fill=fill, width=int(random.integers(2, 6)))
    small = image.resize(picture.shape[1::-1], Image.Resampling.BOX)
    touched = np.abs(np.asarray(small).astype(int) - picture).max(-1) > 3
    return np.where(touched[..., None], np.asarray(small), picture)


def hole(picture: Array) -> Array:
    """A mask: a word, a line, a ball's size of background, a corner of something."""
    height, width = picture.shape[:2]
    mask = Image.new("L", (width, height))
    draw = ImageDraw.Draw(mask)
    draw.line((20, height // 4, width - 60, height - 40), fill=255, width=5)
    draw.ellipse((width - 130, 40, width - 60, 110), fill=255)
    draw.rectangle((40, height - 120, 95, height - 75), fill=255)
    draw.text((width // 2 - 90, height - 50), "DARKROOM", fill=255, font=ImageFont.load_default(size=34.0))
    return np.asarray(mask)

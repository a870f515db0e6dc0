"""`make gallery`: a contact sheet of every engine on three pictures, with figures where something can be measured.

Exit code 1 when a figure misses its bound. The sheet and each picture lie under `var/gallery`.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from infra.triton.client import open_engine
from tests.gallery import pictures
from tests.gallery.engines import Array, Engines, psnr
from tests.servers import LocalServers

TARGET = Path("var") / "gallery"
CELL = (300, 200)
STYLES = ("oil", "watercolor", "pencil", "ink", "flat")
PROMPTS = (
    ("natural", "1792x1024", "A beautiful sunset over mountains"),
    ("photographic", "1024x1024", "cyberpunk city at night"),
    ("vivid", "1024x1792", "meadow of red flowers, sunny day"),
    ("artistic", "1024x1024", "stormy sea with a sailboat"),
    ("vector", "512x512", "winter cabin in snowy mountains"),
    ("natural", "256x256", "galaxy nebula with a purple planet"),
)


class Figure(NamedTuple):
    """A measured value and what it has to reach, in dB."""

    what: str
    value: float
    bound: float


class Gallery:
    """Cells in rows, and the figures."""

    def __init__(self, engines: Engines) -> None:
        self.engines = engines
        self.rows: list[tuple[str, list[tuple[str, Array]]]] = []
        self.figures: list[Figure] = []

    def measure(self, what: str, value: float, bound: float) -> str:
        self.figures.append(Figure(what, value, bound))
        return f"{value:.1f} dB (at least {bound:.1f})"

    async def show(self) -> None:
        originals = {
            "coffee": pictures.photograph(),
            "astronaut": pictures.astronaut(),
            "cat": pictures.cat(),
        }
        for name, original in originals.items():
            for part in (self.measured, self.filters, self.styles):
                await part(name, original)
        await self.drawn()
        await self.filmed(originals["coffee"])

    async def measured(self, name: str, original: Array) -> None:
        """Upscaling, denoising, restoring and inpainting, beside what plain tools do."""
        size = original.shape[1], original.shape[0]
        half = size[0] // 2, size[1] // 2
        small = np.asarray(Image.fromarray(original).resize(half, Image.Resampling.BICUBIC))
        plain = np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC))
        large = await self.engines.picture("classical/upscale", small, scale=2)
        second = await self.engines.picture("classical/upscale", small, second=True, scale=2)
        bicubic = psnr(plain, original)
        gain = 0.5
        ours = self.measure(f"{name} upscale", psnr(large, original), bicubic + gain)
        other = self.measure(f"{name} lanczos", psnr(second, original), bicubic - 0.1)
        cells = [("original", original), (f"bicubic x2 {bicubic:.1f} dB", plain)]
        cells += [(f"classical/upscale {ours}", large), (f"its second engine {other}", second)]
        noisy = pictures.noisy(original)
        averaged = Image.fromarray(noisy).resize(half, Image.Resampling.BICUBIC)
        blurred = psnr(np.asarray(averaged.resize(size, Image.Resampling.BICUBIC)), original)
        calm = await self.engines.picture("classical/denoise", noisy)
        bound = max(psnr(noisy, original) + 6, blurred)
        cells += [(f"noisy {psnr(noisy, original):.1f} dB", noisy)]
        cells.append((f"classical/denoise {self.measure(f'{name} denoise', psnr(calm, original), bound)}", calm))
        mask = pictures.hole(original)
        holed = np.where(mask[..., None] > 127, 255, original).astype(np.uint8)
        filled = await self.engines.picture("classical/inpaint", holed, mask)
        value = psnr(filled, original, mask > 127)
        even = np.broadcast_to(original.reshape(-1, 3).mean(0), original.shape)
        least = psnr(even, original, mask > 127) + (4 if name == "coffee" else 1)  # one hole hides a rocket's tip
        cells += [("with holes", holed), (f"classical/inpaint {self.measure(f'{name} inpaint', value, least)}", filled)]
        self.rows.append((f"{name}: measured", cells))

    async def filters(self, name: str, original: Array) -> None:
        old = pictures.scratched(pictures.faded(original))
        restored = await self.engines.picture("classical/restore", old)
        gain = psnr(restored, original) - psnr(old, original)
        cells = [
            ("faded, scratched", old),
            (f"classical/restore +{self.measure(f'{name} restore', gain, 1.5)}", restored),
        ]
        plain = pictures.grey(original)
        cells.append(("grey", plain))
        for palette in ("natural", "sepia", "ocean"):
            cells.append(
                (f"colorize {palette}", await self.engines.picture("classical/colorize", plain, palette=palette))
            )
        soft = np.asarray(Image.fromarray(original).filter(ImageFilter.GaussianBlur(1.2)))
        sharp = await self.engines.picture("classical/sharpen", soft, amount=60)
        gain = psnr(sharp, original) - psnr(soft, original)
        words = self.measure(f"{name} sharpen", gain, 0.2)
        cells += [("soft", soft), (f"sharpen +{words}", sharp)]
        self.rows.append((f"{name}: filters", cells))

    async def styles(self, name: str, original: Array) -> None:
        cells = [
            (f"stylize {style}", await self.engines.picture("classical/stylize", original, style=style))
            for style in STYLES
        ]
        cells.append(
            ("sharpen faces", await self.engines.picture("classical/sharpen", original, mode="faces", amount=80))
        )
        words = "comic, neon night" if name == "coffee" else "soft aquarelle at sunset"
        restyled = await self.engines.picture("classical/restyle", original, prompt=words)
        cells.append((f"restyle: {words}", restyled))
        cells.append(("background", over_chequers(await self.engines.picture("classical/background", original))))
        self.rows.append((f"{name}: styles", cells))

    async def drawn(self) -> None:
        cells = []
        for style, size, prompt in PROMPTS:
            made = await self.engines.picture("procedural/image", prompt=prompt, style=style, size=size, seed=1)
            cells.append((f"{style} {size}: {prompt}", made))
        for number in (2, 3):
            made = await self.engines.picture("procedural/image", prompt="something else", size="512x512", seed=number)
            cells.append((f"unknown words, seed {number}", made))
        self.rows.append(("procedural/image", cells))

    async def filmed(self, original: Array) -> None:
        frames = await self.engines.frames("procedural/video", original, prompt="zoom out", seconds=2)
        cells = [(f"frame {number}", frames[number]) for number in range(0, len(frames), 7)]
        self.rows.append(("procedural/video", cells[:8]))


def over_chequers(cut: Array) -> Array:
    y, x = np.mgrid[: cut.shape[0], : cut.shape[1]]
    chequers = ((y // 14 + x // 14) % 2 * 70 + 150)[..., None]
    share = cut[..., 3:] / 255
    return np.asarray(cut[..., :3] * share + chequers * (1 - share), np.uint8)


def sheet(rows: list[tuple[str, list[tuple[str, Array]]]]) -> Image.Image:
    """Every row under its title, every picture over its caption."""
    columns = max(len(cells) for _, cells in rows)
    high = CELL[1] + 22
    page = Image.new("RGB", (columns * (CELL[0] + 6), len(rows) * (high + 26)), (24, 24, 26))
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=13.0)
    for row, (title, cells) in enumerate(rows):
        top = row * (high + 26)
        draw.text((4, top + 4), title, fill=(255, 214, 120), font=font)
        for column, (caption, picture) in enumerate(cells):
            image = Image.fromarray(picture[..., :3])
            image.thumbnail(CELL, Image.Resampling.LANCZOS)
            page.paste(image, (column * (CELL[0] + 6), top + 24))
            draw.text((column * (CELL[0] + 6) + 2, top + 26 + CELL[1]), caption[:46], fill=(220, 220, 220), font=font)
    return page


async def main() -> int:
    TARGET.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        servers = LocalServers(Path(folder))
        try:
            settings = await asyncio.to_thread(servers.need, "triton")
            async with open_engine(settings.triton_urls) as engine:
                gallery = Gallery(Engines(engine))
                await gallery.show()
        finally:
            await asyncio.to_thread(servers.stop)
    sheet(gallery.rows).save(TARGET / "sheet.png")
    for title, cells in gallery.rows:
        for number, (_, picture) in enumerate(cells):
            Image.fromarray(picture).save(
                TARGET / f"{title.replace(': ', '-').replace('/', '-').replace(' ', '-')}-{number}.png"
            )
    for figure in gallery.figures:
        verdict = "missed" if figure.value < figure.bound else "ok"
        print(f"{verdict:7}{figure.what:24}{figure.value:6.2f} dB, at least {figure.bound:.2f}")
    print(f"contact sheet: {TARGET / 'sheet.png'}")
    return int(any(figure.value < figure.bound for figure in gallery.figures))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

"""Scenes, drawn from far to near over a painted sky; those of space and abstract ones paint everything themselves."""

from __future__ import annotations

import cv2
import numpy as np
from canvas import Array, Canvas, colour, fractal, mix
from sky import stars

_LAND = {
    "day": (70, 110, 92), "sunset": (86, 44, 70), "dawn": (110, 104, 130), "night": (16, 22, 40), "storm": (62, 74, 76),
}


def land(canvas: Canvas) -> Array:
    """The colour of near land at this time of day."""
    return colour(*_LAND[canvas.wish.time])


def mountains(canvas: Canvas) -> None:
    """Ridges that come out of the haze, with snow on the far ones, and a valley's floor."""
    snow = "snow" in canvas.wish.things
    count = 5
    for number in range(count):
        near = number / (count - 1)
        line = canvas.ridge(0.46 + 0.36 * near, 0.13 * (1 - 0.5 * near), 2.2 - near)
        body = mix(canvas.haze, land(canvas), 0.28 + 0.72 * near**0.8)
        depth = np.clip((canvas.y - line[None, :]) * 3, 0, 1)
        slope = np.gradient(cv2.GaussianBlur(line[None], (0, 0), 2)[0]) * canvas.width
        lit = np.clip(0.5 + slope * np.sign(canvas.light[0] - 0.5 + 1e-6) * 0.5, 0, 1)[None, :, None]
        rock = fractal(canvas.random, canvas.width, canvas.height, 12.0, 4)[..., None]
        tone = body * (0.82 + 0.22 * lit + 0.14 * (rock - 0.5))
        tone = mix(tone, canvas.haze, (depth * 0.45 * (1 - near))[..., None])
        if snow or (number < 2 and canvas.wish.time in ("day", "dawn")):
            cap = np.clip((0.10 + 0.08 * rock[..., 0] - (canvas.y - line.min())) * 9, 0, 1) if not snow else np.clip(rock[..., 0] * 2 - 0.4, 0, 1)
            tone = mix(tone, mix(colour(168, 186, 214), colour(250, 250, 252), lit), (cap * 0.85)[..., None])
        canvas.cover(canvas.below(line), tone.astype(np.float32))
    if "snow" not in canvas.wish.things:
        firs(canvas, 0.97, 0.11, 26, land(canvas) * 0.45)


def sea(canvas: Canvas) -> None:
    """Water that mirrors the sky, broken by waves, with a path of light and a far shore."""
    canvas.cover(canvas.below(canvas.ridge(canvas.horizon - 0.025, 0.028, 2.0)), mix(canvas.haze, land(canvas), 0.45))
    edge = int(canvas.horizon * canvas.height)
    rows = canvas.height - edge
    mirrored = canvas.pixels[edge - 1 :: -1][:rows]
    mirrored = cv2.resize(mirrored, (canvas.width, rows), interpolation=cv2.INTER_LINEAR)
    waves = fractal(canvas.random, canvas.width, rows, 14.0, 4, 7.0)
    depth = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
    y, x = np.mgrid[:rows, : canvas.width].astype(np.float32)
    shifted = cv2.remap(mirrored, x, np.clip(y + (waves - 0.5) * depth * rows * 0.5, 0, rows - 1), cv2.INTER_LINEAR)
    deep = mix(colour(10, 60, 92), land(canvas) * 0.5, 0.4)
    water = mix(shifted, deep, 0.25 + 0.35 * depth[..., None])
    glitter = np.clip((waves - 0.52) * 7, 0, 1) * np.exp(-(((canvas.x[edge:] - canvas.light[0]) / (0.035 + 0.13 * depth)) ** 2))
    tone = colour(255, 222, 160) if canvas.wish.time in ("sunset", "dawn") else colour(240, 246, 255)
    water = water + (glitter * (0.8 if canvas.wish.time != "storm" else 0.1))[..., None] * tone
    crests = np.clip((waves - 0.66) * 5, 0, 0.35) * depth
    canvas.pixels[edge:] = mix(water, colour(240, 248, 250), crests[..., None])
    if canvas.random.random() < 0.6:
        shore = canvas.ridge(0.97, 0.035, 1.2, 3)
        canvas.cover(canvas.below(shore), mix(colour(214, 186, 140), land(canvas), 0.35))


def forest(canvas: Canvas) -> None:
    """Rows of firs that get darker as they come nearer, out of mist."""
    canvas.cover(canvas.below(canvas.ridge(0.5, 0.06, 1.8)), mix(canvas.haze, land(canvas), 0.25))
    for number in range(5):
        near = number / 4
        base = 0.60 + 0.40 * near
        tone = mix(canvas.haze, land(canvas) * 0.5, 0.3 + 0.7 * near)
        canvas.cover(canvas.below(canvas.ridge(base - 0.03, 0.025, 2.0)), tone)
        firs(canvas, base, 0.16 + 0.30 * near, round(34 - 20 * near), tone)
        mist = np.exp(-(((canvas.y - base) / 0.05) ** 2)) * 0.35 * (1 - near)
        canvas.cover(mist.astype(np.float32), canvas.haze)


def firs(canvas: Canvas, base: float, size: float, count: int, tone: Array) -> None:
    """A row of firs whose feet stand around `base`."""
    snow = "snow" in canvas.wish.things
    aspect = canvas.unit / canvas.width
    for x in np.sort(canvas.random.uniform(-0.03, 1.03, max(4, round(count * canvas.width / canvas.unit / 1.3)))):
        tall = size * canvas.random.uniform(0.6, 1.15) * canvas.unit / canvas.height
        foot = base + canvas.random.uniform(-0.01, 0.03)
        shade = tone * canvas.random.uniform(0.85, 1.15)
        width = size * canvas.random.uniform(0.26, 0.36) * aspect
        points, storeys = [(x, foot - tall)], 5
        for side in (1, -1):
            edge = []
            for storey in range(1, storeys + 1):
                down, reach = foot - tall * (1 - storey / storeys), width * storey / storeys
                edge += [(x + side * reach, down), (x + side * reach * 0.55, down - tall * 0.02)]
            points += edge[:-1] if side == 1 else edge[:-1][::-1]
        canvas.polygon(points, mix(shade, colour(236, 240, 246), 0.55) if snow else shade)


def city(canvas: Canvas) -> None:
    """Three rows of towers with lit windows, over a street of light."""
    night = canvas.wish.time in ("night", "sunset", "storm")
    neon = [np.array(c, np.float32) / 255 for c in canvas.wish.colours] or [colour(255, 214, 140), colour(140, 220, 255), colour(255, 120, 190)]
    for number in range(4):
        near = number / 3
        body = mix(canvas.haze, colour(26, 30, 44) if night else colour(96, 108, 124), 0.3 + 0.65 * near)
        x = -0.02
        while x < 1.02:
            width = canvas.random.uniform(0.05, 0.11) * (0.7 + 0.6 * near) * canvas.unit / canvas.width
            top = canvas.random.uniform(0.22, 0.52) + 0.17 * near
            shade = body * canvas.random.uniform(0.86, 1.12)
            canvas.polygon([(x, top), (x + width, top), (x + width, 1.0), (x, 1.0)], shade)
            if canvas.random.random() < 0.3:
                canvas.polygon([(x + width * 0.48, top - 0.05), (x + width * 0.52, top - 0.05), (x + width * 0.54, top), (x + width * 0.46, top)], shade)
            _windows(canvas, x, top, width, near, night, neon)
            x += width + canvas.random.uniform(0, 0.012)
    glow = np.clip((canvas.y - 0.86) / 0.14, 0, 1) ** 2
    canvas.cover((glow * 0.6).astype(np.float32), neon[0] * (0.8 if night else 0.5))


def _windows(canvas: Canvas, x: float, top: float, width: float, near: float, night: bool, neon: list[Array]) -> None:
    columns, rows = max(2, round(4 + 4 * near)), max(3, round((1 - top) * (18 + 8 * near)))
    lit = canvas.random.random((rows, columns))
    tone = neon[int(canvas.random.integers(len(neon)))] if night else colour(206, 226, 240)
    left, right = int((x + width * 0.08) * canvas.width), int((x + width * 0.92) * canvas.width)
    high, low = int((top + 0.02) * canvas.height), canvas.height
    if right - left < columns * 2 or low - high < rows * 2 or right <= 0 or left >= canvas.width:
        return
    cells = np.where(lit < (0.42 if night else 0.8), 0.35 + 0.65 * lit, 0.0).astype(np.float32)
    pane = np.zeros((rows * 6, columns * 4), np.float32)
    pane[1::6, 1::4] = pane[2::6, 1::4] = pane[3::6, 1::4] = pane[1::6, 2::4] = pane[2::6, 2::4] = pane[3::6, 2::4] = 1
    pane *= np.kron(cells, np.ones((6, 4), np.float32))
    shown = cv2.resize(pane, (right - left, low - high), interpolation=cv2.INTER_AREA if right - left < columns * 4 else cv2.INTER_LINEAR)
    begin, end = max(0, left), min(canvas.width, right)
    part = np.s_[high:low, begin:end]
    share = shown[:, begin - left : end - left, None] * (0.35 + 0.5 * near)
    canvas.pixels[part] = mix(canvas.pixels[part], tone, share)


def desert(canvas: Canvas) -> None:
    """Dunes with a bright and a dark side and ripples in the sand."""
    sand = {"day": (232, 184, 120), "sunset": (216, 120, 72), "dawn": (234, 182, 150), "night": (60, 62, 92), "storm": (170, 150, 122)}
    for number in range(5):
        near = number / 4
        line = cv2.GaussianBlur(canvas.ridge(0.56 + 0.30 * near, 0.09, 1.4 - 0.6 * near, 3)[None], (0, 0), canvas.width / 60)[0]
        body = mix(canvas.haze, colour(*sand[canvas.wish.time]), 0.35 + 0.65 * near)
        slope = np.gradient(line) * canvas.width
        away = np.clip(0.5 - slope * np.sign(canvas.light[0] - 0.5 + 1e-6) * 1.2, 0, 1)
        depth = np.clip((canvas.y - line[None, :]) / 0.16, 0, 1)
        shadow = away[None, :] * np.exp(-depth * 1.6)
        ripples = np.sin((canvas.y * 190 + fractal(canvas.random, canvas.width, canvas.height, 3.0, 3) * 30) * (1.3 - 0.6 * near))
        tone = body * (1.04 - 0.42 * shadow + 0.025 * ripples * near)[..., None]
        canvas.cover(canvas.below(line), tone.astype(np.float32))


def flowers(canvas: Canvas) -> None:
    """A meadow in perspective, each flower with its petals, under the sky."""
    canvas.horizon = 0.5
    canvas.cover(canvas.below(canvas.ridge(0.44, 0.04, 2.0)), mix(canvas.haze, land(canvas), 0.4))
    grass = fractal(canvas.random, canvas.width, canvas.height, 40.0, 3, 0.35)
    dark = 0.45 if canvas.wish.time == "night" else 1.0
    green = mix(colour(44, 96, 48), colour(146, 182, 84), grass[..., None]) * dark
    canvas.cover(canvas.below(canvas.ridge(0.5, 0.015, 1.5, 3)), mix(green, canvas.haze, np.clip((0.62 - canvas.y) * 4, 0, 0.6)[..., None]).astype(np.float32))
    named = [np.array(c, np.float32) / 255 for c in canvas.wish.colours]
    hues = named or [colour(*canvas.random.integers((150, 30, 60), (256, 200, 240))) for _ in range(3)]
    for y in np.sort(0.52 + 0.5 * canvas.random.random(420) ** 0.8):
        size = 0.004 + 0.05 * max(0.0, float(y) - 0.5) ** 1.2
        x, tone = canvas.random.random(), hues[int(canvas.random.integers(len(hues)))] * canvas.random.uniform(0.8, 1.15) * dark
        across, down = size * canvas.unit / canvas.width, size * canvas.unit / canvas.height
        canvas.polygon([(x - across * 0.08, y), (x + across * 0.08, y), (x, y + down * 3)], colour(40, 92, 44) * dark)
        turn = canvas.random.random() * 6
        angles = np.linspace(0, 2 * np.pi, 41)[:-1]
        reach = 1 + 0.42 * np.cos(angles * 5 + turn)
        canvas.polygon([(x + across * r * np.cos(a), y + 0.75 * down * r * np.sin(a)) for a, r in zip(angles, reach, strict=True)], np.clip(tone, 0, 1))
        canvas.polygon([(x + across * 0.3 * np.cos(a), y + 0.24 * down * np.sin(a)) for a in angles[::4]], colour(250, 206, 70) * dark)


def space(canvas: Canvas) -> None:
    """A nebula, stars, and a planet lit from one side."""
    random, wish = canvas.random, canvas.wish
    first = fractal(random, canvas.width, canvas.height, 1.6, 6)
    second = fractal(random, canvas.width, canvas.height, 2.2, 6)
    hues = [np.array(c, np.float32) / 255 for c in wish.colours] or [colour(*random.integers((40, 10, 90), (200, 110, 230))), colour(*random.integers((10, 60, 120), (110, 190, 255)))]
    cloud = np.clip((first - 0.42) * 2.4, 0, 1)[..., None] * hues[0] + np.clip((second - 0.5) * 2.2, 0, 1)[..., None] * hues[-1]
    canvas.pixels = (colour(5, 6, 16) + 0.85 * cloud * (0.35 + first[..., None])).astype(np.float32)
    stars(canvas, 700)
    x, y, radius = random.uniform(0.28, 0.72), random.uniform(0.4, 0.62), random.uniform(0.17, 0.26)
    across = (canvas.x - x) * canvas.width / canvas.unit / radius
    down = (canvas.y - y) * canvas.height / canvas.unit / radius
    up = np.sqrt(np.maximum(0, 1 - across**2 - down**2))
    lit = np.clip(-0.62 * across - 0.45 * down + 0.64 * up, 0.02, 1)
    bands = fractal(random, canvas.width, canvas.height, 6.0, 5, 5.0)
    tone = mix(hues[0] * 0.7 + 0.2, hues[-1] * 0.6 + 0.38, bands[..., None]) * (0.06 + 0.98 * lit)[..., None]
    far = np.hypot(across, down)
    canvas.pixels = canvas.pixels + (0.25 * np.exp(-np.maximum(far - 1, 0) * 9) * lit)[..., None] * hues[-1]
    canvas.cover(canvas.disc(x, y, radius), tone.astype(np.float32))
    ring = np.hypot(across, down * 3.4 + across * 0.9)
    band = np.clip(1 - np.abs(ring - 1.65) / 0.28, 0, 1) * (0.55 + 0.45 * np.sin(ring * 40)) * 0.75
    band = np.where((down * 3.4 + across * 0.9 < 0) & (far < 1), 0, band)
    canvas.cover(band.astype(np.float32), mix(hues[0], colour(250, 236, 214), 0.6))


def abstract(canvas: Canvas) -> None:
    """Bent ribbons of colour with discs and arcs set against them."""
    random = canvas.random
    named = [np.array(c, np.float32) / 255 for c in canvas.wish.colours]
    hue = random.random()
    wheel = [np.array(_hue(hue + k * 0.19), np.float32) for k in range(5)]
    palette = np.stack([*named, *wheel][:5])
    warp = fractal(random, canvas.width, canvas.height, 1.4, 3)
    bend = fractal(random, canvas.width, canvas.height, 1.1, 2)
    field = (canvas.x * 1.3 + canvas.y * 0.7 + warp * 1.5 + bend * 0.6) * random.uniform(1.6, 2.6)
    place = (field % 1) * 5
    index, share = place.astype(int) % 5, np.clip((place % 1 - 0.5) * 9 + 0.5, 0, 1)[..., None]
    ribbons = mix(palette[index], palette[(index + 1) % 5], share)
    canvas.pixels = (ribbons * (0.82 + 0.3 * (field * 5 % 1)[..., None] * 0.6)).astype(np.float32)
    for number in range(7):
        x, y, radius = random.uniform(0.05, 0.95), random.uniform(0.05, 0.95), random.uniform(0.05, 0.24)
        tone = mix(palette[number % 5], colour(255, 252, 244), 0.25 if number % 2 else 0.0)
        shade = canvas.disc(x + 0.012, y + 0.018, radius, 0.05) * 0.28
        canvas.cover(shade, colour(12, 12, 24))
        mask = canvas.disc(x, y, radius)
        if number % 3 == 0:
            mask = mask * (1 - canvas.disc(x, y, radius * 0.72))
        canvas.cover(mask, (tone * (1.05 - 0.35 * canvas.far(x - radius * 0.4, y - radius * 0.4)[..., None])).astype(np.float32))


def _hue(turn: float) -> tuple[float, float, float]:
    return tuple(float(0.55 + 0.36 * np.cos(2 * np.pi * (turn + third))) for third in (0.0, -1 / 3, 1 / 3))


SCENES = {
    "mountains": mountains, "sea": sea, "forest": forest, "city": city, "desert": desert, "flowers": flowers,
    "space": space, "abstract": abstract,
}

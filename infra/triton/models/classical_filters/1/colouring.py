"""Colouring grey pictures by a palette: nobody knows the true colours, and nothing here pretends to.

Brightness stays as it is. `natural` guesses by simple rules over the whole picture: what is bright, smooth and joined
to the upper edge becomes sky, faces (by OpenCV's cascade of Haar features) become skin, rough middle tones low in the
picture lean to green or earth, the rest gets warm lights and cool shadows. The other palettes run one ramp of colours
from shadow to light.
"""

from __future__ import annotations

import cv2
import numpy as np
from portraits import faces_mask
from work import Floats, Pixels, Work, follow_edges, luma, to_bytes

_RAMPS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "sepia": ((30, 20, 12), (112, 78, 48), (196, 158, 112), (255, 244, 222)),
    "sunset": ((28, 16, 52), (132, 38, 84), (236, 110, 60), (255, 232, 168)),
    "ocean": ((8, 22, 48), (18, 84, 120), (84, 168, 178), (238, 250, 240)),
    "forest": ((18, 26, 16), (58, 88, 44), (150, 160, 92), (250, 246, 214)),
}
_SKIN, _SKY, _GREEN, _EARTH = (16.0, 20.0), (-4.0, -24.0), (-14.0, 22.0), (17.0, 33.0)
_SHADOW, _LIGHT = (5.0, -4.0), (7.0, 21.0)


def colorize(work: Work) -> Pixels:
    """Give a picture colours; what colours it has are taken as brightness only."""
    palette = work.params.get("palette", "natural")
    strength = np.float32(work.params.get("strength", 80) / 100)
    brightness = luma(work.pixels)
    if palette == "natural":
        field = work.laid_over(work.learn(_natural))
        radius = min(work.reach(4, 2), max(1, work.halo // 2 - 1))
        edges = brightness / np.float32(255)
        differences = np.stack([follow_edges(field[..., c], edges, radius, 5e-4) for c in range(2)], -1)
    else:
        differences = _ramp(palette)[to_bytes(brightness)]
    lightness = cv2.cvtColor((brightness / np.float32(255))[..., None].repeat(3, -1), cv2.COLOR_RGB2LAB)[..., :1]
    rooms = np.minimum(np.minimum(lightness, 100 - lightness) / np.float32(14), 1)
    lab = np.concatenate([lightness, differences * strength * rooms], -1).astype(np.float32)
    return work.inner(to_bytes(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB) * np.float32(255)))


def _ramp(palette: str) -> Floats:
    """Colour differences (a, b of CIE Lab) for each brightness."""
    stops = np.array(_RAMPS[palette], np.float32)
    levels = np.arange(256)
    at = luma(stops)
    colours = np.stack([np.interp(levels, at, stops[:, c]) for c in range(3)], -1).astype(np.float32)
    return np.asarray(cv2.cvtColor(colours[None] / np.float32(255), cv2.COLOR_RGB2LAB)[0, :, 1:], np.float32)


def _natural(guide: Pixels) -> Floats:
    """Colour differences guessed for the whole picture."""
    grey = cv2.GaussianBlur(luma(guide), (0, 0), 1.2)
    rows, columns = grey.shape
    light = grey / np.float32(255)
    height = np.broadcast_to(np.linspace(0, 1, rows, dtype=np.float32)[:, None], grey.shape)
    rough = np.sqrt(np.maximum(cv2.blur(grey * grey, (9, 9)) - cv2.blur(grey, (9, 9)) ** 2, 0))
    textured = cv2.erode(rough, np.ones((7, 7), np.uint8))
    sky = cv2.GaussianBlur(_sky(light, rough).astype(np.float32), (0, 0), 3)
    plants = np.clip((textured - 7) / 12, 0, 1) * np.clip((height - 0.3) / 0.3, 0, 1) * np.clip(1 - abs(light - 0.35) / 0.3, 0, 1)
    earth = np.clip(1 - abs(light - 0.45) / 0.4, 0, 1) * (0.5 + 0.4 * height)
    field = light[..., None] * np.array(_LIGHT, np.float32) + (1 - light[..., None]) * np.array(_SHADOW, np.float32)
    parts = ((earth, _EARTH), (0.85 * plants, _GREEN), (sky, _SKY), (faces_mask(guide), _SKIN))
    for share, colour in parts:
        field = field + share[..., None].astype(np.float32) * (np.array(colour, np.float32) - field)
    return np.asarray(cv2.GaussianBlur(field, (0, 0), max(0.8, max(rows, columns) / 400)), np.float32)


def _sky(light: Floats, rough: Floats) -> np.ndarray:
    """What is bright, smooth, large and joined to the upper edge."""
    candidate = ((light > 0.42) & (rough < 5)).astype(np.uint8)
    candidate = cv2.morphologyEx(candidate, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    _, labels = cv2.connectedComponents(candidate)
    upper, counts = np.unique(labels[: max(1, labels.shape[0] // 40)], return_counts=True)
    across = max(1, labels.shape[0] // 40) * labels.shape[1]
    wide = [label for label, count in zip(upper, counts, strict=True) if label and count > across * 0.4]
    joined = cv2.dilate(np.isin(labels, wide).astype(np.uint8), np.ones((13, 13), np.uint8))
    return joined * np.clip((light - 0.42) / 0.16, 0, 1)

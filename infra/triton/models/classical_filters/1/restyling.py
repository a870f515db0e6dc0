"""A picture restyled by the words of a prompt, as far as a table of words knows them.

A word may name a style or a colour; without one the prompt's hash chooses the style. `strength` says how much of the
result is the new picture. It stands in for image-to-image models: nothing new is invented.
"""

from __future__ import annotations

import hashlib
import re

import numpy as np
from styles import STYLES
from work import Floats, Pixels, Work, luma, to_bytes

_WORDS = {
    "oil": "oil painting paint painted canvas impressionist monet gogh gemälde öl malerei 油画",
    "watercolor": "watercolor watercolour aquarelle aquarell soft pastel 水彩",
    "pencil": "pencil sketch drawing charcoal graphite bleistift skizze zeichnung 素描",
    "ink": "ink comic manga noir engraving woodcut tusche holzschnitt",
    "flat": "flat vector cartoon poster illustration anime logo minimal pop 插画",
}
_TINTS: dict[str, tuple[int, int, int]] = {
    "red": (220, 60, 50), "rot": (220, 60, 50), "orange": (244, 140, 50), "sunset": (250, 120, 70), "golden": (240, 190, 80),
    "gold": (240, 190, 80), "warm": (246, 170, 100), "yellow": (246, 214, 80), "green": (80, 170, 90), "forest": (70, 130, 70),
    "blue": (60, 110, 210), "blau": (60, 110, 210), "cold": (90, 140, 210), "winter": (150, 190, 230), "night": (40, 50, 110),
    "neon": (200, 60, 220), "cyberpunk": (190, 50, 210), "purple": (140, 80, 190), "pink": (244, 130, 180), "vintage": (190, 150, 100),
}


def restyle(work: Work) -> Pixels:
    """Restyle; `strength` is 0 to 100."""
    words = re.findall(r"[^\W\d_]+", str(work.params.get("prompt", "")).lower())
    named = [style for word in words for style, known in _WORDS.items() if word in known.split()]
    chosen = hashlib.sha256(" ".join(words).encode()).digest()[0] % 3
    style = named[0] if named else ("oil", "watercolor", "flat")[chosen]
    drawn = STYLES[style](work).astype(np.float32)
    for tint in [_TINTS[word] for word in words if word in _TINTS][:2]:
        drawn = _tinted(drawn, np.array(tint, np.float32))
    share = np.float32(work.params.get("strength", 75) / 100)
    return work.inner(to_bytes(work.pixels + (drawn - work.pixels) * share))


def _tinted(pixels: Floats, tint: Floats) -> Floats:
    """Light as before, colours drawn towards the tint."""
    brightness = luma(pixels)[..., None]
    coloured = brightness * (tint / max(float(luma(tint)), 1.0))
    return np.asarray(pixels + (np.clip(coloured, 0, 255) - pixels) * np.float32(0.45), np.float32)

"""A picture restyled by the words of a prompt, as far as a table of words knows them.

A word may name a style or a colour; without one the prompt's hash chooses the style. What the negative prompt names is
not taken. `strength` says how much of the result is the new picture, `guidance` how pure its colours are and how far
they follow the prompt. It stands in for image-to-image models: nothing new is invented.
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


GUIDANCE = 75
"""Tenths at which colours are as the style makes them."""


def restyle(work: Work) -> Pixels:
    """Restyle; `strength` is 0 to 100, `guidance` 10 to 200."""
    words, unwanted = (_words(work.params.get(name, "")) for name in ("prompt", "negative_prompt"))
    style = _style(words, {style for style, known in _WORDS.items() if set(unwanted) & set(known.split())})
    pull = np.float32(work.params.get("guidance", GUIDANCE) / GUIDANCE)
    drawn = STYLES[style](work).astype(np.float32)
    drawn = _purer(drawn, 1 + (pull - 1) * np.float32(0.3))
    for tint in [_TINTS[word] for word in words if word in _TINTS and word not in unwanted][:2]:
        drawn = _tinted(drawn, np.array(tint, np.float32), min(np.float32(0.9), np.float32(0.45) * pull))
    share = np.float32(work.params.get("strength", 75) / 100)
    return work.inner(to_bytes(work.pixels + (drawn - work.pixels) * share))


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", str(text).lower())


def _style(words: list[str], unwanted: set[str]) -> str:
    """The first style named, else one by the words' hash; never an unwanted one, unless all are."""
    named = [style for word in words for style, known in _WORDS.items() if word in known.split()]
    chosen = hashlib.sha256(" ".join(words).encode()).digest()[0] % 3
    by_chance = ("oil", "watercolor", "flat")[chosen:] + ("oil", "watercolor", "flat")[:chosen]
    return next((style for style in (*named, *by_chance, *STYLES) if style not in unwanted), by_chance[0])


def _purer(pixels: Floats, times: np.float32) -> Floats:
    brightness = luma(pixels)[..., None]
    return np.asarray(brightness + (pixels - brightness) * times, np.float32)


def _tinted(pixels: Floats, tint: Floats, share: np.float32) -> Floats:
    """Light as before, colours drawn towards the tint."""
    brightness = luma(pixels)[..., None]
    coloured = brightness * (tint / max(float(luma(tint)), 1.0))
    return np.asarray(pixels + (np.clip(coloured, 0, 255) - pixels) * share, np.float32)

"""Restoring old photographs: thin straight scratches and specks are filled, faded tones and tints are stretched back.

A scratch is what is much brighter or darker than both its sides, only a few pixels wide, and goes on straight: a wire
against the sky looks the same and goes too. Tones are judged from the whole picture.
"""

from __future__ import annotations

import cv2
import numpy as np
from work import Floats, Pixels, Work, luma, to_bytes

_WIDTH = 7
_LENGTH = 45
_EXTENSION = 29
_AROUND = 25
_ANGLES = 30
_CONTRAST = 18


def restore(work: Work) -> Pixels:
    """Fill scratches, then bring the tones back."""
    pixels = work.pixels
    if work.params.get("scratches", True):
        found = _scratches(to_bytes(luma(pixels)))
        if found.any():
            pixels = np.asarray(cv2.inpaint(pixels, found, 4, cv2.INPAINT_TELEA), np.uint8)
    pixels = work.inner(pixels)
    return _with_tones(pixels, *work.learn(tones)) if work.params.get("fading", True) else pixels


def tones(guide: Pixels) -> tuple[Floats, float]:
    """Curves per channel (3, 256) and a gain of saturation, judged from the whole picture."""
    colour = cv2.GaussianBlur(guide, (0, 0), 1.0)
    brightness = luma(colour)
    low, high = np.percentile(brightness, (0.5, 99.5))
    lows, highs = (np.percentile(colour.reshape(-1, 3), q, axis=0) for q in (0.7, 99.3))
    lows, highs = np.clip(0.55 * lows + 0.45 * low, 0, 110), np.clip(0.55 * highs + 0.45 * high, 145, 255)
    levels = np.arange(256, dtype=np.float32)
    stretched = [np.clip((levels - low) / max(high - low, 30), 0, 1) for low, high in zip(lows, highs, strict=True)]
    middle = float(np.mean([np.mean(curve[colour[..., c]]) for c, curve in enumerate(stretched)]))
    gamma = np.clip(np.log(0.47) / np.log(np.clip(middle, 0.05, 0.95)), 0.75, 1.35)
    curves = np.stack([10 + 237 * curve**gamma for curve in stretched]).astype(np.float32)
    curves = np.float32(0.85) * curves + np.float32(0.15) * levels
    restored = np.stack([curves[c][colour[..., c]] for c in range(3)], -1)
    spread = float(np.mean(np.abs(restored - luma(restored)[..., None])))
    grey = float(np.mean(np.abs(colour - luma(colour)[..., None]))) < 1.5
    return curves, 1.0 if grey else float(np.clip(12 / max(spread, 1), 1.0, 1.2))


def _with_tones(pixels: Pixels, curves: Floats, saturation: float) -> Pixels:
    restored = np.stack([curves[c][pixels[..., c]] for c in range(3)], -1)
    brightness = luma(restored)[..., None]
    return to_bytes(brightness + (restored - brightness) * np.float32(saturation))


def _scratches(grey: Pixels) -> Pixels:
    """White where a scratch is."""
    round_ = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_WIDTH, _WIDTH))
    found = np.zeros_like(grey)
    for how in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT):
        thin = cv2.morphologyEx(grey, how, round_)
        busy = cv2.blur(thin, (_AROUND, _AROUND))
        sure = np.where(thin > np.maximum(_CONTRAST, 3 * busy), 255, 0).astype(np.uint8)
        weak = np.where(thin > np.maximum(_CONTRAST // 3, 1.2 * busy), 255, 0).astype(np.uint8)
        joined = cv2.dilate(sure, np.ones((3, 3), np.uint8))
        for line, extension in _LINES:
            straight = cv2.morphologyEx(joined, cv2.MORPH_OPEN, line)
            if straight.any():
                longer = np.minimum(cv2.dilate(straight, extension), weak)
                found = np.maximum(found, np.maximum(straight, longer))
    found = cv2.dilate(found, np.ones((3, 3), np.uint8))
    return found


def _line(angle: float, length: int) -> Pixels:
    kernel = np.zeros((length, length), np.uint8)
    half = length // 2
    reach = np.array([np.cos(angle), np.sin(angle)]) * half
    first, last = (half - reach).round().astype(int), (half + reach).round().astype(int)
    cv2.line(kernel, tuple(map(int, first)), tuple(map(int, last)), 1, 1)
    return kernel


_LINES = [tuple(_line(turn * np.pi / _ANGLES, length) for length in (_LENGTH, _EXTENSION)) for turn in range(_ANGLES)]

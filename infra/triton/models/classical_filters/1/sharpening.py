"""Sharpening brightness by two bands of detail, without halos and without raising noise.

In `faces` mode skin within faces is calmed, eyes and mouths are sharpened most, the rest as usual. Faces are found in
the whole picture by OpenCV's cascades; where none is seen, the picture is just sharpened. Nothing is invented.
"""

from __future__ import annotations

import cv2
import numpy as np
from noise import measure
from portraits import eyes_mask, faces_mask
from work import Floats, Pixels, Work, luma, to_bytes


def sharpen(work: Work) -> Pixels:
    """Sharpen; `amount` is 0 to 100."""
    amount = np.float32(work.params.get("amount", 50) / 50)
    pixels = work.pixels.astype(np.float32)
    brightness = luma(pixels)
    gain = np.ones_like(brightness)
    if work.params.get("mode", "picture") == "faces":
        face, feature = work.laid_over(work.learn(faces_mask)), work.laid_over(work.learn(eyes_mask))
        skin = np.clip(face - feature, 0, 1)
        pixels = _calm(pixels, skin, work)
        brightness = luma(pixels)
        gain = 1 - np.float32(0.7) * skin + np.float32(0.8) * feature
    floor = max(1.0, 1.5 * float(work.learn(measure)[0]) / 3**0.5)
    added = _detail(brightness, 0.9, floor) * np.float32(0.9) + _detail(brightness, 2.2, floor) * np.float32(0.45)
    sharp = _limited(brightness + added * amount * gain, brightness)
    return work.inner(to_bytes(pixels + (sharp - brightness)[..., None]))


def _detail(brightness: Floats, deviation: float, floor: float) -> Floats:
    """What a blur takes away, without what is as weak as noise."""
    band = brightness - cv2.GaussianBlur(brightness, (0, 0), deviation)
    return np.asarray(band * (band * band / (band * band + np.float32(floor * floor))), np.float32)


def _limited(sharp: Floats, brightness: Floats) -> Floats:
    """Keep within what the 5x5 neighbours span, widened a little: edges get steep, not haloed."""
    kernel = np.ones((5, 5), np.uint8)
    low, high = cv2.erode(brightness, kernel), cv2.dilate(brightness, kernel)
    room = (high - low) * np.float32(0.12)
    return np.asarray(np.clip(sharp, low - room, high + room), np.float32)


def _calm(pixels: Floats, skin: Floats, work: Work) -> Floats:
    if skin.max() < 0.02:
        return pixels
    smooth = cv2.bilateralFilter(to_bytes(pixels), min(work.reach(5, 5), work.halo) | 1, 28, work.reach(3, 3))
    return pixels + (smooth.astype(np.float32) - pixels) * (np.float32(0.75) * skin)[..., None]

"""Sharpening brightness by two bands of detail, without halos and without raising noise.

In `faces` mode skin within faces is calmed, eyes and mouths are sharpened most, the rest as usual; in `spared` mode
skin is only sharpened less. Faces are found in the whole picture by OpenCV's cascades; where none is seen, the picture
is just sharpened. Nothing is invented.
"""

from __future__ import annotations

import cv2
import numpy as np
from noise import measure
from portraits import eyes_mask, faces_mask
from work import Floats, Pixels, Work, luma, to_bytes


def sharpen(work: Work) -> Pixels:
    """Sharpen; `amount` is 0 to 100, `mode` is `picture` or `faces`."""
    return _sharpened(work, work.params.get("amount", 50), work.params.get("mode", "picture"))


def restore_faces(work: Work) -> Pixels:
    """A gentle restoration that spares skin; with `face_enhance` faces themselves are worked on, half as much again."""
    amount = work.params.get("amount", 50)
    return _sharpened(work, amount * 1.5, "faces") if work.params.get("face_enhance") else _sharpened(work, amount, "spared")


def _sharpened(work: Work, percent: float, mode: str) -> Pixels:
    amount = np.float32(percent / 50)
    pixels = work.pixels.astype(np.float32)
    gain = np.ones(pixels.shape[:2], np.float32)
    if mode != "picture":
        face, feature = work.laid_over(work.learn(faces_mask)), work.laid_over(work.learn(eyes_mask))
        skin = np.clip(face - feature, 0, 1)
        gain -= np.float32(0.7) * skin
        if mode == "faces":
            pixels = _calm(pixels, skin, work)
            gain += np.float32(0.8) * feature
    brightness = luma(pixels)
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

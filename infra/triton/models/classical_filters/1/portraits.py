"""Faces, by the cascades of Haar features that come with OpenCV: upright and frontal ones; others are not seen."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
from work import Floats, Pixels, luma, to_bytes

Box = tuple[int, int, int, int]


@cache
def _cascade(name: str) -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / f"haarcascade_{name}.xml"))


def faces(guide: Pixels) -> list[Box]:
    """(left, top, width, height) of each face in the guide."""
    grey = cv2.equalizeHist(to_bytes(luma(guide)))
    least = max(20, min(grey.shape) // 14)
    if min(grey.shape) < 40:
        return []
    found = _cascade("frontalface_default").detectMultiScale(grey, 1.08, 6, minSize=(least, least))
    return [tuple(int(v) for v in box) for box in found]


def eyes(guide: Pixels, face: Box) -> list[Box]:
    """Eyes within a face; where none are seen, the places where eyes are in a frontal face."""
    left, top, width, height = face
    grey = cv2.equalizeHist(to_bytes(luma(guide[top : top + height * 6 // 10, left : left + width])))
    least = max(6, width // 8)
    found = _cascade("eye").detectMultiScale(grey, 1.06, 5, minSize=(least, least), maxSize=(width // 2, width // 2))
    seen = [(left + int(x), top + int(y), int(w), int(h)) for x, y, w, h in found][:2]
    side = width // 4
    places = [(left + width * share // 100 - side // 2, top + height * 40 // 100 - side // 2, side, side) for share in (30, 70)]
    return seen if len(seen) == 2 else places


def faces_mask(guide: Pixels) -> Floats:
    """1 in faces, falling softly to 0 around them."""
    mask = np.zeros(guide.shape[:2], np.float32)
    for left, top, width, height in faces(guide):
        centre = (left + width // 2, top + height // 2)
        cv2.ellipse(mask, centre, (round(width * 0.39), round(height * 0.52)), 0, 0, 360, 1.0, -1)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(1.0, mask.shape[1] / 120)), np.float32)


def eyes_mask(guide: Pixels) -> Floats:
    """1 at eyes and mouths of faces, falling softly to 0 around them."""
    mask = np.zeros(guide.shape[:2], np.float32)
    for face in faces(guide):
        left, top, width, height = face
        for x, y, w, h in eyes(guide, face):
            cv2.ellipse(mask, (x + w // 2, y + h // 2), (max(1, w // 2), max(1, h * 2 // 5)), 0, 0, 360, 1.0, -1)
        mouth = (left + width // 2, top + height * 79 // 100)
        cv2.ellipse(mask, mouth, (width // 4, height // 10), 0, 0, 360, 0.8, -1)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(1.0, mask.shape[1] / 200)), np.float32)

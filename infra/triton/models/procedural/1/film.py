"""Frames of a short video out of one still picture: a camera that moves, near things faster than far ones.

Words of the prompt choose the move; without them the seed does. Depth is a guess: what is lower in the picture is
nearer. A light drifts over it. The same picture, parameters and frame number give the same frame.
"""

from __future__ import annotations

import hashlib
from typing import Any

import cv2
import numpy as np
from words import words_of

_MOVES: dict[str, tuple[float, float, float]] = {
    "in": (0.0, 0.0, 0.22), "out": (0.0, 0.0, -0.22), "left": (-0.09, 0.0, 0.04), "right": (0.09, 0.0, 0.04),
    "up": (0.0, -0.08, 0.04), "down": (0.0, 0.08, 0.04),
}
_WORDS = {
    "out": "out", "back": "out", "away": "out", "wide": "out", "left": "left", "right": "right", "up": "up", "rise": "up",
    "rising": "up", "down": "down", "fall": "down", "falling": "down", "in": "in", "closer": "in", "near": "in",
    "zoom": "in", "pan": "right", "links": "left", "rechts": "right", "oben": "up", "unten": "down",
}


def film(still: np.ndarray, params: dict[str, Any]) -> np.ndarray:
    """Frames `first` to `first + count` of seconds * fps, each as large as the still picture."""
    frames = params["seconds"] * params["fps"]
    move = _move(params)
    return np.stack([_frame(still, move, number / max(1, frames - 1)) for number in range(params["first"], params["first"] + params["count"])])


def _move(params: dict[str, Any]) -> tuple[float, float, float]:
    named = [_WORDS[word] for word in words_of(params.get("prompt", "")) if word in _WORDS]
    seed = hashlib.sha256(f"{params.get('seed', 0)} {params.get('prompt', '')}".encode()).digest()[0]
    return _MOVES[named[-1] if named else ("in", "out", "left", "right")[seed % 4]]


def _frame(still: np.ndarray, move: tuple[float, float, float], time: float) -> np.ndarray:
    height, width = still.shape[:2]
    eased = time * time * (3 - 2 * time)
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, width, dtype=np.float32), np.linspace(-0.5, 0.5, height, dtype=np.float32))
    near = np.float32(0.75) + np.float32(0.5) * (y + np.float32(0.5))
    across, down, zoom = move
    along = eased if zoom >= 0 else 1 - eased
    scale = 1 / (1 + 0.02 + abs(zoom) * along * near)
    shift = eased - 0.5
    room = 1 + 2.3 * max(abs(across), abs(down))
    at_x = (x / room * scale + across * shift * near * 0.8 + 0.5) * width - 0.5
    at_y = (y / room * scale + down * shift * near * 0.8 + 0.5) * height - 0.5
    frame = cv2.remap(still, at_x.astype(np.float32), at_y.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    light = 1 + 0.10 * np.exp(-((x - (time * 1.6 - 0.8)) ** 2 + (y + 0.2) ** 2) / 0.12) - 0.16 * (x * x + y * y)
    return np.clip(frame * light[..., None] + 0.5, 0, 255).astype(np.uint8)

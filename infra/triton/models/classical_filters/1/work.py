"""What all operations share: the request taken apart, the guide laid over a tile, and a memory of the latest guides."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

_LEARNT_MAX = 8
_learnt: OrderedDict[tuple[str, bytes], Any] = OrderedDict()


class Refused(Exception):
    """No attempt with this request can succeed; the message is one sentence without its full stop."""


class Work:
    """One request. `pixels` are RGB with the halo; `guide` is RGB, the tile itself where none came."""

    def __init__(
        self, request: NDArray[Any], pixels: Pixels, guide: Pixels | None, mask: Pixels | None
    ) -> None:
        asked = json.loads(request[0])
        self.operation: str = asked["operation"]
        self.params: dict[str, Any] = asked["params"]
        self.halo: int = asked.get("halo", 0)
        if pixels.ndim != 3 or pixels.shape[2] not in (3, 4) or min(pixels.shape[:2]) <= 2 * self.halo:
            raise Refused(f"pixels of shape {pixels.shape} are no tile with a halo of {self.halo}")
        height, width = (side - 2 * self.halo for side in pixels.shape[:2])
        self.box: tuple[int, int, int, int] = tuple(asked.get("box") or (0, 0, width, height))
        self.size: tuple[int, int] = tuple(asked["size"]) if asked["size"][0] else (width, height)
        self.alpha = self.inner(pixels[..., 3]) if pixels.shape[2] == 4 else None
        self.pixels: Pixels = np.ascontiguousarray(pixels[..., :3])
        self.guide: Pixels = np.ascontiguousarray((pixels if guide is None else guide)[..., :3])
        self.mask = mask

    def inner(self, array: NDArray[Any]) -> NDArray[Any]:
        """Take the halo away."""
        return array[self.halo : -self.halo, self.halo : -self.halo] if self.halo else array

    def with_alpha(self, answer: Pixels) -> Pixels:
        """Put the picture's own alpha to an operation's answer."""
        if self.alpha is None:
            return answer
        if answer.shape[2] == 4:
            both = answer.copy()
            both[..., 3] = np.minimum(answer[..., 3], self.alpha)
            return both
        return np.dstack([answer, self.alpha])

    def learn(self, how: Callable[[Pixels], Any], *more: object) -> Any:
        """What `how` makes of the guide and more: worked out once for all tiles of a picture."""
        digest = hashlib.blake2b(self.guide.tobytes(), digest_size=16)
        digest.update(repr((self.guide.shape, more)).encode())
        key = (f"{how.__module__}.{how.__name__}", digest.digest())
        if key not in _learnt:
            _learnt[key] = how(self.guide, *more)
            while len(_learnt) > _LEARNT_MAX:
                _learnt.popitem(last=False)
        return _learnt[key]

    def laid_over(self, field: NDArray[Any]) -> Floats:
        """A map of the guide's size, sampled at each pixel of the tile with its halo."""
        x, y = self.places()
        rows, columns = field.shape[:2]
        across = (x + np.float32(0.5)) * np.float32(columns / self.size[0]) - np.float32(0.5)
        down = (y + np.float32(0.5)) * np.float32(rows / self.size[1]) - np.float32(0.5)
        grid = np.meshgrid(across, down)
        sampled = cv2.remap(
            np.asarray(field, np.float32), grid[0], grid[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(sampled, np.float32)

    def places(self) -> tuple[Floats, Floats]:
        """Columns and rows of the tile with its halo in the whole picture; those outside lie at its edge."""
        left, top, width, height = self.box
        x = np.clip(np.arange(left - self.halo, left + width + self.halo), 0, self.size[0] - 1)
        y = np.clip(np.arange(top - self.halo, top + height + self.halo), 0, self.size[1] - 1)
        return x.astype(np.float32), y.astype(np.float32)

    def grain(self, seed: int) -> Floats:
        """Noise of deviation about 1 that belongs to places in the picture, so that tiles agree about it."""
        x, y = (axis.astype(np.uint32) for axis in self.places())
        mixed = x[None, :] * np.uint32(374761393) + y[:, None] * np.uint32(668265263) + np.uint32(seed * 2654435761 % 2**32)
        mixed = (mixed ^ (mixed >> np.uint32(13))) * np.uint32(1274126177)
        mixed ^= mixed >> np.uint32(16)
        noise = (mixed & np.uint32(0xFFFF)).astype(np.float32) / np.float32(32768) - 1
        return np.asarray(noise * np.float32(1.7), np.float32)

    def reach(self, per_mille: float, least: int) -> int:
        """A radius in pixels that grows with the picture, as far as the halo allows."""
        return max(least, min(round(max(self.size) * per_mille / 1000), max(least, self.halo // 3)))


def luma(colour: NDArray[Any]) -> Floats:
    """Brightness (BT.601), 0 to 255."""
    return np.asarray(colour[..., :3].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32), np.float32)


def to_bytes(values: Floats) -> Pixels:
    """Round into 0 to 255."""
    return np.clip(values + np.float32(0.5), 0, 255).astype(np.uint8)


def follow_edges(field: Floats, picture: Floats, radius: int, tolerance: float) -> Floats:
    """Make a smooth field follow the edges of a picture of 0 to 1 (guided filter); looks 2 radii far."""

    def mean(plane: Floats) -> Floats:
        return np.asarray(cv2.blur(plane, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT), np.float32)

    centre, value = mean(picture), mean(field)
    slope = (mean(picture * field) - centre * value) / (mean(picture * picture) - centre * centre + np.float32(tolerance))
    return mean(slope) * picture + mean(value - slope * centre)

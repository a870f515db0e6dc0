"""Pixels in anonymous shared memory: handed between processes by descriptor, gone with the last process that has it."""

from __future__ import annotations

import mmap
import os
from typing import Self

import numpy as np
from numpy.typing import NDArray


class Pixels:
    """Rows of 8-bit sRGB pixels, 3 (RGB) or 4 (RGBA, straight alpha) bytes each.

    `array` has the shape (height, width, channels) and shares the memory; `close` gives up the descriptor at once, the
    memory goes when nobody looks at it any more.
    """

    def __init__(self, descriptor: int, width: int, height: int, channels: int) -> None:
        assert channels in (3, 4)
        self.descriptor, self.width, self.height, self.channels = descriptor, width, height, channels
        self._shared = mmap.mmap(descriptor, width * height * channels)
        self.array: NDArray[np.uint8] = np.frombuffer(self._shared, np.uint8).reshape(height, width, channels)

    @classmethod
    def blank(cls, width: int, height: int, channels: int) -> Pixels:
        """Make black pixels; memory is taken only where something is written."""
        descriptor = os.memfd_create("pixels")
        os.ftruncate(descriptor, width * height * channels)
        return cls(descriptor, width, height, channels)

    @classmethod
    def of(cls, array: NDArray[np.uint8]) -> Pixels:
        """Copy an array of (height, width, channels)."""
        height, width, channels = array.shape
        pixels = cls.blank(width, height, channels)
        pixels.array[:] = array
        return pixels

    def forget(self) -> None:
        """Let go of the pages that this process has seen; they stay in the shared memory and come back on use."""
        self._shared.madvise(mmap.MADV_DONTNEED)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up the descriptor. Idempotent."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Clip:
    """Frames of a video in shared memory, below each other: `frames` has the shape (count, height, width, 3)."""

    def __init__(self, strip: Pixels, count: int, fps: int) -> None:
        assert strip.height % count == 0
        self.strip, self.count, self.fps = strip, count, fps
        self.width, self.height = strip.width, strip.height // count
        self.frames: NDArray[np.uint8] = strip.array.reshape(count, self.height, self.width, 3)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up the memory. Idempotent."""
        self.strip.close()

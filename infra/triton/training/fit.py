"""Fit the upscaling filters: `python -m infra.triton.training.fit TARGET.npz` (four minutes on one core).

For each bucket of pixels, least squares between the source neighbourhood (differences to its middle pixel, so that a
flat area stays flat) and the pixels of the original that it should become. Sources are made with several reducing
filters and a little JPEG, so that the result favours none of them. The same seeds give the same filters.
"""

from __future__ import annotations

import importlib.util
import io
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from infra.triton.training.pictures import generate

Doubles = NDArray[np.float64]

PICTURES = 160
SIZE = 512
RIDGE = 40.0
_REDUCERS = (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BOX, Image.Resampling.HAMMING)


def load_upscale() -> ModuleType:
    """Import the model's own module, which Triton loads from its version folder."""
    path = Path(__file__).parents[1] / "models" / "classical_upscale" / "1" / "upscale.py"
    spec = importlib.util.spec_from_file_location("classical_upscale_1", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Fit:
    """Normal equations of every bucket for one scale."""

    def __init__(self, upscale: ModuleType, scale: int) -> None:
        self.upscale, self.scale = upscale, scale
        self.left: Doubles = np.zeros((upscale.BUCKETS, upscale.TAPS, upscale.TAPS))
        self.right: Doubles = np.zeros((upscale.BUCKETS, upscale.TAPS, scale * scale))

    def add(self, source: NDArray[np.float32], original: NDArray[np.float32]) -> None:
        """Take one pair of pictures in."""
        u, scale = self.upscale, self.scale
        kinds = u.structure_buckets(source).ravel()
        neighbourhoods = u.patches(source).reshape(-1, u.TAPS)
        inner = original[3 * scale : -3 * scale, 3 * scale : -3 * scale]
        height, width = inner.shape[0] // scale, inner.shape[1] // scale
        wanted = inner.reshape(height, scale, width, scale).transpose(0, 2, 1, 3).reshape(-1, scale * scale)
        middle = neighbourhoods[:, u.TAPS // 2 : u.TAPS // 2 + 1]
        differences, wanted = neighbourhoods - middle, wanted - middle
        for kind in np.unique(kinds):
            chosen = kinds == kind
            a, b = differences[chosen], wanted[chosen]
            self.left[kind] += a.T @ a
            self.right[kind] += a.T @ b

    def solve(self) -> NDArray[np.float16]:
        """Answer the filters; a rare bucket leans on the filters fitted on all pixels together."""
        u = self.upscale
        identity = np.eye(u.TAPS)
        common = np.linalg.solve(self.left.sum(0) + RIDGE * identity, self.right.sum(0))
        bank = np.zeros_like(self.right)
        for kind in range(u.BUCKETS):
            lean = (RIDGE + 1e-4 * np.trace(self.left[kind])) * identity
            bank[kind] = np.linalg.solve(self.left[kind] + lean, self.right[kind] + lean @ common)
        return bank.astype(np.float16)


def reduced(original: Image.Image, scale: int, random: np.random.Generator) -> Image.Image:
    """Make a source of an original as cameras and tools do."""
    size = (original.width // scale, original.height // scale)
    source = original.resize(size, _REDUCERS[int(random.integers(len(_REDUCERS)))])
    if random.random() < 0.2:
        packed = io.BytesIO()
        source.save(packed, "JPEG", quality=int(random.integers(88, 97)))
        source = Image.open(packed).convert("L")
    return source


def main(target: Path) -> None:
    """Fit both scales and write the file."""
    upscale = load_upscale()
    fits = [Fit(upscale, 2), Fit(upscale, 4)]
    for seed in range(PICTURES):
        random = np.random.default_rng([seed, 1])
        drawn = generate(seed, SIZE)
        for turn in range(4):
            turned = drawn.rotate(90 * turn)
            for original in (turned, turned.transpose(Image.Transpose.FLIP_LEFT_RIGHT)):
                for fit in fits:
                    source = np.asarray(reduced(original, fit.scale, random), np.float32)
                    fit.add(source, np.asarray(original, np.float32))
    np.savez_compressed(target, x2=fits[0].solve(), x4=fits[1].solve())


if __name__ == "__main__":
    main(Path(sys.argv[1]))

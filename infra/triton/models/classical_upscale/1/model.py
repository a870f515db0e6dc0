"""Triton's side of `classical/upscale`: checks a tile, brings out its detail where asked to, and enlarges it."""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when numpy loads: one core an instance, no idle threads

from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from detail import HALO as DETAIL_HALO
from detail import bring_out
from upscale import HALO, load_banks, upscale_tile

TILE_SIDE_MAX = 1024
PERCENT_MAX = 100


class TritonPythonModel:
    """Stateless but for the filters, which stay in memory."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the filters that lie beside this file."""
        self.banks = load_banks(Path(__file__).with_name("filters.npz"))

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request by itself."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        pixels = pb_utils.get_input_tensor_by_name(request, "PIXELS").as_numpy()
        scale, enhance = (_number(request, name) for name in ("SCALE", "ENHANCE"))
        halo = HALO + (DETAIL_HALO if enhance else 0)
        problem = self._problem(pixels.shape, scale, enhance, halo)
        if problem is not None:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"permanent: {problem}"))
        if enhance:
            pixels = bring_out(pixels, enhance)
        large = pixels[HALO:-HALO, HALO:-HALO] if scale == 1 else upscale_tile(pixels, self.banks[scale], scale)
        return pb_utils.InferenceResponse([pb_utils.Tensor("PIXELS", np.ascontiguousarray(large))])

    def _problem(self, shape: tuple[int, ...], scale: int, enhance: int, halo: int) -> str | None:
        if scale != 1 and scale not in self.banks:
            return f"scale {scale} is not one of {[1, *sorted(self.banks)]}"
        if not 0 <= enhance <= PERCENT_MAX:
            return f"detail cannot be raised by {enhance} percent"
        if shape[2] not in (3, 4):
            return f"a pixel has {shape[2]} bytes instead of 3 or 4"
        if min(shape[:2]) <= 2 * halo or max(shape[:2]) > TILE_SIDE_MAX + 2 * halo:
            return f"a tile of {shape[1]}x{shape[0]} is outside 1 to {TILE_SIDE_MAX} pixels a side with its halo"
        return None


def _number(request: Any, name: str) -> int:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return 0 if tensor is None else int(tensor.as_numpy()[0])

"""Lanczos-3 upscaling of one tile, in a process of its own: it serves when `classical_upscale` cannot.

With ENHANCE, in percent, a plain unsharp mask comes first; the tile then carries twice the halo.
Colour is premultiplied by alpha meanwhile, so that what a transparent pixel hides cannot bleed into its neighbours.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

HALO = 8
LOBES = 3
SCALES = (1, 2, 4)
SIDE_MAX = 1024


class TritonPythonModel:
    """Stateless."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request by itself."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        pixels = pb_utils.get_input_tensor_by_name(request, "PIXELS").as_numpy()
        scale, enhance = (_number(request, name) for name in ("SCALE", "ENHANCE"))
        sides, halo = pixels.shape[:2], HALO * (2 if enhance else 1)
        if scale not in SCALES or pixels.shape[2] not in (3, 4) or min(sides) <= 2 * halo or max(sides) > SIDE_MAX + 2 * halo:
            reason = f"permanent: a tile of {pixels.shape} cannot be made {scale} times as large"
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(reason))
        large = enlarge(sharpen(pixels, enhance) if enhance else pixels, scale)
        return pb_utils.InferenceResponse([pb_utils.Tensor("PIXELS", np.ascontiguousarray(large))])


def _number(request: Any, name: str) -> int:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return 0 if tensor is None else int(tensor.as_numpy()[0])


def sharpen(pixels: np.ndarray[Any, Any], percent: int) -> np.ndarray[Any, Any]:
    """Add a share of what a blur takes away, where nothing is transparent; a halo of HALO is not in the answer."""
    values = pixels.astype(np.float32)
    soft = values
    for axis in (0, 1, 0, 1):
        soft = soft * np.float32(0.5) + (np.roll(soft, 1, axis) + np.roll(soft, -1, axis)) * np.float32(0.25)
    sharp = values[..., :3] + (values - soft)[..., :3] * np.float32(percent / 50)
    if pixels.shape[2] == 4:
        sharp = np.where(soft[..., 3:] > 254.5, sharp, values[..., :3])
    result = pixels[HALO:-HALO, HALO:-HALO].copy()
    result[..., :3] = np.clip(sharp[HALO:-HALO, HALO:-HALO] + np.float32(0.5), 0, 255).astype(np.uint8)
    return result


def enlarge(pixels: np.ndarray[Any, Any], scale: int) -> np.ndarray[Any, Any]:
    """Enlarge (height + 2 HALO, width + 2 HALO, 3 or 4) bytes; the halo is not in the answer."""
    values = pixels.astype(np.float32)
    if pixels.shape[2] == 4:
        values[..., :3] *= values[..., 3:] / 255
    large = _rows(_rows(values, scale).swapaxes(0, 1), scale).swapaxes(0, 1)
    if pixels.shape[2] == 4:
        alpha = np.clip(large[..., 3:], 0, 255)
        large[..., :3] = np.where(alpha < 0.5, 0, large[..., :3] * (255 / np.maximum(alpha, 1)))
    return np.clip(large + np.float32(0.5), 0, 255).astype(np.uint8)


def _rows(values: np.ndarray[Any, Any], scale: int) -> np.ndarray[Any, Any]:
    count = values.shape[0] - 2 * HALO
    result = np.zeros((count, scale, *values.shape[1:]), np.float32)
    for phase in range(scale):
        offset = (phase + 0.5) / scale - 0.5
        whole = int(np.floor(offset))
        taps = np.arange(1 - LOBES, LOBES + 1)
        weights = np.sinc(taps - (offset - whole)) * np.sinc((taps - (offset - whole)) / LOBES)
        for tap, weight in zip(taps, weights / weights.sum(), strict=True):
            start = HALO + whole + int(tap)
            result[:, phase] += values[start : start + count] * np.float32(weight)
    return result.reshape(count * scale, *values.shape[1:])

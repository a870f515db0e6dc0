"""A plain unsharp mask, in a process of its own: it serves when `classical_filters` cannot sharpen.

`amount` counts as there; faces are not looked for, so `face_enhance` only sharpens half as much again.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import json
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

OPERATIONS = ("sharpen", "faces")
SIDE_MAX = 1280
REACH = 2


class TritonPythonModel:
    """Stateless."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request by itself."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        asked = json.loads(pb_utils.get_input_tensor_by_name(request, "REQUEST").as_numpy()[0])
        pixels = pb_utils.get_input_tensor_by_name(request, "PIXELS").as_numpy()
        halo, sides = asked.get("halo", 0), pixels.shape[:2]
        if asked["operation"] not in OPERATIONS or halo < REACH or min(sides) <= 2 * halo or max(sides) > SIDE_MAX:
            reason = f"permanent: {asked['operation']} of a tile of {pixels.shape} is not possible"
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(reason))
        params = asked["params"]
        percent = params.get("amount", 50) * (1.5 if params.get("face_enhance") else 1.0)
        made = unsharp(pixels, percent)[halo:-halo, halo:-halo]
        return pb_utils.InferenceResponse([pb_utils.Tensor("PIXELS", np.ascontiguousarray(made))])


def unsharp(pixels: np.ndarray[Any, Any], percent: float) -> np.ndarray[Any, Any]:
    """Add a share of what a blur over 5x5 pixels takes away, where nothing is transparent; alpha stays."""
    values = pixels.astype(np.float32)
    soft = values
    for axis in (0, 1, 0, 1):
        soft = soft * np.float32(0.5) + (np.roll(soft, 1, axis) + np.roll(soft, -1, axis)) * np.float32(0.25)
    sharp = values[..., :3] + (values - soft)[..., :3] * np.float32(percent / 50)
    if pixels.shape[2] == 4:
        sharp = np.where(soft[..., 3:] > 254.5, sharp, values[..., :3])
    result = pixels.copy()
    result[..., :3] = np.clip(sharp + np.float32(0.5), 0, 255).astype(np.uint8)
    return result

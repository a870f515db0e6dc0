"""`sandbox/echo`: answers at once with a small picture made of its seed. Batched."""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

SIDE = 64


def picture(seed: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Draw the test card of a seed: two ramps, tinted, with a checkered middle."""
    ramp = np.arange(SIDE, dtype=np.int64) * 4
    x, y = np.broadcast_to(ramp, (SIDE, SIDE)), np.broadcast_to(ramp[:, None], (SIDE, SIDE))
    card = np.stack([x, y, np.full_like(x, seed & 0xFF)], axis=-1)
    card[24:40, 24:40] = (((x + y) // 4 + seed) % 2 * 255)[24:40, 24:40, None]
    return card.astype(np.uint8)


class TritonPythonModel:
    """Stateless."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each row of each request with its seed's card."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        seeds = pb_utils.get_input_tensor_by_name(request, "SEED").as_numpy().ravel()
        cards = np.stack([picture(int(seed)) for seed in seeds])
        return pb_utils.InferenceResponse([pb_utils.Tensor("PIXELS", cards)])

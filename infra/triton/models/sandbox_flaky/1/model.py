"""`sandbox/flaky`: fails transiently in its first attempts, then answers.

The number of the attempt travels in the request, so that the model remembers nothing and a restart changes nothing.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

SIDE = 64


class TritonPythonModel:
    """Stateless."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request by itself."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        attempt, failures = (
            int(pb_utils.get_input_tensor_by_name(request, name).as_numpy()[0]) for name in ("ATTEMPT", "FAILURES")
        )
        if attempt <= failures:
            reason = f"transient: attempt {attempt} of the {failures} that were asked to fail"
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(reason))
        card = np.full((SIDE, SIDE, 3), (64, 192, 128), np.uint8)
        return pb_utils.InferenceResponse([pb_utils.Tensor("PIXELS", card)])

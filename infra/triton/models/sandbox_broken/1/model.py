"""`sandbox/broken`: fails for good, always."""

from __future__ import annotations

from typing import Any

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Stateless."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """Refuse each request."""
        reason = "permanent: this model is made to fail"
        return [pb_utils.InferenceResponse(error=pb_utils.TritonError(reason)) for _ in requests]

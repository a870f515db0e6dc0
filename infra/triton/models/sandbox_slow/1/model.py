"""`sandbox/slow`: the test card after some seconds.

Requests do not wait for each other: each sleeps on a timer of its own and answers through its response sender.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import threading
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

SIDE = 64
SECONDS_MAX = 300


class TritonPythonModel:
    """Keeps nothing but the timers that run."""

    def execute(self, requests: list[Any]) -> None:
        """Start a timer for each request; the answers come later."""
        for request in requests:
            seconds = int(pb_utils.get_input_tensor_by_name(request, "SECONDS").as_numpy()[0])
            timer = threading.Timer(min(max(seconds, 0), SECONDS_MAX), answer, (request.get_response_sender(),))
            timer.daemon = True
            timer.start()


def answer(sender: Any) -> None:
    """Send a plain card and close the request."""
    card = np.full((SIDE, SIDE, 3), (192, 128, 64), np.uint8)
    sender.send(
        pb_utils.InferenceResponse([pb_utils.Tensor("PIXELS", card)]), pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
    )

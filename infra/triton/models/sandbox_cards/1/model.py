"""`sandbox/slow`, `sandbox/flaky` and `sandbox/broken`: a card after some seconds, or a failure.

Requests do not wait for each other: each that takes its time sleeps on a timer of its own and answers through its
response sender. The number of the attempt travels in the request, so that the model remembers nothing.
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
        """Answer, or start a timer that will."""
        for request in requests:
            seconds, failures, attempt = (_number(request, name) for name in ("SECONDS", "FAILURES", "ATTEMPT"))
            response = _failure(failures, attempt) or _card(failures)
            sender = request.get_response_sender()
            if seconds <= 0:
                _send(sender, response)
                continue
            timer = threading.Timer(min(seconds, SECONDS_MAX), _send, (sender, response))
            timer.daemon = True
            timer.start()


def _number(request: Any, name: str) -> int:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return 0 if tensor is None else int(tensor.as_numpy()[0])


def _failure(failures: int, attempt: int) -> Any | None:
    if failures < 0:
        reason = "permanent: this model is made to fail"
    elif failures and attempt <= failures:
        reason = f"transient: attempt {attempt} of the {failures} that were asked to fail"
    else:
        return None
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(reason))


def _card(failures: int) -> Any:
    colour = (64, 192, 128) if failures else (192, 128, 64)
    return pb_utils.InferenceResponse([pb_utils.Tensor("PIXELS", np.full((SIDE, SIDE, 3), colour, np.uint8))])


def _send(sender: Any, response: Any) -> None:
    sender.send(response, pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

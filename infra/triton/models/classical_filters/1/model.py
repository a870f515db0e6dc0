"""Triton's side of `classical/*` but upscaling: takes a request apart, hands it to its operation, puts the answer
together.

One process serves all of them: OpenCV is loaded once, and what an operation learns from a guide is kept for the other
tiles of the same picture.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when numpy loads: one core an instance, no idle threads

from typing import Any

import cv2
import numpy as np
import triton_python_backend_utils as pb_utils
from backdrop import cut_out
from colouring import colorize
from completion import complete
from noise import denoise
from restoring import restore
from restyling import restyle
from sharpening import restore_faces, sharpen
from styles import stylize
from work import Refused, Work

SIDE_MAX = 1280
OPERATIONS = {
    "denoise": denoise,
    "restore": restore,
    "colorize": colorize,
    "stylize": stylize,
    "restyle": restyle,
    "sharpen": sharpen,
    "faces": restore_faces,
    "inpaint": complete,
    "background": cut_out,
}


class TritonPythonModel:
    """Stateless but for what was learnt from the latest guides, which follows from them alone."""

    def initialize(self, args: dict[str, str]) -> None:
        """Keep to one thread: instances are what runs side by side."""
        cv2.setNumThreads(1)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request by itself."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        try:
            work = Work(*(_array(request, name) for name in ("REQUEST", "PIXELS", "GUIDE", "MASK")))
            if max(work.pixels.shape[:2]) > SIDE_MAX:
                raise Refused(f"a tile of {work.pixels.shape[1]}x{work.pixels.shape[0]} has more than {SIDE_MAX} a side")
            if work.operation not in OPERATIONS:
                raise Refused(f"there is no operation {work.operation}")
            answer = np.ascontiguousarray(work.with_alpha(OPERATIONS[work.operation](work)))
        except Refused as refused:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"permanent: {refused}"))
        return pb_utils.InferenceResponse([pb_utils.Tensor("PIXELS", answer)])


def _array(request: Any, name: str) -> np.ndarray[Any, np.dtype[Any]] | None:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return None if tensor is None else tensor.as_numpy()

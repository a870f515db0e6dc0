"""Triton's side of `procedural/*`: a deterministic stand-in where no generative model is mounted."""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import json
from typing import Any

import cv2
import numpy as np
import triton_python_backend_utils as pb_utils
from film import film
from picture import draw

SIDE_MAX = 2048
FRAMES_MAX = 8


class TritonPythonModel:
    """Stateless."""

    def initialize(self, args: dict[str, str]) -> None:
        """Keep to one thread."""
        cv2.setNumThreads(1)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request by itself."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        asked = json.loads(pb_utils.get_input_tensor_by_name(request, "REQUEST").as_numpy()[0])
        width, height = asked["size"]
        params = asked["params"]
        guide = pb_utils.get_input_tensor_by_name(request, "GUIDE")
        problem = _problem(asked["operation"], width, height, guide, params)
        if problem is not None:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"permanent: {problem}"))
        if asked["operation"] == "image":
            made = draw(params, width, height)[None]
        else:
            made = film(np.ascontiguousarray(guide.as_numpy()[..., :3]), params)
        return pb_utils.InferenceResponse([pb_utils.Tensor("PIXELS", np.ascontiguousarray(made))])


def _problem(operation: str, width: int, height: int, guide: Any, params: dict[str, Any]) -> str | None:
    if operation not in ("image", "video"):
        return f"there is no operation {operation}"
    if not (16 <= width <= SIDE_MAX and 16 <= height <= SIDE_MAX):
        return f"a picture of {width}x{height} is outside 16 to {SIDE_MAX} pixels a side"
    if operation == "video" and guide is None:
        return "a video needs a picture"
    if operation == "video" and not 0 < params["count"] <= FRAMES_MAX:
        return f"{params['count']} frames at once are outside 1 to {FRAMES_MAX}"
    return None

"""`onnx/*`: networks from a local folder, each by its manifest.

A network is loaded when it is first asked for, and only where its file has the sha256 of its manifest. The folder
comes as the parameter `folder` of this model's configuration.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils

LOADED_MAX = 2
"""Networks in memory at once; the one not used for longest goes."""


class Refused(Exception):
    """This network or tile cannot be used; the message is one sentence without its full stop."""


class Network:
    """One network and its steps before and after."""

    def __init__(self, folder: Path, name: str) -> None:
        path = folder / f"{name}.toml"
        if "/" in name or not path.is_file():
            raise Refused(f"there is no manifest {name}.toml")
        self.manifest = tomllib.loads(path.read_text("utf-8"))
        content = (folder / self.manifest["file"]).read_bytes()
        if hashlib.sha256(content).hexdigest() != self.manifest["sha256"]:
            raise Refused(f"the file of the ONNX model {name} has another sha256 than its manifest says")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        self.session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(self, pixels: np.ndarray, halo: int) -> np.ndarray:
        """(height, width, 3) bytes with the halo to the tile without it, `scale` times larger."""
        manifest, scale = self.manifest, self.manifest.get("scale", 1)
        pre, post = manifest.get("pre", {}), manifest.get("post", {})
        multiple = pre.get("multiple", 1)
        height, width = pixels.shape[:2]
        padded = np.pad(pixels, ((0, -height % multiple), (0, -width % multiple), (0, 0)), mode="edge")
        given = _before(padded, pre)
        (answer,) = self.session.run([manifest["output"]], {manifest["input"]: given})
        if post.get("add_input", False):
            answer = answer + given
        large = _after(answer, pre, post)
        inside = large[halo * scale : (height - halo) * scale, halo * scale : (width - halo) * scale]
        if inside.shape != ((height - 2 * halo) * scale, (width - 2 * halo) * scale, 3):
            raise Refused(f"the network made {large.shape} of {padded.shape}, which is not {scale} times as large")
        return inside


def _before(pixels: np.ndarray, pre: dict[str, Any]) -> np.ndarray:
    low, high = pre.get("range", (0.0, 1.0))
    values = pixels.astype(np.float32) * np.float32((high - low) / 255) + np.float32(low)
    colour = pre.get("colour", "rgb")
    if colour == "bgr":
        values = values[..., ::-1]
    if "mean" in pre:
        values = values - np.array(pre["mean"], np.float32)
    if "deviation" in pre:
        values = values / np.array(pre["deviation"], np.float32)
    if colour == "planes":
        return np.ascontiguousarray(values.transpose(2, 0, 1)[:, None])
    nhwc = values[None]
    return np.ascontiguousarray(nhwc if pre.get("layout", "nchw") == "nhwc" else nhwc.transpose(0, 3, 1, 2))


def _after(answer: np.ndarray, pre: dict[str, Any], post: dict[str, Any]) -> np.ndarray:
    colour, layout = pre.get("colour", "rgb"), pre.get("layout", "nchw")
    if colour == "planes":
        values = answer[:, 0].transpose(1, 2, 0)
    else:
        values = answer[0] if layout == "nhwc" else answer[0].transpose(1, 2, 0)
    if colour == "bgr":
        values = values[..., ::-1]
    low, high = post.get("range", (0.0, 1.0))
    return np.clip((values - np.float32(low)) * np.float32(255 / (high - low)) + np.float32(0.5), 0, 255).astype(np.uint8)


class TritonPythonModel:
    """Keeps the networks used last."""

    def initialize(self, args: dict[str, str]) -> None:
        """Learn where the folder is."""
        self.folder = Path(json.loads(args["model_config"])["parameters"]["folder"]["string_value"])
        self.networks: dict[str, Network] = {}

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request by itself."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        asked = json.loads(pb_utils.get_input_tensor_by_name(request, "REQUEST").as_numpy()[0])
        pixels = pb_utils.get_input_tensor_by_name(request, "PIXELS").as_numpy()
        try:
            network, halo = self._network(asked["operation"]), asked.get("halo", 0)
            large = network.run(pixels[..., :3], halo)
            if pixels.shape[2] == 4:
                scale = network.manifest.get("scale", 1)
                alpha = pixels[halo : pixels.shape[0] - halo, halo : pixels.shape[1] - halo, 3]
                large = np.dstack([large, alpha.repeat(scale, 0).repeat(scale, 1)])
        except Refused as refused:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"permanent: {refused}"))
        return pb_utils.InferenceResponse([pb_utils.Tensor("PIXELS", np.ascontiguousarray(large))])

    def _network(self, name: str) -> Network:
        network = self.networks.pop(name, None) or Network(self.folder, name)
        self.networks[name] = network
        while len(self.networks) > LOADED_MAX:
            self.networks.pop(next(iter(self.networks)))
        return network

"""Train the small network that tests the ONNX loader: `python -m infra.triton.training.network TARGET.onnx`.

Three convolutions on one plane, twice as large by depth-to-space, added to a cubic enlargement: 3,300 weights. It is
trained with numpy alone on generated pictures (a minute on one core); the same seeds give the same weights on the
same machine. The file is written by the `onnx` package, which only development needs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from infra.triton.training.pictures import generate

Floats = NDArray[np.float32]

LAYERS = ((5, 1, 16), (3, 16, 16), (3, 16, 4))
"""Side of the kernel, planes in, planes out."""
STEPS = 2000
BATCH = 8
PATCH = 24
RATE = 3e-3
PICTURES = 24


class Layer:
    """A convolution without padding, channels last, with its Adam moments."""

    def __init__(self, side: int, inputs: int, outputs: int, random: np.random.Generator) -> None:
        self.side, self.inputs, self.outputs = side, inputs, outputs
        spread = (2 / (side * side * inputs)) ** 0.5
        last = outputs == LAYERS[-1][2]
        self.weights = random.normal(0, spread * (0.1 if last else 1), (side * side * inputs, outputs)).astype(
            np.float32
        )
        self.bias = np.zeros(outputs, np.float32)
        self._moments = [np.zeros_like(p) for p in (self.weights, self.weights, self.bias, self.bias)]

    def forward(self, planes: Floats) -> Floats:
        self._seen = planes
        views = sliding_window_view(planes, (self.side, self.side), axis=(1, 2)).transpose(0, 1, 2, 4, 5, 3)
        self._columns = views.reshape(-1, self.weights.shape[0])
        out = self._columns @ self.weights + self.bias
        return np.asarray(out.reshape(*views.shape[:3], self.outputs), np.float32)

    def backward(self, slope: Floats, step: int, rate: float) -> Floats:
        """Learn from the slope of the loss, and hand the slope on to what came in."""
        flat = slope.reshape(-1, self.outputs)
        columns = (flat @ self.weights.T).reshape(*slope.shape[:3], self.side, self.side, self.inputs)
        back = np.zeros_like(self._seen)
        height, width = slope.shape[1:3]
        for y in range(self.side):
            for x in range(self.side):
                back[:, y : y + height, x : x + width] += columns[:, :, :, y, x]
        self._adam(self.weights, self._columns.T @ flat, 0, step, rate)
        self._adam(self.bias, flat.sum(0), 2, step, rate)
        return back

    def _adam(self, values: Floats, slope: Floats, at: int, step: int, rate: float) -> None:
        first, second = self._moments[at], self._moments[at + 1]
        first += 0.1 * (slope - first)
        second += 0.001 * (slope * slope - second)
        values -= rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)


def pairs(random: np.random.Generator) -> Iterator[tuple[Floats, Floats]]:
    """Batches of reduced pictures (n, h, w, 1) and what their cubic enlargements lack (n, h, w, 4)."""
    originals = [generate(seed, 384) for seed in range(PICTURES)]
    while True:
        small, missing = [], []
        for _ in range(BATCH):
            picture = originals[int(random.integers(PICTURES))]
            left, top = (2 * int(v) for v in random.integers(0, 192 - PATCH - 8, 2))
            side = 2 * (PATCH + 8)
            original = picture.crop((left, top, left + side, top + side)).rotate(90 * int(random.integers(4)))
            reduced = original.resize((side // 2, side // 2), Image.Resampling.BICUBIC)
            cubic = np.asarray(reduced.resize((side, side), Image.Resampling.BICUBIC), np.float32)
            difference = (np.asarray(original, np.float32) - cubic)[8:-8, 8:-8] / 255
            small.append(np.asarray(reduced, np.float32)[..., None] / 255)
            missing.append(difference.reshape(PATCH, 2, PATCH, 2).transpose(0, 2, 1, 3).reshape(PATCH, PATCH, 4))
        yield np.stack(small), np.stack(missing)


def train() -> list[Layer]:
    """Fit the layers to what a cubic enlargement lacks."""
    random = np.random.default_rng(1)
    layers = [Layer(*shape, random) for shape in LAYERS]
    for step, (small, missing) in enumerate(pairs(random), 1):
        values, masks = small, []
        for layer in layers[:-1]:
            values = layer.forward(values)
            masks.append(values > 0)
            values = values * masks[-1]
        values = layers[-1].forward(values)
        slope: Floats = (values - missing) * np.float32(2 / missing.size)
        rate = RATE * min(1.0, 2 * (1 - step / STEPS) + 0.02)
        for number in range(len(layers) - 1, -1, -1):
            slope = layers[number].backward(slope, step, rate)
            if number:
                slope = slope * masks[number - 1]
        if step == STEPS:
            return layers
    raise AssertionError("the pairs never end")


def write(layers: list[Layer], target: Path) -> None:
    """Write `pixels` (n, 1, h, w) -> `large` (n, 1, 2 h, 2 w), both 0 to 1."""
    nodes, weights, name = [], [], "pixels"
    for number, layer in enumerate(layers):
        kernel = layer.weights.reshape(layer.side, layer.side, layer.inputs, layer.outputs).transpose(3, 2, 0, 1)
        weights += [
            numpy_helper.from_array(np.ascontiguousarray(kernel), f"w{number}"),
            numpy_helper.from_array(layer.bias, f"b{number}"),
        ]
        pads = [layer.side // 2] * 4
        nodes.append(helper.make_node("Conv", [name, f"w{number}", f"b{number}"], [f"c{number}"], pads=pads))
        name = f"c{number}"
        if number < len(layers) - 1:
            nodes.append(helper.make_node("Relu", [name], [f"r{number}"]))
            name = f"r{number}"
    weights.append(numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales"))
    cubic: dict[str, Any] = {"mode": "cubic", "cubic_coeff_a": -0.5, "coordinate_transformation_mode": "half_pixel"}
    nodes += [
        helper.make_node("DepthToSpace", [name], ["detail"], blocksize=2, mode="DCR"),
        helper.make_node("Resize", ["pixels", "", "scales"], ["cubic"], **cubic),
        helper.make_node("Add", ["cubic", "detail"], ["large"]),
    ]
    plane = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 1, h, w]) for n, h, w in _PLANES]
    graph = helper.make_graph(nodes, "small-x2", plane[:1], plane[1:], weights)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="darkroom"
    )
    onnx.checker.check_model(model)
    target.write_bytes(model.SerializeToString())


_PLANES = (("pixels", "h", "w"), ("large", "h2", "w2"))

if __name__ == "__main__":
    write(train(), Path(sys.argv[1]))

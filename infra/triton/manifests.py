"""Manifests of a deployment's own ONNX models: which file, whose licence, and how pictures go in and out.

`DARKROOM_ONNX_MODELS` names a folder; each `NAME.toml` in it offers `onnx/NAME`. A manifest without a licence, or a
file with another sha256 than its manifest says, is refused in one sentence before anything is served.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import msgspec

from infra.errors import OperatorError
from schemas.catalogue import Entry, Limits, ResultSize
from schemas.plans import CostRule

ENGINE = "onnx_images"
HALO_MAX = 64


class ModelRefused(OperatorError):
    """A manifest or its file cannot be used; the message is one sentence."""


class Before(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a tile becomes the network's input.

    `range` is what 0 and 255 become; then `mean` is taken away and divided by `deviation`, per channel. `planes` gives
    each channel to the network as a picture of its own; `multiple` pads sides to multiples of it.
    """

    colour: Literal["rgb", "bgr", "planes"] = "rgb"
    layout: Literal["nchw", "nhwc"] = "nchw"
    range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    multiple: int = 1


class After(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the output becomes pixels: `range` is what 0 and 255 are; `add_input` for networks that answer a residue."""

    range: tuple[float, float] = (0.0, 1.0)
    add_input: bool = False


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One network. `input` and `output` name its tensors; `halo` is how far it looks beyond a tile's edge in pixels."""

    title: str
    description: str
    licence: str
    file: str
    sha256: str
    input: str
    output: str
    scale: int = 1
    halo: int = 16
    cost: int = 1
    input_pixels_max: int = 16_000_000
    pre: Before = Before()
    post: After = After()


def read_models(folder: Path) -> tuple[Entry, ...]:
    """The models that a folder offers, by name. Raises ModelRefused for the first that cannot be used."""
    if not folder.is_dir():
        raise ModelRefused(f"DARKROOM_ONNX_MODELS names {folder}, which is no folder.")
    return tuple(_entry(path, _manifest(path)) for path in sorted(folder.glob("*.toml")))


def _manifest(path: Path) -> Manifest:
    try:
        given = msgspec.toml.decode(path.read_bytes())
        if not isinstance(given, dict) or not str(given.get("licence", "")).strip():
            raise ModelRefused(f"The ONNX model {path.stem} is refused: its manifest names no licence.")
        manifest = msgspec.convert(given, Manifest)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, OSError) as error:
        raise ModelRefused(f"The ONNX model {path.stem} is refused: its manifest is not usable: {error}.") from error
    file = path.parent / manifest.file
    if file.resolve().parent != path.parent.resolve() or not file.is_file():
        raise ModelRefused(f"The ONNX model {path.stem} is refused: {manifest.file} is no file beside its manifest.")
    with file.open("rb") as content:
        if hashlib.file_digest(content, "sha256").hexdigest() != manifest.sha256:
            raise ModelRefused(f"The ONNX model {path.stem} is refused: {manifest.file} has another sha256.")
    if manifest.scale not in (1, 2, 3, 4) or not 0 <= manifest.halo <= HALO_MAX:
        raise ModelRefused(
            f"The ONNX model {path.stem} is refused: its scale has to be 1 to 4 and its halo at most {HALO_MAX}."
        )
    return manifest


def _entry(path: Path, manifest: Manifest) -> Entry:
    return Entry(
        slug=f"onnx/{path.stem}",
        title=manifest.title,
        description=f"{manifest.description} Licence: {manifest.licence}.",
        task="filter",
        engine=ENGINE,
        engine_version="1",
        operation=path.stem,
        input="required",
        cost=CostRule(manifest.cost),
        result=ResultSize(factor=manifest.scale),
        halo=manifest.halo,
        limits=Limits(input_pixels_max=manifest.input_pixels_max),
    )

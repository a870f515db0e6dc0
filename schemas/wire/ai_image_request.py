"""Document 000, ai-image: what is asked, the form of a job and the parameters of the list. Pure.

Each field of the form is checked for its range, then for the model that it belongs to; then it is a parameter of the
catalogue (`strength` in percent, `guidance` in tenths).
"""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Literal

import msgspec
from pydantic import BaseModel, Field

from schemas.commands import Json
from schemas.wire.ai_image_errors import FIELDS, MODEL_REQUIRED, MODEL_UNKNOWN, OFFSET_MAX, SLUGS, TEXT_CHARS_MAX
from schemas.wire.surface import FILE, files_schema

Status = Literal["queued", "processing", "succeeded", "failed", "canceled"]
_IMG2IMG = ("prompt", "negative_prompt", "strength", "guidance", "steps")
_TAKEN = dict(zip(SLUGS, (("scale",), ("face_enhance",), ("face_enhance",), _IMG2IMG, _IMG2IMG), strict=True))
"""The fields that each model works with. Those of the last two are checked and ignored on all others."""
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")


FORMATS: tuple[Literal["jpeg", "png", "webp"], ...] = ("jpeg", "png", "webp")
"""The types of pictures that the document names."""
FORM: Mapping[str, Any] = files_schema(
    ("image", "model"),
    image=FILE,
    model={"type": "string", "enum": list(SLUGS)},
    scale={"type": "integer", "enum": [2, 4]},
    face_enhance={"type": "boolean"},
    prompt={"type": "string", "maxLength": TEXT_CHARS_MAX},
    negative_prompt={"type": "string", "maxLength": TEXT_CHARS_MAX},
    strength={"type": "number", "minimum": 0, "maximum": 1},
    guidance={"type": "number", "minimum": 1, "maximum": 20},
    steps={"type": "integer", "minimum": 10, "maximum": 50},
)
"""The form as JSON Schema."""


def _number(low: int, high: int, units: int) -> Callable[[str], int | None]:
    """Reads a decimal number from `low` to `high` as that many units of one; None for anything else."""

    def read(text: str) -> int | None:
        if _NUMBER.fullmatch(text) is None or not low <= (value := Decimal(text)) <= high:
            return None
        return round(value * units)

    return read


def _steps(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,3}", text) and 10 <= int(text) <= 50 else None


def _plain(text: str) -> str | None:
    return None if "\0" in text else text


_READERS: Mapping[str, Callable[[str], Json]] = {
    "scale": {"2": 2, "4": 4}.get,
    "face_enhance": {"true": True, "false": False}.get,
    "prompt": _plain,
    "negative_prompt": _plain,
    "strength": _number(0, 1, 100),
    "guidance": _number(1, 20, 10),
    "steps": _steps,
}
FORM_TEXTS: Mapping[str, int] = {
    "model": 100,
    **{name: TEXT_CHARS_MAX if name.endswith("prompt") else 100 for name in _READERS},
}
"""The form's text fields, and the most characters of each."""


class Asked(msgspec.Struct, frozen=True):
    """A valid form but for its picture: the model, and its parameters as the catalogue knows them."""

    model: str
    params: Mapping[str, Json]


def asked(texts: Mapping[str, str]) -> Asked | str:
    """What the form's texts ask for, or why they cannot be taken, in one sentence."""
    model = texts.get("model")
    if not model:
        return MODEL_REQUIRED
    taken = _TAKEN.get(model)
    if taken is None:
        return MODEL_UNKNOWN
    params: dict[str, Json] = {}
    for name, read in _READERS.items():
        if name not in texts:
            continue
        value = read(texts[name])
        if value is None:
            return FIELDS[name]
        if name in taken:
            params[name] = value
        elif name not in _IMG2IMG:
            return f"Das Modell {model} kennt das Feld '{name}' nicht"
    return Asked(model, params)


class JobsQuery(BaseModel):
    """Parameters of GET jobs; what has no name here is ignored."""

    status: Status | None = Field(None, description="Only jobs of this status.")
    limit: int = Field(20, ge=1, le=100, description="Jobs a page.")
    offset: int = Field(0, ge=0, le=OFFSET_MAX, description="How many of the newest are left out.")

"""Document 004, studio: the form of a generation, read against the catalogue. Pure.

A model of this document is a catalogue entry of the product that has texts for people (`info`). What it requires is
what its entry requires: a prompt where that may not be empty, an image, a mask. A model that takes no image but has a
sister `<model>-img2img` runs as that one where an image comes. What a model does not take is ignored. Other parameters
of the entry ("additional parameters not documented here") may come as fields of their names, integers in decimal; empty
fields count as not sent.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from schemas.catalogue import Catalogue, Entry
from schemas.commands import Json
from schemas.parameters import Parameter, value_problem
from schemas.wire.studio_errors import (
    IMAGE_REQUIRED,
    INVALID_MODEL,
    MASK_REQUIRED,
    PROMPT_CHARS_MAX,
    PROMPT_REQUIRED,
)
from schemas.wire.surface import FILE, files_schema

PRODUCT = "studio"
MODELS = ("flux", "recraft", "stable_diffusion", "stable_video", "flux_pro")
IMAGE_BYTES_MAX, VIDEO_BYTES_MAX = 10 << 20, 50 << 20
IMAGE, MASK = "image", "mask"
_MODEL, _PROMPT, _SEED = "model", "prompt", "seed"
_SISTER = "-img2img"
_TEXT_CHARS_MAX = 100
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)

FORM: Mapping[str, Any] = files_schema(
    (_MODEL,),
    model={"type": "string", "enum": list(MODELS)},
    prompt={"type": "string", "maxLength": PROMPT_CHARS_MAX},
    image=FILE,
    mask=FILE,
)
"""The form as JSON Schema."""


class Wanted(msgspec.Struct, frozen=True):
    """A form in which nothing is wrong: the catalogue's entry, its parameters, and which files it works on."""

    entry: Entry
    params: Mapping[str, Json]

    @property
    def takes_image(self) -> bool:
        """Whether the image is worked on; else it is not wanted."""
        return self.entry.input != "none"

    @property
    def takes_mask(self) -> bool:
        """Whether the mask is."""
        return self.entry.mask == "required"


@lru_cache(maxsize=8)
def shown_models(catalogue: Catalogue) -> Mapping[str, Entry]:
    """The models that people choose from, by slug, in the catalogue's order."""
    return {entry.slug: entry for entry in catalogue.models if entry.info is not None and PRODUCT in entry.products}


@lru_cache(maxsize=8)
def form_texts(catalogue: Catalogue) -> Mapping[str, int]:
    """The form's text fields, and the most characters of each."""
    texts = {_MODEL: _TEXT_CHARS_MAX, _PROMPT: PROMPT_CHARS_MAX}
    for entry in catalogue.models:
        if PRODUCT in entry.products:
            for name, parameter in entry.parameters.items():
                most = parameter.length_max if parameter.type == "text" else _TEXT_CHARS_MAX
                texts[name] = max(texts.get(name, 0), most)
    return texts


def wanted(
    catalogue: Catalogue, texts: Mapping[str, str], *, has_image: bool, has_mask: bool, seed: int
) -> Wanted | str:
    """What the form asks for, or why it cannot be had, in one sentence. `seed` stands where none was sent."""
    entry = shown_models(catalogue).get(texts.get(_MODEL, ""))
    if entry is None:
        return INVALID_MODEL
    if has_image and entry.input == "none":
        entry = catalogue.entry(entry.slug + _SISTER) or entry
    prompt = texts.get(_PROMPT, "")
    if "\0" in "".join(texts.values()):
        return "The request must not hold the character U+0000"
    if not prompt.strip() and entry.parameters.get(_PROMPT, _OPTIONAL).length_min:
        return PROMPT_REQUIRED
    if entry.input == "required" and not has_image:
        return IMAGE_REQUIRED
    if entry.mask == "required" and not has_mask:
        return MASK_REQUIRED
    return _with_params(entry, texts, seed)


def _with_params(entry: Entry, texts: Mapping[str, str], seed: int) -> Wanted | str:
    params: dict[str, Json] = {}
    for name, parameter in entry.parameters.items():
        text = texts.get(name, "")
        if name == _SEED and not text:
            params[name] = seed
        elif text.strip():
            value = _value(parameter, text)
            problem = value_problem(parameter, value)
            if problem is not None:
                return f"{name}: {problem}"
            params[name] = value
    return Wanted(entry, params)


def _value(parameter: Parameter, text: str) -> Json:
    """The text as the parameter's type; as it is where it is none of that."""
    if parameter.type == "integer" and _INTEGER.fullmatch(text):
        return int(text)
    return {"true": True, "false": False}.get(text, text) if parameter.type == "boolean" else text


_OPTIONAL = Parameter(type="text", title="")

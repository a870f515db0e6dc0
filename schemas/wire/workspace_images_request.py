"""Document 003, workspace-images: what POST /api/ai/images takes. Pure.

A request asks for n pictures of one prompt. Everything that is wrong with it is told at once, by field; unknown
members of the body are ignored. `ImagesRequest` documents what `wanted` checks.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from schemas.wire.surface import FieldFault

SIZES = ("256x256", "512x512", "1024x1024", "1792x1024", "1024x1792")
STYLES = ("natural", "vivid", "artistic", "photographic")
QUALITIES = ("standard", "hd")
HD_SIZES = ("1024x1024", "1792x1024", "1024x1792")
PROMPT_CHARS_MAX, IMAGES_MAX, SEEDS = 4000, 10, 1 << 31
WORKSPACE_HEADER, WORKSPACE_FIELD = "X-Workspace-Id", "workspaceId"

_OPENAI_STYLES = {"natural": "natural", "vivid": "vivid", "artistic": "vivid", "photographic": "natural"}
_OWN_STYLES = {style: style for style in STYLES}
_LARGE = ("1024x1024", "1792x1024", "1024x1792")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Offer(msgspec.Struct, frozen=True):
    """A model: its provider, the sizes it makes, and what the provider calls each style."""

    provider: str
    sizes: tuple[str, ...]
    styles: Mapping[str, str]


MODELS: Mapping[str, Offer] = {
    "dall-e-3": Offer("openai", _LARGE, _OPENAI_STYLES),
    "dall-e-2": Offer("openai", ("256x256", "512x512", "1024x1024"), _OPENAI_STYLES),
    "imagen-3": Offer("google", _LARGE, _OWN_STYLES),
}
DEFAULT_MODELS = {"openai": "dall-e-3", "google": "imagen-3"}  # of each provider; the first of a request without one


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A request in which nothing is wrong, defaults filled in; `workspace` in the lower case of a UUID."""

    workspace: str
    prompt: str
    model: str
    provider: str
    size: str
    style: str
    quality: str
    n: int

    @property
    def slug(self) -> str:
        """The catalogue's model: each quality has a price, so it is one of its own."""
        return self.model if self.quality == "standard" else f"{self.model}-{self.quality}"

    def params(self, seed: int) -> dict[str, str | int]:
        """The parameters of one picture's job; another seed is another picture."""
        return {
            "prompt": self.prompt,
            "size": self.size,
            "style": self.style,
            "provider_style": MODELS[self.model].styles[self.style],
            "quality": self.quality,
            "seed": seed,
        }


def _without_default(schema: dict[str, Any]) -> None:
    del schema["default"]


class Wrong(msgspec.Struct, frozen=True):
    """Why a request is refused: a code, one sentence, and each field that is wrong."""

    code: str
    message: str
    fields: tuple[FieldFault, ...]


class ImagesRequest(BaseModel):
    """Documents the body. The provider has to be the model's, the size one that the model makes."""

    model_config = ConfigDict(extra="allow")

    prompt: str = Field(description="What is to be seen.", min_length=1, max_length=PROMPT_CHARS_MAX)
    model: Literal["dall-e-3", "dall-e-2", "imagen-3"] = Field(
        "dall-e-3", description="Left out, it is dall-e-3, or imagen-3 of the provider google."
    )
    provider: Literal["openai", "google"] = Field(
        "openai", description="Left out, it is the model's.", json_schema_extra=_without_default
    )
    size: Literal["256x256", "512x512", "1024x1024", "1792x1024", "1024x1792"] = "1024x1024"
    style: Literal["natural", "vivid", "artistic", "photographic"] = "natural"
    quality: Literal["standard", "hd"] = Field("standard", description="hd from 1024x1024.")
    n: int = Field(1, description="How many pictures.", ge=1, le=IMAGES_MAX)
    workspaceId: str = Field(
        "", description=f"The workspace's UUID, where the header {WORKSPACE_HEADER} does not say it."
    )


class ImagesHeaders(BaseModel):
    """Headers of the request."""

    workspace: str = Field("", alias=WORKSPACE_HEADER, description="The workspace's UUID.")
    prefer: str = Field("", alias="Prefer", description="`wait=N` waits N s, `respond-async` not at all; else 30 s.")
    key: str = Field(
        "", alias="Idempotency-Key", description="A repeat under the key is charged once and tells how all stand now."
    )


def wanted(body: Mapping[str, Any], header: str | None) -> Wanted | Wrong:
    """The request of this body and this X-Workspace-Id (None: not sent); or everything that is wrong with it."""
    wrong: list[FieldFault] = []
    workspace, prompt = _workspace(body, header or "", wrong), _prompt(body, wrong)
    provider = _choice(body, "provider", tuple(DEFAULT_MODELS), "", wrong)
    model = _choice(body, "model", tuple(MODELS), DEFAULT_MODELS.get(provider, "dall-e-3"), wrong)
    size = _choice(body, "size", SIZES, "1024x1024", wrong)
    style = _choice(body, "style", STYLES, "natural", wrong)
    quality = _choice(body, "quality", QUALITIES, "standard", wrong)
    n, offer = _count(body, wrong), MODELS.get(model, _ANY)
    if offer.provider and provider and provider != offer.provider:
        wrong.append(FieldFault("provider", f"{model} is a model of {offer.provider}, not of {provider}."))
    if quality == "hd" and size and size not in HD_SIZES:
        wrong.append(FieldFault("quality", f"hd is possible at {_either(HD_SIZES)}, not at {size}."))
    unfit = FieldFault("size", f"{model} makes {_either(offer.sizes)}, not {size}.")
    if size and size not in offer.sizes:
        wrong.append(unfit)
    if _MISSING in wrong:
        message = f"Missing workspace: send the header {WORKSPACE_HEADER} or the field {WORKSPACE_FIELD}."
        return Wrong("MISSING_WORKSPACE", message, tuple(wrong))
    if wrong == [unfit]:
        return Wrong("INVALID_SIZE", f"Invalid size: {unfit.message}", tuple(wrong))
    if wrong:
        return Wrong("VALIDATION_ERROR", told(wrong), tuple(wrong))
    return Wanted(
        workspace=workspace,
        prompt=prompt,
        model=model,
        provider=offer.provider,
        size=size,
        style=style,
        quality=quality,
        n=n,
    )


_ANY = Offer("", SIZES, {})  # stands for a model that is wrong, with which everything fits
_MISSING = FieldFault(WORKSPACE_FIELD, f"Send the workspace in the header {WORKSPACE_HEADER} or in this field.")


def _workspace(body: Mapping[str, Any], header: str, wrong: list[FieldFault]) -> str:
    """The workspace, empty where it is wrong. An empty text names none."""
    field, found = body.get(WORKSPACE_FIELD, ""), set()
    if not isinstance(field, str):
        wrong.append(FieldFault(WORKSPACE_FIELD, "This must be a text."))
    elif not field and not header:
        wrong.append(_MISSING)
    for name, value in ((WORKSPACE_HEADER, header), (WORKSPACE_FIELD, field)):
        if isinstance(value, str) and value and not _UUID.fullmatch(value):
            wrong.append(FieldFault(name, "This must be a UUID."))
        elif isinstance(value, str) and value:
            found.add(value.lower())
    if len(found) > 1:
        wrong.append(FieldFault(WORKSPACE_HEADER, f"This is another workspace than {WORKSPACE_FIELD}; send one."))
        wrong.append(FieldFault(WORKSPACE_FIELD, f"This is another workspace than {WORKSPACE_HEADER}; send one."))
    return next(iter(found), "")


def _prompt(body: Mapping[str, Any], wrong: list[FieldFault]) -> str:
    value = body.get("prompt")
    if "prompt" not in body:
        message = "This field is required."
    elif not isinstance(value, str):
        message = "This must be a text."
    elif not value.strip() or len(value) > PROMPT_CHARS_MAX:
        message = f"This must have 1 to {PROMPT_CHARS_MAX} characters, and not blanks alone."
    elif "\0" in value:
        message = "This must not hold the character U+0000."
    else:
        return value
    wrong.append(FieldFault("prompt", message))
    return ""


def _choice(body: Mapping[str, Any], name: str, choices: Sequence[str], default: str, wrong: list[FieldFault]) -> str:
    """The chosen word, the default where none was sent, empty where it is wrong."""
    value = body.get(name, default)
    if name not in body or (isinstance(value, str) and value in choices):
        return str(value)
    wrong.append(FieldFault(name, f"This must be {_either(choices)}."))
    return ""


def _count(body: Mapping[str, Any], wrong: list[FieldFault]) -> int:
    value = body.get("n", 1)
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON has one kind of number: 2.0 is 2
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= IMAGES_MAX:
        return value
    wrong.append(FieldFault("n", f"This must be an integer from 1 to {IMAGES_MAX}."))
    return 0


def _either(choices: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(choices[:-1]), choices[-1])))


def told(wrong: Sequence[FieldFault]) -> str:
    """One sentence about all that is wrong."""
    first = wrong[0]
    return f"{first.field}: {first.message}" if len(wrong) == 1 else f"{len(wrong)} fields are wrong; see `details`."

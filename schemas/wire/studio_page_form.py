"""Document 004, studio: the form of a generation as its page shows it, made of the catalogue. Pure.

A form follows its model: the fields are the parameters of its entry, and of the sister that works on a picture where
the model has one. Texts come before files, so that they are known when a file is refused.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from schemas.catalogue import Catalogue, Entry
from schemas.parameters import Parameter
from schemas.wire.studio_errors import IMAGE_REQUIRED, MASK_REQUIRED, PROMPT_REQUIRED
from schemas.wire.studio_form import IMAGE, IMAGE_BYTES_MAX, MASK, shown_models
from schemas.wire.surface import Fault

Control = Literal["textarea", "text", "number", "select", "file"]
ACCEPTED = "image/jpeg,image/png,image/webp,image/heic,image/heif"
_SISTER = "-img2img"
_PROMPT, _SEED = "prompt", "seed"
_FILES = {"input": IMAGE, "input.asset": IMAGE, "input.mask": MASK, IMAGE: IMAGE, MASK: MASK}
_ABOUT = {PROMPT_REQUIRED: _PROMPT, IMAGE_REQUIRED: IMAGE, MASK_REQUIRED: MASK}


class FormField(msgspec.Struct, frozen=True, kw_only=True):
    """One field: its control and what it may hold; `error` is what is wrong with what was sent."""

    name: str
    label: str
    hint: str
    control: Control
    value: str = ""
    placeholder: str = ""
    required: bool = False
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    length_max: int | None = None
    bytes_max: int | None = None
    accepted: str = ""
    error: str = ""


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """The form of a model. `more` are fields that most people leave as they are; `is_open` shows them."""

    model: str
    title: str
    kind: str
    info: Any
    fields: tuple[FormField, ...]
    more: tuple[FormField, ...]
    files: tuple[FormField, ...]
    key: str
    error: str = ""

    @property
    def is_open(self) -> bool:
        """Whether one of `more` has a value or an error."""
        return any(field.value or field.error for field in self.more)

    @property
    def wrong(self) -> tuple[FormField, ...]:
        """The fields with an error."""
        return tuple(field for field in (*self.fields, *self.more, *self.files) if field.error)


class Wrong(msgspec.Struct, frozen=True):
    """What was wrong with a form that was sent: the sentence, and the field that it is about, if it is about one."""

    sentence: str
    field: str = ""


def model_form(
    catalogue: Catalogue, slug: str, key: str, texts: Mapping[str, str] | None = None, wrong: Wrong | None = None
) -> Form | None:
    """The form of a model, with what was typed; "" is the first model, None stands for an unknown one."""
    models = shown_models(catalogue)
    entry = models.get(slug) if slug else next(iter(models.values()), None)
    if entry is None:
        return None
    typed, about = texts or {}, wrong or Wrong("")
    sister = catalogue.entry(entry.slug + _SISTER)
    named = {**(sister.parameters if sister is not None else {}), **entry.parameters}
    fields = [_field(name, parameter, entry, typed, about) for name, parameter in _ordered(named, entry)]
    first = [field for field in fields if field.name == _PROMPT or field.name in _prominent(entry)]
    files = _files(entry, sister, about)
    shown = Form(
        model=entry.slug,
        title=entry.title,
        kind=kind_of(catalogue, entry),
        info=entry.info,
        fields=tuple(first),
        more=tuple(field for field in fields if field not in first),
        files=tuple(files),
        key=key,
    )
    return msgspec.structs.replace(shown, error="" if shown.wrong else about.sentence)


def kind_of(catalogue: Catalogue, entry: Entry) -> str:
    """What becomes what, in three or four words."""
    if entry.task == "video":
        return "Picture to video"
    if entry.mask == "required":
        return "Fill in a picture"
    return "Words to picture" if catalogue.entry(entry.slug + _SISTER) is None else "Words or picture to picture"


def wrong_of(found: Fault | None, sentence: str) -> Wrong:
    """Which field a sentence of `studio_errors` is about; `found` is the fault that it tells, if there is one."""
    if sentence in _ABOUT:
        return Wrong(sentence, _ABOUT[sentence])
    if found is not None and found.fields:
        name = found.fields[0].field
        name = _FILES.get(name, name.removeprefix("params."))
        return Wrong(sentence.removeprefix(f"{name}: "), name)
    name, colon, rest = sentence.partition(": ")
    return Wrong(rest, name) if colon and name.isidentifier() else Wrong(sentence)


def _ordered(named: Mapping[str, Parameter], entry: Entry) -> list[tuple[str, Parameter]]:
    """The prompt first, the seed last, the model's own before its sister's."""
    return sorted(
        named.items(), key=lambda item: (item[0] != _PROMPT, item[0] == _SEED, item[0] not in entry.parameters)
    )


def _prominent(entry: Entry) -> set[str]:
    """Parameters that people choose often: those that decide the result's size or length."""
    return {name for name in entry.parameters if name == entry.result.size or name == "seconds"}


def _field(name: str, parameter: Parameter, entry: Entry, typed: Mapping[str, str], wrong: Wrong) -> FormField:
    alone = "" if name in entry.parameters else "With a picture: "
    return FormField(
        name=name,
        label=name.replace("_", " ").capitalize(),
        hint=alone + parameter.title,
        control=_control(name, parameter),
        value=typed.get(name, ""),
        placeholder="" if parameter.default in (None, "") or name == _SEED else str(parameter.default),
        required=parameter.type == "text" and parameter.length_min > 0,
        choices=("true", "false") if parameter.type == "boolean" else tuple(map(str, parameter.choices)),
        minimum=parameter.minimum,
        maximum=parameter.maximum,
        length_max=parameter.length_max if parameter.type == "text" else None,
        error=wrong.sentence if wrong.field == name else "",
    )


def _control(name: str, parameter: Parameter) -> Control:
    if parameter.choices or parameter.type == "boolean":
        return "select"
    if parameter.type == "integer":
        return "number"
    return "textarea" if name == _PROMPT else "text"


def _files(entry: Entry, sister: Entry | None, wrong: Wrong) -> list[FormField]:
    files = []
    limit = IMAGE_BYTES_MAX >> 20
    if entry.input != "none" or sister is not None:
        needed = entry.input == "required"
        hint = f"JPEG, PNG, WebP or HEIC, up to {limit} MB." + ("" if needed else " Leave it out to start from words.")
        files.append(_file(IMAGE, "Picture", hint, wrong, required=needed))
    if entry.mask == "required":
        hint = "As large as the picture: white where it is filled in, black where it stays."
        files.append(_file(MASK, "Mask", hint, wrong, required=True))
    return files


def _file(name: str, label: str, hint: str, wrong: Wrong, *, required: bool) -> FormField:
    return FormField(
        name=name,
        label=label,
        hint=hint,
        control="file",
        required=required,
        bytes_max=IMAGE_BYTES_MAX,
        accepted=ACCEPTED,
        error=wrong.sentence if wrong.field == name else "",
    )

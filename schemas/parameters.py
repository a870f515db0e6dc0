"""Parameters of models: what a value may be, in which words it is refused, and which values are personal."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from schemas.commands import Json

ValidParams = dict[str, Json]


class FieldProblem(msgspec.Struct, frozen=True):
    """What is wrong with one field of a request; `field` is a JSON path such as `params.scale`."""

    field: str
    message: str


class Parameter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One parameter. Integers have inclusive bounds or choices, texts choices or lengths in characters.

    Without a default it is required. Numbers are integers, so that every reader sees the same value. A `personal` text
    (a prompt) travels sealed and never stands among the parameters in clear.
    """

    type: Literal["integer", "boolean", "text"]
    title: str
    default: Json = None
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[int | str, ...] = ()
    length_min: int = 0
    length_max: int = 200
    personal: bool = False


class Validated(msgspec.Struct, frozen=True):
    """Valid parameters in two parts: `params` may travel in clear, `texts` only sealed."""

    params: ValidParams
    texts: dict[str, str]


def check_values(
    slug: str, parameters: Mapping[str, Parameter], given: Mapping[str, object]
) -> Validated | list[FieldProblem]:
    """The values with defaults filled in, in the order of `parameters`; or every problem."""
    problems = [FieldProblem(f"params.{name}", _unknown(slug, parameters)) for name in given if name not in parameters]
    params: ValidParams = {}
    texts: dict[str, str] = {}
    for name, parameter in parameters.items():
        value = given.get(name, parameter.default)
        message = value_problem(parameter, value)
        if message is not None:
            problems.append(FieldProblem(f"params.{name}", message))
        elif parameter.personal:
            texts[name] = str(value)
        else:
            assert isinstance(value, str | int)
            params[name] = value
    return problems or Validated(params, texts)


def _unknown(slug: str, parameters: Mapping[str, Parameter]) -> str:
    return f"{slug} takes only {', '.join(parameters)}." if parameters else f"{slug} takes no parameters."


def value_problem(parameter: Parameter, value: object) -> str | None:
    """What is wrong with a value, in one sentence, or None."""
    if value is None:
        return "This parameter is required."
    if parameter.type == "boolean":
        return None if isinstance(value, bool) else "This must be true or false."
    if parameter.type == "text":
        return _text_problem(parameter, value)
    if isinstance(value, bool) or not isinstance(value, int):
        return "This must be an integer."
    low, high = parameter.minimum, parameter.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        return f"This must be {_range(low, high)}."
    return _choice_problem(parameter, value)


def _text_problem(parameter: Parameter, value: object) -> str | None:
    if not isinstance(value, str):
        return "This must be a text."
    if len(value) > parameter.length_max:
        return f"This must have at most {parameter.length_max} characters."
    if len(value.strip()) < parameter.length_min:
        return f"This must have at least {parameter.length_min} character{'s' if parameter.length_min > 1 else ''}."
    return _choice_problem(parameter, value)


def _choice_problem(parameter: Parameter, value: int | str) -> str | None:
    if not parameter.choices or value in parameter.choices:
        return None
    return f"This must be one of {', '.join(str(choice) for choice in parameter.choices)}."


def _range(low: int | None, high: int | None) -> str:
    if low is not None and high is not None:
        return f"from {low} to {high}"
    return f"at least {low}" if high is None else f"at most {high}"

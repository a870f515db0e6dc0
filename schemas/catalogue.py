"""The catalogue: which models a deployment offers, what they take, what they cost, and which engine runs them.

A slug maps to a task, a Triton model and version, a parameter schema, limits, a cost rule, texts and a lane (design
section 7). Ingest validates and refuses by it, the plan takes its costs and engines from it, dispatchers learn from it
how to call the engine. Everything here is pure; the file is read by whoever composes a process.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from schemas.commands import Json
from schemas.plans import CostRule, ModelTerms

ValidParams = dict[str, Json]


class CatalogueInvalid(ValueError):
    """The catalogue file cannot be used; the message is one sentence that names the place."""


class FieldProblem(msgspec.Struct, frozen=True):
    """What is wrong with one field of a request; `field` is a JSON path such as `params.scale`."""

    field: str
    message: str


class Parameter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One parameter. Integers have inclusive bounds or choices, texts choices or a greatest length in characters.

    Without a default it is required. Numbers are integers, so that every reader sees the same value.
    """

    type: Literal["integer", "boolean", "text"]
    title: str
    default: Json = None
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[int | str, ...] = ()
    length_max: int = 200


class ResultSize(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Size in pixels of a result: the input's, times the parameter named by `times`; or `width` x `height`."""

    times: str | None = None
    width: int = 0
    height: int = 0


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Greatest sizes in pixels (width times height) of what a model takes and makes."""

    input_pixels_max: int = 64_000_000
    result_pixels_max: int = 256_000_000


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One model as clients see it, and the engine behind it.

    `task` says how the dispatcher works: `upscale` sends tiles of the input, `card` sends numbers and gets a small
    picture. `tensors` gives the numbers: engine input -> `params.<name>` or `attempt`; `batched` means that the engine
    wants a leading batch axis. `deployments` names where the model is on; empty means everywhere.
    """

    slug: str
    title: str
    description: str
    task: Literal["upscale", "card"]
    engine: str
    engine_version: str
    lane: str = "standard"
    input: Literal["required", "none"]
    cost: CostRule
    result: ResultSize
    parameters: Mapping[str, Parameter] = {}
    tensors: Mapping[str, str] = {}
    batched: bool = False
    limits: Limits = Limits()
    run_deadline_ms: int = 120_000
    attempts_max: int = 3
    deployments: tuple[str, ...] = ()


class Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All models of a deployment under one version text, which changes with any change of content."""

    version: str
    models: tuple[Entry, ...]

    def entry(self, slug: str) -> Entry | None:
        """The model of this slug, or None."""
        return next((entry for entry in self.models if entry.slug == slug), None)

    def of_deployment(self, deployment: str) -> "Catalogue":
        """What this deployment offers: models that are on everywhere or on here."""
        offered = tuple(e for e in self.models if not e.deployments or deployment in e.deployments)
        return msgspec.structs.replace(self, models=offered)


def parse_catalogue(content: bytes) -> Catalogue:
    """Read and check the TOML file. Raises CatalogueInvalid."""
    try:
        catalogue = msgspec.toml.decode(content, type=Catalogue)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CatalogueInvalid(f"The catalogue is not usable: {error}.") from error
    for problem in _problems(catalogue):
        raise CatalogueInvalid(f"The catalogue is not usable: {problem}.")
    return catalogue


def validate_params(entry: Entry, params: Mapping[str, object]) -> ValidParams | list[FieldProblem]:
    """The parameters with defaults filled in, in the catalogue's order; or every problem. Unknown names are refused."""
    unknown = [
        FieldProblem(f"params.{name}", _unknown_message(entry)) for name in params if name not in entry.parameters
    ]
    values: ValidParams = {}
    problems: list[FieldProblem] = list(unknown)
    for name, parameter in entry.parameters.items():
        value = params.get(name, parameter.default)
        message = _value_problem(parameter, value)
        if message is None:
            assert isinstance(value, str | int)
            values[name] = value
        else:
            problems.append(FieldProblem(f"params.{name}", message))
    return problems or values


def price(entry: Entry, params: Mapping[str, Json]) -> int:
    """Units that a job with these validated parameters costs."""
    return entry.cost.price(params)


def result_size(entry: Entry, params: Mapping[str, Json], width: int, height: int) -> tuple[int, int]:
    """(width, height) in pixels of the result for an input of this size."""
    if entry.result.times is not None:
        factor = params[entry.result.times]
        assert isinstance(factor, int)
        return width * factor, height * factor
    return entry.result.width or width, entry.result.height or height


def validate_input(entry: Entry, params: Mapping[str, Json], size: tuple[int, int] | None) -> list[FieldProblem]:
    """What is wrong with giving this model a picture of `size` pixels, or None for no picture."""
    if entry.input == "none":
        return [FieldProblem("input", f"{entry.slug} takes no picture; leave the input out.")] if size else []
    if size is None:
        return [FieldProblem("input", f"{entry.slug} works on a picture; name one of your assets.")]
    problems = []
    if size[0] * size[1] > entry.limits.input_pixels_max:
        problems.append(FieldProblem("input", _too_many(size, "The picture", entry.limits.input_pixels_max)))
    large = result_size(entry, params, *size)
    if large[0] * large[1] > entry.limits.result_pixels_max:
        field = f"params.{entry.result.times}" if entry.result.times else "input"
        problems.append(FieldProblem(field, _too_many(large, "The result", entry.limits.result_pixels_max)))
    return problems


def model_terms(entry: Entry) -> ModelTerms:
    """What the decider has to know of the model; it travels in the plan."""
    return ModelTerms(
        engine=entry.engine,
        engine_version=entry.engine_version,
        lane=entry.lane,
        cost=entry.cost,
        takes_input=entry.input == "required",
        run_deadline_ms=entry.run_deadline_ms,
        attempts_max=entry.attempts_max,
    )


def _too_many(size: tuple[int, int], what: str, pixels_max: int) -> str:
    millions = pixels_max // 1_000_000
    return f"{what} would be {size[0]} x {size[1]} pixels; at most {millions} megapixels are possible."


def _unknown_message(entry: Entry) -> str:
    if not entry.parameters:
        return f"{entry.slug} takes no parameters."
    return f"{entry.slug} takes only {', '.join(entry.parameters)}."


def _value_problem(parameter: Parameter, value: object) -> str | None:
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
    return _choice_problem(parameter, value)


def _choice_problem(parameter: Parameter, value: int | str) -> str | None:
    if not parameter.choices or value in parameter.choices:
        return None
    return f"This must be one of {', '.join(str(choice) for choice in parameter.choices)}."


def _range(low: int | None, high: int | None) -> str:
    if low is not None and high is not None:
        return f"from {low} to {high}"
    return f"at least {low}" if high is None else f"at most {high}"


def _problems(catalogue: Catalogue) -> list[str]:
    """Contradictions inside the file that its types cannot show."""
    problems = []
    slugs = [entry.slug for entry in catalogue.models]
    problems += [f"{slug} stands in it twice" for slug in sorted({s for s in slugs if slugs.count(s) > 1})]
    for entry in catalogue.models:
        named = [*entry.cost.per, *([entry.result.times] if entry.result.times else [])]
        named += [source.removeprefix("params.") for source in entry.tensors.values() if source != "attempt"]
        problems += [f"{entry.slug} has no parameter {name}" for name in named if name not in entry.parameters]
        for name, parameter in entry.parameters.items():
            if parameter.default is not None and _value_problem(parameter, parameter.default) is not None:
                problems.append(f"the default of {entry.slug}'s {name} is outside its own limits")
        if entry.cost.base < 0 or any(units < 0 for per in entry.cost.per.values() for units in per.values()):
            problems.append(f"{entry.slug} has a negative price")
    return problems

"""The catalogue: which models a deployment offers, what they take, what they cost, and which engine runs them.

A slug maps to a task, a Triton model and version, a parameter schema, limits, a cost rule, texts and a lane (design
section 7). Ingest validates and refuses by it, the plan takes its costs and engines from it, dispatchers learn from it
how to call the engine. Everything here is pure; the file is read by whoever composes a process.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from schemas.commands import Json
from schemas.parameters import FieldProblem, Parameter, Validated, ValidParams, check_values, value_problem
from schemas.plans import CostRule, ModelTerms

__all__ = ["FieldProblem", "Parameter", "ValidParams", "Validated"]

Task = Literal["upscale", "filter", "inpaint", "generate", "video", "card"]


class CatalogueInvalid(ValueError):
    """The catalogue file cannot be used; the message is one sentence that names the place."""


class ResultSize(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Size in pixels of a result, by the first of these that is given:

    `times`: the input's, times the integer parameter of that name; `long_edge`: the input's, enlarged until its long
    edge is what the parameter of that name says, never reduced (an integer, or a text that `edges` gives a number of
    pixels for); `size`: what the text parameter of that name says as `1024x768`; `factor`: the input's, times that;
    `width` x `height`. With none of them: the input's.
    `edge_max` bounds the long edge of the result (videos): what is larger is reduced to it.
    """

    times: str | None = None
    long_edge: str | None = None
    edges: Mapping[str, int] = {}
    size: str | None = None
    factor: int = 0
    width: int = 0
    height: int = 0
    edge_max: int = 0


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Greatest sizes in pixels (width times height) of what a model takes and makes."""

    input_pixels_max: int = 64_000_000
    result_pixels_max: int = 256_000_000


class ModelInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Three texts for people who choose a model."""

    what_is: str
    use_cases: str
    tips: str


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One model as clients see it, and the engine behind it.

    `task` says how the dispatcher works: `upscale` and `filter` send tiles of the input, `inpaint` the surroundings of
    what a mask covers, `generate` parameters and texts for a whole picture, `video` a picture and texts for frames,
    `card` numbers for a small picture. `operation` is what the engine is asked to do (one engine may know several) and
    `fixed` holds parameters of that operation which the client does not choose; so one engine serves many slugs.
    `guide` sends beside each tile a small copy of the `whole` picture, or `samples` of it at full resolution; `halo` is
    how far in pixels a tile looks beyond its edge. `tensors` gives a card's or an upscaler's numbers: engine input ->
    `params.<name>` (a parameter or a fixed one) or `attempt`; `batched` means that the engine wants a leading batch
    axis. `label` is written into the result's file. `format` is the result's; without it the input's is kept.
    `fallback_engine` runs the same task when `engine` cannot. `products` names who may use the slug, `deployments`
    where it is on; empty means every one.
    """

    slug: str
    title: str
    description: str
    info: ModelInfo | None = None
    task: Task
    engine: str
    engine_version: str
    operation: str = ""
    fixed: Mapping[str, Json] = {}
    fallback_engine: str | None = None
    fallback_engine_version: str | None = None
    label: str = ""
    lane: str = "standard"
    input: Literal["required", "optional", "none"]
    mask: Literal["required", "none"] = "none"
    cost: CostRule
    result: ResultSize
    format: Literal["jpeg", "png", "webp"] | None = None
    guide: Literal["none", "whole", "samples"] = "none"
    halo: int = 8
    parameters: Mapping[str, Parameter] = {}
    tensors: Mapping[str, str] = {}
    batched: bool = False
    limits: Limits = Limits()
    run_deadline_ms: int = 120_000
    attempts_max: int = 3
    products: tuple[str, ...] = ()
    deployments: tuple[str, ...] = ()

    def offered_to(self, product: str) -> bool:
        """Whether accounts of this product may use the slug."""
        return not self.products or product in self.products

    @property
    def personal(self) -> frozenset[str]:
        """Names of the parameters that travel sealed."""
        return frozenset(name for name, parameter in self.parameters.items() if parameter.personal)


class Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, eq=False):
    """All models of a deployment under one version text, which changes with any content. Equal to itself alone."""

    version: str
    models: tuple[Entry, ...]

    def entry(self, slug: str) -> Entry | None:
        """The model of this slug, or None."""
        return next((entry for entry in self.models if entry.slug == slug), None)

    def of_deployment(self, deployment: str) -> "Catalogue":
        """What this deployment offers: models that are on everywhere or on here."""
        offered = tuple(e for e in self.models if not e.deployments or deployment in e.deployments)
        return msgspec.structs.replace(self, models=offered)

    def with_models(self, more: tuple[Entry, ...]) -> "Catalogue":
        """These models and more, such as those of a deployment's own models folder. Raises CatalogueInvalid."""
        return _checked(msgspec.structs.replace(self, models=(*self.models, *more)))


def parse_catalogue(content: bytes) -> Catalogue:
    """Read and check the TOML file. Raises CatalogueInvalid."""
    try:
        catalogue = msgspec.toml.decode(content, type=Catalogue)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CatalogueInvalid(f"The catalogue is not usable: {error}.") from error
    return _checked(catalogue)


def validate_params(entry: Entry, params: Mapping[str, object]) -> Validated | list[FieldProblem]:
    """What a client sent, with defaults filled in and in the catalogue's order; or every problem.

    The answer has two parts: `params` may travel in clear, `texts` (personal parameters) only sealed. Unknown names
    are refused.
    """
    return check_values(entry.slug, entry.parameters, params)


def validate_public(entry: Entry, params: Mapping[str, object]) -> ValidParams | list[FieldProblem]:
    """Check the part that travels in clear by itself, before what is sealed has been opened."""
    public = {name: parameter for name, parameter in entry.parameters.items() if not parameter.personal}
    values = check_values(entry.slug, public, params)
    return values if isinstance(values, list) else values.params


def fallback(entry: Entry) -> Entry | None:
    """The same model on its second engine, or None where it has none."""
    if entry.fallback_engine is None:
        return None
    return msgspec.structs.replace(
        entry,
        engine=entry.fallback_engine,
        engine_version=entry.fallback_engine_version or "1",
        fallback_engine=None,
        fallback_engine_version=None,
    )


def price(entry: Entry, params: Mapping[str, Json]) -> int:
    """Units that a job with these validated parameters costs."""
    return entry.cost.price(params)


def result_size(entry: Entry, params: Mapping[str, Json], width: int, height: int) -> tuple[int, int]:
    """(width, height) in pixels of the result for an input of this size; (0, 0) stands for no input."""
    size = entry.result
    values = {**entry.fixed, **params}
    if size.size is not None:
        across, _, down = str(values[size.size]).partition("x")
        width, height = int(across), int(down)
    elif size.long_edge is not None:
        value, own = values[size.long_edge], max(width, height)
        edge = size.edges[str(value)] if size.edges else _integer(value)
        if edge > own:
            width, height = max(1, round(width * edge / own)), max(1, round(height * edge / own))
    elif size.times is not None or size.factor:
        factor = size.factor if size.times is None else _integer(values[size.times])
        width, height = width * factor, height * factor
    else:
        width, height = size.width or width, size.height or height
    return _bounded(width, height, size.edge_max) if size.edge_max else (width, height)


def _bounded(width: int, height: int, edge: int) -> tuple[int, int]:
    """Reduce to that long edge where larger, and to even numbers, as video wants them."""
    shrink = min(1.0, edge / max(width, height, 1))
    return max(2, round(width * shrink / 2) * 2), max(2, round(height * shrink / 2) * 2)


def _integer(value: Json) -> int:
    assert isinstance(value, int)
    return value


def validate_input(
    entry: Entry, params: Mapping[str, Json], size: tuple[int, int] | None, mask: tuple[int, int] | None = None
) -> list[FieldProblem]:
    """What is wrong with giving this model a picture and a mask of these sizes in pixels; None for none of it."""
    problems = _mask_problems(entry, size, mask)
    if entry.input == "none":
        problems += [FieldProblem("input", f"{entry.slug} takes no picture; leave the input out.")] if size else []
        return problems
    if size is None:
        missing = FieldProblem("input", f"{entry.slug} works on a picture; name one of your assets.")
        return [missing, *problems] if entry.input == "required" else problems
    if size[0] * size[1] > entry.limits.input_pixels_max:
        problems.append(FieldProblem("input", _too_many(size, "The picture", entry.limits.input_pixels_max)))
    large = result_size(entry, params, *size)
    if large[0] * large[1] > entry.limits.result_pixels_max:
        named = entry.result.times or entry.result.long_edge
        field = f"params.{named}" if named in entry.parameters else "input"
        problems.append(FieldProblem(field, _too_many(large, "The result", entry.limits.result_pixels_max)))
    return problems


def _mask_problems(entry: Entry, size: tuple[int, int] | None, mask: tuple[int, int] | None) -> list[FieldProblem]:
    if mask is None:
        missing = entry.mask == "required"
        return [FieldProblem("mask", f"{entry.slug} needs a mask; name one of your assets.")] if missing else []
    if entry.mask == "none":
        return [FieldProblem("mask", f"{entry.slug} takes no mask; leave it out.")]
    if size is not None and mask != size:
        words = f"The mask has {mask[0]} x {mask[1]} pixels and the picture {size[0]} x {size[1]}; make them equal."
        return [FieldProblem("mask", words)]
    return []


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
        takes_mask=entry.mask == "required",
        products=entry.products,
    )


def _too_many(size: tuple[int, int], what: str, pixels_max: int) -> str:
    millions = pixels_max // 1_000_000
    return f"{what} would be {size[0]} x {size[1]} pixels; at most {millions} megapixels are possible."


def _checked(catalogue: Catalogue) -> Catalogue:
    for problem in _problems(catalogue):
        raise CatalogueInvalid(f"The catalogue is not usable: {problem}.")
    return catalogue


def _problems(catalogue: Catalogue) -> list[str]:
    """Contradictions inside the file that its types cannot show."""
    slugs = [entry.slug for entry in catalogue.models]
    problems = [f"{slug} stands in it twice" for slug in sorted({s for s in slugs if slugs.count(s) > 1})]
    for entry in catalogue.models:
        named = [*entry.cost.per, *filter(None, (entry.result.times, entry.result.long_edge, entry.result.size))]
        named += [source.removeprefix("params.") for source in entry.tensors.values() if source != "attempt"]
        known = {*entry.parameters, *entry.fixed}
        problems += [f"{entry.slug} has no parameter {name}" for name in named if name not in known]
        problems += [f"{entry.slug} prices its personal {name}" for name in entry.cost.per if name in entry.personal]
        for name, parameter in entry.parameters.items():
            if parameter.default is not None and value_problem(parameter, parameter.default) is not None:
                problems.append(f"the default of {entry.slug}'s {name} is outside its own limits")
            if parameter.personal and parameter.type != "text":
                problems.append(f"{entry.slug}'s {name} is personal and no text")
        if entry.cost.base < 0 or any(units < 0 for per in entry.cost.per.values() for units in per.values()):
            problems.append(f"{entry.slug} has a negative price")
        if entry.mask == "required" and entry.input == "none":
            problems.append(f"{entry.slug} wants a mask of no picture")
        problems += [f"{entry.slug} has no edge for {name}" for name in _edgeless(entry)]
    return problems


def _edgeless(entry: Entry) -> list[str]:
    """Choices of the parameter that stands for a long edge, without one."""
    parameter = entry.parameters.get(entry.result.long_edge or "")
    if parameter is None or (parameter.type == "integer" and not entry.result.edges):
        return []
    return [str(choice) for choice in parameter.choices or ("any text",) if str(choice) not in entry.result.edges]

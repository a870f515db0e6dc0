"""The catalogue: what is offered, what is refused and with which words, what it costs."""

from pathlib import Path

import msgspec
import pytest

from schemas.catalogue import (
    Catalogue,
    CatalogueInvalid,
    Entry,
    FieldProblem,
    model_terms,
    parse_catalogue,
    price,
    result_size,
    validate_input,
    validate_params,
    validate_public,
)
from schemas.parameters import Validated
from schemas.plans import ModelTerms

FILE = Path(__file__).parents[3] / "infra" / "catalogue.toml"

MODEL = """
version = "1"
[[models]]
slug = "a/b"
title = "A"
description = "A model."
task = "upscale"
engine = "a"
engine_version = "1"
input = "required"
cost = { base = 2, per = { scale = { 4 = 3 } } }
result = { times = "scale" }
[models.parameters.scale]
type = "integer"
title = "Scale"
choices = [2, 4]
default = 2
[models.parameters.name]
type = "text"
title = "Name"
length_max = 3
default = ""
[models.parameters.on]
type = "boolean"
title = "On"
default = false
[models.parameters.level]
type = "integer"
title = "Level"
minimum = 1
maximum = 5
"""


@pytest.fixture
def shipped() -> Catalogue:
    return parse_catalogue(FILE.read_bytes())


@pytest.fixture
def entry() -> Entry:
    found = parse_catalogue(MODEL.encode()).entry("a/b")
    assert found is not None
    return found


def test_the_shipped_file_offers_models_of_its_own_to_everybody(shipped: Catalogue) -> None:
    slugs = [model.slug for model in shipped.models if "/" in model.slug]
    filters = ("upscale", "denoise", "restore", "colorize", "stylize", "restyle", "sharpen", "inpaint", "background")
    cards = ("echo", "slow", "flaky", "broken", "crash")
    assert slugs == [
        *(f"classical/{name}" for name in filters),
        *("procedural/image", "procedural/video"),
        *(f"sandbox/{name}" for name in cards),
    ]
    assert {len(model.products) for model in shipped.models if "/" in model.slug} == {0}
    assert {price(model, {}) for model in shipped.models if model.task == "card"} == {1}
    assert {model.slug for model in shipped.models if model.lane != "standard"} == {"procedural/video", "stable_video"}


def test_sandbox_models_are_on_only_where_the_deployment_says_so(shipped: Catalogue) -> None:
    offered = shipped.of_deployment("production").models
    assert [model.slug for model in offered] == [m.slug for m in shipped.models if m.task != "card"]
    assert shipped.of_deployment("local").models == shipped.models


def test_an_unknown_slug_is_none(shipped: Catalogue) -> None:
    assert shipped.entry("classical/nothing") is None


def test_defaults_are_filled_in_the_catalogues_order(entry: Entry) -> None:
    valid = validate_params(entry, {"level": 3})
    assert valid == Validated({"scale": 2, "name": "", "on": False, "level": 3}, {})
    assert list(valid.params) == ["scale", "name", "on", "level"]


@pytest.mark.parametrize(
    ("params", "field", "message"),
    [
        ({}, "params.level", "This parameter is required."),
        ({"level": None}, "params.level", "This parameter is required."),
        ({"level": 0}, "params.level", "This must be from 1 to 5."),
        ({"level": 6}, "params.level", "This must be from 1 to 5."),
        ({"level": "3"}, "params.level", "This must be an integer."),
        ({"level": 3.0}, "params.level", "This must be an integer."),
        ({"level": True}, "params.level", "This must be an integer."),
        ({"level": 3, "scale": 3}, "params.scale", "This must be one of 2, 4."),
        ({"level": 3, "name": "long"}, "params.name", "This must have at most 3 characters."),
        ({"level": 3, "name": 7}, "params.name", "This must be a text."),
        ({"level": 3, "on": 1}, "params.on", "This must be true or false."),
        ({"level": 3, "other": 1}, "params.other", "a/b takes only scale, name, on, level."),
    ],
)
def test_what_does_not_fit_is_refused_with_its_field(
    entry: Entry, params: dict[str, object], field: str, message: str
) -> None:
    assert validate_params(entry, params) == [FieldProblem(field, message)]


def test_every_problem_is_named_at_once(entry: Entry) -> None:
    problems = validate_params(entry, {"scale": 9, "x": 1})
    assert isinstance(problems, list)
    assert [problem.field for problem in problems] == ["params.x", "params.scale", "params.level"]


def test_a_model_without_parameters_says_so(shipped: Catalogue) -> None:
    broken = shipped.entry("sandbox/broken")
    assert broken is not None
    assert validate_params(broken, {}) == Validated({}, {})
    problems = [FieldProblem("params.a", "sandbox/broken takes no parameters.")]
    assert validate_params(broken, {"a": 1}) == problems


def test_price_is_base_and_what_values_add(entry: Entry) -> None:
    assert price(entry, {"scale": 2}) == 2
    assert price(entry, {"scale": 4}) == 5


def test_a_result_is_as_large_as_its_scale_makes_it(entry: Entry, shipped: Catalogue) -> None:
    assert result_size(entry, {"scale": 4}, 30, 20) == (120, 80)
    echo = shipped.entry("sandbox/echo")
    assert echo is not None
    assert result_size(echo, {"seed": 1}, 0, 0) == (64, 64)


def test_inputs_are_wanted_or_refused(entry: Entry, shipped: Catalogue) -> None:
    echo = shipped.entry("sandbox/echo")
    assert echo is not None
    assert validate_input(echo, {}, None) == []
    assert [problem.field for problem in validate_input(echo, {}, (1, 1))] == ["input"]
    assert [problem.field for problem in validate_input(entry, {"scale": 2}, None)] == ["input"]
    assert validate_input(entry, {"scale": 2}, (8_000, 8_000)) == []


def test_too_many_pixels_are_refused_before_anything_is_charged(entry: Entry) -> None:
    assert validate_input(entry, {"scale": 4}, (4_000, 4_000)) == []
    (result,) = validate_input(entry, {"scale": 4}, (4_001, 4_000))
    assert result.field == "params.scale"
    assert result.message.endswith("at most 256 megapixels are possible.")
    fields = [problem.field for problem in validate_input(entry, {"scale": 2}, (8_001, 8_000))]
    assert fields == ["input", "params.scale"]


def test_the_plan_takes_its_terms_from_the_catalogue(entry: Entry) -> None:
    terms = model_terms(entry)
    assert terms == ModelTerms(engine="a", engine_version="1", lane="standard", cost=entry.cost, takes_input=True)
    assert terms.cost.price({"scale": 4}) == 5


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('task = "upscale"', 'task = "paint"', "task"),
        ("default = 2", "default = 3", "the default of a/b's scale is outside its own limits"),
        ('times = "scale"', 'times = "size"', "a/b has no parameter size"),
        ("scale = { 4 = 3 }", "tone = { 4 = 3 }", "a/b has no parameter tone"),
        ("base = 2", "base = -2", "a/b has a negative price"),
        ('title = "A"', 'title = "A"\nunknown = 1', "unknown"),
        ('version = "1"', "version = ", "not usable"),
    ],
)
def test_a_wrong_file_is_refused_naming_the_place(before: str, after: str, message: str) -> None:
    with pytest.raises(CatalogueInvalid, match=message):
        parse_catalogue(MODEL.replace(before, after, 1).encode())


def test_a_slug_stands_once() -> None:
    _, model = MODEL.split("[[models]]")
    with pytest.raises(CatalogueInvalid, match="a/b stands in it twice"):
        parse_catalogue(f'version = "1"\n[[models]]{model}\n[[models]]{model}'.encode())


def model(**changes: object) -> Entry:
    given = {
        "slug": "x/y",
        "title": "X",
        "description": "A model.",
        "task": "filter",
        "engine": "x",
        "engine_version": "1",
        "input": "required",
        "cost": {"base": 1},
        "result": {},
        **changes,
    }
    return msgspec.convert(given, Entry)


TIER = {"type": "text", "title": "Tier", "choices": ["S", "L"]}
PROMPT = {"type": "text", "title": "Prompt", "personal": True, "length_min": 1, "length_max": 9}


def test_personal_texts_are_validated_apart_from_what_travels_in_clear() -> None:
    entry = model(parameters={"prompt": PROMPT, "seed": {"type": "integer", "title": "Seed", "default": 4}})
    assert validate_params(entry, {"prompt": "secret"}) == Validated({"seed": 4}, {"prompt": "secret"})
    assert validate_public(entry, {"seed": 5}) == {"seed": 5}
    assert isinstance(validate_public(entry, {"prompt": "secret"}), list)
    assert entry.personal == {"prompt"}
    for wrong, message in (
        ({}, "This parameter is required."),
        ({"prompt": "  "}, "This must have at least 1 character."),
        ({"prompt": "0123456789"}, "This must have at most 9 characters."),
    ):
        assert validate_params(entry, wrong) == [FieldProblem("params.prompt", message)]


@pytest.mark.parametrize(
    ("result", "fixed", "size", "wanted"),
    [
        ({}, {}, (30, 20), (30, 20)),
        ({"factor": 3}, {}, (30, 20), (90, 60)),
        ({"times": "scale"}, {"scale": 4}, (30, 20), (120, 80)),
        ({"long_edge": "edge"}, {"edge": 1024}, (512, 300), (1024, 600)),
        ({"long_edge": "edge"}, {"edge": 1024}, (3000, 10), (3000, 10)),
        ({"long_edge": "tier", "edges": {"S": 8, "L": 90}}, {"tier": "L"}, (30, 20), (90, 60)),
        ({"size": "size"}, {"size": "1792x1024"}, (0, 0), (1792, 1024)),
        ({"edge_max": 768}, {}, (4001, 3001), (768, 576)),
        ({"edge_max": 768}, {}, (301, 201), (300, 200)),
        ({"width": 64, "height": 48}, {}, (0, 0), (64, 48)),
    ],
)
def test_sizes_of_results(
    result: dict[str, object], fixed: dict[str, object], size: tuple[int, int], wanted: tuple[int, int]
) -> None:
    assert result_size(model(result=result, fixed=fixed), {}, *size) == wanted


def test_masks_are_asked_for_where_a_model_needs_one() -> None:
    filling, plain = model(mask="required"), model()
    assert validate_input(filling, {}, (9, 9), (9, 9)) == []
    assert [p.field for p in validate_input(filling, {}, (9, 9))] == ["mask"]
    assert [p.field for p in validate_input(filling, {}, (9, 9), (8, 9))] == ["mask"]
    assert [p.field for p in validate_input(filling, {}, None)] == ["input", "mask"]
    assert [p.field for p in validate_input(plain, {}, (9, 9), (9, 9))] == ["mask"]
    assert model_terms(filling).takes_mask
    assert validate_input(model(input="optional"), {}, None) == []


def test_a_slug_may_be_one_products_own() -> None:
    own = model(products=["studio"], operation="stylize", fixed={"style": "flat"})
    assert own.offered_to("studio")
    assert not own.offered_to("darkroom")
    assert model().offered_to("darkroom")
    assert model_terms(own).products == ("studio",)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"parameters": {"seed": {"type": "integer", "title": "S", "personal": True}}}, "is personal and no text"),
        ({"parameters": {"p": PROMPT}, "cost": {"base": 1, "per": {"p": {"a": 1}}}}, "prices its personal p"),
        ({"mask": "required", "input": "none"}, "wants a mask of no picture"),
        ({"result": {"size": "size"}}, "has no parameter size"),
        ({"result": {"long_edge": "tier", "edges": {"S": 8}}, "parameters": {"tier": TIER}}, "has no edge for L"),
        ({"result": {"long_edge": "p"}, "parameters": {"p": PROMPT}}, "has no edge for any text"),
    ],
)
def test_contradictions_of_newer_kinds_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(CatalogueInvalid, match=words):
        Catalogue(version="1", models=()).with_models((model(**changes),))

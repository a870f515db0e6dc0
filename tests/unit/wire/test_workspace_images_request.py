"""Document 003, requests as plain functions: what is wrong, what is meant, and that the catalogue has all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schemas.catalogue import parse_catalogue, validate_params
from schemas.wire import workspace_images as wire
from schemas.wire import workspace_images_request as asked

HERE, ELSEWHERE = "0b9f6a52-3f5c-4a63-9d3f-0a4f1f0f3c11", "7d1b1a40-55b7-4b8e-8a3e-63b9f4a3b3aa"
CATALOGUE = parse_catalogue((Path(__file__).parents[3] / "infra" / "catalogue.toml").read_bytes())
PRICES = {  # the document's table
    ("256x256", "standard"): 3,
    ("512x512", "standard"): 5,
    ("1024x1024", "standard"): 10,
    ("1792x1024", "standard"): 15,
    ("1024x1792", "standard"): 15,
    ("1024x1024", "hd"): 20,
    ("1792x1024", "hd"): 30,
    ("1024x1792", "hd"): 30,
}
SIZES = {  # the document's, by model
    "dall-e-3": ["1024x1024", "1792x1024", "1024x1792"],
    "dall-e-2": ["256x256", "512x512", "1024x1024"],
    "imagen-3": ["1024x1024", "1792x1024", "1024x1792"],
}


def wanted(header: str | None = HERE, **body: Any) -> asked.Wanted | asked.Wrong:
    return asked.wanted({"prompt": "a lighthouse", **body}, header)


def right(header: str | None = HERE, **body: Any) -> asked.Wanted:
    found = wanted(header, **body)
    assert isinstance(found, asked.Wanted), found
    return found


def wrong(header: str | None = HERE, **body: Any) -> asked.Wrong:
    found = wanted(header, **body)
    assert isinstance(found, asked.Wrong), found
    return found


def fields(found: asked.Wrong) -> list[str]:
    return [field.field for field in found.fields]


def test_defaults_are_those_of_the_document() -> None:
    made = right()
    assert (made.model, made.provider, made.size) == ("dall-e-3", "openai", "1024x1024")
    assert (made.style, made.quality, made.n, made.workspace) == ("natural", "standard", 1, HERE)


@pytest.mark.parametrize(
    ("given", "model", "provider"),
    [
        ({"model": "dall-e-2"}, "dall-e-2", "openai"),
        ({"model": "imagen-3"}, "imagen-3", "google"),
        ({"provider": "openai"}, "dall-e-3", "openai"),
        ({"provider": "google"}, "imagen-3", "google"),
        ({"model": "imagen-3", "provider": "google"}, "imagen-3", "google"),
    ],
)
def test_model_and_provider_complete_each_other(given: dict[str, str], model: str, provider: str) -> None:
    made = right(**given)
    assert (made.model, made.provider) == (model, provider)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": " \n"}, "prompt"),
        ({"prompt": "a" * 4001}, "prompt"),
        ({"prompt": "a\0b"}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"model": "dall-e-4"}, "model"),
        ({"model": None}, "model"),
        ({"model": ["dall-e-3"]}, "model"),
        ({"provider": "midjourney"}, "provider"),
        ({"provider": ""}, "provider"),
        ({"provider": "google", "model": "dall-e-3"}, "provider"),
        ({"provider": "openai", "model": "imagen-3"}, "provider"),
        ({"size": "640x480"}, "size"),
        ({"size": 1024}, "size"),
        ({"style": "cubist"}, "style"),
        ({"style": {}}, "style"),
        ({"quality": "best"}, "quality"),
        ({"quality": True}, "quality"),
        ({"quality": "hd", "size": "256x256", "model": "dall-e-2"}, "quality"),
        ({"quality": "hd", "size": "512x512", "model": "dall-e-2"}, "quality"),
        ({"n": 0}, "n"),
        ({"n": 11}, "n"),
        ({"n": -1}, "n"),
        ({"n": 1.5}, "n"),
        ({"n": "2"}, "n"),
        ({"n": True}, "n"),
        ({"n": None}, "n"),
        ({"n": 10**400}, "n"),
        ({"workspaceId": 5}, "workspaceId"),
        ({"workspaceId": "here"}, "workspaceId"),
    ],
)
def test_what_is_wrong_is_named(body: dict[str, Any], field: str) -> None:
    found = wrong(**body)
    assert (found.code, fields(found)) == ("VALIDATION_ERROR", [field])
    assert found.message == f"{field}: {found.fields[0].message}"


@pytest.mark.parametrize("prompt", ["a", "a" * 4000, "灯" * 4000, "  a  "])
def test_prompts_of_1_to_4000_characters_pass_as_they_are(prompt: str) -> None:
    assert right(prompt=prompt).prompt == prompt


@pytest.mark.parametrize(("n", "count"), [(1, 1), (10, 10), (2.0, 2)])
def test_1_to_10_images_pass(n: float, count: int) -> None:
    assert right(n=n).n == count


def test_everything_that_is_wrong_is_told_at_once() -> None:
    found = asked.wanted({"n": 0, "size": "1x1", "style": 1, "model": "", "quality": "", "provider": 0}, "nowhere")
    assert isinstance(found, asked.Wrong)
    assert found.code == "VALIDATION_ERROR"
    assert sorted(fields(found)) == ["X-Workspace-Id", "model", "n", "prompt", "provider", "quality", "size", "style"]


@pytest.mark.parametrize("model", SIZES)
@pytest.mark.parametrize("size", asked.SIZES)
def test_a_size_is_possible_where_the_document_says_so(model: str, size: str) -> None:
    if size in SIZES[model]:
        assert right(model=model, size=size).size == size
    else:
        found = wrong(model=model, size=size)
        assert (found.code, fields(found)) == ("INVALID_SIZE", ["size"])
        assert all(possible in found.message for possible in SIZES[model])


@pytest.mark.parametrize(
    ("model", "style", "mapped"),
    [
        *(("dall-e-3", *pair) for pair in (("natural", "natural"), ("vivid", "vivid"))),
        *(("dall-e-3", *pair) for pair in (("artistic", "vivid"), ("photographic", "natural"))),
        *(("dall-e-2", *pair) for pair in (("artistic", "vivid"), ("photographic", "natural"))),
        *(("imagen-3", style, style) for style in asked.STYLES),
    ],
)
def test_a_style_is_mapped_to_the_providers(model: str, style: str, mapped: str) -> None:
    params = right(model=model, style=style).params(3)
    assert (params["style"], params["provider_style"], params["seed"]) == (style, mapped, 3)


@pytest.mark.parametrize("model", SIZES)
@pytest.mark.parametrize("style", asked.STYLES)
@pytest.mark.parametrize(("size", "quality"), PRICES)
def test_the_catalogue_takes_every_request_at_the_documents_price(
    model: str, style: str, size: str, quality: str
) -> None:
    made = wanted(model=model, size=size, quality=quality, style=style)
    if size not in SIZES[model]:
        assert isinstance(made, asked.Wrong)
        return
    assert isinstance(made, asked.Wanted)
    entry = CATALOGUE.entry(made.slug)
    assert entry is not None
    assert entry.products == (wire.SURFACE.product,)
    valid = validate_params(entry, made.params(asked.SEEDS - 1))
    assert not isinstance(valid, list), valid
    assert entry.cost.price(valid.params) == PRICES[size, quality]
    assert valid.texts == {"prompt": "a lighthouse"}


@pytest.mark.parametrize(
    ("header", "body"),
    [(HERE, {}), (None, {"workspaceId": HERE}), (HERE, {"workspaceId": HERE}), ("", {"workspaceId": HERE})],
)
def test_the_workspace_comes_by_header_or_body(header: str | None, body: dict[str, str]) -> None:
    assert right(header, **body).workspace == HERE


def test_a_workspace_is_the_same_in_capitals() -> None:
    assert right(HERE.upper(), workspaceId=HERE).workspace == HERE


@pytest.mark.parametrize(("header", "body"), [(None, {}), ("", {}), (None, {"workspaceId": ""})])
def test_a_missing_workspace_has_a_code_of_its_own(header: str | None, body: dict[str, str]) -> None:
    found = wrong(header, n=0, size="256x256", **body)
    assert found.code == "MISSING_WORKSPACE"
    assert found.message.startswith("Missing workspace")
    assert fields(found) == ["workspaceId", "n", "size"]


def test_two_workspaces_are_both_named() -> None:
    found = wrong(HERE, workspaceId=ELSEWHERE)
    assert (found.code, fields(found)) == ("VALIDATION_ERROR", ["X-Workspace-Id", "workspaceId"])


@pytest.mark.parametrize("text", ["here", HERE[:-1], HERE + "0", f"{{{HERE}}}", HERE.replace("-", "")])
def test_a_workspace_is_a_uuid(text: str) -> None:
    assert fields(wrong(text)) == ["X-Workspace-Id"]
    assert fields(wrong(None, workspaceId=text)) == ["workspaceId"]
    assert fields(wrong(text, workspaceId=text)) == ["X-Workspace-Id", "workspaceId"]

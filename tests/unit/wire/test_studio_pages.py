"""Document 004's pages as plain functions: where the login leads, pages of errors, addresses, and what forms show."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.catalogue import parse_catalogue
from schemas.refusals import QuotaExceeded
from schemas.wire.studio_form import MODELS
from schemas.wire.studio_page_form import Wrong, kind_of, model_form, wrong_of
from schemas.wire.studio_pages import (
    GOOGLE_HEADERS,
    HEADERS,
    LibraryQuery,
    error_page,
    fault,
    library_url,
    login_url,
    safe_next,
)
from schemas.wire.surface import Fault, FieldFault
from tests.pages import Page

CATALOGUE = parse_catalogue((Path(__file__).parents[3] / "infra" / "catalogue.toml").read_bytes())
OWN = [
    "/dashboard",
    "/dashboard?model=flux_pro",
    "/library?type=video&sort=oldest&page=2",
    "/asset/7",
    "/asset/7/delete",
]
ELSEWHERE = [
    "",
    "//evil.example",
    "/\\evil.example",
    "https://evil.example/dashboard",
    "/dashboard//evil.example",
    "/dashboard@evil.example",
    "/auth/logout",
    "/login",
    "/library?next=//evil.example",
    "/library\n",
    "/asset/7#x",
    "/library?" + "a" * 300,
]


def found(status: int, code: str = "x", **more: object) -> Fault:
    return Fault(status=status, code=code, detail="Details.", now_ms=0, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("place", OWN)
def test_the_login_leads_back(place: str) -> None:
    assert safe_next(place) == place
    answer = fault(found(401, "unauthenticated", place=place))
    assert (answer.status, dict(answer.headers)["location"]) == (303, login_url(place))
    assert login_url(place).startswith("/login?next=%2F")


@pytest.mark.parametrize("place", ELSEWHERE)
def test_the_login_leads_nowhere_else(place: str) -> None:
    assert safe_next(place) == "/dashboard"
    assert login_url(place) == "/login"


@pytest.mark.parametrize("status", [400, 403, 404, 405, 408, 409, 410, 413, 415, 416, 422, 429, 500, 502, 503, 504])
def test_every_fault_is_a_page(status: int) -> None:
    answer = fault(found(status))
    assert answer.document is None
    assert answer.media == "text/html"
    assert dict(answer.headers)["content-security-policy"] == HEADERS["content-security-policy"]
    page = Page(answer.text)
    assert page.problems == []
    assert {"/dashboard", "/library"} <= set(page.links())
    assert "Details." not in answer.text, "the core's words are not this document's"


def test_refusals_and_fields_are_told_in_the_documents_words() -> None:
    refused = fault(found(429, refusal=QuotaExceeded("day", 50, 50, 0)))
    assert "Maximum 50 generations per day reached; try again later." in refused.text
    named = fault(found(400, fields=(FieldFault("<b>", "This must be <i>."),)))
    assert "&lt;b&gt;: This must be &lt;i&gt;." in named.text


def test_only_a_page_that_can_be_asked_for_again_loads_again() -> None:
    assert 'http-equiv="refresh" content="7"' in fault(found(503, retry_after_s=7, place="/library")).text
    assert "refresh" not in fault(found(503, retry_after_s=7)).text
    assert "refresh" not in fault(found(429, retry_after_s=7, place="/library")).text
    assert "refresh" not in error_page(404, "Asset not found").text


def test_addresses_of_the_library_are_short() -> None:
    query = LibraryQuery(type="video", sort="oldest", page=3, deleted=5)
    assert library_url(LibraryQuery()) == "/library"
    assert library_url(query) == "/library?type=video&sort=oldest&page=3"
    assert library_url(query, type="all", page=1) == "/library?sort=oldest"


def test_no_policy_lets_anything_run_inline_or_be_framed() -> None:
    for headers in (HEADERS, {**HEADERS, **GOOGLE_HEADERS}):
        policy = headers["content-security-policy"]
        assert "unsafe" not in policy
        for part in ("default-src 'none'", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'"):
            assert part in policy
    assert "http" not in HEADERS["content-security-policy"]


def test_every_model_has_a_form_that_says_what_becomes_what() -> None:
    kinds = []
    for slug in MODELS:
        form, entry = model_form(CATALOGUE, slug, "k"), CATALOGUE.entry(slug)
        assert form is not None
        assert entry is not None
        assert form.fields[0].name == "prompt"
        assert not form.is_open
        kinds.append(kind_of(CATALOGUE, entry))
    assert kinds == [
        "Words to picture",
        "Words to picture",
        "Words or picture to picture",
        "Picture to video",
        "Fill in a picture",
    ]
    first = model_form(CATALOGUE, "", "k")
    assert first is not None
    assert first.model == MODELS[0]
    for slug in ("dall-e-3", "stable_diffusion-img2img", "x"):
        assert model_form(CATALOGUE, slug, "k") is None


def test_an_error_in_a_hidden_setting_shows_it_and_one_of_no_field_stands_above() -> None:
    form = model_form(CATALOGUE, "flux", "k", {"prompt": "a sea"}, Wrong("This must be an integer.", "seed"))
    assert form is not None
    assert (form.is_open, form.error) == (True, "")
    assert [(field.name, field.error) for field in form.wrong] == [("seed", "This must be an integer.")]
    assert form.fields[0].value == "a sea"
    form = model_form(CATALOGUE, "flux", "k", {}, Wrong("The service is busy", "mask"))
    assert form is not None
    assert (form.error, form.wrong) == ("The service is busy", ())


@pytest.mark.parametrize(
    ("fault_", "sentence", "wrong"),
    [
        (None, "Mask is required for this model", Wrong("Mask is required for this model", "mask")),
        (None, "steps: This must be at least 10.", Wrong("This must be at least 10.", "steps")),
        (None, "Invalid model selected", Wrong("Invalid model selected")),
        (None, "Maximum 50: try later", Wrong("Maximum 50: try later")),
        (
            found(400, fields=(FieldFault("input.mask", "Make them equal."),)),
            "mask: Make them equal.",
            Wrong("Make them equal.", "mask"),
        ),
        (
            found(400, fields=(FieldFault("image", "Too large."),)),
            "Image is too large: images are limited to 10MB",
            Wrong("Image is too large: images are limited to 10MB", "image"),
        ),
    ],
)
def test_sentences_find_their_field(fault_: Fault | None, sentence: str, wrong: Wrong) -> None:
    assert wrong_of(fault_, sentence) == wrong

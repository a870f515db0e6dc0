"""Document 004 as plain functions: integers, keys and paths, the form against the catalogue, and what goes wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from infra.cli.gateway import operations_of
from infra.http.openapi import openapi_document
from schemas import refusals as no
from schemas.catalogue import parse_catalogue
from schemas.documents import KINDS, example
from schemas.refusals import AnyRefusal
from schemas.wire import studio as wire
from schemas.wire import studio_errors as errors
from schemas.wire import studio_form as form
from schemas.wire import studio_paths as paths
from schemas.wire.surface import Fault, FieldFault, WireAnswer

CATALOGUE = parse_catalogue((Path(__file__).parents[3] / "infra" / "catalogue.toml").read_bytes())
SHAPES: dict[str, type[BaseModel]] = {
    wire.STUDIO.title: errors.ErrorAnswer,
    wire.CHANGES.title: errors.ChangeErrorAnswer,
    wire.LOGIN.title: errors.LoginErrorAnswer,
}
SURFACES = {surface.title: surface for surface in (wire.STUDIO, wire.CHANGES, wire.LOGIN)}
numbers = st.integers(1, paths.NUMBER_MAX)


@given(numbers)
def test_a_short_key_is_its_number_and_back(number: int) -> None:
    key = paths.short_key(number)
    assert len(key) == 8
    assert paths.number_of_key(key) == number
    assert paths.media_at(f"/video/{key}") == paths.Media("video", number)


def test_short_keys_differ_and_do_not_show_the_number() -> None:
    keys = [paths.short_key(number) for number in range(1, 5001)]
    assert len({*keys}) == 5000
    assert len({key[:4] for key in keys}) > 4900, "neighbours begin in the same way"
    assert [key for number, key in enumerate(keys, 1) if number > 99 and str(number) in key] == []


@pytest.mark.parametrize("number", [0, -1, paths.NUMBER_MAX + 1])
def test_there_is_no_key_of_what_is_no_number(number: int) -> None:
    with pytest.raises(ValueError, match="no key"):
        paths.short_key(number)


@pytest.mark.parametrize(
    "key", ["", "k34qj4f", "k34qj4fia", "K34QJ4FI", "k34qj4f1", "k34qj4f/", "aaaaaaaa", "ｋ34qj4fi"]
)
def test_no_other_text_is_a_key(key: str) -> None:
    assert paths.number_of_key(key) is None


@given(numbers, st.sampled_from(["jpeg", "png", "webp", "mp4", "webm"]))
def test_the_url_of_a_result_names_it_again(number: int, kind: str) -> None:
    media = paths.media_at(paths.media_url(number, kind))
    assert media is not None
    assert (media.kind, media.number) == (paths.media_kind(kind), number)
    assert media.extension == (None if kind in ("mp4", "webm") else paths.EXTENSIONS[kind])
    still = paths.thumbnail_url(number)
    assert paths.video_of_thumbnail(still.rpartition("/")[2]) == paths.Media("video", number)
    assert paths.media_at(still) is None


@pytest.mark.parametrize(
    "path",
    [
        "",
        "img_1.png",
        "static/generated/img_1.png",
        "/static/generated/img_1",
        "/static/generated/img_01.png",
        "/static/generated/img_0.png",
        "/static/generated/img_1.png?x=1",
        "/static/generated/img_1.png#x",
        "/static/generated/img_1.PNG",
        "/static/generated/img_1.png\n",
        "/static/generated/img_١.png",
        "/static/generated//img_1.png",
        "/static/generated/../generated/img_1.png",
        "/static/generated/thumbnails/img_1.png",
        "/static/generated/thumbnails/video_1_thumb.jpg",
        "/static/generated/video_1_thumb.jpg",
        "/static/generated/img_99999999999999.png",
        "http://localhost:8080/static/generated/img_1.png",
        "//localhost/static/generated/img_1.png",
        "/video/",
        "/video/1",
        "/v1/media/asset_x",
        "/etc/passwd",
    ],
)
def test_every_other_text_is_the_path_of_nothing(path: str) -> None:
    assert paths.media_at(path) is None


@pytest.mark.parametrize(
    "text", ["", "0", "01", "+1", "-1", "1.0", "1e3", " 1", "1 ", "١", "9" * 13, "9" * 400, "img_1"]
)
def test_every_other_text_is_no_number(text: str) -> None:
    assert paths.number_of(text) is None
    assert paths.number_of("123") == 123


def test_a_request_id_is_a_jobs_and_back() -> None:
    job = "job_" + "a2" * 13
    assert paths.job_of_request(paths.request_id(job)) == job
    assert paths.request_id(job) == "req_" + "a2" * 13
    for text in (job, "req_", "req_" + "a" * 25, "req_" + "A" * 26, "req_" + "a" * 26 + "\n", "x" * 5000):
        assert paths.job_of_request(text) is None


def test_results_have_the_members_of_the_document() -> None:
    from schemas.wire.studio_documents import Result

    image = wire.result_document(123, "png", has_thumbnail=False)
    assert image == {"url": "/static/generated/img_123.png", "id": 123, "type": "image", "thumbnail_url": None}
    video = wire.result_document(124, "mp4", has_thumbnail=True)
    assert video["thumbnail_url"] == "/static/generated/thumbnails/video_124_thumb.jpg"
    assert (video["url"], video["type"]) == (f"/video/{paths.short_key(124)}", "video")
    for document in (image, video):
        assert list(document) == list(Result.model_fields)
        Result.model_validate(document)
    assert (paths.file_name(7, "jpeg"), paths.file_name(8, "webm")) == ("img_7.jpg", "video_8.webm")


def wanted(texts: dict[str, str], *, image: bool = False, mask: bool = False) -> Any:
    return form.wanted(CATALOGUE, texts, has_image=image, has_mask=mask, seed=77)


def test_the_documents_five_models_are_what_the_catalogue_shows() -> None:
    assert tuple(form.shown_models(CATALOGUE)) == form.MODELS


@pytest.mark.parametrize(
    "model", [None, "", "dall-e-3", "FLUX", "flux ", "stable_diffusion-img2img", "procedural/image"]
)
def test_no_other_model_is_selected(model: str | None) -> None:
    texts = {"prompt": "a sunset"} if model is None else {"prompt": "a sunset", "model": model}
    assert wanted(texts, image=True, mask=True) == "Invalid model selected"


@pytest.mark.parametrize(
    ("model", "given", "slug"),
    [
        ("flux", "p", "flux"),
        ("flux", "pim", "flux"),
        ("flux", "im", errors.PROMPT_REQUIRED),
        ("recraft", "p", "recraft"),
        ("recraft", "", errors.PROMPT_REQUIRED),
        ("stable_diffusion", "p", "stable_diffusion"),
        ("stable_diffusion", "pi", "stable_diffusion-img2img"),
        ("stable_diffusion", "i", errors.PROMPT_REQUIRED),
        ("stable_video", "i", "stable_video"),
        ("stable_video", "pi", "stable_video"),
        ("stable_video", "pm", errors.IMAGE_REQUIRED),
        ("flux_pro", "pim", "flux_pro"),
        ("flux_pro", "im", errors.PROMPT_REQUIRED),
        ("flux_pro", "pm", errors.IMAGE_REQUIRED),
        ("flux_pro", "pi", errors.MASK_REQUIRED),
    ],
)
def test_each_model_wants_what_the_document_says(model: str, given: str, slug: str) -> None:
    texts = {"model": model, **({"prompt": "a sunset"} if "p" in given else {"prompt": "  "})}
    asked = wanted(texts, image="i" in given, mask="m" in given)
    if isinstance(asked, str):
        assert asked == slug
        return
    assert asked.entry.slug == slug
    assert asked.takes_image == (slug not in ("flux", "recraft", "stable_diffusion"))
    assert asked.takes_mask == (slug == "flux_pro")
    assert asked.params.get("prompt") == ("a sunset" if "p" in given else None)


def test_parameters_of_the_catalogue_may_be_sent_too() -> None:
    asked = wanted({"model": "flux", "prompt": "x", "size": "512x512", "seed": "5", "strength": "nonsense"})
    assert asked.params == {"prompt": "x", "size": "512x512", "seed": 5}
    assert wanted({"model": "flux", "prompt": "x", "seed": "", "size": " "}).params == {"prompt": "x", "seed": 77}
    assert wanted({"model": "stable_video", "seconds": "2"}, image=True).params == {"seconds": 2, "seed": 77}


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        ({"seed": "-1"}, "seed: This must be from 0 to 2147483647."),
        ({"seed": "1.5"}, "seed: This must be an integer."),
        ({"seed": "9" * 99}, "seed: This must be an integer."),
        ({"size": "1x1"}, "size: This must be one of 512x512, 1024x1024, 1792x1024, 1024x1792."),
        ({"prompt": "a\0b"}, "The request must not hold the character U+0000"),
    ],
)
def test_values_that_are_wrong_are_named(texts: dict[str, str], told: str) -> None:
    assert wanted({"model": "flux", "prompt": "x", **texts}) == told


def test_the_form_reads_every_parameter_of_the_products_models() -> None:
    texts = form.form_texts(CATALOGUE)
    assert texts["prompt"] == texts["negative_prompt"] == 4000
    assert {"model", "seed", "size", "seconds", "strength", "guidance", "steps"} <= texts.keys()
    assert "scale" not in texts


def held(title: str, answer: WireAnswer) -> dict[str, Any]:
    """The document, once it has been held against the surface's model."""
    assert answer.document is not None
    SHAPES[title].model_validate(answer.document)
    return dict(answer.document)


def test_every_refusal_has_its_words() -> None:
    assert set(errors.REFUSALS) == set(get_args(AnyRefusal))


def _refusals() -> list[Any]:
    kind = next(kind for kind in KINDS if kind.name == "refusals")
    events: list[Any] = [example(kind, message) for message in kind.types]
    return [event.data.refusal for event in events]


@pytest.mark.parametrize("title", SURFACES)
@pytest.mark.parametrize("refusal", _refusals(), ids=lambda refusal: type(refusal).__name__)
def test_every_refusal_is_told_in_each_shape(title: str, refusal: Any) -> None:
    answer = SURFACES[title].fault(Fault(status=400, code="x", detail="y", now_ms=0, refusal=refusal))
    text = held(title, answer)["message" if title == wire.LOGIN.title else "error"]
    assert "{" not in text
    assert answer.status == errors.REFUSALS[type(refusal)][0]


def test_the_documents_texts_are_exact() -> None:
    quota = Fault(status=429, code="x", detail="", now_ms=0, refusal=no.QuotaExceeded("day", 50, 50, 1))
    assert wire.STUDIO.fault(quota).document == {"error": "Maximum 50 generations per day reached; try again later"}
    unknown = Fault(status=400, code="x", detail="", now_ms=0, refusal=no.ModelUnknown("y"))
    assert wire.STUDIO.fault(unknown).document == {"error": "Invalid model selected"}
    gone = Fault(status=404, code="x", detail="", now_ms=0, refusal=no.AssetUnknown("y"))
    assert wire.CHANGES.fault(gone).document == {"success": False, "error": "Asset not found"}
    for reason in (None, "model-failed", "engine-unavailable", "run-deadline"):
        answer = errors.failure("req_x", reason)
        assert answer.status == 502
        assert answer.document == {"error": "Generation likely failed or timed out", "request_id": "req_x"}
    assert errors.failure("req_x", "input-undecodable").status == 400


@pytest.mark.parametrize(
    ("status", "code", "field", "expected", "text"),
    [
        (401, "unauthenticated", "", 401, "Not logged in"),
        (401, "token-invalid", "", 401, "The core's own."),
        (403, "foreign-origin", "", 403, "The request comes from a page of another site"),
        (404, "not-found", "", 404, "Not found"),
        (410, "gone", "", 404, "Not found"),
        (413, "content-too-large", "", 400, "The request is too large: images are limited to 10MB, videos to 50MB"),
        (400, "content-too-large", "mask", 400, "Mask is too large: images are limited to 10MB"),
        (400, "unsupported-picture", "image", 400, "Image must be a JPEG, PNG, WebP or HEIC image"),
        (400, "picture-too-large", "input", 400, "Image has too many pixels: at most 64 megapixels"),
        (400, "invalid-field", "input.mask", 400, "mask: Wrong."),
        (422, "idempotency-mismatch", "", 400, "The request is not valid"),
        (429, "rate-limited", "", 429, "Too many requests; try again in 9 seconds"),
        (500, "internal-error", "", 500, "Internal server error"),
        (503, "overloaded", "", 503, "The service is busy; try again"),
    ],
)
def test_faults_of_the_core_have_the_documents_codes(
    status: int, code: str, field: str, expected: int, text: str
) -> None:
    fields = (FieldFault(field, "Wrong."),) if field else ()
    found = Fault(status=status, code=code, detail="The core's own.", now_ms=0, fields=fields, retry_after_s=9)
    for title, surface in SURFACES.items():
        answer = surface.fault(found)
        assert answer.status == expected
        assert text in held(title, answer).values()


def test_the_surfaces_let_in_by_session_or_bearer_and_count_a_hundred_an_hour() -> None:
    rows = {row.name: row for row in operations_of("all") if row.surface in SURFACES.values()}
    assert all(row.surface is not None and row.surface.cookie == "session" for row in rows.values())
    assert all(row.surface is not None and row.surface.csrf == "same-origin" for row in rows.values())
    counted = {name for name, row in rows.items() for limit in row.limits if limit.name == "studio-requests"}
    media = {"studio-image", "studio-video", "studio-thumbnail", "studio-download"}
    assert counted == rows.keys() - media - {"studio-login", "studio-logout"}
    assert {(limit.amount, limit.window_s, limit.per) for name in counted for limit in rows[name].limits} == {
        (100, 3600, "account")
    }
    assert [(one.amount, one.window_s, one.per) for one in rows["studio-login"].limits] == [(10, 60, "address")]
    assert {name for name, row in rows.items() if row.access != "bearer"} == {"studio-login", "studio-logout"}
    document = openapi_document(list(rows.values()), version="t", server_url="http://localhost")
    assert {"200", "202", "400", "401", "429", "502"} <= set(document["paths"]["/api/generate"]["post"]["responses"])

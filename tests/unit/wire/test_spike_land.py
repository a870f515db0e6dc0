"""Document 002 as plain functions: what each fault is called, in the document's words and codes."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from infra.http.problems import _CODES
from schemas import refusals as no
from schemas.documents import KINDS, example
from schemas.refusals import AnyRefusal
from schemas.wire import spike_land as wire
from schemas.wire import spike_land_errors as errors
from schemas.wire import spike_land_requests as asked
from schemas.wire.surface import Fault, FieldFault

STATUSES = {
    "UNAUTHORIZED": 401,
    "FORBIDDEN": 403,
    "NOT_FOUND": 404,
    "INVALID_INPUT": 400,
    "FILE_TOO_LARGE": 400,
    "RATE_LIMIT": 429,
    "INSUFFICIENT_TOKENS": 402,
    "INTERNAL_ERROR": 500,
}
BESIDE_THE_TABLE = {405, 408, 409, 503}


def told(status: int, code: str, *fields: FieldFault, operation: str = "", **more: Any) -> dict[str, Any]:
    """The error's body with its status, once it has been held against its model."""
    fault = Fault(status=status, code=code, detail="x", now_ms=0, operation=operation, fields=fields, **more)
    answer = errors.fault(fault)
    assert answer.document is not None
    errors.ErrorAnswer.model_validate(answer.document)
    assert answer.status in BESIDE_THE_TABLE or answer.status == STATUSES[answer.document["code"]]
    return {"status": answer.status, **answer.document}


def body(error: str, title: str, suggestion: str, code: str, **more: int) -> dict[str, Any]:
    return {"error": error, "title": title, "suggestion": suggestion, "code": code, **more}


def refusals() -> list[Any]:
    kind = next(kind for kind in KINDS if kind.name == "refusals")
    events: list[Any] = [example(kind, message) for message in kind.types]
    return [event.data.refusal for event in events]


def test_every_refusal_has_its_words() -> None:
    assert set(errors.REFUSALS) == set(get_args(AnyRefusal))


@pytest.mark.parametrize("refusal", refusals(), ids=lambda refusal: type(refusal).__name__)
def test_each_refusal_has_a_code_of_the_table_with_its_status(refusal: Any) -> None:
    answer = told(409, "x", refusal=refusal)
    assert answer["status"] == errors.REFUSALS[type(refusal)].status
    assert ("required" in answer) == isinstance(refusal, no.InsufficientCredits)
    assert ("retryAfter" in answer) == (answer["status"] == 429)


@pytest.mark.parametrize(("status", "code"), sorted(_CODES.items()))
@pytest.mark.parametrize("operation", ["", errors.UPLOAD, errors.ENHANCE, errors.GET_IMAGE])
def test_every_fault_of_the_core_has_a_code_of_the_table(status: int, code: str, operation: str) -> None:
    answer = told(status, code, operation=operation)
    assert (answer["status"] >= 500) == (status >= 500)


def test_the_documented_errors_word_for_word() -> None:
    login = ("You must be logged in to access this resource", "Authentication Required", "Please log in and try again")
    assert told(401, "unauthenticated") == {"status": 401, **body(*login, "UNAUTHORIZED")}
    assert told(401, "token-invalid") == {"status": 401, **body(*login, "UNAUTHORIZED")}
    limited = ("You've exceeded the rate limit", "Rate Limited", "Please wait before making more requests")
    assert told(429, "rate-limited", retry_after_s=60) == {"status": 429, **body(*limited, "RATE_LIMIT", retryAfter=60)}
    missing = FieldFault("tier", "This field is required.")
    invalid = ("Invalid input", "Bad Request", "Please provide both imageId and tier")
    wrong = told(400, "invalid-field", missing, operation=errors.ENHANCE)
    assert wrong == {"status": 400, **body(*invalid, "INVALID_INPUT")}
    failed = ("Upload processing failed", "Server Error", "Please try again later")
    assert told(500, "internal-error", operation=errors.UPLOAD) == {"status": 500, **body(*failed, "INTERNAL_ERROR")}
    large = ("File exceeds maximum size of 10MB", "Invalid File", "Please upload a file smaller than 10MB")
    too_large = told(413, "content-too-large", FieldFault("file", "x"), operation=errors.UPLOAD)
    assert too_large == {"status": 400, **body(*large, "FILE_TOO_LARGE")}
    low = ("Insufficient tokens for this operation", "Low Balance", "Purchase more tokens to continue")
    short = told(402, "insufficient-credits", refusal=no.InsufficientCredits(10, 3))
    assert short == {"status": 402, **body(*low, "INSUFFICIENT_TOKENS", required=10)}


@pytest.mark.parametrize(
    ("field", "shown"),
    [("params.tier", "tier"), ("input", "imageId"), ("jobs[1].params.tier", "tier"), ("imageIds[3]", "imageIds[3]")],
)
def test_a_bad_field_is_named_as_the_client_knows_it(field: str, shown: str) -> None:
    answer = told(400, "invalid-field", FieldFault(field, "This must be one of a, b."), operation=errors.ENHANCE)
    assert answer["suggestion"] == f"Please correct {shown}: This must be one of a, b"


@pytest.mark.parametrize(
    "code", ["content-too-large", "unsupported-picture", "unreadable-picture", "picture-too-large"]
)
def test_what_is_wrong_with_a_file_is_told_alike_alone_and_in_a_batch(code: str) -> None:
    alone = told(415, code, FieldFault("file", "x"), operation=errors.UPLOAD)
    assert alone["error"] == errors.file_told(code, "x").error
    assert alone["title"] == "Invalid File"
    assert alone["status"] == 400


def test_a_batch_that_is_too_large_is_no_files_fault() -> None:
    answer = told(413, "content-too-large", operation=errors.BATCH_UPLOAD)
    assert (answer["status"], answer["code"]) == (400, "FILE_TOO_LARGE")
    assert answer["error"] == "Batch exceeds maximum size of 50MB"


def test_what_is_gone_or_has_no_path_is_not_found() -> None:
    assert told(410, "gone", operation=errors.DELETE_IMAGE)["error"] == "Image not found"
    assert told(404, "album-unknown", operation=errors.MOVE)["error"] == "Album not found"
    assert told(404, "not-found")["error"] == "Resource not found"


def test_ids_are_a_bijection_with_those_of_the_core() -> None:
    image = "img_" + "a2" * 13
    assert asked.asset_of_image(image) == "asset_" + "a2" * 13
    assert asked.image_of_asset("asset_" + "a2" * 13) == image
    for text in ("", "img_", "img_123abc", "asset_" + "a2" * 13, image.upper(), image + "a", image + "\n"):
        assert asked.asset_of_image(text) is None
    assert asked.is_album_id("album_" + "b" * 26)
    assert not asked.is_album_id("album_123abc")


@pytest.mark.parametrize(
    ("core", "refunded", "word"),
    [
        ("accepted", 0, "PENDING"),
        ("queued", 0, "PENDING"),
        ("running", 0, "PROCESSING"),
        ("succeeded", 0, "COMPLETED"),
        ("succeeded", 5, "REFUNDED"),
        ("failed", 0, "FAILED"),
        ("expired", 0, "FAILED"),
        ("canceled", 0, "CANCELLED"),
    ],
)
def test_each_status_of_the_core_has_its_word(core: str, refunded: int, word: str) -> None:
    assert wire.status_of(core, refunded) == word
    message = wire.error_message(core, "It broke." if core == "failed" else None)
    assert (message is not None) == (word == "FAILED")


@pytest.mark.parametrize(
    ("tiers", "is_right"),
    [([], False), (["a"], True), (["a", "b", "c"], True), (["a", "b", "c", "d"], False), (["a", "a"], False)],
)
def test_one_to_three_tiers_each_once(tiers: list[str], is_right: bool) -> None:
    assert (asked.tiers_problem(tiers) is None) == is_right


def test_times_are_told_to_the_second() -> None:
    assert wire.moment(1_765_535_400_999) == "2025-12-12T10:30:00Z"
    assert wire.moment_or_none(None) is None

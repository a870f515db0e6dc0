"""Document 000, its words: the form of a job, usage, and everything that can go wrong."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from api.shapes import Status as CoreStatus
from infra.plans import load_plan
from infra.settings import Settings
from processors.dispatch.engines import CrashedAlone
from processors.dispatch.workflow import classify
from schemas import refusals as no
from schemas.amounts import DAY_MS
from schemas.plans import AccountTerms, WindowTerms
from schemas.wire import ai_image as wire
from schemas.wire import ai_image_errors as errors
from schemas.wire.ai_image_request import FORM_TEXTS, Asked, asked
from schemas.wire.surface import Fault, FieldFault

NOW_MS = 1_736_935_800_000  # 2025-01-15T10:10:00Z
PLAN = load_plan(Settings())
JOB = "job_" + "a" * 26


def wanted(**texts: str) -> Asked:
    found = asked(texts)
    assert isinstance(found, Asked), found
    return found


@pytest.mark.parametrize(
    ("texts", "params"),
    [
        ({"model": "real-esrgan"}, {}),
        ({"model": "real-esrgan", "scale": "2"}, {"scale": 2}),
        ({"model": "real-esrgan", "scale": "4"}, {"scale": 4}),
        ({"model": "gfpgan", "face_enhance": "true"}, {"face_enhance": True}),
        ({"model": "codeformer", "face_enhance": "false"}, {"face_enhance": False}),
        ({"model": "sd15-img2img"}, {}),
        (
            {"model": "sdxl-img2img", "prompt": "öl", "negative_prompt": "", "strength": "0.8", "guidance": "7.5"},
            {"prompt": "öl", "negative_prompt": "", "strength": 80, "guidance": 75},
        ),
    ],
)
def test_a_form_becomes_parameters_of_the_catalogue(texts: dict[str, str], params: dict[str, Any]) -> None:
    assert wanted(**texts) == Asked(texts["model"], params)


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("strength", "0.0", 0),
        ("strength", "1.0", 100),
        ("strength", "1", 100),
        ("strength", ".5", 50),
        ("strength", "5e-1", 50),
        ("strength", "0.333", 33),
        ("guidance", "1.0", 10),
        ("guidance", "20.0", 200),
        ("guidance", "7.26", 73),
        ("steps", "10", 10),
        ("steps", "50", 50),
    ],
)
def test_numbers_at_and_within_their_bounds(field: str, text: str, value: int) -> None:
    assert wanted(model="sdxl-img2img", **{field: text}).params == {field: value}


OUTSIDE = [
    *(("strength", text) for text in ("-0.01", "1.01", "", "nan", "inf", "0,5", "halb", " 0.5", "٠.٥", "1e999", "0x1")),
    *(("guidance", text) for text in ("0.99", "20.01", "-1", "1_0")),
    *(("steps", text) for text in ("9", "51", "10.0", "-10", "٢٠", "")),
    *(("scale", text) for text in ("1", "3", "8", "4.0", "", "zwei")),
    *(("face_enhance", text) for text in ("yes", "1", "True", "")),
    *((field, "a\0b") for field in ("prompt", "negative_prompt")),
]


@pytest.mark.parametrize(("field", "text"), OUTSIDE)
@pytest.mark.parametrize("model", errors.SLUGS)
def test_ranges_are_checked_whatever_the_model(model: str, field: str, text: str) -> None:
    found = asked({"model": model, field: text})
    assert found == errors.FIELDS[field]
    assert f"field '{field}'" in str(found)


@pytest.mark.parametrize("model", ["real-esrgan", "gfpgan", "codeformer"])
def test_fields_of_image_to_image_are_ignored_on_other_models(model: str) -> None:
    texts = {"prompt": "x", "negative_prompt": "y", "strength": "0.8", "guidance": "7", "steps": "20"}
    assert wanted(model=model, **texts).params == {}


@pytest.mark.parametrize(
    ("model", "field", "text"),
    [
        *((model, "scale", "2") for model in errors.SLUGS if model != "real-esrgan"),
        *((model, "face_enhance", "true") for model in ("real-esrgan", "sd15-img2img", "sdxl-img2img")),
        *((model, "face_enhance", "false") for model in ("real-esrgan", "sd15-img2img", "sdxl-img2img")),
    ],
)
def test_scale_and_face_enhance_belong_to_their_models(model: str, field: str, text: str) -> None:
    found = asked({"model": model, field: text})
    assert isinstance(found, str)
    assert model in found
    assert f"'{field}'" in found


@pytest.mark.parametrize("texts", [{}, {"model": ""}])
def test_a_model_is_required(texts: dict[str, str]) -> None:
    assert asked(texts) == "Modell (field 'model') ist erforderlich"


@pytest.mark.parametrize("model", ["dall-e-3", "classical/upscale", "REAL-ESRGAN", "sandbox/echo"])
def test_the_models_are_the_documents_own(model: str) -> None:
    found = asked({"model": model})
    assert found == errors.MODEL_UNKNOWN
    assert all(slug in errors.MODEL_UNKNOWN for slug in errors.SLUGS)


def test_every_field_of_the_form_has_its_words() -> None:
    assert FORM_TEXTS.keys() <= errors.FIELDS.keys()


def test_every_status_of_the_core_has_one_word_of_the_document() -> None:
    told = [core for cores in wire.STATUSES.values() for core in cores]
    assert sorted(told) == sorted(get_args(CoreStatus))
    assert all(core in wire.STATUSES[wire.status_word(core)] for core in told)
    assert wire.status_word("pending") == "queued"


@pytest.mark.parametrize(
    "text", ["job_", "abc", JOB + "a", JOB.upper(), "job_" + "1" * 26, JOB + "\n", "asset_" + "a" * 26]
)
def test_what_is_no_id_of_a_job(text: str) -> None:
    assert wire.is_job_id(JOB)
    assert not wire.is_job_id(text)


def windows(day: int, month: int) -> list[tuple[str, int, int]]:
    today_ms = NOW_MS - NOW_MS % DAY_MS
    return [("day", today_ms - DAY_MS, 17), ("day", today_ms, day), ("month", today_ms - 14 * DAY_MS, month)]


TERMS = AccountTerms(windows=(WindowTerms("day", 20), WindowTerms("month", 100)))
MONTHLY = AccountTerms(windows=(WindowTerms("month", 1000),))


@pytest.mark.parametrize(
    ("terms", "day", "month", "usage"),
    [
        (TERMS, 0, 0, (0, 20, None)),
        (TERMS, 19, 99, (19, 20, None)),
        (TERMS, 20, 60, (20, 20, "2025-01-16T00:00:00.000Z")),
        (TERMS, 4, 100, (100, 100, "2025-02-01T00:00:00.000Z")),
        (TERMS, 20, 100, (20, 20, "2025-01-16T00:00:00.000Z")),
        (MONTHLY, 3, 999, (999, 1000, None)),
        (MONTHLY, 3, 1000, (1000, 1000, "2025-02-01T00:00:00.000Z")),
    ],
)
def test_usage_is_that_of_the_day_unless_another_window_is_used_up(
    terms: AccountTerms, day: int, month: int, usage: tuple[int, int, str | None]
) -> None:
    shown = wire.usage_document(terms, windows(day, month), NOW_MS)
    assert tuple(shown.values()) == usage
    wire.Usage.model_validate(shown)


def test_a_plan_without_windows_has_no_usage_to_show() -> None:
    assert wire.usage_document(AccountTerms(), [], NOW_MS) == {"used": None, "limit": None, "resetAt": None}


@pytest.mark.parametrize(
    ("name", "entitlements"),
    [("default", (20, 100, 4, True)), ("free", (20, 100, 4, True)), ("guest", (3, None, 4, False))],
)
def test_what_the_local_plan_includes(name: str, entitlements: tuple[Any, ...]) -> None:
    terms = PLAN.terms(wire.PRODUCT, name)
    assert terms is not None
    assert tuple(wire.entitlements_document(terms).values()) == entitlements
    assert wire.limits_document(PLAN) == {"user": 20, "guest": 3}


def test_premium_has_a_thousand_a_month_and_no_limit_a_day() -> None:
    terms = PLAN.terms(wire.PRODUCT, "premium")
    assert terms is not None
    assert tuple(wire.entitlements_document(terms).values()) == (None, 1000, 4, True)
    assert wire.usage_document(terms, [], NOW_MS) == {"used": 0, "limit": 1000, "resetAt": None}
    assert terms.lane == "priority"


def told(status: int, code: str, **more: Any) -> tuple[int, dict[str, Any]]:
    answer = wire.SURFACE.fault(Fault(status=status, code=code, detail="In English.", now_ms=NOW_MS, **more))
    assert answer.document is not None
    errors.ErrorAnswer.model_validate(answer.document)
    return answer.status, answer.document["error"]


def test_every_refusal_has_a_row() -> None:
    assert set(errors.REFUSALS) == set(get_args(no.AnyRefusal))


def test_the_quota_is_told_as_the_document_shows_it() -> None:
    refusal = no.QuotaExceeded("day", 3, 3, 1_736_985_600_000)
    assert told(429, "quota-exceeded", refusal=refusal) == (
        403,
        {
            "type": "forbidden",
            "message": "Kostenloses Nutzungslimit erreicht",
            "details": {"used": 3, "limit": 3, "resetAt": "2025-01-16T00:00:00.000Z"},
        },
    )


@pytest.mark.parametrize(
    ("status", "code", "more", "expected"),
    [
        (404, "not-found", {}, (404, "not_found", "Diesen Endpunkt gibt es nicht")),
        (404, "not-found", {"operation": "ai-image-job"}, (404, "not_found", "Job nicht gefunden")),
        (405, "method-not-allowed", {}, (405, "method_not_allowed", "Diese HTTP-Methode ist hier nicht möglich")),
        (429, "rate-limited", {"retry_after_s": 7}, (429, "rate_limited", "Zu viele Anfragen: bitte in 7 Sekunden")),
        (413, "content-too-large", {}, (400, "validation_error", "Bilddatei (field 'image') ist zu groß")),
        (415, "unsupported-media-type", {}, (400, "validation_error", "Content-Type muss multipart/form-data")),
        (401, "token-invalid", {}, (401, "unauthorized", "Das Token ist ungültig")),
        (403, "csrf", {}, (403, "forbidden", "CSRF-Prüfung fehlgeschlagen")),
        (503, "behind", {}, (503, "service_unavailable", "Der Dienst ist vorübergehend nicht verfügbar")),
        (500, "internal-error", {}, (500, "internal_error", "Interner Fehler")),
        (418, "new", {}, (400, "validation_error", "Die Anfrage ist ungültig")),
        (599, "new", {}, (500, "internal_error", "Interner Fehler")),
    ],
)
def test_faults_of_the_core_in_the_documents_words(
    status: int, code: str, more: dict[str, Any], expected: tuple[int, str, str]
) -> None:
    found, error = told(status, code, **more)
    assert (found, error["type"]) == expected[:2]
    assert error["message"].startswith(expected[2])


@pytest.mark.parametrize("field", ["limit", "offset", "status", "prompt", "Idempotency-Key", "Prefer", "surprise"])
def test_a_bad_field_is_named(field: str) -> None:
    status, error = told(400, "invalid-field", fields=(FieldFault(field, "Wrong."), FieldFault("other", "Wrong too.")))
    assert (status, error["type"]) == (400, "validation_error")
    assert f"'{field}'" in error["message"]


def test_an_unknown_outcome_names_the_key_to_repeat_with() -> None:
    status, error = told(503, "outcome-unknown", extra={"idempotency_key": "k"})
    assert (status, error["details"]) == (503, {"idempotencyKey": "k"})


def test_reasons_of_failure_have_their_own_words() -> None:
    general = errors.failure_message("failed", "a-new-reason")
    assert general == "Die Verarbeitung des Bildes ist fehlgeschlagen"
    for error in (CrashedAlone(), TimeoutError()):
        assert errors.failure_message("failed", classify(error).reason) not in (None, general)
    assert errors.failure_message("expired", None) == errors.FAILURES["queue-deadline"][2]
    assert [errors.failure_message(status, None) for status in ("succeeded", "canceled", "running")] == [None] * 3


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        ("failed", "engine-unavailable", (503, "service_unavailable")),
        ("failed", "input-undecodable", (400, "validation_error")),
        ("failed", "a-new-reason", (500, "internal_error")),
        ("expired", None, (503, "service_unavailable")),
        ("canceled", None, (409, "conflict")),
    ],
)
def test_a_job_that_ends_without_a_picture_is_an_error(
    status: str, reason: str | None, expected: tuple[int, str]
) -> None:
    answer = errors.failure(JOB, status, reason)
    assert answer.document is not None
    assert (answer.status, answer.document["error"]["type"]) == expected
    assert answer.document["error"]["details"] == {"jobId": JOB}

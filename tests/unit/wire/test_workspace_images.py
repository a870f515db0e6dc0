"""Document 003 as plain functions: what each fault is called, and what a record says."""

from __future__ import annotations

import uuid
from typing import Any, get_args

import pytest

from infra.http.openapi import openapi_document
from ingest.routes import CONTRACTS
from schemas import refusals as no
from schemas.documents import KINDS, example
from schemas.refusals import AnyRefusal, Refusal
from schemas.wire import workspace_images as wire
from schemas.wire import workspace_images_request as asked
from schemas.wire.surface import Fault, FieldFault, WireAnswer

REQUEST = asked.wanted({"prompt": "a lighthouse"}, "0b9f6a52-3f5c-4a63-9d3f-0a4f1f0f3c11")


def told(answer: WireAnswer) -> dict[str, Any]:
    """The error, once it has been held against its model."""
    assert answer.document is not None
    wire.ImagesErrorAnswer.model_validate(answer.document)
    error: dict[str, Any] = dict(answer.document["error"])
    return error


def test_every_refusal_has_its_words() -> None:
    assert set(wire._REFUSALS) == set(get_args(AnyRefusal))


def _refusals() -> list[Refusal]:
    kind = next(kind for kind in KINDS if kind.name == "refusals")
    found = []
    for message in kind.types:
        event: Any = example(kind, message)
        found.append(event.data.refusal)
    return found


@pytest.mark.parametrize("refusal", _refusals(), ids=lambda refusal: type(refusal).__name__)
def test_every_refusal_is_told_in_the_contracts_shape(refusal: AnyRefusal) -> None:
    answer = wire.fault(Fault(status=400, code="x", detail="y", now_ms=0, refusal=refusal))
    error = told(answer)
    assert answer.status in (400, 402, 403, 404, 409, 429, 503)
    assert "{" not in error["message"]
    assert error["message"].endswith(".")


def test_missing_credits_are_told_in_numbers() -> None:
    refusal = no.InsufficientCredits(30, 7)
    answer = wire.fault(Fault(status=402, code="insufficient-credits", detail="", now_ms=0, refusal=refusal))
    error = told(answer)
    assert (answer.status, error["code"]) == (402, "INSUFFICIENT_CREDITS")
    assert (error["required"], error["available"]) == (30, 7)
    assert error["message"] == "Insufficient credits: 30 are required and 7 available; nothing was charged."


def test_a_reused_key_is_a_conflict_that_does_not_tell_what_it_made() -> None:
    refusal = no.IdempotencyMismatch("group_secret")
    answer = wire.fault(Fault(status=422, code="idempotency-mismatch", detail="", now_ms=0, refusal=refusal))
    error = told(answer)
    assert (answer.status, error["code"], error["details"][0]["field"]) == (409, "CONFLICT", "Idempotency-Key")
    assert "group_secret" not in str(answer.document)


@pytest.mark.parametrize(
    ("status", "code", "expected", "word"),
    [
        (400, "invalid-field", 400, "VALIDATION_ERROR"),
        (400, "invalid-json", 400, "VALIDATION_ERROR"),
        (401, "unauthenticated", 401, "UNAUTHORIZED"),
        (401, "token-invalid", 401, "UNAUTHORIZED"),
        (403, "forbidden", 403, "FORBIDDEN"),
        (403, "foreign-origin", 403, "FORBIDDEN"),
        (404, "not-found", 404, "NOT_FOUND"),
        (405, "method-not-allowed", 405, "METHOD_NOT_ALLOWED"),
        (408, "request-timeout", 408, "REQUEST_TIMEOUT"),
        (409, "conflict", 409, "CONFLICT"),
        (410, "gone", 410, "GONE"),
        (413, "content-too-large", 413, "PAYLOAD_TOO_LARGE"),
        (415, "unsupported-media-type", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (418, "teapot", 418, "VALIDATION_ERROR"),
        (422, "unprocessable", 400, "VALIDATION_ERROR"),
        (429, "rate-limited", 429, "RATE_LIMIT_EXCEEDED"),
        (500, "internal-error", 500, "INTERNAL_ERROR"),
        (503, "overloaded", 503, "SERVICE_UNAVAILABLE"),
        (503, "outcome-unknown", 503, "SERVICE_UNAVAILABLE"),
        (503, "behind", 503, "SERVICE_UNAVAILABLE"),
        (503, "unavailable", 503, "SERVICE_UNAVAILABLE"),
        (504, "timeout", 504, "SERVICE_UNAVAILABLE"),
    ],
)
def test_faults_of_the_core_have_their_code(status: int, code: str, expected: int, word: str) -> None:
    answer = wire.fault(Fault(status=status, code=code, detail="GET /v1/jobs lists them.", now_ms=0, retry_after_s=9))
    error = told(answer)
    assert (answer.status, error["code"], error["details"]) == (expected, word, [])
    assert "/v1" not in error["message"] or status == 401
    assert ("9 s" in error["message"]) is (status == 429)


def test_fields_are_told_under_the_clients_names() -> None:
    bad = (FieldFault("params.prompt", "Too long."), FieldFault("Prefer", "No number."))
    error = told(wire.fault(Fault(status=400, code="invalid-field", detail="d", now_ms=0, fields=bad)))
    assert [field["field"] for field in error["details"]] == ["prompt", "Prefer"]
    assert "details" in error["message"]


@pytest.mark.parametrize(
    ("reasons", "status", "code"),
    [
        (["engine-unavailable"], 503, "PROVIDER_UNAVAILABLE"),
        (["engine-unavailable", "model-error"], 503, "PROVIDER_UNAVAILABLE"),
        (["canceled", "canceled"], 409, "CANCELED"),
        (["canceled", "model-error"], 500, "INTERNAL_ERROR"),
        (["model-error", "crashes-engine"], 500, "INTERNAL_ERROR"),
        ([""], 500, "INTERNAL_ERROR"),
    ],
)
def test_when_all_have_failed_the_reason_decides(reasons: list[str], status: int, code: str) -> None:
    answer = wire.all_failed(reasons)
    assert (answer.status, told(answer)["code"]) == (status, code)
    assert ("retry-after" in dict(answer.headers)) is (status == 503)


def record(job: str = "job_a", user: str = "acct_u") -> dict[str, Any]:
    assert isinstance(REQUEST, asked.Wanted)
    return wire.generation(REQUEST, job=job, user=user, status="PENDING", created_ms=1_800_000_000_123)


def test_a_record_has_the_members_of_the_documents_schema() -> None:
    made = record()
    model = wire.GenerationRecord.model_validate(made)
    assert list(made) == list(wire.GenerationRecord.model_fields)
    assert (model.result, model.error, model.completedAt) == (None, None, None)
    assert made["createdAt"] == "2027-01-15T08:00:00.123Z"


def test_ids_are_stable_uuids_of_their_own() -> None:
    def ids(job: str, user: str) -> tuple[str, str]:
        made = record(job, user)
        assert made["id"] == wire.record_id(job)
        return made["id"], made["userId"]

    assert ids("job_a", "acct_u") == ids("job_a", "acct_u")
    assert len({*ids("job_a", "job_a"), *ids("job_b", "job_b")}) == 4
    assert all(uuid.UUID(one).variant == uuid.RFC_4122 for one in ids("job_a", "acct_u"))


def test_the_api_document_names_the_operation_and_its_three_limits() -> None:
    (row,) = [row for row in CONTRACTS if row.surface is wire.SURFACE]
    assert [(limit.amount, limit.window_s, limit.per) for limit in row.limits] == [
        (60, 60, "user"),
        (1000, 3600, "account"),
        (100, 60, "address"),
    ]
    document = openapi_document([row], version="t", server_url="http://localhost")
    operation = document["paths"]["/api/ai/images"]["post"]
    assert {"200", "202", "400", "401", "402", "404", "409", "429", "500", "503"} <= set(operation["responses"])
    assert [parameter["name"] for parameter in operation["parameters"]] == [
        "X-Workspace-Id",
        "Prefer",
        "Idempotency-Key",
    ]

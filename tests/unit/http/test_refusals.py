"""Every refusal of the decider has its problem document."""

from __future__ import annotations

from typing import get_args

import pytest

from infra.http.refusals import REFUSALS, problem_of
from infra.http.routing import Operation
from ingest.routes import ROUTES
from schemas import refusals as no
from schemas.refusals import AnyRefusal

EXAMPLES: dict[type, tuple[AnyRefusal, int, str]] = {
    no.InsufficientCredits: (no.InsufficientCredits(3, 1), 402, "insufficient-credits"),
    no.QuotaExceeded: (no.QuotaExceeded("day", 20, 20, 5_000), 429, "quota-exceeded"),
    no.QueueFull: (no.QueueFull(10), 429, "queue-full"),
    no.IdempotencyMismatch: (no.IdempotencyMismatch("job_1"), 422, "idempotency-mismatch"),
    no.ModelUnknown: (no.ModelUnknown("x"), 400, "model-unknown"),
    no.AssetUnknown: (no.AssetUnknown("asset_1"), 400, "asset-unknown"),
    no.InputRequired: (no.InputRequired("x"), 400, "input-required"),
    no.MaskRequired: (no.MaskRequired("x"), 400, "mask-required"),
    no.NotEntitled: (no.NotEntitled("scale", 2), 403, "not-entitled"),
    no.AlbumUnknown: (no.AlbumUnknown("album_1"), 404, "album-unknown"),
    no.AlbumsFull: (no.AlbumsFull(10), 409, "albums-full"),
    no.PlanUnknown: (no.PlanUnknown("x"), 400, "plan-unknown"),
    no.JobUnknown: (no.JobUnknown("job_1"), 404, "job-unknown"),
    no.JobEnded: (no.JobEnded("job_1", "succeeded"), 409, "job-ended"),
    no.ChargeUnknown: (no.ChargeUnknown("job_1"), 404, "charge-unknown"),
    no.NothingCharged: (no.NothingCharged("job_1"), 409, "nothing-charged"),
    no.AlreadyRefunded: (no.AlreadyRefunded("job_1"), 409, "already-refunded"),
    no.GrantBelowZero: (no.GrantBelowZero(-5, 2), 400, "grant-below-zero"),
    no.GrantExpired: (no.GrantExpired(1), 400, "grant-expired"),
    no.GrantsFull: (no.GrantsFull(64), 409, "grants-full"),
    no.GrantTooLarge: (no.GrantTooLarge(5, 2), 400, "grant-too-large"),
    no.PlanVersionReused: (no.PlanVersionReused(1), 409, "plan-version-reused"),
    no.PlanMissing: (no.PlanMissing("darkroom"), 503, "plan-missing"),
}


def test_the_table_is_complete() -> None:
    assert set(REFUSALS) == set(get_args(AnyRefusal)) == set(EXAMPLES)


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.__name__)
def test_each_is_a_problem_of_its_status(kind: type) -> None:
    refusal, status, code = EXAMPLES[kind]
    problem = problem_of(refusal, 2_500)
    assert (problem.status, problem.code) == (status, code)
    assert problem.detail.endswith((".", ")"))
    assert ("Retry-After" in problem.headers) == (status in (429, 503))


def test_a_quota_is_free_again_after_whole_seconds() -> None:
    problem = problem_of(no.QuotaExceeded("day", 20, 20, 5_000), 2_500)
    assert problem.headers["Retry-After"] == "3"
    assert problem.extra["resets_at"] == "1970-01-01T00:00:05Z"


def test_every_operation_documents_the_statuses_of_its_refusals() -> None:
    documented: dict[str, Operation] = {operation.name: operation for operation in ROUTES}
    assert {402, 422, 429, 503} <= set(documented["submit-job"].problems)
    assert {404, 409} <= set(documented["cancel-job"].problems)

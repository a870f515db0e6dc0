"""How a submitted job stands, as far as its client can be told now: out of replies, or out of the read model."""

from __future__ import annotations

from typing import Any

import msgspec

from infra.http.documents import job_document
from infra.postgres.outcomes import TERMINAL, JobOutcome
from schemas.commands import StoredObject
from schemas.replies import JobEndedAnswer


class Standing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One job. `cost` None: not decided as far as is known; then `status` is `pending`.

    `balance` is what the account can spend after the job's last booking, `position` where that was decided.
    """

    job: str
    status: str = "pending"
    cost: int | None = None
    balance: int | None = None
    position: str | None = None
    asset: str | None = None
    result: StoredObject | None = None
    reason: str | None = None
    detail: str | None = None

    @property
    def is_decided(self) -> bool:
        """Whether the job is known to be accepted."""
        return self.cost is not None

    @property
    def has_ended(self) -> bool:
        """Whether nothing can change the job any more."""
        return self.status in TERMINAL

    @property
    def is_complete(self) -> bool:
        """Whether nothing more is to be told: the job has ended, and of a succeeded one the result is known."""
        return self.has_ended and (self.result is not None or self.status != "succeeded")

    def document(self, base_url: str, model: str) -> dict[str, Any]:
        """The document of `infra.http.documents.JobModel`."""
        return job_document(
            base_url,
            self.job,
            status=self.status,
            model=model,
            cost=self.cost,
            balance=self.balance,
            position=self.position,
            asset=self.asset,
            result=self.result,
            reason=self.reason,
            detail=self.detail,
        )


def of_outcome(job: str, outcome: JobOutcome) -> Standing:
    """The job as the read model has it."""
    return Standing(
        job=job,
        status=outcome.status,
        cost=outcome.cost,
        balance=outcome.balance,
        position=outcome.position,
        asset=outcome.asset,
        result=outcome.result,
        reason=outcome.reason,
        detail=outcome.detail,
    )


def after_end(before: Standing, end: JobEndedAnswer, position: str) -> Standing:
    """The job after its end was told."""
    return Standing(
        job=end.job,
        status=end.status,
        cost=before.cost,
        balance=end.balance,
        position=position,
        asset=end.asset,
        result=end.result,
        reason=end.reason,
        detail=end.detail,
    )

"""How a submitted job stands, as far as its client can be told now: out of replies, or out of the read model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from infra.http.documents import job_document
from infra.postgres.outcomes import TERMINAL, JobOutcome
from schemas.commands import EngineRun, Json, StoredObject
from schemas.event_base import WindowUse
from schemas.replies import JobDecided, JobEndedAnswer


class Standing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One job. `cost` None: not decided as far as is known; then `status` is `pending`.

    `balance` is what the account can spend after the job's last booking, `position` where that was decided.
    `windows` is what the account's windows had used after it was accepted, `plan` and `plan_version` what it was
    accepted by; None where only the read models know.
    When it was accepted, what came of the job and when (`ended_ms`, UTC ms) is told by replies and by the read model
    alike. The other times, `model`, `params` and `input` are told by the read model alone: None until it was asked.
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
    charged: int = 0
    asset_number: int | None = None
    thumbnail: StoredObject | None = None
    run: EngineRun | None = None
    model_ms: int | None = None
    reused_of: str | None = None
    accepted_ms: int | None = None
    queued_ms: int | None = None
    running_ms: int | None = None
    ended_ms: int | None = None
    model: str | None = None
    params: Mapping[str, Json] | None = None
    input: str | None = None
    windows: tuple[WindowUse, ...] | None = None
    plan: str | None = None
    plan_version: int | None = None

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


def of_decision(answer: JobDecided, position: str) -> Standing:
    """The job as the decider accepted it."""
    return Standing(
        job=answer.job,
        status=answer.status,
        cost=answer.cost,
        balance=answer.balance,
        position=position,
        accepted_ms=answer.decided_ms or None,
        windows=answer.windows or None,
        plan=answer.plan or None,
        plan_version=answer.plan_version or None,
    )


def of_outcome(job: str, outcome: JobOutcome) -> Standing:
    """The job as the read model has it."""
    return Standing(job=job, **{name: getattr(outcome, name) for name in _OF_OUTCOME})


def after_end(before: Standing, end: JobEndedAnswer, position: str) -> Standing:
    """The job after its end was told; what was known of it before and does not change is kept."""
    return replace(
        before,
        job=end.job,
        status=end.status,
        balance=end.balance,
        position=position,
        asset=end.asset,
        result=end.result,
        reason=end.reason,
        detail=end.detail,
        charged=end.charged,
        asset_number=end.number or None,
        thumbnail=end.thumbnail,
        run=end.run,
        model_ms=end.model_ms,
        reused_of=end.reused_of,
        ended_ms=end.ended_ms or None,
    )


_TOLD_ALONE = ("job", "windows", "plan", "plan_version")
_OF_OUTCOME = tuple(name for name in Standing.__struct_fields__ if name not in _TOLD_ALONE)

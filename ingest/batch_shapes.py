"""Shapes of batches, groups and estimates: parameters, and the models that document bodies and answers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from infra.http.documents import JobModel
from infra.http.problems import ProblemDocument
from ingest.shapes import JobRequestModel


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class BatchQuery(_Strict):
    """Parameters of POST /v1/jobs:batch."""

    atomic: bool = Field(False, description="Accept all jobs (at most 1,000) or none.")


class BatchRequestModel(_Strict):
    """Documents the JSON body of a batch."""

    jobs: list[JobRequestModel] = Field(
        min_length=1, max_length=10_000, description="In order. `input.url` is for single jobs only."
    )


class BatchResultModel(BaseModel):
    """What became of one job: `job` where it was accepted (or is pending), else `problem`."""

    status: int = Field(description="What POST /v1/jobs would have answered.")
    job: JobModel | None = None
    problem: ProblemDocument | None = None


class BatchModel(BaseModel):
    """The answer to a batch: a result for each job, in order. `group` to `position` with `atomic=true` only."""

    results: list[BatchResultModel]
    group: str | None = None
    cost: int | None = Field(None, description="Of all jobs together.")
    balance: int | None = None
    position: str | None = None


class EstimateRequestModel(_Strict):
    """Documents the body of an estimate: that of one job, or several under `jobs`."""

    model: str | None = None
    input: dict[str, Any] | None = None
    params: dict[str, Any] = Field(default_factory=dict)
    metadata: dict[str, Any] | None = None
    jobs: list[JobRequestModel | Any] | None = Field(
        None, min_length=1, max_length=1_000, description="One that is wrong is answered in its place."
    )


class EstimatedModel(BaseModel):
    """One job's part of an estimate."""

    cost: int | None = Field(description="Units; null for a job that cannot be accepted at all.")
    problem: ProblemDocument | None


class RemainingModel(BaseModel):
    """A window of the plan."""

    window: str
    limit: int
    used: int
    remaining: int
    resets_at: str


class EstimateModel(BaseModel):
    """What jobs would cost and whether they would be accepted now, all together."""

    cost: int = Field(description="Of all jobs that are possible.")
    jobs: list[EstimatedModel]
    balance: int | None = Field(description="What can be spent; null where the plan counts no credits.")
    quota: list[RemainingModel]
    accepted: bool
    problem: ProblemDocument | None = Field(description="What a submit of all would be refused with.")

"""The writing side as a user of a workspace meets it by POST /api/ai/images, with a decider that plays along."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from infra.http.limits import LimitSettings
from infra.http.tokens import sign_token
from schemas.commands import Envelope, GroupedJob, StoredObject, SubmitGroup, SubmitJob
from schemas.replies import AnyAnswer, GroupDecided, JobDecided, JobEndedAnswer
from schemas.wire import workspace_images as wire
from tests.http.fakes import DEPLOYMENT, NOW_MS, Side, make_side

WORKSPACE, OTHER = "0b9f6a52-3f5c-4a63-9d3f-0a4f1f0f3c11", "7d1b1a40-55b7-4b8e-8a3e-63b9f4a3b3aa"
RESULT = StoredObject("acct/job/1", 2048, "aa", "png", 1024, 1024)
COST, BALANCE = 10, 70
Ends = Callable[[int, str], JobEndedAnswer | None]


def token(side: Side, subject: str = "ada", workspace: str | None = WORKSPACE, **more: str) -> str:
    given: dict[str, Any] = {"product": "workspace-images", "workspace": workspace, **more}
    return sign_token(side.keys, DEPLOYMENT, subject=subject, now_s=NOW_MS // 1000, ttl_s=3600, **given)


def make_images(folder: Path, limits: LimitSettings | None = None) -> Side:
    """The writing side with a user of the workspace, whose pictures all succeed."""
    side = make_side(folder, limits=limits)
    side.http.headers["Authorization"] = f"Bearer {token(side)}"
    side.http.headers["X-Workspace-Id"] = WORKSPACE
    side.decider.script = decides(succeeds)
    return side


def group_of(envelope: Envelope) -> SubmitGroup:
    assert isinstance(envelope.command, SubmitGroup)
    return envelope.command


def jobs_of(envelope: Envelope) -> Sequence[SubmitJob | GroupedJob]:
    """The jobs of a command; a single picture is a job alone."""
    return [envelope.command] if isinstance(envelope.command, SubmitJob) else group_of(envelope).jobs


def decides(ends: Ends) -> Callable[[Envelope], Sequence[AnyAnswer]]:
    """A decider that accepts all pictures and tells how each ends; None: not yet."""

    def script(envelope: Envelope) -> Sequence[AnyAnswer]:
        names = tuple(job.job for job in jobs_of(envelope))
        made: AnyAnswer = JobDecided(names[0], "accepted", COST, BALANCE, NOW_MS - 5)
        if isinstance(envelope.command, SubmitGroup):
            made = GroupDecided(envelope.command.group, names, (COST,) * len(names), BALANCE, NOW_MS - 5)
        told = [ends(number, name) for number, name in enumerate(names)]
        return [made, *(one for one in told if one is not None)]

    return script


def succeeds(number: int, job: str) -> JobEndedAnswer:
    asset = job.replace("job_", "asset_")
    return JobEndedAnswer(job, "succeeded", COST, BALANCE, asset, RESULT, number=number + 1, ended_ms=NOW_MS + number)


def fails(reason: str) -> Ends:
    return lambda _, job: JobEndedAnswer(job, "failed", 0, BALANCE + COST, reason=reason, detail="x", ended_ms=NOW_MS)


def first_fails(number: int, job: str) -> JobEndedAnswer:
    ended = fails("model-error")(number, job) if number == 0 else succeeds(number, job)
    assert ended is not None
    return ended


async def post(side: Side, body: dict[str, Any] | None = None, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await side.http.post("/api/ai/images", json={"prompt": "a lighthouse", **(body or {})}, headers=named)


def data(answer: httpx.Response, status: int = 200) -> dict[str, Any]:
    """The answer's data, once it has been held against its model."""
    assert answer.status_code == status, answer.text
    wire.ImagesAnswer.model_validate(answer.json())
    told: dict[str, Any] = answer.json()["data"]
    return told


def error(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    wire.ImagesErrorAnswer.model_validate(answer.json())
    told: dict[str, Any] = answer.json()["error"]
    assert told["code"] == code
    return told

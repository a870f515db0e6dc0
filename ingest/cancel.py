"""A job ended by its owner."""

from __future__ import annotations

from starlette.requests import Request

from infra.http.problems import Problem
from infra.http.refusals import problem_of
from ingest.intake import Intake, Who
from schemas.commands import CancelJob
from schemas.positions import Position
from schemas.refusals import JobEnded, JobUnknown
from schemas.replies import JobCancelAccepted, Refused


async def cancel(intake: Intake, request: Request, who: Who, job: str) -> tuple[JobCancelAccepted | None, Position]:
    """End the job; None where the cancel is on the log and not decided yet. Raises Problem 404, 409 and 503."""
    minted = intake.minted(request)
    with intake.waiter(minted, who) as waiter:
        position = await intake.append(request, who, minted, "cancel-job", [job], CancelJob(job))
        reply = await waiter.take(intake.ports.decision_wait_s)
        if reply is not None and isinstance(reply.answer, Refused) and isinstance(reply.answer.refusal, JobUnknown):
            intake.acknowledged(request, who, position)
            raise await _not_live(intake, who, job, position)
        decision = intake.understood(request, who, reply, position)
    return decision.answer if isinstance(decision.answer, JobCancelAccepted) else None, decision.position


async def _not_live(intake: Intake, who: Who, job: str, refused_at: Position) -> Problem:
    """The decider knows live jobs only; the read model, once it is there, tells an ended one from none at all."""
    if not await intake.caught_up(refused_at):
        detail = "The read models are behind, so it is not known whether the job has ended; try again."
        return Problem(503, "behind", detail, headers={"Retry-After": "1"})
    outcome = await intake.ports.read_side.job(who.account, job)
    return problem_of(JobUnknown(job) if outcome is None else JobEnded(job, outcome.status), 0)

"""Who may read a picture: deletion, publication and its end.

Access is decided by the decider and read from the read models, so these answers wait, briefly, until the read models
know the decision: what has ended is then not read by anybody through any gateway, and what was published is readable
for everybody. Where the read models are late the answer comes all the same; this gateway's own reads wait for them.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from infra.http.answers import JsonAnswer
from infra.http.auth import caller_of
from infra.http.links import media_path
from infra.http.problems import Problem
from infra.http.routing import port_of
from ingest.intake import Decision, Intake, Minted, Who, caller_as_who
from schemas.commands import AnyCommand, DeleteAsset, SetVisibility
from schemas.positions import Position
from schemas.refusals import AssetUnknown
from schemas.replies import AssetDeletion, Refused

JOBS_NAMED_MAX = 1_000  # in one command, which has its own bound in bytes
RESULTS_MAX = 10_000


async def delete_asset(request: Request) -> Response:
    """DELETE /v1/assets/{id}: access ends now, live jobs on it are canceled, its bytes are purged soon after."""
    intake = port_of(request, Intake)
    who, asset = caller_as_who(caller_of(request)), request.path_params["id"]
    answer, position = await delete(intake, request, who, asset)
    document = {
        "id": asset,
        "status": "pending" if answer is None else "deleted",
        "canceled": [] if answer is None else list(answer.canceled),
        "balance": None if answer is None else answer.balance,
        "position": str(position),
    }
    return JsonAnswer(202 if answer is None else 200, document)


async def delete(
    intake: Intake, request: Request, who: Who, asset: str, *, results: bool = False
) -> tuple[AssetDeletion | None, Position]:
    """End access to the asset and cancel the jobs that work on it; None where that is on the log, not decided yet.

    With `results` what such jobs have made ends in the same decision; of more than JOBS_NAMED_MAX the rest soon after.
    Raises Problem 404 for an asset that is not the account's, 410 for one that is gone, and 503.
    """
    last, read_side = intake.ports.last_positions.of(who.account), intake.ports.read_side
    if last is not None:
        await intake.caught_up(last)  # jobs that were submitted a moment ago; a late read model does not keep the asset
    jobs = list(await read_side.live_jobs_on(who.account, asset, JOBS_NAMED_MAX))
    made = await read_side.results_of(who.account, asset, RESULTS_MAX) if results else {}
    named = [*jobs, *made][:JOBS_NAMED_MAX]
    decision = await _decided(request, intake, who, asset, "delete-asset", DeleteAsset(asset, tuple(named), results))
    for job in [*made][JOBS_NAMED_MAX - len(jobs) :]:
        again = Minted(intake.ports.ids.mint("x")[2:], intake.ports.ids.mint("idem"))
        rest = DeleteAsset(made[job])
        await intake.append(request, who, again, "delete-asset", [made[job]], rest, answered=False)
    return decision.answer if isinstance(decision.answer, AssetDeletion) else None, decision.position


async def publish_asset(request: Request) -> Response:
    """POST /v1/assets/{id}:publish: everybody may read it, also without a token."""
    return await _set_visibility(request, public=True)


async def unpublish_asset(request: Request) -> Response:
    """POST /v1/assets/{id}:unpublish: its owner alone may read it."""
    return await _set_visibility(request, public=False)


async def _set_visibility(request: Request, *, public: bool) -> Response:
    intake = port_of(request, Intake)
    who, asset = caller_as_who(caller_of(request)), request.path_params["id"]
    operation = "publish-asset" if public else "unpublish-asset"
    decision = await _decided(request, intake, who, asset, operation, SetVisibility(asset, public))
    document = {
        "id": asset,
        "public": public,
        "status": "pending" if decision.answer is None else "done",
        "url": intake.ports.base_url + media_path(asset),
        "position": str(decision.position),
    }
    return JsonAnswer(202 if decision.answer is None else 200, document)


async def _decided(
    request: Request, intake: Intake, who: Who, asset: str, operation: str, command: AnyCommand
) -> Decision:
    """The decision, known to the read models. Raises Problem 404 for an asset that is not the account's, 410 after."""
    minted = intake.minted(request)
    with intake.waiter(minted, who) as waiter:
        position = await intake.append(request, who, minted, operation, [asset], command)
        reply = await waiter.take(intake.ports.decision_wait_s)
        if reply is not None and isinstance(reply.answer, Refused) and isinstance(reply.answer.refusal, AssetUnknown):
            intake.acknowledged(request, who, position)
            raise await _not_there(intake, who, asset)
        decision = intake.understood(request, who, reply, position)
    if decision.answer is not None:
        await intake.caught_up(decision.position)
    return decision


async def _not_there(intake: Intake, who: Who, asset: str) -> Problem:
    known = await intake.ports.read_side.asset(who.account, asset)
    if known is not None:
        return Problem(410, "gone", f"The asset {asset[:64]} was deleted before.")
    return Problem(404, "not-found", f"The account has no asset {asset[:64]}.")

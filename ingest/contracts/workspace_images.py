"""Document 003, workspace-images: POST /api/ai/images, a picture as a job, n of one prompt as one group of jobs.

Theory of operation. The token says whose workspace may be asked for; the workspace's account pays. All n are reserved
together or none is, run side by side, and are charged one by one. Each gets a seed of its own, made of the request's
idempotency key, so that pictures differ and a repeat is the same request. There is nothing to read afterwards: a repeat
under the same key tells how all stand now, from the decision that the log remembers and the read models.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from infra.http.answers import JsonAnswer
from infra.http.auth import add_headers, caller_of
from infra.http.problems import WireProblem
from infra.http.requests import header_once, json_body
from infra.http.routing import port_of
from infra.http.tokens import Caller
from ingest.contracts.support import checked_job
from ingest.groups import submit_group
from ingest.intake import Intake, Minted, Who, caller_as_who
from ingest.shapes import Preference
from ingest.standing import Standing, of_outcome
from ingest.submit import submit
from schemas.positions import Position, parse_position
from schemas.wire import workspace_images as wire
from schemas.wire.surface import WireAnswer
from schemas.wire.workspace_images_request import SEEDS, WORKSPACE_HEADER, Wanted, Wrong, wanted

_SEED_DOMAIN = b"darkroom seeds of images\n"
_SEED_STEP = 0x9E3779B1 % SEEDS  # odd, so that the seeds of one request differ
_NOWHERE = Position(0, -1, 0)
_body = msgspec.json.Decoder(dict[str, Any])


async def generate(request: Request) -> Response:
    """POST /api/ai/images: 200 when all pictures have ended, 202 while some are under way."""
    intake, caller = port_of(request, Intake), caller_of(request)
    body = await json_body(request, _body)
    asked = wanted(body, header_once(request, WORKSPACE_HEADER.lower()))
    if isinstance(asked, Wrong):
        raise WireProblem(wire.invalid(asked))
    if caller.workspace is None or caller.workspace.lower() != asked.workspace:
        raise WireProblem(wire.no_workspace())
    who = caller_as_who(caller)
    prefer, minted = intake.waiting(request, who), intake.minted(request)
    if prefer.applied is not None:
        add_headers(request.scope, [(b"preference-applied", prefer.applied.encode())])
    standings = await _submitted(intake, request, who, minted, asked, prefer)
    answer = _answer(intake, caller, asked, standings)
    if isinstance(answer, WireAnswer):
        raise WireProblem(answer)
    return answer


async def _submitted(
    intake: Intake, request: Request, who: Who, minted: Minted, asked: Wanted, prefer: Preference
) -> Sequence[Standing]:
    """How all pictures stand at the end of the wait; for a repeat as the read models know it, also without a wait."""
    jobs = [checked_job(intake, who, asked.slug, asked.params(seed)) for seed in _seeds(intake, who, minted, asked.n)]
    operation = f"{wire.GENERATE.name} {who.actor}"  # a key is its user's own, although the account is shared
    if len(jobs) == 1:
        one = await submit(intake, request, who, minted, jobs[0], prefer, operation=operation)
        standings, is_repeat = [one], one.job != minted.id("job")
    else:
        made = await submit_group(intake, request, who, minted, jobs, prefer, operation=operation)
        standings, is_repeat = made.jobs.standings, made.group != minted.id("group")
    unknown = [standing.job for standing in standings if not standing.is_complete]
    if not is_repeat or not unknown:
        return standings
    known = await intake.ports.read_side.outcomes(who.account, unknown)
    return [of_outcome(one.job, known[one.job]) if one.job in known else one for one in standings]


def _seeds(intake: Intake, who: Who, minted: Minted, count: int) -> list[int]:
    """A seed for each picture; those of a request differ from each other and from other requests'."""
    named = _SEED_DOMAIN + f"{who.account}\n{who.actor}\n{minted.key}".encode()
    first = int.from_bytes(hmac.digest(intake.ports.identifier_key, named, "sha256")[:8])
    return [(first + number * _SEED_STEP) % SEEDS for number in range(count)]


def _answer(intake: Intake, caller: Caller, asked: Wanted, standings: Sequence[Standing]) -> JsonAnswer | WireAnswer:
    failed = [standing for standing in standings if standing.has_ended and standing.status != "succeeded"]
    if len(failed) == len(standings):
        return wire.all_failed([_reason(standing) for standing in failed])
    records = [_record(intake, caller, asked, standing) for standing in standings]
    data: dict[str, Any] = {
        "generations": records,
        "images": [{"url": one["result"], "generationId": one["id"]} for one in records if one["result"]],
        "creditsUsed": sum(one["credits"] for one in records),
        "creditsRemaining": _remaining(standings),
    }
    if failed:
        data["errors"] = [_error(standing) for standing in failed]
    return JsonAnswer(200 if all(one.is_complete for one in standings) else 202, {"success": True, "data": data})


def _record(intake: Intake, caller: Caller, asked: Wanted, standing: Standing) -> dict[str, Any]:
    done = standing.is_complete and standing.asset is not None
    failed = standing.has_ended and standing.status != "succeeded"
    return wire.generation(
        asked,
        job=standing.job,
        user=caller.actor,
        status="COMPLETED" if done else "FAILED" if failed else "PENDING",
        created_ms=standing.accepted_ms or intake.ports.clock.now_ms(),
        ended_ms=standing.ended_ms if done or failed else None,
        url=intake.ports.links.shown(caller.account, standing.asset) if done and standing.asset else None,
        charged=standing.charged if done else 0,
        message=wire.failure(_reason(standing))[1] if failed else None,
    )


def _error(standing: Standing) -> dict[str, str]:
    code, message = wire.failure(_reason(standing))
    return {"generationId": wire.record_id(standing.job), "code": code, "message": message}


def _reason(standing: Standing) -> str:
    """The core's word for why there is no picture."""
    return standing.reason or "" if standing.status == "failed" else standing.status


def _remaining(standings: Sequence[Standing]) -> int | None:
    """What can be spent after the last booking of the request that is known; None before the decision."""
    known = [standing for standing in standings if standing.balance is not None]
    if not known:
        return None
    return max(known, key=lambda standing: parse_position(standing.position or "") or _NOWHERE).balance

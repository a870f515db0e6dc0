"""Ending sessions over HTTP: one's own, and any by an operator."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from infra.clock import Clock
from infra.http.audit import accessed
from infra.http.auth import caller_of
from infra.http.problems import Problem, bad_field
from infra.http.routing import Answer, Operation, port_of
from infra.http.sessions import Sessions, SessionsUnavailable, end_of, latest_end
from infra.http.tokens import is_session_id


@dataclass(frozen=True, slots=True)
class SessionPorts:
    """What these operations need."""

    sessions: Sessions
    clock: Clock


async def end_session(request: Request) -> Response:
    """DELETE /v1/session: the caller's own token counts no more."""
    claims = caller_of(request).session
    if claims is None:
        raise Problem(409, "no-session", "The request carries no token that could be ended.")
    accessed(request, claims.id)
    return await _revoked(request, claims.id, end_of(claims))


async def revoke_session(request: Request) -> Response:
    """POST /v1/sessions/{id}:revoke: whoever's it is. An id that no token has is revoked just the same."""
    session = request.path_params["id"]
    if not is_session_id(session):
        raise bad_field("id", "This is no session id; it is the `jti` of the token.")
    return await _revoked(request, session, latest_end(port_of(request, SessionPorts).clock.now_ms()))


async def revoke(request: Request, session: str, until_ms: int) -> None:
    """On return no token of the session counts here. Raises Problem 503."""
    try:
        await port_of(request, SessionPorts).sessions.revoke(session, until_ms)
    except SessionsUnavailable as error:
        detail = "The log takes no records now, so the session may still count; try again."
        raise Problem(503, "unavailable", detail, headers={"Retry-After": "1"}) from error


async def _revoked(request: Request, session: str, until_ms: int) -> Response:
    await revoke(request, session, until_ms)
    return Response(status_code=204, headers={"cache-control": "no-store"})


_ENDED = {204: Answer(description="No gateway takes the token any more, the others within a second.", media="")}

ROUTES: tuple[Operation, ...] = (
    Operation(
        method="DELETE",
        path="/v1/session",
        handler=end_session,
        name="end-session",
        audit="delete",
        tag="Account",
        summary="Log out",
        description="Ends the token that the request carries, whether it is a session token or a plain one.",
        answers=_ENDED,
        problems=(409, 503),
    ),
    Operation(
        method="POST",
        path="/v1/sessions/{id}:revoke",
        handler=revoke_session,
        name="revoke-session",
        audit="delete",
        tag="Operator",
        summary="End a session",
        description="Ends the token whose `jti` this is; harmless where it has ended or never was.",
        access="admin",
        path_parameters={"id": "The session: the `jti` of its token."},
        answers=_ENDED,
        problems=(403, 503),
    ),
)

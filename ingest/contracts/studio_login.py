"""Document 004, studio: logging in and out. A session is begun and ended by `infra.http.login` and `session_routes`."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from infra.http.answers import JsonAnswer
from infra.http.audit import accessed
from infra.http.auth import caller_or_nobody
from infra.http.cookies import set_cookie
from infra.http.google import IdentityProviderUnavailable, LoginRefused
from infra.http.login import GoogleNotConfigured, Logins, is_sent_by_own_page
from infra.http.passwords import TooManyLogins
from infra.http.problems import WireProblem
from infra.http.requests import json_body
from infra.http.routing import port_of
from infra.http.session_routes import revoke
from infra.http.sessions import end_of
from schemas.wire import studio as wire
from schemas.wire.studio_documents import LoginRequest
from schemas.wire.studio_errors import (
    GOOGLE_AWAY,
    INVALID_CREDENTIALS,
    NO_CREDENTIALS,
    NO_GOOGLE,
    TOO_MANY_LOGINS,
    login_error,
)
from schemas.wire.surface import WireAnswer

_RETRY_S = 5
_request = msgspec.json.Decoder(LoginRequest)


async def login(request: Request) -> Response:
    """POST /auth/login: 200 with the session's cookie, 401 for credentials that do not count."""
    refused = await signed_in(request, await json_body(request, _request))
    if refused is not None:
        raise WireProblem(refused)
    headers = ((b"cache-control", b"no-store"),)
    return JsonAnswer(200, {"success": True, "redirect_url": wire.DASHBOARD_PATH}, headers)


async def signed_in(request: Request, asked: LoginRequest) -> WireAnswer | None:
    """Begin a session, or say why not: a document of `LoginErrorAnswer`."""
    logins = port_of(request, Logins)
    try:
        if asked.credential is not None:
            subject = await logins.by_google(asked.credential)
        elif asked.username is not None and asked.password is not None:
            subject = await logins.by_password(asked.username, asked.password)
        else:
            return login_error(400, NO_CREDENTIALS)
    except LoginRefused:
        return login_error(401, INVALID_CREDENTIALS)
    except GoogleNotConfigured:
        return login_error(401, NO_GOOGLE)
    except IdentityProviderUnavailable:
        return login_error(502, GOOGLE_AWAY, _RETRY_S)
    except TooManyLogins:
        return login_error(503, TOO_MANY_LOGINS, _RETRY_S)
    logins.begin(request, wire.PRODUCT, subject, wire.SESSION_COOKIE)
    return None


async def logout(request: Request) -> Response:
    """GET /auth/logout: 302 to the login page; the session counts no more, unless a page elsewhere has asked.

    A GET changes something here because the document has it so. What another site's link asks for is not done, and a
    HEAD ends nothing.
    """
    caller = caller_or_nobody(request)
    if request.method == "GET" and is_sent_by_own_page(request):
        if caller is not None and caller.session is not None:
            accessed(request, caller.session.id)
            await revoke(request, caller.session.id, end_of(caller.session))
        set_cookie(request.scope, wire.SESSION_COOKIE, "", max_age_s=0)
        set_cookie(request.scope, wire.GENERATION_COOKIE, "", max_age_s=0)
    return Response(status_code=302, headers={"location": wire.LOGIN_PATH, "cache-control": "no-store"})

"""The gate of documented contracts: who may come in, by bearer, cookie or as a guest; forgeries; how often.

Theory of operation. A row of a contract names its surface, and the surface says in plain data how its callers are known
(`schemas.wire.surface`). The order is fixed: who is it, is the request forged, how often has the caller come. So every
request that passes authentication counts, valid or not, and a page elsewhere can neither act for a user nor use up a
user's windows. A token counts for the product that it names and for no other contract.

A cookie is sent by browsers unasked, so a change that comes with one has to show that it comes from a page of this
origin (`csrf` of the surface); a bearer token without cookies is sent by nobody unasked.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.types import Scope

from infra.http.addresses import AddressHasher
from infra.http.auth import BearerGate, add_headers, bearer_token, invalid_token
from infra.http.cookies import cookies_of, is_cookie_client, mark_cookie_client, set_cookie
from infra.http.headers import headers_of
from infra.http.limits import Limiter, Standing
from infra.http.pressure import LoopPressure
from infra.http.problems import Problem
from infra.http.refusals import problem_of
from infra.http.routing import Operation
from infra.http.sessions import Authenticator
from infra.http.tokens import Caller, TokenInvalid
from schemas.amounts import DAY_MS
from schemas.identifiers import account_id
from schemas.refusals import QuotaExceeded
from schemas.wire.surface import Limit, Surface

GUEST = "guest"
CSRF_COOKIE = "csrf_token"
_GUEST_CHARS_MAX = 200
_GUEST_MAX_AGE_S = 400 * 86_400
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Gates:
    """Implements `infra.http.routing.Gate`: rows of a contract pass its door, all others the gate of bearer tokens."""

    def __init__(self, native: BearerGate, doors: Doors, pressure: LoopPressure) -> None:
        self._native, self._doors, self._pressure = native, doors, pressure

    async def admit(self, request: Request, operation: Operation) -> None:
        """Return to let the request in; raise Problem to turn it away."""
        self._pressure.check()
        if operation.surface is None:
            await self._native.admit(request, operation)
        else:
            await self._doors.admit(request, operation, operation.surface)


class Doors:
    """The doors of all contracts."""

    def __init__(
        self,
        authenticator: Authenticator,
        limiter: Limiter,
        addresses: AddressHasher,
        identifier_key: bytes,
        origins: Iterable[str],
    ) -> None:
        """`origins` are those whose pages may act for users beside the one that the request itself goes to."""
        self._authenticator, self._limiter, self._addresses = authenticator, limiter, addresses
        self._identifier_key = identifier_key
        self._origins = frozenset(origin.rstrip("/").lower() for origin in origins)

    async def admit(self, request: Request, operation: Operation, surface: Surface) -> None:
        """Raises Problem 401, 403 and 429; notes the caller, the limits' headers and new cookies in the scope."""
        scope = request.scope
        cookies = cookies_of(scope)
        caller = self._caller(scope, operation, surface, cookies)
        if caller is not None:
            scope["darkroom.caller"] = caller
        self._give_half(scope, surface, cookies)
        if request.method not in _SAFE:
            self._check_forgery(scope, surface, cookies)
        await self._count(scope, operation, surface, caller)

    def _caller(self, scope: Scope, operation: Operation, surface: Surface, cookies: dict[str, str]) -> Caller | None:
        """Who asks; None where the operation is for everybody."""
        if operation.access == "public":
            return None
        try:
            return self._known(scope, surface, cookies)
        except Problem:
            if operation.access == "optional":
                return None
            raise

    def _known(self, scope: Scope, surface: Surface, cookies: dict[str, str]) -> Caller:
        token = bearer_token(scope) if surface.bearer else None
        if token is None and surface.cookie is not None:
            token = cookies.get(surface.cookie)
            if token is not None:
                mark_cookie_client(scope)
        if token is not None:
            return self._of_token(token, surface)
        if surface.guest_cookie is not None:
            mark_cookie_client(scope)
            return self._guest(scope, surface, surface.guest_cookie, cookies)
        raise Problem(401, "unauthenticated", "Log in, or send a token of this deployment.", headers=_CHALLENGE)

    def _of_token(self, token: str, surface: Surface) -> Caller:
        try:
            caller = self._authenticator.caller(token, did=surface.did)
        except TokenInvalid as error:
            raise invalid_token(str(error)) from error
        if caller.product != surface.product:
            raise invalid_token(f"The token is one of {caller.product}, not of {surface.product}.")
        return caller

    def _guest(self, scope: Scope, surface: Surface, name: str, cookies: dict[str, str]) -> Caller:
        """The guest of the cookie, whatever it says; a new one gets 128 random bits."""
        guest = cookies.get(name, "")
        if not guest or len(guest) > _GUEST_CHARS_MAX:
            guest = secrets.token_hex(16)
            set_cookie(scope, name, guest, max_age_s=_GUEST_MAX_AGE_S)
        subject = f"{GUEST}:{guest}"
        account = account_id(self._identifier_key, surface.product, subject)
        return Caller(account=account, product=surface.product, subject=subject, plan=GUEST)

    def _check_forgery(self, scope: Scope, surface: Surface, cookies: dict[str, str]) -> None:
        """Raise Problem 403 for a change that may come from a page elsewhere. Only cookies are sent unasked."""
        headers = headers_of(scope)
        if surface.csrf == "none" or (not cookies and (surface.csrf == "double-submit" or b"authorization" in headers)):
            return
        if not self._is_own_origin(headers):
            raise Problem(403, "foreign-origin", "The request comes from a page of another origin.")
        if surface.csrf == "double-submit":
            cookie, header = cookies.get(CSRF_COOKIE, ""), headers.get(b"x-csrf-token", b"").decode("latin-1")
            if not cookie or not hmac.compare_digest(cookie.encode(), header.encode()):
                raise Problem(403, "csrf", f"The header X-CSRF-Token must equal the cookie {CSRF_COOKIE}.")

    def _give_half(self, scope: Scope, surface: Surface, cookies: dict[str, str]) -> None:
        """Set the cookie that a later change has to match, where cookies come anyway: who has none needs no pair."""
        if surface.csrf == "double-submit" and not cookies.get(CSRF_COOKIE) and (cookies or is_cookie_client(scope)):
            set_cookie(scope, CSRF_COOKIE, secrets.token_hex(16), http_only=False)

    def _is_own_origin(self, headers: dict[bytes, bytes]) -> bool:
        origin = headers.get(b"origin")
        if origin is not None:
            text, host = origin.decode("latin-1").lower(), headers.get(b"host", b"").decode("latin-1").lower()
            return text in self._origins or _place_of(text) == host
        return headers.get(b"sec-fetch-site", b"none") in (b"none", b"same-origin")

    async def _count(self, scope: Scope, operation: Operation, surface: Surface, caller: Caller | None) -> None:
        """Count in every window of the row and show the tightest. Raises Problem 429."""
        standings = []
        for limit in operation.limits:
            who = self._counted(scope, limit, caller)
            if who is None:
                continue
            standing = await self._limiter.hit_limit(limit, who)
            if limit.per == "guest-address":
                _check_guests(standing)
            else:
                standings.append(standing)
        if not standings:
            return
        tightest = min(standings, key=lambda standing: (standing.allowed, standing.remaining, -standing.reset_s))
        add_headers(scope, tightest.headers())
        add_headers(scope, _documented(surface, tightest))
        if not tightest.allowed:
            detail = f"More than {tightest.limit} requests in the window; try again in {max(1, tightest.reset_s)} s."
            raise Problem(429, "rate-limited", detail)

    def _counted(self, scope: Scope, limit: Limit, caller: Caller | None) -> str | None:
        """Under which name the request counts; None: not at all."""
        if limit.per == "guest-address":
            return self._addresses.of(scope) if caller is not None and caller.plan == GUEST else None
        if limit.per == "address" or caller is None:
            return self._addresses.of(scope)
        return caller.person if limit.per == "user" else caller.account


def _place_of(origin: str) -> str | None:
    """The host and port of an origin; None for what is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="darkroom"'}


def _check_guests(standing: Standing) -> None:
    if not standing.allowed:
        resets_ms = standing.oldest_ends_s * 1000
        raise problem_of(QuotaExceeded("day", standing.limit, standing.limit, resets_ms), resets_ms - DAY_MS)


def _documented(surface: Surface, standing: Standing) -> list[tuple[bytes, bytes]]:
    """The X-RateLimit-* headers that the document names."""
    values: dict[str, Any] = {
        "limit": standing.limit,
        "remaining": standing.remaining,
        "reset": standing.oldest_ends_s,
    }
    return [(f"x-ratelimit-{name}".encode(), b"%d" % values[name]) for name in surface.rate_headers]

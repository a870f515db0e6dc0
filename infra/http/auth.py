"""The gate of authenticated surfaces: bearer token, role, limit; one place, driven by the table of operations."""

from __future__ import annotations

import secrets

from starlette.requests import Request
from starlette.types import Scope

from infra.http.addresses import AddressHasher
from infra.http.headers import count_of, headers_of
from infra.http.limits import Limiter
from infra.http.problems import Problem
from infra.http.routing import Operation
from infra.http.sessions import Authenticator
from infra.http.tokens import Caller, TokenInvalid

_SCHEME = "bearer "
_CHALLENGE = 'Bearer realm="darkroom"'


class BearerGate:
    """Implements `infra.http.routing.Gate` for tokens of this deployment."""

    def __init__(self, authenticator: Authenticator, limiter: Limiter, addresses: AddressHasher | None = None) -> None:
        """Without `addresses` each gateway counts requests without a token by itself."""
        self._authenticator, self._limiter = authenticator, limiter
        self._addresses = addresses or AddressHasher(secrets.token_bytes(32))

    async def admit(self, request: Request, operation: Operation) -> None:
        """Every request that passes authentication counts, valid or not. Raises Problem 401, 403 or 429."""
        if operation.access == "public":
            return
        if operation.access == "optional" and b"authorization" not in headers_of(request.scope):
            if operation.limit:
                await self._count(request.scope, operation.limit, self._addresses.of(request.scope))
            return
        caller = self._caller(request.scope)
        request.scope["darkroom.caller"] = caller
        if operation.limit:
            await self._count(request.scope, operation.limit, caller.account)
        if operation.access == "admin" and not caller.is_admin:
            raise Problem(403, "forbidden", "This operation needs a token with the role admin.")

    def _caller(self, scope: Scope) -> Caller:
        token = bearer_token(scope)
        if token is None:
            detail = "Send a token of this deployment as `Authorization: Bearer …`."
            raise Problem(401, "unauthenticated", detail, headers={"WWW-Authenticate": _CHALLENGE})
        try:
            return self._authenticator.caller(token)
        except TokenInvalid as error:
            raise invalid_token(str(error)) from error

    async def _count(self, scope: Scope, limit: str, who: str) -> None:
        standing = await self._limiter.hit(limit, who)
        add_headers(scope, standing.headers())
        if not standing.allowed:
            detail = f"More than {standing.limit} {limit} in the window; try again in {max(1, standing.reset_s)} s."
            raise Problem(429, "rate-limited", detail)


def caller_of(request: Request) -> Caller:
    """Who asks; only for operations whose `access` is neither `public` nor `optional`."""
    caller: Caller = request.scope["darkroom.caller"]
    return caller


def caller_or_nobody(request: Request) -> Caller | None:
    """Who asks; None without a token."""
    caller: Caller | None = request.scope.get("darkroom.caller")
    return caller


def add_headers(scope: Scope, headers: list[tuple[bytes, bytes]]) -> None:
    """Headers that the answer gets, whatever it will be; names in lower case."""
    scope.setdefault("darkroom.headers", []).extend(headers)


def set_header(scope: Scope, name: bytes, value: bytes) -> None:
    """A header of the answer, in the place of an earlier one of the name (in lower case)."""
    noted = scope.setdefault("darkroom.headers", [])
    noted[:] = [(name, value), *[header for header in noted if header[0] != name]]


def bearer_token(scope: Scope) -> str | None:
    """The token in the Authorization header, None without one. Raises Problem 401 for a header that holds none."""
    found = headers_of(scope).get(b"authorization")
    if found is None:
        return None
    if count_of(scope, b"authorization") > 1:
        raise invalid_token("There is more than one Authorization header.")
    header = found.decode("latin-1")
    if header[: len(_SCHEME)].lower() != _SCHEME:
        raise invalid_token("The Authorization header must hold a bearer token.")
    return header[len(_SCHEME) :].strip()


def invalid_token(detail: str) -> Problem:
    """401 for a token that does not count."""
    challenge = f'{_CHALLENGE}, error="invalid_token"'
    return Problem(401, "token-invalid", detail, headers={"WWW-Authenticate": challenge})

"""Cookies: read from a request, set on its answer whatever that will be."""

from __future__ import annotations

from starlette.requests import cookie_parser
from starlette.types import Scope

from infra.http.headers import headers_of

POSITION_COOKIE = "darkroom_position"
_BY_COOKIE = "darkroom.by_cookie"


def cookies_of(scope: Scope) -> dict[str, str]:
    """The request's cookies by name."""
    header = headers_of(scope).get(b"cookie")
    return {} if header is None else cookie_parser(header.decode("latin-1"))


def set_cookie(
    scope: Scope, name: str, value: str, *, max_age_s: int | None = None, http_only: bool = True, path: str = "/"
) -> None:
    """Set a cookie on the answer, in place of one of the name set before: SameSite=Lax, Secure where the request is.

    Without `max_age_s` it ends with the browser; 0 takes it away.
    """
    parts = [f"{name}={value}", f"Path={path}", "SameSite=Lax"]
    if max_age_s is not None:
        parts.append(f"Max-Age={max_age_s}")
    if http_only:
        parts.append("HttpOnly")
    if scope.get("scheme") == "https":
        parts.append("Secure")
    begins = f"{name}=".encode("latin-1")
    noted = scope.setdefault("darkroom.headers", [])
    noted[:] = [header for header in noted if header[0] != b"set-cookie" or not header[1].startswith(begins)]
    noted.append((b"set-cookie", "; ".join(parts).encode("latin-1")))


def mark_cookie_client(scope: Scope) -> None:
    """Note that the caller is known by a cookie: it cannot carry positions in headers."""
    scope[_BY_COOKIE] = True


def is_cookie_client(scope: Scope) -> bool:
    """Whether the caller is known by a cookie."""
    return bool(scope.get(_BY_COOKIE))

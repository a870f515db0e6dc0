"""Headers of a request by name, made once a request."""

from __future__ import annotations

from starlette.types import Scope


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """The headers by lower-case name; where one comes twice, the last. Do not change it."""
    known: dict[bytes, bytes] | None = scope.get("darkroom.header_map")
    if known is None:
        known = scope["darkroom.header_map"] = dict(scope["headers"])
    return known


def give_header(scope: Scope, name: bytes, value: bytes) -> None:
    """A header (name in lower case) as if the request had come with it: what forms cannot send. One that came stays."""
    if name not in headers_of(scope):
        scope["headers"] = [*scope["headers"], (name, value)]
        headers_of(scope)[name] = value


def count_of(scope: Scope, name: bytes) -> int:
    """How often a header comes."""
    headers = headers_of(scope)
    if len(headers) == len(scope["headers"]):
        return 1 if name in headers else 0
    return sum(key == name for key, _ in scope["headers"])


def noted_headers(scope: Scope) -> dict[bytes, bytes]:
    """What has been noted for the answer, by lower-case name; of several of one name the last."""
    return dict(scope.get("darkroom.headers", ()))

"""The way past Starlette finds what Starlette finds, for every operation that a gateway serves."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from infra.cli.gateway import operations_of
from infra.http.routing import Answer, Method, OpenGate, Operation, routes_of
from infra.http.shortcuts import Shortcuts


async def _nothing(_: Request) -> Response:
    return Response()


def _row(path: str, method: Method = "GET") -> Operation:
    answers = {200: Answer(description="It.")}
    return Operation(method=method, path=path, handler=_nothing, name=path, summary="It", tag="It", answers=answers)


class Both:
    """Starlette's routes and the shortcuts of the same operations."""

    def __init__(self, operations: list[Operation]) -> None:
        self._rows = {(row.method, row.path): row for row in operations}
        self._routes = routes_of(operations, OpenGate())
        self._shortcuts = Shortcuts(operations)

    def found(self, method: str, path: str) -> tuple[Operation, dict[str, Any]] | None:
        """What the shortcut finds; it must be what Starlette finds, or nothing."""
        found = self._shortcuts.find(method, path)
        assert found is None or found == self._by_starlette(method, path)
        return found

    def _by_starlette(self, method: str, path: str) -> tuple[Operation, dict[str, Any]] | None:
        scope = {"type": "http", "method": method, "path": path}
        for route in self._routes:
            match, child = route.matches(scope)
            if match is Match.FULL:
                return self._rows[method, route.path], child["path_params"]  # type: ignore[index]
        return None


SERVED = Both(list(operations_of("all")))
MIXED = Both(
    [
        _row("/{everything:path}", "PUT"),
        _row("/a/{x}"),
        _row("/a/{x}:end", "POST"),
        _row("/{x}/b/c"),
        _row("/a/b/{x}"),
        _row("/a/b/{rest:path}"),
        _row("/a/b/{rest:path}", "DELETE"),
        _row("/a/{x}/c", "PUT"),
        _row("/c/d/e/{x}"),
    ]
)
METHODS = st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"])
WORDS = ["", "a", "b", "c", "d", "e", "x:end", "x:end:end", "\0", "ä", "x\n", "{x}"]
SEGMENTS = sorted({segment for row in operations_of("all") for segment in row.path.split("/")})


@given(METHODS, st.lists(st.sampled_from(WORDS), max_size=5))
def test_in_a_table_of_overlapping_paths_both_find_the_same(method: str, segments: list[str]) -> None:
    MIXED.found(method, "/" + "/".join(segments))


@given(METHODS, st.lists(st.sampled_from([*SEGMENTS, *WORDS]), max_size=5))
def test_in_what_is_served_both_find_the_same(method: str, segments: list[str]) -> None:
    SERVED.found(method, "/" + "/".join(segments))


@pytest.mark.parametrize("row", operations_of("all"), ids=lambda row: f"{row.method} {row.public_path}")
@pytest.mark.parametrize("value", ["job_1", "a:cancel", "a/b", "ä", "\0", ""])
def test_every_operation_is_found_by_its_own_path(row: Operation, value: str) -> None:
    path = row.public_path
    for name in row.path_names:
        path = path.replace("{" + name + "}", value)
    found = SERVED.found(row.method, path)
    if value == "job_1":
        is_page = "{" in "".join(row.path.split("/")[:3])  # those are left to Starlette
        assert found == (None if is_page else (row, dict.fromkeys(row.path_names, value)))
        assert SERVED.found("OPTIONS", path) is None

"""The way past Starlette: a table in place of four layers of middleware and a list of routes that is walked through.

Starlette asks its routes one after the other, and a surface has a hundred: for a read by id that was a fifth of the
gateway's CPU. Here an operation without parameters is one lookup. One with parameters is looked for among those alone
whose first two segments can be the path's, in Starlette's own order and by its own expressions, so both find the same.
What is not found here goes on to Starlette, which knows about HEAD, wrong methods, pages and unknown paths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from re import Pattern
from typing import Any, NamedTuple

from starlette.convertors import Convertor
from starlette.requests import Request
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from infra.http.routing import Gate, Operation, admitted
from infra.http.wording import answer_to

_Place = tuple[str, ...]
_SEGMENTS = 2


class _Way(NamedTuple):
    """An operation whose path has parameters."""

    expression: Pattern[str]
    convertors: Mapping[str, Convertor[Any]]
    operation: Operation


class Shortcuts:
    """Which operation a request is for, where a table can tell."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._exact: dict[tuple[str, str], Operation] = {
            (row.method, row.path): row for row in operations if "{" not in row.path
        }
        first = {path: number for number, path in enumerate(dict.fromkeys(row.path for row in operations))}
        with_parameters = (row for row in operations if "{" in row.path)
        ways = [_way(row) for row in sorted(with_parameters, key=lambda row: first[row.path])]  # as their routes stand
        places = {_place(way.operation.path) for way in ways}
        self._ways: dict[tuple[str, _Place], list[_Way]] = {}
        for place in (place for place in places if not any("{" in segment for segment in place)):
            for way in ways:
                if _may_be_at(way.operation.path, place):
                    self._ways.setdefault((way.operation.method, place), []).append(way)

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, Any]] | None:
        """The operation and its path parameters; None where Starlette has to look."""
        operation = self._exact.get((method, path))
        if operation is not None:
            return operation, {}
        for way in self._ways.get((method, _place(path)), ()):
            found = way.expression.match(path)
            if found is not None:
                convertors = way.convertors
                return way.operation, {name: convertors[name].convert(v) for name, v in found.groupdict().items()}
        return None


class Shortcut:
    """Takes what the table knows straight to its handler, with Starlette's answers to the same exceptions."""

    def __init__(self, app: ASGIApp, operations: Sequence[Operation], gate: Gate) -> None:
        self._app, self._gate = app, gate
        self._shortcuts = Shortcuts(operations)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._shortcuts.find(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        operation, scope["path_params"] = found
        request = Request(scope, receive, send)
        try:
            response = await admitted(request, operation, self._gate)
        except Exception as error:
            response = await answer_to(request, error)
        await response(scope, receive, send)


def _place(path: str) -> _Place:
    return tuple(path.split("/", _SEGMENTS + 1)[1 : _SEGMENTS + 1])


def _may_be_at(path: str, place: _Place) -> bool:
    """Whether a request whose first segments are `place` may be for the path."""
    for ours, theirs in zip(_place(path), place, strict=False):
        if "{" in ours:
            return True  # a parameter may hold more segments than one
        if ours != theirs:
            return False
    return True


def _way(operation: Operation) -> _Way:
    expression, _, convertors = compile_path(operation.path)
    return _Way(expression, convertors, operation)

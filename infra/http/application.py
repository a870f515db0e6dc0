"""An ASGI application out of a table of operations: routes, gate, problems, observation, and what every surface has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from infra.http.audit import AccessTrail
from infra.http.observe import AccessLog, HttpMetrics, Observed
from infra.http.routing import Gate, Operation, admitted, routes_of
from infra.http.wording import EXCEPTION_HANDLERS, answer_to
from schemas.wire.surface import Surface

Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]


def build_application(
    operations: Sequence[Operation],
    gate: Gate,
    ports: Mapping[type[Any], Any],
    *,
    pages: Sequence[BaseRoute] = (),
    lifespan: Lifespan | None = None,
    access_log: AccessLog | None = None,
    trail: AccessTrail | None = None,
    registry: CollectorRegistry = REGISTRY,
) -> ASGIApp:
    """The application. `ports` is what handlers get by `port_of`; it may be filled by the lifespan.

    `pages` are routes outside the table: health, metrics, documentation.
    """
    routes: list[BaseRoute] = [*routes_of(operations, gate), *pages]
    app = Starlette(routes=routes, exception_handlers=EXCEPTION_HANDLERS, lifespan=lifespan)
    app.router.redirect_slashes = False
    surfaces = surfaces_of(operations)
    return Observed(_Shortcut(app, operations, gate), ports, HttpMetrics(registry), access_log, trail, surfaces)


def surfaces_of(operations: Sequence[Operation]) -> tuple[Surface, ...]:
    """The contracts of these operations, those with longer paths first: `/api/ai/images` before `/api/ai`."""
    found = {id(row.surface): row.surface for row in operations if row.surface is not None}
    return tuple(sorted(found.values(), key=lambda surface: -max(map(len, surface.prefixes))))


class _Shortcut:
    """Takes operations whose path has no parameters straight to their handler; all else goes through Starlette.

    A lookup in place of four layers of middleware and routing, with the same answers to the same exceptions.
    """

    def __init__(self, app: ASGIApp, operations: Sequence[Operation], gate: Gate) -> None:
        self._app, self._gate = app, gate
        self._operations = {(row.method, row.path): row for row in operations if "{" not in row.path}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        operation = self._operations.get((scope.get("method"), scope.get("path")))  # type: ignore[arg-type]
        if operation is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive, send)
        try:
            response = await admitted(request, operation, self._gate)
        except Exception as error:
            response = await answer_to(request, error)
        await response(scope, receive, send)

"""An ASGI application out of a table of operations: routes, gate, problems, observation, and what every surface has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from infra.http.audit import AccessTrail
from infra.http.observe import AccessLog, HttpMetrics, Observed
from infra.http.routing import Gate, Operation, routes_of
from infra.http.shortcuts import Shortcut
from infra.http.wording import EXCEPTION_HANDLERS
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
    return Observed(Shortcut(app, operations, gate), ports, HttpMetrics(registry), access_log, trail, surfaces)


def surfaces_of(operations: Sequence[Operation]) -> tuple[Surface, ...]:
    """The contracts of these operations, those with longer paths first: `/api/ai/images` before `/api/ai`."""
    found = {id(row.surface): row.surface for row in operations if row.surface is not None}
    return tuple(sorted(found.values(), key=lambda surface: -max(map(len, surface.prefixes))))

"""An ASGI application out of a table of operations: routes, gate, problems, observation, and what every surface has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from infra.http.observe import AccessLog, HttpMetrics, Observed
from infra.http.problems import EXCEPTION_HANDLERS
from infra.http.routing import Gate, Operation, routes_of

Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]


def build_application(
    operations: Sequence[Operation],
    gate: Gate,
    ports: Mapping[type[Any], Any],
    *,
    pages: Sequence[BaseRoute] = (),
    lifespan: Lifespan | None = None,
    access_log: AccessLog | None = None,
    registry: CollectorRegistry = REGISTRY,
) -> ASGIApp:
    """The application. `ports` is what handlers get by `port_of`; it may be filled by the lifespan.

    `pages` are routes outside the table: health, metrics, documentation.
    """
    routes: list[BaseRoute] = [*routes_of(operations, gate), *pages]
    app = Starlette(routes=routes, exception_handlers=EXCEPTION_HANDLERS, lifespan=lifespan)
    app.router.redirect_slashes = False
    return Observed(app, ports, HttpMetrics(registry), access_log)

"""The small HTTP server that every worker process carries: ``/healthz``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Generator

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


class _EmbeddedServer(uvicorn.Server):
    """Uvicorn inside somebody else's event loop: the signals stay with the process that embeds it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def health_app(healthy: Callable[[], bool]) -> Starlette:
    """``/healthz`` and ``/readyz``: 200 or 503 by ``healthy()``. ``/metrics``: Prometheus text of this process."""

    async def health(_: Request) -> Response:
        well = healthy()
        return JSONResponse({"healthy": well}, status_code=200 if well else 503)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return Starlette(routes=[Route("/healthz", health), Route("/readyz", health), Route("/metrics", metrics)])


async def serve_health(port: int, healthy: Callable[[], bool]) -> None:
    """Serve `health_app` on 127.0.0.1:``port`` until the task is cancelled. A taken port raises OSError."""
    config = uvicorn.Config(
        health_app(healthy), log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1
    )
    server = _EmbeddedServer(config)
    serving = asyncio.create_task(server.serve(sockets=[socket.create_server(("127.0.0.1", port))]))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True  # uvicorn takes its listener out of the loop itself, a cancelled one would not
        await serving
        raise

"""How every bare handler is served: one uvicorn worker on uvloop and httptools, without a log of accesses."""

from __future__ import annotations

import uvicorn
from starlette.types import ASGIApp


def serve(application: ASGIApp, port: int) -> None:
    """Serve on the local host until SIGTERM."""
    uvicorn.run(
        application,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )

"""The bare component for queries: one Starlette handler for each, with one select by the driver that the gateway uses.

``python -m tests.bench.bare_query DSN PORT``: one uvicorn worker on uvloop and httptools, a pool as large as the
gateway's API has connections and set up like it, rows as they are in JSON. No authentication, no limits, no waiting for
what a client has written, nothing opened, signed or linked.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra.postgres.pool import READERS_OF_THE_API, create_pool
from tests.bench.bare_http import serve

JOB = "SELECT * FROM jobs WHERE account = $1 AND job = $2"
PAGE = "SELECT * FROM jobs WHERE account = $1 AND version < $2 ORDER BY version DESC LIMIT $3"


def application(dsn: str) -> Starlette:
    """The handlers, with a pool for the life of the process."""
    pools: list[asyncpg.Pool] = []
    encoder = msgspec.json.Encoder()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        pools.append(await create_pool(dsn, connections_max=READERS_OF_THE_API))
        yield
        await pools.pop().close()

    def answer(content: object, status: int = 200) -> Response:
        return Response(encoder.encode(content), status_code=status, media_type="application/json")

    async def job(request: Request) -> Response:
        row = await pools[0].fetchrow(JOB, request.path_params["account"], request.path_params["job"])
        return answer({}, 404) if row is None else answer(dict(row))

    async def page(request: Request) -> Response:
        before, limit = request.path_params["before"], request.path_params["limit"]
        rows = await pools[0].fetch(PAGE, request.path_params["account"], before, limit)
        return answer([dict(row) for row in rows], 200 if rows else 404)

    async def healthy(_: Request) -> Response:
        return Response(b"ok")

    routes = [
        Route("/jobs/{account}/{job}", job),
        Route("/pages/{account}/{before:int}/{limit:int}", page),
        Route("/healthz", healthy),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


if __name__ == "__main__":
    serve(application(sys.argv[1]), int(sys.argv[2]))

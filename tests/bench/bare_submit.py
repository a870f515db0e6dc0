"""The bare component for submits: one Starlette handler that sends the body with aiokafka and waits for the answer.

``python -m tests.bench.bare_submit BOOTSTRAP PORT``: one uvicorn worker on uvloop and httptools, acks=all, linger 0,
no authentication, no validation, no idempotency. Of a body with a command a line `PLAIN` sends each line by itself and
waits for all of them, `PACKED` sends all lines in one record.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from schemas.codec import pack_items
from tests.bench.bare_http import serve

TOPIC = "bench-submit"
PLAIN = "/v1/jobs:plain"
PACKED = "/v1/jobs:packed"


def application(bootstrap_servers: str) -> Starlette:
    """The handler, with a producer for the life of the process."""
    producers: list[AIOKafkaProducer] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all", linger_ms=0)
        await producer.start()
        producers.append(producer)
        yield
        await producer.stop()

    async def submit(request: Request) -> Response:
        body = await request.body()
        await producers[0].send_and_wait(TOPIC, body)
        return Response(b"{}", status_code=202, media_type="application/json")

    async def plain(request: Request) -> Response:
        lines = (await request.body()).split(b"\n")
        sent = await asyncio.gather(*[producers[0].send(TOPIC, line) for line in lines])
        await asyncio.gather(*sent)
        return Response(b"{}", media_type="application/json")

    async def packed(request: Request) -> Response:
        lines = (await request.body()).split(b"\n")
        await producers[0].send_and_wait(TOPIC, pack_items(lines))
        return Response(b"{}", media_type="application/json")

    async def healthy(_: Request) -> Response:
        return Response(b"ok")

    posts = {"/v1/jobs": submit, PLAIN: plain, PACKED: packed}
    routes = [Route(path, handle, methods=["POST"]) for path, handle in posts.items()]
    return Starlette(routes=[*routes, Route("/healthz", healthy)], lifespan=lifespan)


if __name__ == "__main__":
    serve(application(sys.argv[1]), int(sys.argv[2]))

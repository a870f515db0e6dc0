"""The bare component for submits: one Starlette handler that sends the body with aiokafka and waits for the answer.

``python -m tests.bench.bare_submit BOOTSTRAP PORT``: one uvicorn worker on uvloop and httptools, acks=all, linger 0,
no authentication, no validation, no idempotency.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from aiokafka import AIOKafkaProducer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

TOPIC = "bench-submit"


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

    async def healthy(_: Request) -> Response:
        return Response(b"ok")

    routes = [Route("/v1/jobs", submit, methods=["POST"]), Route("/healthz", healthy)]
    return Starlette(routes=routes, lifespan=lifespan)


if __name__ == "__main__":
    uvicorn.run(
        application(sys.argv[1]),
        host="127.0.0.1",
        port=int(sys.argv[2]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )

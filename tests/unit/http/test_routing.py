"""Paths on their way to an operation."""

from __future__ import annotations

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import Response

from infra.http.application import build_application
from infra.http.routing import Answer, OpenGate, Operation


async def _echo(request: Request) -> Response:
    return Response(request.path_params["id"])


ECHO = Operation(
    method="GET",
    path="/echo/{id}",
    handler=_echo,
    name="echo",
    summary="Echo",
    tag="Echo",
    answers={200: Answer(description="It.")},
)


@pytest.mark.parametrize(("path", "status"), [("/echo/a", 200), ("/echo/%00", 404), ("/echo/a%00b", 404)])
async def test_no_id_holds_the_character_that_the_database_cannot(path: str, status: int) -> None:
    application = build_application([ECHO], OpenGate(), {}, registry=CollectorRegistry())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://test") as http:
        answer = await http.get(path)
    assert answer.status_code == status
    if status == 404:
        assert answer.headers["content-type"] == "application/problem+json"

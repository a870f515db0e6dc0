"""The OpenAPI document, the pages beside it, traces, and the table of operations."""

from __future__ import annotations

from typing import Literal

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from infra.http.application import build_application
from infra.http.openapi import openapi_document
from infra.http.pages import pages
from infra.http.requests import query_of
from infra.http.routing import Answer, OpenGate, Operation, routes_of
from infra.http.traces import trace_from
from ingest.routes import ROUTES


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: int = Field(50, ge=1, le=1000)
    status: Literal["queued", "running"] | None = None


async def _ok(request: Request) -> Response:
    query = query_of(request, _Query)
    return Response(f"{query.limit}")


def operation(path: str = "/v1/things/{id}", method: Literal["GET", "POST"] = "GET") -> Operation:
    return Operation(
        method=method,
        path=path,
        handler=_ok,
        name=f"{method}-thing",
        summary="A thing",
        tag="Things",
        query=_Query,
        answers={200: Answer(description="It.", media="text/plain")},
    )


def client(*operations: Operation) -> httpx.AsyncClient:
    document = openapi_document(operations, version="1", server_url="http://x")

    async def down() -> bool:
        raise ConnectionError

    async def up() -> bool:
        return True

    registry = CollectorRegistry()
    routes = pages(document, {"a": up, "b": down}, registry)
    app = build_application(operations, OpenGate(), {}, pages=routes, registry=registry)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x")


def test_the_document_of_the_writing_side_is_valid_openapi_3_1() -> None:
    document = openapi_document((*ROUTES, operation()), version="1", server_url="http://x")
    OpenAPIV31SpecValidator(document).validate()
    assert "/v1/accounts/{account}:grant" in document["paths"]
    submit = document["paths"]["/v1/jobs"]["post"]
    assert {"200", "202", "400", "401", "402", "422", "429", "503"} <= set(submit["responses"])
    assert {"Prefer", "Idempotency-Key"} == {parameter["name"] for parameter in submit["parameters"]}
    assert document == openapi_document((*ROUTES, operation()), version="1", server_url="http://x")


def test_a_row_that_stands_twice_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="twice"):
        routes_of([operation(), operation()], OpenGate())


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=many", "limit"),
        ("status=asleep", "status"),
        ("limit=1&limit=2", "limit"),
        ("x=1", "x"),
    ],
)
async def test_parameters_outside_their_range_are_named(query: str, field: str) -> None:
    async with client(operation()) as http:
        answer = await http.get(f"/v1/things/7?{query}")
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_operations_on_one_path_share_their_allow_and_head_is_get() -> None:
    async with client(operation(), operation(method="POST")) as http:
        assert (await http.head("/v1/things/7")).status_code == 200
        answer = await http.put("/v1/things/7")
    assert {method.strip() for method in answer.headers["allow"].split(",")} == {"GET", "HEAD", "POST"}


async def test_health_pages_and_document() -> None:
    async with client(operation()) as http:
        assert (await http.get("/healthz")).json() == {"status": "ok"}
        ready = await http.get("/readyz")
        assert (ready.status_code, ready.json()["parts"]) == (503, {"a": True, "b": False})
        assert (await http.get("/openapi.json")).json()["openapi"] == "3.1.0"
        assert "darkroom_http_requests" in (await http.get("/metrics")).text
        for path in ("/docs", "/"):
            page = await http.get(path)
            policy = page.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe-inline" not in policy
            assert "http://" not in page.text.replace("http://127", "")


def test_a_strict_traceparent_is_gone_on_with_and_any_other_begins_anew() -> None:
    given = b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-00"
    trace = trace_from(given)
    assert (trace.trace_id, trace.flags) == ("a" * 32, "00")
    assert trace.span_id != "b" * 16
    for broken in (None, b"", given.upper(), given + b"-x", b"ff" + given[2:], given.replace(b"a", b"0")):
        assert trace_from(broken).trace_id != "a" * 32

"""What goes wrong, as an answer: problem documents on the native surface, each contract's own shape on the others.

Handlers raise `Problem`; whatever else is raised becomes a 500 that says nothing about its cause and logs it. Where a
request belongs to a documented contract, by its operation or by the beginning of its path, that contract words the
fault: `schemas.wire` has its tables, and no code here knows any contract by name.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Scope

from infra.http.headers import noted_headers
from infra.http.problems import Problem, WireProblem, of_status, problem_response
from infra.http.routing import operation_of
from infra.http.traces import trace_id_of
from infra.logs import get_logger
from schemas.wire.surface import Fault, FieldFault, Surface, WireAnswer

_log = get_logger(__name__)
_encoder = msgspec.json.Encoder()


def surface_of(scope: Scope) -> Surface | None:
    """The contract that a request belongs to; None for the native surface."""
    operation = operation_of(scope)
    if operation is not None:
        return operation.surface
    path: str = scope.get("path", "")
    surfaces: tuple[Surface, ...] = scope.get("darkroom.surfaces", ())
    for surface in surfaces:
        if any(path == prefix or path.startswith(prefix + "/") for prefix in surface.prefixes):
            return surface
    return None


def fault_of(problem: Problem, scope: Scope) -> Fault:
    """The problem as contracts get to see it."""
    operation = operation_of(scope)
    retry = problem.headers.get("Retry-After") or noted_headers(scope).get(b"retry-after", b"").decode()
    return Fault(
        status=problem.status,
        code=problem.code,
        detail=problem.detail,
        now_ms=int(time.time() * 1000),
        operation="" if operation is None else operation.name,
        fields=tuple(FieldFault(error.field, error.message) for error in problem.errors),
        refusal=problem.refusal,
        retry_after_s=int(retry) if retry.isdigit() else None,
        extra=problem.extra,
        place=_place(scope),
    )


def _place(scope: Scope) -> str:
    if scope.get("method") != "GET":
        return ""
    query = scope.get("query_string", b"").decode("latin-1")
    return quote(scope["path"]) + (f"?{query}" if query else "")


def wire_response(answer: WireAnswer, more: Mapping[str, str] | None = None) -> Response:
    """The answer on the wire; `more` are headers that it does not name itself. No cache may keep it."""
    body = answer.text.encode() if answer.document is None else _encoder.encode(answer.document)
    kept = {"cache-control": "no-store"}
    kept |= {name.lower(): value for name, value in (more or {}).items()}
    kept |= dict(answer.headers)
    return Response(body, answer.status, kept, media_type=answer.media)


def _worded(problem: Problem, scope: Scope) -> Response:
    surface = surface_of(scope)
    if surface is None:
        return problem_response(problem, trace_id_of(scope))
    answer = problem.answer if isinstance(problem, WireProblem) else surface.fault(fault_of(problem, scope))
    return wire_response(answer, problem.headers)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return _worded(error, request.scope)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    details = {
        404: f"There is nothing at {request.url.path}; /docs lists what there is.",
        405: f"{request.method} is not possible at {request.url.path}; `Allow` lists what is.",
    }
    detail = details.get(error.status_code)
    headers = dict(error.headers or {})
    return _worded(of_status(error.status_code, detail, headers), request.scope)


async def _on_disconnect(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it; what was appended stays on the log


async def _on_fault(request: Request, error: Exception) -> Response:
    request.scope["darkroom.fault_answered"] = True
    _log.error("request-failed", path=request.url.path, exc_info=error)
    detail = "The server failed; the request may be repeated with the same Idempotency-Key. Name `trace_id` in reports."
    return _worded(of_status(500, detail), request.scope)


EXCEPTION_HANDLERS: dict[Any, Any] = {
    Problem: _on_problem,
    HTTPException: _on_http_exception,
    ClientDisconnect: _on_disconnect,
    Exception: _on_fault,
}


async def answer_to(request: Request, error: Exception) -> Response:
    """The answer to whatever a handler raised, as `EXCEPTION_HANDLERS` say."""
    for kind in type(error).__mro__:
        if kind in EXCEPTION_HANDLERS:
            response: Response = await EXCEPTION_HANDLERS[kind](request, error)
            return response
    raise error

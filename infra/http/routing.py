"""The table of operations: what a surface offers, readable at a glance, and everything that is made of it.

A folder that answers HTTP has one `ROUTES: tuple[Operation, ...]`. The same rows give Starlette its routes, the guard
its rules (who may call, how often) and the OpenAPI document its paths, so none of them can forget an operation.
Handlers are plain coroutines `(Request) -> Response`; what they need from outside they take by `port_of`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from schemas.wire.surface import Described, Limit, Surface

Handler = Callable[[Request], Awaitable[Response]]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Access = Literal["bearer", "admin", "public", "optional"]
Audit = Literal["read", "change", "delete"]
JSON = "application/json"
PROBLEM_JSON = "application/problem+json"

T = TypeVar("T")
_CONVERTOR = re.compile(r"{(\w+):\w+}")
_PARAMETER = re.compile(r"{(\w+)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Body:
    """What a request carries: a model for JSON, or a JSON Schema for any other media type; `also`: other forms."""

    model: type[BaseModel] | None = None
    media: str = JSON
    schema: Mapping[str, object] | None = None
    example: object = None
    required: bool = True
    also: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a status means; without a model the body is bytes of `media`, or empty where `media` is empty too.

    `also` holds other media types that a client can ask for, and their JSON Schemas.
    """

    description: str
    model: type[BaseModel] | None = None
    media: str = JSON
    example: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    also: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One method on one path.

    `path` is Starlette's (`/v1/jobs/{id}:cancel`, `{name:path}` for values with slashes); `path_parameters` describes
    its names. `problems` lists the 4xx and 5xx statuses beside those that every operation has. `limit` names the
    moving window that counts it ("" counts nowhere). `access` "optional" takes requests without a token too, counted by
    their address. `audit` is what it does to what it names, for the topic
    `accesses`; None where nothing of an account is touched. `surface` is the documented contract that it belongs to,
    None for the native one; its windows are `limits` then.
    """

    method: Method
    path: str
    handler: Handler
    name: str
    summary: str
    tag: str
    answers: Mapping[int, Answer]
    description: str = ""
    access: Access = "bearer"
    limit: str = "requests"
    audit: Audit | None = None
    path_parameters: Mapping[str, str] = field(default_factory=dict)
    query: type[BaseModel] | None = None
    headers: type[BaseModel] | None = None
    body: Body | None = None
    problems: tuple[int, ...] = ()
    surface: Surface | None = None
    limits: tuple[Limit, ...] = ()

    @property
    def public_path(self) -> str:
        """The path as clients and the OpenAPI document write it, without Starlette's convertors."""
        return _CONVERTOR.sub(r"{\1}", self.path)

    @property
    def path_names(self) -> tuple[str, ...]:
        """The names in the path, in order."""
        return tuple(_PARAMETER.findall(self.public_path))


def contract_row(
    surface: Surface,
    method: Method,
    path: str,
    handler: Handler,
    described: Described,
    audit: Audit | None = None,
    access: Access = "bearer",
) -> Operation:
    """The row of a documented operation: one line in a route table, the rest as its wire file describes it."""
    return Operation(
        method=method,
        path=path,
        handler=handler,
        name=described.name,
        summary=described.summary,
        description=described.description,
        tag=surface.title,
        answers={status: _contract_answer(shape) for status, shape in described.answers.items()},
        access=access,
        limit="",
        audit=audit,
        path_parameters=described.path,
        query=described.query,
        headers=described.headers,
        body=_contract_body(described),
        problems=described.errors,
        surface=surface,
        limits=described.limits,
    )


def _contract_answer(shape: type[BaseModel] | str) -> Answer:
    if isinstance(shape, str):
        return Answer(description="As the document says.", media=shape)
    return Answer(description="As the document says.", model=shape)


def _contract_body(described: Described) -> Body | None:
    body = described.body
    if body is None:
        return None
    if isinstance(body, type):
        return Body(model=body, media=described.media, example=described.example)
    return Body(schema=body, media=described.media, example=described.example)


class Gate(Protocol):
    """Lets requests in: authenticates, checks the role, counts against the limits."""

    async def admit(self, request: Request, operation: Operation) -> None:
        """Return to let the request in; raise `infra.http.problems.Problem` to turn it away."""
        ...


class OpenGate:
    """Lets everything in, as nobody. For surfaces without callers."""

    async def admit(self, request: Request, operation: Operation) -> None:
        return


def routes_of(operations: Sequence[Operation], gate: Gate) -> list[Route]:
    """Starlette's routes, in the order of the table; operations on one path share a route, so `Allow` is complete.

    Raises ValueError when two rows name the same method and path.
    """
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        methods = by_path.setdefault(operation.path, {})
        if operation.method in methods:
            raise ValueError(f"{operation.method} {operation.path} stands twice in the table of operations")
        methods[operation.method] = operation
    return [_route(path, methods, gate) for path, methods in by_path.items()]


def _route(path: str, operations: Mapping[str, Operation], gate: Gate) -> Route:
    by_method = dict(operations)
    if "GET" in by_method:
        by_method.setdefault("HEAD", by_method["GET"])

    async def endpoint(request: Request) -> Response:
        return await admitted(request, by_method[request.method], gate)

    return Route(path, endpoint, methods=list(by_method), name=next(iter(operations.values())).name)


async def admitted(request: Request, operation: Operation, gate: Gate) -> Response:
    """The operation's answer to a request that the gate lets in.

    No id holds U+0000, which PostgreSQL has no text for: such a path leads nowhere.
    """
    request.scope["darkroom.operation"] = operation
    await gate.admit(request, operation)
    named = request.path_params
    if named and any("\0" in value for value in named.values()):
        raise HTTPException(404)
    return await operation.handler(request)


def operation_of(scope: Scope) -> Operation | None:
    """The row that a request was routed to; None where no path matched."""
    operation: Operation | None = scope.get("darkroom.operation")
    return operation


def port_of(request: Request, kind: type[T]) -> T:
    """What the composition root registered under `kind`; a missing one is a bug of the composition."""
    ports: Mapping[type[T], T] = request.scope["darkroom.ports"]
    return ports[kind]

"""The OpenAPI 3.1 document, made of the tables of operations and of the pydantic models that they name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from infra.http.problems import ProblemDocument
from infra.http.routing import JSON, PROBLEM_JSON, Answer, Body, Operation
from schemas.wire.surface import Surface

_REF = "#/components/schemas/{model}"
_SECURITY: Mapping[str, list[dict[str, list[str]]]] = {"public": [], "optional": [{"bearer": []}, {}]}
_COMMON_PROBLEMS = (400, 500)
_BODY_PROBLEMS = (413, 415)
_TAGS = {
    "Jobs": "Submit work, alone, in batches or as a group; see how it stands, why, and what it cost.",
    "Assets": "Pictures and videos: what came in, what jobs made, who may read it and until when.",
    "Albums": "Names for assets that belong together.",
    "Account": "What can be spent, why it is so much, what is used, and who looked.",
    "Models": "What can be asked for, in which sizes and at which price.",
    "Operator": "For tokens of the role `admin`: money, plans, sessions and numbers of every account.",
}
_LIMIT_HEADERS = {
    "RateLimit-Limit": "Requests that the window allows.",
    "RateLimit-Remaining": "Requests that it has left.",
    "RateLimit-Reset": "Seconds until it has room again; 0 where it has.",
}
_RATE_HEADERS = {
    "limit": ("X-RateLimit-Limit", "The same as RateLimit-Limit."),
    "remaining": ("X-RateLimit-Remaining", "The same as RateLimit-Remaining."),
    "reset": ("X-RateLimit-Reset", "When the oldest request that counts leaves the window, in seconds since 1970."),
}


def openapi_document(operations: Sequence[Operation], *, version: str, server_url: str) -> dict[str, Any]:
    """The document; equal tables give equal documents."""
    schemas, used = _schemas(operations), {operation.tag for operation in operations}
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.public_path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Darkroom",
            "version": version,
            "summary": "Image jobs: accepted once, charged once, explained by their events.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server_url}],
        "tags": [{"name": tag, "description": text} for tag, text in _tags(operations).items() if tag in used],
        "paths": paths,
        "components": {
            "schemas": schemas.definitions,
            "securitySchemes": _security_schemes(operations),
        },
    }


def _tags(operations: Sequence[Operation]) -> dict[str, str]:
    surfaces = [operation.surface for operation in operations if operation.surface is not None]
    return {**_TAGS, **{surface.title: surface.summary for surface in surfaces}}


def _security_schemes(operations: Sequence[Operation]) -> dict[str, Any]:
    schemes: dict[str, Any] = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    for operation in operations:
        for cookie in _cookies(operation.surface):
            schemes[cookie] = {"type": "apiKey", "in": "cookie", "name": cookie}
    return schemes


def _cookies(surface: Surface | None) -> list[str]:
    """The cookies that tell who asks."""
    return [] if surface is None else [cookie for cookie in (surface.cookie, surface.guest_cookie) if cookie]


def _security(operation: Operation) -> list[dict[str, list[str]]]:
    """How the caller is known: by any one of these."""
    surface = operation.surface
    if surface is None or operation.access == "public":
        return _SECURITY.get(operation.access, [{"bearer": []}])
    ways: list[dict[str, list[str]]] = [{"bearer": []}] if surface.bearer else []
    ways += [{cookie: []} for cookie in _cookies(surface)]
    return [*ways, {}] if surface.guest_cookie or operation.access == "optional" else ways


class _Schemas:
    """JSON Schemas of all models, each under the name that pydantic gives it."""

    def __init__(self, models: Iterable[type[BaseModel]]) -> None:
        inputs = [(model, "validation") for model in models]
        self._refs, definitions = models_json_schema(inputs, ref_template=_REF)  # type: ignore[arg-type]
        self.definitions: dict[str, Any] = dict(sorted(definitions.get("$defs", {}).items()))

    def ref(self, model: type[BaseModel]) -> Mapping[str, Any]:
        """A reference to the model's schema."""
        return self._refs[model, "validation"]


def _schemas(operations: Sequence[Operation]) -> _Schemas:
    models: dict[type[BaseModel], None] = {ProblemDocument: None}
    for operation in operations:
        if operation.body is not None and operation.body.model is not None:
            models[operation.body.model] = None
        models.update((answer.model, None) for answer in operation.answers.values() if answer.model is not None)
        if operation.surface is not None and operation.surface.error_model is not None:
            models[operation.surface.error_model] = None
    return _Schemas(models)


def _operation(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    document: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description or operation.summary,
        "parameters": _parameters(operation),
        "responses": _responses(operation, schemas),
        "security": _security(operation),
    }
    if operation.body is not None:
        document["requestBody"] = _body(operation.body, schemas)
    return document


def _body(body: Body, schemas: _Schemas) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": schemas.ref(body.model) if body.model is not None else dict(body.schema or {})}
    if body.example is not None:
        content["example"] = body.example
    return {"required": body.required, "content": {body.media: content, **_also(body.also)}}


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    path = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": operation.path_parameters.get(name, name),
            "schema": {"type": "string"},
        }
        for name in operation.path_names
    ]
    return [*path, *_fields("query", operation.query), *_fields("header", operation.headers)]


def _fields(place: str, model: type[BaseModel] | None) -> list[dict[str, Any]]:
    if model is None:
        return []
    schema = model.model_json_schema(by_alias=True)
    definitions = schema.get("$defs", {})
    required = set(schema.get("required", ()))
    fields = []
    for name, field in schema.get("properties", {}).items():
        rest = {
            key: _inlined(value, definitions) for key, value in field.items() if key not in ("description", "title")
        }
        parameter = {"name": name, "in": place, "required": name in required, "schema": rest}
        if rest.get("type") == "array":
            parameter |= {"style": "form", "explode": False}  # one value, or several with commas between them
        fields.append({**parameter, "description": field.get("description", name)})
    return fields


def _inlined(value: Any, definitions: Mapping[str, Any]) -> Any:
    """`value` with references to the parameter model's own definitions written out."""
    if isinstance(value, dict):
        if "$ref" in value:
            return _inlined(definitions[value["$ref"].rsplit("/", 1)[1]], definitions)
        return {key: _inlined(item, definitions) for key, item in value.items()}
    return [_inlined(item, definitions) for item in value] if isinstance(value, list) else value


def _responses(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    if operation.surface is not None:
        return _contract_responses(operation, operation.surface, schemas)
    limited = bool(operation.limit) and operation.access != "public"
    headers = _LIMIT_HEADERS if limited else {}
    responses = {str(status): _answer(answer, schemas, headers) for status, answer in operation.answers.items()}
    statuses = {*_COMMON_PROBLEMS, *operation.problems, *(_BODY_PROBLEMS if operation.body is not None else ())}
    if operation.access != "public":
        statuses |= {401, *((403,) if operation.access == "admin" else ()), *((429,) if limited else ())}
    for status in sorted(statuses):
        responses.setdefault(str(status), _problem(status, schemas))
    return responses


def _contract_responses(operation: Operation, surface: Surface, schemas: _Schemas) -> dict[str, Any]:
    documented = dict(_RATE_HEADERS[name] for name in surface.rate_headers)
    headers = {**_LIMIT_HEADERS, **documented} if operation.limits else {}
    responses = {str(status): _answer(answer, schemas, headers) for status, answer in operation.answers.items()}
    for status in sorted(operation.problems):
        document: dict[str, Any] = {"description": f"{HTTPStatus(status).phrase}."}
        if surface.error_model is not None:
            document["content"] = {JSON: {"schema": schemas.ref(surface.error_model)}}
        responses.setdefault(str(status), document)
    return responses


def _answer(answer: Answer, schemas: _Schemas, headers: Mapping[str, str]) -> dict[str, Any]:
    document: dict[str, Any] = {"description": answer.description}
    named = {**answer.headers, **headers}
    if named:
        document["headers"] = {
            name: {"description": text, "schema": {"type": "string"}} for name, text in named.items()
        }
    if answer.media:
        binary = {} if answer.media == JSON else {"type": "string"}
        content: dict[str, Any] = {"schema": binary if answer.model is None else schemas.ref(answer.model)}
        if answer.example is not None:
            content["example"] = answer.example
        document["content"] = {answer.media: content, **_also(answer.also)}
    return document


def _also(schemas: Mapping[str, Mapping[str, object]]) -> dict[str, Any]:
    return {media: {"schema": dict(schema)} for media, schema in schemas.items()}


def _problem(status: int, schemas: _Schemas) -> dict[str, Any]:
    content = {PROBLEM_JSON: {"schema": schemas.ref(ProblemDocument)}}
    return {"description": f"{HTTPStatus(status).phrase}.", "content": content}

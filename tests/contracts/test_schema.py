"""The OpenAPI document of all six surfaces, held against the running stack with data made from it, good and bad.

No answer may be a fault of the server, have a status or a shape that the document does not name, or accept what the
document forbids. Each request comes from a caller that nobody knows, so that no window fills up.
"""

from __future__ import annotations

import itertools
import time
import uuid
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from infra.cli.gateway import operations_of
from infra.http.openapi import openapi_document
from infra.http.routing import Operation
from tests.contracts.conftest import fresh_address
from tests.stack import Stack

EXAMPLES = 12
# What is wrong with one of several is told in its place, and the whole is a success.
ANSWERED_ONE_BY_ONE = {"estimate", "submit-batch", "spike-land-batch-upload"}
_OPERATIONS = operations_of("all")
_BY_NAME: dict[str, Operation] = {operation.name: operation for operation in _OPERATIONS}
_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
_REFUSED = negative_data_rejection
_numbers = itertools.count()


@schemathesis.serializer("application/x-ndjson")
def _as_lines(_: object, value: object) -> bytes:
    return str(value).encode("utf-8", "replace")


schema = schemathesis.openapi.from_dict(openapi_document(_OPERATIONS, version="test", server_url="http://127.0.0.1"))


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[*HealthCheck],
)
def test_every_answer_is_one_that_the_document_names(case: Case[Any], stack: Stack) -> None:
    operation = _BY_NAME[str(case.operation.definition.raw["operationId"])]
    answer = _asked(case, stack, _caller(stack, operation))
    case.validate_response(answer, checks=_CHECKS if operation.name in ANSWERED_ONE_BY_ONE else [*_CHECKS, _REFUSED])


def _caller(stack: Stack, operation: Operation) -> dict[str, str]:
    """Headers of somebody new."""
    subject = f"schema-{next(_numbers)}"
    surface = operation.surface
    product = "darkroom" if surface is None else surface.product
    role = "admin" if operation.access == "admin" else "user"
    workspace = str(uuid.uuid4()) if product == "workspace-images" else None
    token = stack.token(subject, product=product, role=role, workspace=workspace)
    return {
        "Authorization": f"Bearer {token}",
        "X-Forwarded-For": fresh_address(),
        "Prefer": "respond-async",
    }


def _asked(case: Case[Any], stack: Stack, headers: dict[str, str]) -> Response:
    """The answer; reads that are not there yet (503 with Retry-After) are asked again, as the document says."""
    with requests.Session() as session:
        for _ in range(20):
            answer = case.call(base_url=stack.url, headers=headers, timeout=60, session=session)
            retry = answer.headers.get("retry-after")
            if answer.status_code != 503 or not retry:
                break
            time.sleep(min(float(retry[0]), 2.0))
        return answer

"""What is wrong with a parameter is said in one voice, whoever finds it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from api.audit import AuditQuery
from api.shapes import JobsQuery, Query
from infra.http.problems import from_validation


@pytest.mark.parametrize(
    ("shape", "given", "told"),
    [
        (JobsQuery, {"limit": "0"}, "This must be at least 1."),
        (JobsQuery, {"limit": "1001"}, "This must be at most 1000."),
        (JobsQuery, {"limit": "x"}, "This must be an integer."),
        (JobsQuery, {"page": "1"}, "There is no such field."),
        (JobsQuery, {"has_result": "perhaps"}, "This must be true or false."),
        (JobsQuery, {"created_after": "yesterday"}, "This must be a time with its zone, as in 2026-01-31T12:00:00Z."),
        (AuditQuery, {"action": "x"}, "This must be one of read, change or delete."),
    ],
)
def test_a_wrong_parameter_is_named_in_our_words(shape: type[Query], given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as found:
        shape.model_validate(given)
    (error,) = from_validation(found.value).errors
    assert (error.field, error.message) == (next(iter(given)), told)

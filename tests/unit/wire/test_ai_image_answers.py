"""The examples of document 000 against the models of answers: no member is missing and none is too many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from schemas.wire import ai_image as wire

JOB = "job_abc123def456"
URLS = {"imageUrl": "https://x/output.webp", "originalUrl": "https://x/original.jpg"}
TIMES = {"createdAt": "2025-01-15T10:30:00.000Z", "completedAt": "2025-01-15T10:30:15.000Z"}
ROW = {"id": JOB, "status": "succeeded", "model": "real-esrgan", **TIMES, **URLS}
USAGE = {"used": 1, "limit": 10, "resetAt": None}
LIMITS = {"user": 20, "guest": 3}
GENERATED = {
    "jobId": JOB,
    "model": "real-esrgan",
    **URLS,
    "usage": USAGE,
    "limits": LIMITS,
    "entitlements": {"dailyBurstCap": 10, "monthlyImages": 100, "maxUpscale": 4, "faceEnhance": True},
    "charge": {"type": "free", "amount": 0},
}
DETAIL = {
    **ROW,
    "scale": 4,
    "faceEnhance": False,
    "prompt": None,
    "startedAt": "2025-01-15T10:30:02.000Z",
    "errorMessage": None,
    "provider": "replicate",
    "providerJobId": "abc123def456",
    "inputSize": 2048576,
    "outputSize": 8192004,
}
EXAMPLES: list[tuple[type[BaseModel], Mapping[str, Any]]] = [
    (wire.GenerateAnswer, GENERATED),
    (wire.PendingAnswer, {**GENERATED, "imageUrl": None, "status": "queued"}),
    (wire.UsageAnswer, {"ownerType": "guest", "usage": {**USAGE, "limit": 3}, "limits": LIMITS}),
    (wire.JobsAnswer, {"jobs": [ROW], "total": 1, "hasMore": False}),
    (wire.JobAnswer, DETAIL),
    (wire.CancelAnswer, {"id": JOB, "status": "canceled", "canceledAt": "2025-01-15T10:35:00.000Z"}),
]


@pytest.mark.parametrize(("model", "data"), EXAMPLES, ids=[model.__name__ for model, _ in EXAMPLES])
def test_the_documents_examples_are_answers_of_its_models(model: type[BaseModel], data: Mapping[str, Any]) -> None:
    model.model_validate({"success": True, "data": data})
    for name in data:
        with pytest.raises(ValidationError):
            model.model_validate({"success": True, "data": {key: data[key] for key in data if key != name}})
    with pytest.raises(ValidationError):
        model.model_validate({"success": True, "data": {**data, "more": 1}})

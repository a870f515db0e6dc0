"""Idempotency keys: one job for each, however often it is sent at once; another account's key says nothing."""

from __future__ import annotations

import asyncio
import re
import uuid
from typing import Any

import httpx
import pytest

from infra.http.routing import Operation
from tests.hostile.entries import OPERATIONS, asked, check_answer, client_of, headers_for, path_of
from tests.hostile.keys import SENDS, accounts, count_events, is_one_each, send_keys
from tests.hostile.picture_damage import good
from tests.hostile.watch import Watch
from tests.stack import Stack

_KEYS = 200
_ID = re.compile(r"[a-z]+_[a-z2-7]{26}")
_FORMS: dict[str, tuple[str, dict[str, str]]] = {
    "upload-asset": ("file", {}),
    "ai-image-generate": ("image", {"model": "real-esrgan", "scale": "2"}),
    "spike-land-upload": ("file", {}),
    "spike-land-batch-upload": ("files", {}),
    "studio-generate": ("image", {"model": "flux", "prompt": "a lake"}),
    "studio-generate-form": ("image", {"model": "flux", "prompt": "a lake"}),
}
_BODIES: dict[str, dict[str, Any]] = {
    "submit-job": {"model": "sandbox/echo"},
    "submit-batch": {"jobs": [{"model": "sandbox/echo"}]},
    "create-album": {"name": "Mine"},
    "pix-loom-generate": {"operationType": "colorization"},
    "workspace-images-generate": {"prompt": "a lake", "model": "dall-e-2", "provider": "openai", "size": "256x256"},
}
MAKERS = [row for row in OPERATIONS if row.name in {**_FORMS, **_BODIES}]


def test_every_key_makes_one_job_and_one_charge(stack: Stack, watch: Watch) -> None:
    names, tokens = accounts(stack, 4, _KEYS)
    assert len(names) == 4
    sent = asyncio.run(send_keys(stack, tokens, _KEYS))
    assert sum(sent.statuses.values()) == _KEYS * SENDS
    kinds = count_events(stack, set(sent.jobs.values()))
    assert is_one_each(sent, _KEYS, kinds), (sent.statuses, sent.split, kinds)


def test_every_operation_that_makes_something_is_among_them() -> None:
    """What takes a form with a picture makes something of it; so do those that answer 201."""
    making = {row.name for row in OPERATIONS if row.body is not None and row.body.media.startswith("multipart")}
    assert making <= {*_FORMS}


async def _made(client: httpx.AsyncClient, operation: Operation, key: str) -> httpx.Response:
    headers = {"Idempotency-Key": key}
    if operation.name in _BODIES:
        body = _BODIES[operation.name]
        return await asked(client, "POST", path_of(operation), json=body, headers=headers)
    field, texts = _FORMS[operation.name]
    files = {field: ("a.jpg", good("jpeg"), "image/jpeg")}
    return await asked(client, "POST", path_of(operation), data=texts, files=files, headers=headers)


def _telling(answer: httpx.Response) -> str:
    return " ".join([answer.text, *answer.headers.get_list("location"), *answer.headers.get_list("set-cookie")])


@pytest.mark.parametrize("operation", MAKERS, ids=lambda row: row.name)
async def test_another_accounts_key_tells_nothing_and_hinders_nothing(stack: Stack, operation: Operation) -> None:
    key, told = f"order-{uuid.uuid4()}", []
    for number in range(2):
        subject = f"replay-{number}-{uuid.uuid4()}"
        headers = headers_for(stack, operation, subject)
        if operation.name in ("submit-job", "submit-batch", "workspace-images-generate"):
            payer = headers.get("X-Workspace-Id", subject)
            product = "darkroom" if operation.surface is None else operation.surface.product
            assert stack.darkroom("grant", "--account", f"{product}:{payer}", "50").returncode == 0
        async with client_of(stack, headers) as client:
            first, again = await _made(client, operation, key), await _made(client, operation, key)
            for answer in (first, again):
                check_answer(operation, answer)
                assert answer.status_code < 400, answer.text[:300]
            told.append((set(_ids(_telling(first))), set(_ids(_telling(again)))))
    (own, own_again), (others, _) = told
    assert own == own_again or operation.name == "studio-generate-form", "a repeat names what the first one made"
    assert not own & others, "another account is told of what it did not make"


def _ids(text: str) -> list[str]:
    """The ids in an answer; whose account it is stands in links, and is no id of anything made."""
    return [found for found in _ID.findall(text) if not found.startswith("acct_")]

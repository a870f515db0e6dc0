"""What clients of the native API send in the bench: many accounts, each with a token of its own."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from inspect import signature

import httpx
import msgspec

from infra.http.signing_keys import KeyFolder
from infra.http.tokens import sign_token
from infra.settings import Settings
from ingest.ports import IngestPorts
from tests.bench.load import Load, Result, Shape, run_load
from tests.bench.measure import check

TOKEN_TTL_S = 3600
_DECISION_WAIT_S = float(signature(IngestPorts).parameters["decision_wait_s"].default)


def tokens(settings: Settings, count: int, product: str = "darkroom", workspace: str | None = None) -> list[str]:
    """Bearer tokens of as many accounts, or of as many users, each of a workspace of its own."""
    keys = KeyFolder(settings.secrets_dir / "jwt")
    now_s = int(time.time())
    return [
        sign_token(
            keys,
            settings.deployment,
            product,
            f"bench-{number}",
            now_s=now_s,
            ttl_s=TOKEN_TTL_S,
            workspace=workspace and str(uuid.uuid5(uuid.UUID(workspace), str(number))),
        )
        for number in range(count)
    ]


def submit(token: str, body: object, prefer: str | None = None) -> Shape:
    """``POST /v1/jobs``."""
    headers = [f"Authorization: Bearer {token}", "Content-Type: application/json"]
    if prefer is not None:
        headers.append(f"Prefer: {prefer}")
    return Shape("POST", "/v1/jobs", tuple(headers), msgspec.json.encode(body).decode())


def upload(port: int, token: str, content: bytes) -> str:
    """Upload a picture; the id of its asset."""
    answer = httpx.post(
        f"http://127.0.0.1:{port}/v1/assets",
        headers={"Authorization": f"Bearer {token}"},
        files={"file": ("input", content)},
        timeout=30,
    )
    check(answer.status_code == 201, f"an upload was answered with {answer.status_code}: {answer.text[:300]}")
    return str(answer.json()["id"])


def measured(load: Load, status: int) -> Result:
    """Run the load; every answer must have the status."""
    result = run_load(load)
    check(result.requests > 0, f"{load.key}: no answer at all")
    check(result.only(status), f"{load.key}: answers were {result.statuses}, not all {status}: {result.first_other}")
    return result


def turned_away(result: Result, status: int) -> int:
    """How many requests were turned away (429, 503); some must not have been, and all those must have the status."""
    away = sum(result.statuses.get(refusal, 0) for refusal in ("429", "503"))
    done = result.statuses.get(str(status), 0)
    check(done > 0 and done + away == result.requests, f"answers were {result.statuses}: {result.first_other}")
    return away


def all_decided(result: Result) -> Result:
    """The result; every answer came too soon to be one that could not wait for its decision any longer."""
    latest_ms = max(result.latencies_ms)
    check(latest_ms < 1000 * _DECISION_WAIT_S, f"an answer came after {latest_ms:.0f} ms, maybe without a decision")
    return result


def shapes(of: Sequence[str], body: object, prefer: str | None = None) -> tuple[Shape, ...]:
    """The same submit for each token."""
    return tuple(submit(token, body, prefer) for token in of)

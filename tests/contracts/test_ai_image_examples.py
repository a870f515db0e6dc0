"""The curl lines of document 000 as it has them, sent to the running stack.

What is not in a line is added: a user's token, or a guest's own cookie; the address and the Origin are the stack's, the
files are pictures, and the ids those of jobs that exist.
"""

from __future__ import annotations

import shlex
import uuid
from typing import Any

import httpx
import pytest

from schemas.wire import ai_image as wire
from tests.contracts.ai_image_client import LIMIT_S, PRODUCT, Clients, Owner, data, error, fresh_picture
from tests.stack import Stack

DOCUMENTED = "http://127.0.0.1:8787"
UPSCALE = """
curl -X POST \\
  -H "X-CSRF-Token: 123" \\
  -H "Cookie: csrf_token=123" \\
  -H "Origin: http://127.0.0.1:8787" \\
  -F "model=real-esrgan" \\
  -F "scale=4" \\
  -F "image=@mein-bild.jpg;type=image/jpeg" \\
  http://127.0.0.1:8787/api/ai-image/generate
"""
FACES = """
curl -X POST \\
  -H "X-CSRF-Token: 123" \\
  -H "Cookie: csrf_token=123" \\
  -H "Origin: http://127.0.0.1:8787" \\
  -F "model=codeformer" \\
  -F "face_enhance=true" \\
  -F "prompt=schönes porträt, professionelle beleuchtung" \\
  -F "strength=0.8" \\
  -F "image=@portrait.jpg;type=image/jpeg" \\
  http://127.0.0.1:8787/api/ai-image/generate
"""
USAGE = """
curl "http://127.0.0.1:8787/api/ai-image/usage" \\
  -H "Cookie: guest_id=abc123"
"""
JOBS = """
curl "http://127.0.0.1:8787/api/ai-image/jobs?status=succeeded&limit=10" \\
  -H "Cookie: guest_id=abc123"
"""
JOB = """
curl "http://127.0.0.1:8787/api/ai-image/jobs/job_abc123def456" \\
  -H "Cookie: guest_id=abc123"
"""
CANCEL = """
curl -X POST "http://127.0.0.1:8787/api/ai-image/jobs/job_abc123def456/cancel" \\
  -H "X-CSRF-Token: 123" \\
  -H "Cookie: csrf_token=123" \\
  -H "Origin: http://127.0.0.1:8787"
"""
FILES = {"mein-bild.jpg": fresh_picture(1), "portrait.jpg": fresh_picture(2, 60, 80)}


async def curl(line: str, client: httpx.AsyncClient) -> httpx.Response:
    """Do what curl does with the line: -X, -H and -F, a file for `@name`."""
    here = line.replace(DOCUMENTED, str(client.base_url).rstrip("/")).replace("\\\n", " ")
    words = iter(shlex.split(here)[1:])
    method, url, headers, parts = "GET", "", {}, []
    for word in words:
        match word:
            case "-X":
                method = next(words)
            case "-H":
                name, _, value = next(words).partition(": ")
                headers[name] = value
            case "-F":
                parts.append(part(next(words)))
            case _:
                url = word
    return await client.request(method, url, headers=headers, files=parts or None, timeout=LIMIT_S)


def part(text: str) -> tuple[str, Any]:
    """A part of a form as curl's -F writes it."""
    name, _, value = text.partition("=")
    if not value.startswith("@"):
        return name, (None, value.encode())
    file, _, kind = value[1:].partition(";type=")
    return name, (file, FILES[file], kind)


@pytest.fixture
def user(stack: Stack, http: Clients) -> httpx.AsyncClient:
    """A user with a token, who waits longer than the plan says: test machines are busy."""
    token = stack.token(f"user-{uuid.uuid4()}", product=PRODUCT)
    return http(Authorization=f"Bearer {token}", Prefer="wait=80")


@pytest.mark.contract("000", "POST /api/ai-image/generate", "Beispiel-Requests: Einfaches 4x Upscaling")
async def test_upscaling_four_times(user: httpx.AsyncClient) -> None:
    told = data(await curl(UPSCALE, user))
    assert (told["model"], told["usage"]["used"]) == ("real-esrgan", 1)


@pytest.mark.contract("000", "POST /api/ai-image/generate", "Beispiel-Requests: Gesichtsverbesserung mit Prompt")
async def test_faces_with_a_prompt(user: httpx.AsyncClient) -> None:
    assert data(await curl(FACES, user))["model"] == "codeformer"


@pytest.mark.contract("000", "POST /api/ai-image/generate", "Beispiel-Requests: Einfaches 4x Upscaling")
async def test_a_guest_sends_the_same_lines(http: Clients) -> None:
    answer = await curl(UPSCALE, http(Prefer="wait=80"))
    assert data(answer)["usage"] == {"used": 1, "limit": 3, "resetAt": None}
    assert answer.headers["x-usage-ownertype"] == "guest"
    assert error(await curl(FACES, http()), 403, "forbidden")["message"].startswith("Gesichtsverbesserung")


@pytest.mark.contract("000", "GET /api/ai-image/usage", "Beispiel-Request")
async def test_usage_of_the_guest_of_the_document(http: Clients) -> None:
    told = data(await curl(USAGE, http()), wire.UsageAnswer)
    assert (told["ownerType"], told["usage"]["limit"]) == ("guest", 3)


@pytest.mark.contract("000", "GET /api/ai-image/jobs", "Beispiel-Request (2)")
async def test_the_list_and_a_job_of_a_guest(stack: Stack, http: Clients) -> None:
    name = uuid.uuid4().hex
    made = data(await Owner(stack, http, guest=name).generate())["jobId"]
    told = data(await curl(JOBS.replace("abc123", name), http()), wire.JobsAnswer)
    assert [job["id"] for job in told["jobs"]] == [made]
    line = JOB.replace("guest_id=abc123", f"guest_id={name}")
    assert data(await curl(line.replace("job_abc123def456", made), http()), wire.JobAnswer)["id"] == made
    error(await curl(line, http()), 404, "not_found")


@pytest.mark.contract("000", "GET /api/ai-image/jobs/{id}", "Beispiel-Request (3)")
async def test_a_job_by_the_line_with_a_token(user: httpx.AsyncClient) -> None:
    made = data(await curl(UPSCALE, user))["jobId"]
    told = data(await curl(JOB.replace("job_abc123def456", made), user), wire.JobAnswer)
    assert (told["id"], told["scale"]) == (made, 4)


@pytest.mark.contract("000", "POST /api/ai-image/jobs/{id}/cancel", "Beispiel-Request (4)")
async def test_a_cancel(user: httpx.AsyncClient) -> None:
    pending = await user.post(
        "/v1/jobs", json={"model": "sandbox/slow", "params": {"seconds": 20}}, headers={"Prefer": ""}
    )
    job = pending.json()["id"]
    told = data(await curl(CANCEL.replace("job_abc123def456", job), user), wire.CancelAnswer)
    assert (told["id"], told["status"]) == (job, "canceled")

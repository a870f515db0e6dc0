"""The writing side as people of document 004 meet it, with a decider that plays along and an administrator."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from pydantic import BaseModel

from infra.http.google import GoogleVerifier
from infra.http.limits import LimitSettings
from infra.http.login import Logins
from infra.http.passwords import AdminPassword
from infra.http.tokens import sign_token
from infra.postgres.outcomes import KnownAsset
from schemas import commands as cmd
from schemas.commands import Envelope, StoredObject
from schemas.identifiers import account_id
from schemas.replies import AnyAnswer, AssetAccepted, AssetDeletion, JobDecided, JobEndedAnswer
from schemas.wire.studio_errors import ErrorAnswer
from tests.http.fakes import DEPLOYMENT, IDENTIFIER_KEY, NOW_MS, Side, make_side
from tests.pictures import encoded, scene

ACCOUNT = account_id(IDENTIFIER_KEY, "studio", "ada")
PASSWORD = "correct horse battery"
PICTURE, MASK = encoded(scene(80, 60)), encoded(scene(80, 60, seed=1), "PNG")
IMAGE_OBJECT = StoredObject("k/image", 2048, "aa", "png", 1024, 1024)
VIDEO_OBJECT = StoredObject("k/video", 4096, "bb", "mp4", 320, 240, 3000)
STILL = StoredObject("k/still", 512, "cc", "jpeg", 320, 240)
Ends = Callable[[str], JobEndedAnswer | None]


def image(job: str) -> JobEndedAnswer:
    asset = job.replace("job_", "asset_")
    return JobEndedAnswer(job, "succeeded", 0, 0, asset, IMAGE_OBJECT, number=123, ended_ms=NOW_MS)


def video(job: str) -> JobEndedAnswer:
    asset = job.replace("job_", "asset_")
    return JobEndedAnswer(job, "succeeded", 0, 0, asset, VIDEO_OBJECT, thumbnail=STILL, number=124, ended_ms=NOW_MS)


def fails(status: str = "failed", reason: str | None = "model-failed") -> Ends:
    return lambda job: JobEndedAnswer(job, status, 0, 0, reason=reason, ended_ms=NOW_MS)


def decides(ends: Ends, job: str | None = None) -> Callable[[Envelope], Sequence[AnyAnswer]]:
    """A decider that accepts all; `ends` tells how a job ends, None: not yet. `job` is the one that a repeat gets."""

    def script(envelope: Envelope) -> Sequence[AnyAnswer]:
        match envelope.command:
            case cmd.RegisterAsset() as command:
                return [AssetAccepted(command.asset, 1, command.object, NOW_MS)]
            case cmd.SubmitJob() as command:
                made = job or command.job
                end = ends(made)
                return [JobDecided(made, "accepted", 0, 0), *([] if end is None else [end])]
            case cmd.DeleteAsset() as command:
                return [AssetDeletion(command.asset, command.cancel_jobs, 0)]
            case _:
                raise AssertionError(envelope)

    return script


@asynccontextmanager
async def open_studio(
    root: Path, *, google: GoogleVerifier | None = None, limits: LimitSettings | None = None
) -> AsyncIterator[Side]:
    """The writing side without a token; jobs succeed with an image."""
    side, admin = make_side(root, limits=limits), AdminPassword(PASSWORD)
    side.ports[Logins] = Logins(google, admin, side.keys, DEPLOYMENT, IDENTIFIER_KEY, side.clock)
    del side.http.headers["Authorization"]
    side.decider.script = decides(image)
    try:
        async with side.http:
            yield side
    finally:
        admin.close()


def session(side: Side, subject: str = "ada", product: str = "studio") -> str:
    """A session token as `darkroom token --session` prints one."""
    now_s = side.clock.now_ms() // 1000
    return sign_token(side.keys, DEPLOYMENT, product, subject, now_s=now_s, ttl_s=30 * 86_400, idle_s=86_400)


def cookie(side: Side, subject: str = "ada", **more: str) -> dict[str, str]:
    """The headers of a browser that is logged in; `more` are other cookies."""
    cookies = {"session": session(side, subject), **more}
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}


async def ask(
    side: Side, method: str, path: str, headers: Mapping[str, str] | None = None, **more: Any
) -> httpx.Response:
    """A request with ada's cookie, unless `headers` are given; no cookies but those."""
    side.http.cookies.clear()
    return await side.http.request(method, path, headers=cookie(side) if headers is None else headers, **more)


async def generate(
    side: Side,
    fields: Mapping[str, str],
    headers: Mapping[str, str] | None = None,
    **files: bytes,
) -> httpx.Response:
    """POST /api/generate as a browser or curl sends it."""
    parts: dict[str, Any] = {name: (None, value) for name, value in fields.items()}
    parts |= {name: (f"{name}.jpg", content, "image/jpeg") for name, content in files.items()}
    return await ask(side, "POST", "/api/generate", headers, files=parts or {"x": (None, "")})


def told(answer: httpx.Response, model: type[BaseModel], status: int = 200) -> dict[str, Any]:
    """The document, once it has been held against its model."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    model.model_validate(answer.json())
    document: dict[str, Any] = answer.json()
    return document


def error(answer: httpx.Response, status: int) -> str:
    """The sentence of an `ErrorAnswer`."""
    return str(told(answer, ErrorAnswer, status)["error"])


def commands(side: Side, kind: type[Any] = object) -> list[Any]:
    """The commands of this kind on the log."""
    return [envelope.command for envelope in side.decider.envelopes if isinstance(envelope.command, kind)]


def deleted(side: Side) -> list[str]:
    """The assets whose deletion stands on the log."""
    return [command.asset for command in commands(side, cmd.DeleteAsset)]


def has_result(side: Side, number: int, stored: StoredObject = IMAGE_OBJECT, account: str = ACCOUNT) -> str:
    """Let the read models know a result; its asset."""
    asset = f"asset_{number:026d}"
    known = KnownAsset(object=stored, position="1.0.0.0", number=number, asset=asset, job="job_x")
    side.read_side.assets[account, asset] = known
    return asset

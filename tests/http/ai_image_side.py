"""The writing side as users and guests of POST /api/ai-image meet it, with a decider that plays along."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from infra.http.limits import LimitSettings
from infra.http.tokens import sign_token
from infra.plans import load_plan
from infra.postgres.spending import Spending
from infra.settings import Settings
from schemas.amounts import DAY_MS
from schemas.commands import DeleteAsset, EngineRun, Envelope, RegisterAsset, StoredObject, SubmitJob
from schemas.event_base import WindowUse
from schemas.identifiers import account_id
from schemas.replies import AnyAnswer, AssetAccepted, JobDecided, JobEndedAnswer
from tests.http.fakes import DEPLOYMENT, IDENTIFIER_KEY, NOW_MS, Side, make_side
from tests.pictures import encoded, scene

PLAN = load_plan(Settings())
RESULT = StoredObject("acct/job/1", 2048, "aa", "webp", 320, 240)
RUN = EngineRun("classical_upscale", "1", "req-7")
TODAY_MS = NOW_MS - NOW_MS % DAY_MS
MONTH_MS = TODAY_MS - 14 * DAY_MS  # 2027-01-15
PICTURE = encoded(scene(80, 60))
Ends = Callable[[str], JobEndedAnswer | None]


def make_enhancer(folder: Path, limits: LimitSettings | None = None) -> Side:
    """The writing side without a token; every job is accepted and succeeds."""
    side = make_side(folder, limits=limits)
    del side.http.headers["Authorization"]
    side.decider.script = decides(succeeds)
    side.read_side.unopened = Spending(plan=PLAN)
    return side


def decides(
    ends: Ends,
    job: str | None = None,
    windows: tuple[WindowUse, ...] = (),
    plan: str = "",
    plan_version: int = PLAN.version,
) -> Callable[[Envelope], Sequence[AnyAnswer]]:
    """A decider that accepts all; `ends` tells how a job ends, None: not yet. `job` is the one that a repeat gets."""

    def script(envelope: Envelope) -> Sequence[AnyAnswer]:
        match envelope.command:
            case RegisterAsset() as command:
                return [AssetAccepted(command.asset, 1, command.object)]
            case SubmitJob() as command:
                made = job or command.job
                end = ends(made)
                decided = JobDecided(made, "accepted", 0, 0, 0, windows, plan, plan_version)
                return [decided, *([] if end is None else [end])]
            case _:
                return []

    return script


def succeeds(job: str) -> JobEndedAnswer:
    asset = job.replace("job_", "asset_")
    return JobEndedAnswer(job, "succeeded", 0, 0, asset, RESULT, run=RUN, number=2, ended_ms=NOW_MS)


def user(side: Side, subject: str = "ada", plan: str = "default") -> dict[str, str]:
    """The headers of a user."""
    given: dict[str, Any] = {"now_s": NOW_MS // 1000, "ttl_s": 3600, "plan": plan}
    return {"Authorization": f"Bearer {sign_token(side.keys, DEPLOYMENT, 'ai-image', subject, **given)}"}


def guest(name: str) -> dict[str, str]:
    """The headers of a guest who sends what the document asks for."""
    return {"Cookie": f"guest_id={name}; csrf_token=123", "X-CSRF-Token": "123", "Origin": "http://darkroom.test"}


def account(subject: str) -> str:
    return account_id(IDENTIFIER_KEY, "ai-image", subject)


def used(day: int, month: int = 0, plan_name: str = "default") -> Spending:
    """What the read models say of an account."""
    return Spending(plan=PLAN, plan_name=plan_name, windows=[("day", TODAY_MS, day), ("month", MONTH_MS, month)])


async def generate(
    side: Side, headers: dict[str, str], fields: dict[str, str] | None = None, image: Any = PICTURE
) -> httpx.Response:
    """POST generate; without fields real-esrgan; without an image no file; no cookies but those of `headers`."""
    side.http.cookies.clear()
    data = {"model": "real-esrgan"} if fields is None else fields
    files = {} if image is None else {"image": ("bild.jpg", image, "image/jpeg")}
    if files:
        return await side.http.post("/api/ai-image/generate", data=data, files=files, headers=headers)
    parts = {name: (None, value) for name, value in data.items()} or {"x": (None, "")}
    return await side.http.post("/api/ai-image/generate", files=parts, headers=headers)


def commands(side: Side, kind: type[Any]) -> list[Any]:
    """The commands of this kind on the log."""
    return [envelope.command for envelope in side.decider.envelopes if isinstance(envelope.command, kind)]


def deleted(side: Side) -> list[str]:
    """The assets that were taken back."""
    return [command.asset for command in commands(side, DeleteAsset)]


def error(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """The document's error of an answer."""
    assert answer.status_code == status, answer.text
    document = answer.json()
    assert document.keys() == {"success", "error"}
    assert document["success"] is False
    found: dict[str, Any] = document["error"]
    assert found["type"] == kind
    return found

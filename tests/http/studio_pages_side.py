"""The reading side as people of document 004's pages meet it: the story of ada, from events on."""

from __future__ import annotations

from typing import Any

import httpx
from msgspec.structs import replace

from infra.sealing.cipher import seal
from infra.sealing.content import JOB, JobSecrets, encode_secrets
from schemas import events as ev
from schemas.asset_events import AssetDeleted
from schemas.commands import StoredObject
from tests.http.fakes import NOW_MS
from tests.http.reading import Reading, accepted
from tests.pages import Page, page_of

PRODUCT = "studio"


class Studio:
    """The reading side, and the story of ada."""

    def __init__(self, side: Reading) -> None:
        self.side, self.account, self.jobs, self.numbers = side, side.account("ada", PRODUCT), 0, 0
        self.say(ev.AccountOpened("default", 1, None))

    def say(self, *data: ev.AnyEvent, subject: str = "ada", time_ms: int = NOW_MS) -> None:
        self.side.log.say(self.side.account(subject, PRODUCT), *data, product=PRODUCT, time_ms=time_ms)

    async def begun(self, prompt: str = "a lighthouse", model: str = "flux", **params: Any) -> str:
        """A generation that waits; its job."""
        self.jobs += 1
        job = "job_" + f"{self.jobs:b}".replace("0", "a").replace("1", "b").rjust(26, "a")
        texts: dict[str, str] = {"prompt": prompt} if prompt else {}
        key = await self.side.ring.key_for(self.account)
        sealed = seal(key, self.account, JOB, encode_secrets(JobSecrets(None, texts)))
        made = replace(accepted(job, sealed=sealed, model=model), params=params, input=None)
        window = ev.WindowUse("day", NOW_MS - NOW_MS % 86_400_000, 1)
        self.say(made, ev.CreditsReserved(job, 0, (window,), 1, 0))
        return job

    async def made(self, prompt: str = "a lighthouse", *, kind: str = "png", model: str = "flux") -> int:
        """A result; its number."""
        job = await self.begun(prompt, model, size="512x512", seed=7)
        self.numbers += 1
        is_video = kind == "mp4"
        stored = StoredObject(f"{job}/1", 2_345_678, "ab" * 32, kind, 640, 480, 3_000 if is_video else 0)
        still = StoredObject(f"{job}/2", 999, "cd" * 32, "jpeg", 640, 480) if is_video else None
        done = ev.JobSucceeded(job, 1, job.replace("job_", "asset_"), self.numbers, stored, 5, still)
        self.say(done, ev.CreditsCaptured(job, 0, 0, 0))
        return self.numbers

    def deleted(self, job: str) -> None:
        self.say(AssetDeleted(job.replace("job_", "asset_"), "deleted", None))

    async def get(self, path: str, subject: str = "ada", **headers: str) -> httpx.Response:
        token = self.side.bearer(subject, PRODUCT)["authorization"].removeprefix("Bearer ")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.side.http.get(path, headers={"cookie": f"session={token}", **named})

    async def page(self, path: str, status: int = 200, subject: str = "ada") -> Page:
        return page_of(await self.get(path, subject), status)

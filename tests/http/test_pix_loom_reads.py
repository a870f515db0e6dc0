"""GET generation, history and stats of document 001, from events to answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from infra.ids import SeededIds
from infra.postgres.outcomes import shown_elsewhere
from infra.sealing.cipher import seal
from infra.sealing.content import JOB, JobSecrets, encode_secrets
from infra.settings import Settings
from schemas import events as ev
from schemas.amounts import DAY_MS
from schemas.wire import pix_loom as wire
from schemas.wire.pix_loom_errors import OPERATIONS, ErrorAnswer
from tests.http.fakes import NOW_MS
from tests.http.reading import BASE_URL, Reading, accepted, open_reading, opening, stored

SUBJECT = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"
NOT_FOUND = {"error": "未找到", "message": "生成未找到或访问被拒绝"}
URL = "https://example.com/original.jpg"


class Loom:
    """The reading side, and the story of one account."""

    def __init__(self, side: Reading) -> None:
        self.side, self.account = side, side.account(SUBJECT, "pix-loom")
        self.credits, self.results, self.ids = 50, 0, SeededIds(5)
        side.log.say(self.account, *opening(50), product="pix-loom")

    def say(self, *data: ev.AnyEvent, time_ms: int = NOW_MS) -> None:
        self.side.log.say(self.account, *data, product="pix-loom", time_ms=time_ms)

    async def sealed(self, record: dict[str, Any]) -> str:
        key = await self.side.ring.key_for(self.account)
        return seal(key, self.account, JOB, encode_secrets(JobSecrets(record, {})))

    def accept(
        self, operation: str = "colorization", *, sealed: str | None = None, time_ms: int = NOW_MS, source: str = ""
    ) -> str:
        """A job of the account; its id."""
        job = self.ids.mint("job")
        made = replace(accepted(job, sealed=sealed, model=operation), input=source or f"asset_of_{job}")
        self.credits -= 1
        self.say(made, ev.CreditsReserved(job, 1, (), 1, self.credits), time_ms=time_ms)
        return job

    def succeed(self, job: str, time_ms: int = NOW_MS + 2_340) -> str:
        """The job succeeds; its result."""
        asset = job.replace("job_", "asset_")
        result = stored(f"{job}/1", b"x", "ab" * 32)
        self.say(ev.AttemptReleased(job, 1, 0, 0), ev.JobStarted(job, 1, "d", 0), time_ms=time_ms - 100)
        self.results += 1
        made = ev.JobSucceeded(job, 1, asset, self.results, result, 5)
        self.say(made, ev.CreditsCaptured(job, 1, 1, self.credits), time_ms=time_ms)
        return asset

    def fail(self, job: str, time_ms: int = NOW_MS + 2_340) -> None:
        self.credits += 1
        released = ev.CreditsReleased(job, 1, (), "failed", self.credits)
        self.say(ev.JobFailed(job, None, "engine-unavailable", "Nobody."), released, time_ms=time_ms)

    def hide(self, job: str) -> None:
        self.say(ev.JobHidden(job, False, self.credits, None))

    async def get(self, path: str, subject: str = SUBJECT, **params: Any) -> httpx.Response:
        return await self.side.get(f"/api/ai/{path}", subject, "pix-loom", params)

    async def data(self, path: str, model: Any, **params: Any) -> dict[str, Any]:
        """The answer's data, once the answer has been held against its model."""
        answer = await self.get(path, **params)
        assert answer.status_code == 200, answer.text
        model.model_validate(answer.json())
        told: dict[str, Any] = answer.json()["data"]
        return told

    async def generation(self, job: str) -> dict[str, Any]:
        return await self.data(f"generation/{job.replace('job_', 'gen_')}", wire.DetailAnswer)

    async def history(self, **params: Any) -> dict[str, Any]:
        return await self.data("history", wire.HistoryAnswer, **params)

    async def stats(self) -> dict[str, Any]:
        return await self.data("stats", wire.StatsAnswer)


@pytest.fixture
async def loom(postgres: Settings, tmp_path: Path) -> AsyncIterator[Loom]:
    async with open_reading(postgres, tmp_path) as side:
        yield Loom(side)


async def test_a_completed_generation_shows_every_documented_member(loom: Loom) -> None:
    sealed = await loom.sealed({"originalImageUrl": URL, "metadata": {"filename": "vintage_photo.jpg"}})
    job = loom.accept(sealed=sealed)
    asset = loom.succeed(job)
    told = await loom.generation(job)
    link = told.pop("generatedImageUrl")
    assert link.startswith(f"{BASE_URL}/v1/media/{loom.account}/{asset}?expires=")
    assert told == {
        "id": job.replace("job_", "gen_"),
        "originalImageUrl": URL,
        "operationType": "colorization",
        "status": "completed",
        "creditsConsumed": 1,
        "processingTimeMs": 2_340,
        "errorMessage": None,
        "metadata": {"filename": "vintage_photo.jpg"},
        "createdAt": "2027-01-15T08:00:00.000Z",
        "updatedAt": "2027-01-15T08:00:02.340Z",
    }


async def test_each_state_in_the_documents_words(loom: Loom) -> None:
    job = loom.accept()
    pending = await loom.generation(job)
    assert (pending["status"], pending["creditsConsumed"], pending["processingTimeMs"]) == ("pending", 1, None)
    assert (pending["generatedImageUrl"], pending["metadata"]) == (None, None)
    loom.say(ev.AttemptReleased(job, 1, 0, 0), time_ms=NOW_MS + 5)
    assert (await loom.generation(job))["status"] == "pending"
    loom.say(ev.JobStarted(job, 1, "d", 0), time_ms=NOW_MS + 7)
    processing = await loom.generation(job)
    assert (processing["status"], processing["updatedAt"]) == ("processing", "2027-01-15T08:00:00.007Z")
    loom.fail(job)
    failed = await loom.generation(job)
    assert (failed["status"], failed["errorMessage"]) == ("failed", "AI 服务不可用")
    assert (failed["creditsConsumed"], failed["processingTimeMs"]) == (0, 2_340)


async def test_canceled_and_expired_ones_have_failed(loom: Loom) -> None:
    one, two = loom.accept(), loom.accept()
    loom.say(ev.JobCanceled(one, 50, None), ev.CreditsReleased(one, 1, (), "canceled", 50))
    loom.say(ev.JobExpired(two), ev.CreditsReleased(two, 1, (), "expired", 50))
    told = [await loom.generation(job) for job in (one, two)]
    assert [(one["status"], one["errorMessage"]) for one in told] == [("failed", "生成已取消"), ("failed", "排队超时")]


async def test_one_without_a_url_shows_the_picture_it_works_on(loom: Loom) -> None:
    job = loom.accept(sealed=await loom.sealed({"originalImageUrl": None, "metadata": None}), source="asset_sample")
    told = await loom.generation(job)
    assert told["originalImageUrl"].startswith(f"{BASE_URL}/v1/media/{loom.account}/asset_sample?expires=")


async def test_a_result_that_is_gone_has_no_link_and_an_erased_key_leaves_null(loom: Loom) -> None:
    job = loom.accept(sealed=await loom.sealed({"originalImageUrl": URL, "metadata": {"a": 1}}))
    loom.say(ev.AssetDeleted(loom.succeed(job), "deleted", None))
    assert (await loom.generation(job))["generatedImageUrl"] is None
    loom.side.key_store.erase(loom.account)
    assert (await loom.generation(job))["metadata"] is None


async def test_what_is_not_there_hidden_or_anothers_is_the_same_404(loom: Loom) -> None:
    job, other = loom.accept(), loom.accept("classical/upscale")
    generation = job.replace("job_", "gen_")
    answers = [await loom.get(f"generation/{generation}", "did:example:stranger")]
    loom.hide(job)
    for text in (generation, other.replace("job_", "gen_"), "gen_" + "z" * 26, "gen_x", job, "%00"):
        answers.append(await loom.get(f"generation/{text}"))
    assert [(answer.status_code, answer.json()) for answer in answers] == [(404, NOT_FOUND)] * 7


async def test_the_history_comes_by_page_the_newest_first(loom: Loom) -> None:
    jobs = [loom.accept(OPERATIONS[number % 4], time_ms=NOW_MS + number) for number in range(5)]
    loom.succeed(jobs[4])
    newest = [job.replace("job_", "gen_") for job in reversed(jobs)]
    told = await loom.history()
    assert [one["id"] for one in told["generations"]] == newest
    assert told["pagination"] == {"total": 5, "limit": 20, "offset": 0, "hasMore": False}
    first, *_ = told["generations"]
    assert first["generatedImageUrl"].startswith(BASE_URL)
    assert list(first) == [
        *("id", "originalImageUrl", "generatedImageUrl", "operationType", "status", "creditsConsumed"),
        *("processingTimeMs", "createdAt"),
    ]
    for offset, more in ((0, True), (3, False), (4, False), (5, False)):
        page = await loom.history(limit=2, offset=offset)
        assert [one["id"] for one in page["generations"]] == newest[offset : offset + 2]
        assert page["pagination"] == {"total": 5, "limit": 2, "offset": offset, "hasMore": more}


async def test_the_history_of_one_operation_has_statistics_of_all(loom: Loom) -> None:
    one, _ = loom.accept("restoration"), loom.accept("enhancement")
    told = await loom.history(operationType="restoration")
    assert [generation["id"] for generation in told["generations"]] == [one.replace("job_", "gen_")]
    assert (told["pagination"]["total"], told["statistics"]["totalGenerations"]) == (1, 2)


async def test_the_documents_example_15_generations_14_completed_15_credits(loom: Loom) -> None:
    jobs = [loom.accept() for _ in range(15)]
    for job in jobs[:14]:
        loom.succeed(job)
    statistics = {
        "totalGenerations": 15,
        "completedGenerations": 14,
        "totalCreditsSpent": 15,
        "successRate": 93.33,
    }
    assert (await loom.history())["statistics"] == statistics
    assert await loom.stats() == {**statistics, "recentActivity": 15, "period": "30 天"}


async def test_deleted_ones_leave_the_history_and_count_in_the_statistics(loom: Loom) -> None:
    one, two = loom.accept(), loom.accept()
    loom.succeed(one)
    loom.fail(two)
    before = await loom.stats()
    loom.hide(one)
    told = await loom.history()
    assert [generation["id"] for generation in told["generations"]] == [two.replace("job_", "gen_")]
    assert told["pagination"]["total"] == 1
    assert await loom.stats() == before == {**told["statistics"], "recentActivity": 2, "period": "30 天"}


async def test_spent_is_what_left_the_balance(loom: Loom) -> None:
    one, two, three, _ = (loom.accept() for _ in range(4))
    loom.succeed(one)
    loom.succeed(two)
    loom.fail(three)
    assert (await loom.stats())["totalCreditsSpent"] == 50 - loom.credits == 3
    loom.say(ev.CreditsRefunded(one, 1, (), 1, "wrong", loom.credits + 1, None))
    assert (await loom.stats())["totalCreditsSpent"] == 2
    assert (await loom.generation(one))["creditsConsumed"] == 0


async def test_other_models_of_the_account_are_no_generations(loom: Loom) -> None:
    loom.succeed(loom.accept("classical/upscale"))
    loom.accept("classical/upscale")
    told = await loom.history()
    assert (told["generations"], told["pagination"]["total"]) == ([], 0)
    assert told["statistics"] == {
        "totalGenerations": 0,
        "completedGenerations": 0,
        "totalCreditsSpent": 0,
        "successRate": 0.0,
    }


async def test_recent_are_those_of_the_last_30_days(loom: Loom) -> None:
    for days in (31, 30, 29, 0):
        loom.accept(time_ms=NOW_MS - days * DAY_MS - 1_000)
    told = await loom.stats()
    assert (told["totalGenerations"], told["recentActivity"]) == (4, 2)


async def test_somebody_new_has_an_empty_history_and_zeros(loom: Loom) -> None:
    answer = await loom.get("stats", "did:example:new")
    assert (answer.status_code, answer.json()["data"]["totalGenerations"]) == (200, 0)
    assert (await loom.get("history", "did:example:new")).json()["data"]["generations"] == []


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=ten", "limit"),
        ("limit=5&limit=6", "limit"),
        ("offset=-1", "offset"),
        ("operationType=upscale", "operationType"),
        ("limit=0&offset=x", "limit, offset"),
    ],
)
async def test_parameters_outside_their_range_are_400_naming_them(loom: Loom, query: str, named: str) -> None:
    headers = loom.side.bearer(SUBJECT, "pix-loom")
    answer = await loom.side.http.get(f"/api/ai/history?{query}", headers=headers)
    assert answer.status_code == 400, answer.text
    ErrorAnswer.model_validate(answer.json())
    assert (answer.json()["error"], answer.json()["details"]) == ("无效参数", named)


async def test_what_else_shows_a_picture(loom: Loom) -> None:
    one = loom.accept(source="asset_in")
    result = loom.succeed(one)
    two = loom.accept(source=result)
    readers = loom.side.readers
    assert not await shown_elsewhere(readers, loom.account, "asset_in", one)
    assert await shown_elsewhere(readers, loom.account, "asset_in", two)
    assert await shown_elsewhere(readers, loom.account, result, one)
    assert await shown_elsewhere(readers, loom.account, result, two)
    assert not await shown_elsewhere(readers, "acct_other", result, one)
    loom.hide(two)
    assert not await shown_elsewhere(readers, loom.account, result, one)

"""Document 002 on the running stack: enhancement in tiers, tokens, and the six statuses of a job."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from PIL import Image

from infra.triton.connection import Connection
from schemas.plans import RegenerationTerms
from schemas.wire import spike_land as wire
from tests.contracts.spike_land_client import SOME_IMAGE, Clients, SpikeUser, told, wrong
from tests.pictures import encoded, scene
from tests.stack import Stack

ENHANCE, TIERS, GET = "POST /api/images/enhance", "POST /api/images/parallel-enhance", "GET /api/images/{id}"
EDGES = {"TIER_1K": (2, 1024), "TIER_2K": (5, 2048), "TIER_4K": (10, 4096)}
STRIP = encoded(scene(256, 16))


@asynccontextmanager
async def without_engines(endpoint: str, *engines: str) -> AsyncIterator[None]:
    """Triton serves none of them for the block, however often a dispatcher loads them anew."""
    triton = Connection(endpoint)

    async def keep_away() -> None:
        while True:
            for engine in engines:
                await triton.unload(engine)
            await asyncio.sleep(0.05)

    for engine in engines:
        await triton.unload(engine)
    keeper = asyncio.create_task(keep_away())
    try:
        yield
    finally:
        keeper.cancel()
        await asyncio.wait([keeper])
        for engine in engines:
            await triton.load(engine)
        await triton.close()


@pytest.fixture
def user(stack: Stack, http: Clients) -> SpikeUser:
    return SpikeUser(stack, http)


@pytest.mark.contract("002", ENHANCE, "Success Response (200)")
@pytest.mark.parametrize("tier", EDGES)
async def test_each_tier_has_its_price_and_its_size(user: SpikeUser, tier: str) -> None:
    cost, edge = EDGES[tier]
    image = await user.image(STRIP)
    answer = told(await user.enhance(image, tier), wire.EnhanceAnswer)
    assert (answer["tokenCost"], answer["newBalance"]) == (cost, 100 - cost)
    assert await user.until(answer["jobId"]) == "succeeded"
    job = await user.job(image, answer["jobId"])
    assert (job["status"], job["tier"], job["tokensCost"]) == ("COMPLETED", tier, cost)
    assert (job["enhancedWidth"], job["enhancedHeight"]) == (edge, edge // 16)
    assert job["createdAt"] <= job["processingStartedAt"] <= job["processingCompletedAt"]
    content = (await user.http.get(job["enhancedUrl"])).content
    assert len(content) == job["enhancedSizeBytes"]
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.size == (edge, edge // 16)
    assert await user.balance() == 100 - cost


@pytest.mark.contract("002", ENHANCE, "Token System")
async def test_an_enhancement_never_shrinks(user: SpikeUser) -> None:
    image = await user.image(encoded(scene(1_200, 20)))
    job = await user.started(image, "TIER_1K")
    assert await user.until(job) == "succeeded"
    shown = await user.job(image, job)
    assert (shown["enhancedWidth"], shown["enhancedHeight"]) == (1_200, 20)


@pytest.mark.contract("002", ENHANCE, "Token System")
async def test_tokens_grow_back(user: SpikeUser) -> None:
    image = await user.image(STRIP)
    await user.under(regeneration=RegenerationTerms(units=1, every_ms=500, cap=100))
    await user.spend_down_to(20)
    await asyncio.sleep(1.6)
    assert told(await user.enhance(image), wire.EnhanceAnswer)["newBalance"] >= 20 + 2 - 2


@pytest.mark.contract("002", ENHANCE, "Insufficient Tokens Response (402)")
async def test_too_few_tokens_are_told_with_what_is_needed(user: SpikeUser) -> None:
    image = await user.image(STRIP)
    await user.spend_down_to(9)
    assert wrong(await user.enhance(image, "TIER_4K"), 402, "INSUFFICIENT_TOKENS") == {
        "error": "Insufficient tokens for this operation",
        "title": "Low Balance",
        "suggestion": "Purchase more tokens to continue",
        "code": "INSUFFICIENT_TOKENS",
        "required": 10,
    }
    assert await user.balance() == 9
    assert (await user.shown(image))["jobs"] == []
    assert (await user.enhance(image, "TIER_2K")).status_code == 200


@pytest.mark.contract("002", ENHANCE, "Validation Error (400)")
async def test_both_imageid_and_tier_are_needed(user: SpikeUser) -> None:
    for body in ({}, {"imageId": SOME_IMAGE}, {"tier": "TIER_1K"}):
        answer = await user.http.post("/api/images/enhance", json=body)
        assert wrong(answer, 400, "INVALID_INPUT") == {
            "error": "Invalid input",
            "title": "Bad Request",
            "suggestion": "Please provide both imageId and tier",
            "code": "INVALID_INPUT",
        }
    for tier in ("TIER_8K", "tier_1k", ""):
        assert "tier" in wrong(await user.enhance(SOME_IMAGE, tier), 400, "INVALID_INPUT")["suggestion"]
    for content in (b"", b"{", b"[]"):
        headers = {"Content-Type": "application/json"}
        wrong(await user.http.post("/api/images/enhance", content=content, headers=headers), 400, "INVALID_INPUT")


@pytest.mark.contract("002", ENHANCE, "Error Codes")
async def test_other_images_cannot_be_enhanced(user: SpikeUser, stack: Stack, http: Clients) -> None:
    owner = SpikeUser(stack, http)
    image = await owner.image()
    unknown = await user.enhance(SOME_IMAGE)
    private = await user.enhance(image)
    assert wrong(private, 404, "NOT_FOUND") == wrong(unknown, 404, "NOT_FOUND")
    await owner.native("POST", f"/v1/assets/{image.replace('img_', 'asset_')}:publish")
    wrong(await user.enhance(image), 403, "FORBIDDEN")
    wrong(await user.tiers(image, "TIER_1K"), 403, "FORBIDDEN")
    assert await user.balance() == 100


@pytest.mark.contract("002", ENHANCE, "Unauthorized (401)")
async def test_without_a_session_nothing_is_enhanced(http: Clients) -> None:
    for path in ("enhance", "parallel-enhance"):
        wrong(await http().post(f"/api/images/{path}", json={}), 401, "UNAUTHORIZED")


@pytest.mark.contract("002", ENHANCE, "Idempotency")
async def test_an_enhancement_under_a_key_is_one_job(user: SpikeUser) -> None:
    image = await user.image(STRIP)
    first = told(await user.enhance(image, Idempotency_Key="k"), wire.EnhanceAnswer)
    again = told(await user.enhance(image, Idempotency_Key="k"), wire.EnhanceAnswer)
    assert again == first
    wrong(await user.enhance(image, "TIER_2K", Idempotency_Key="k"), 409, "INVALID_INPUT")
    assert await user.balance() == 98
    waited = told(await user.enhance(image, Prefer="wait=80"), wire.EnhanceAnswer)
    assert (await user.job(image, waited["jobId"]))["status"] == "COMPLETED"


@pytest.mark.contract("002", TIERS, "Success Response (200)")
async def test_several_tiers_run_side_by_side(user: SpikeUser) -> None:
    image = await user.image(STRIP)
    answer = told(await user.tiers(image, *EDGES), wire.ParallelAnswer)
    assert [(job["tier"], job["tokenCost"]) for job in answer["jobs"]] == [(t, c) for t, (c, _) in EDGES.items()]
    assert (answer["totalCost"], answer["newBalance"]) == (17, 83)
    for job in answer["jobs"]:
        assert await user.until(job["jobId"]) == "succeeded"
    jobs = (await user.shown(image))["jobs"]
    assert {job["id"]: job["enhancedWidth"] for job in jobs} == {
        job["jobId"]: EDGES[job["tier"]][1] for job in answer["jobs"]
    }
    assert await user.balance() == 83


@pytest.mark.contract("002", TIERS, "Constraints")
async def test_all_tokens_are_taken_or_none(user: SpikeUser) -> None:
    image = await user.image(STRIP)
    await user.spend_down_to(16)
    answer = wrong(await user.tiers(image, *EDGES), 402, "INSUFFICIENT_TOKENS")
    assert (answer["required"], answer["title"]) == (17, "Low Balance")
    assert (await user.balance(), (await user.shown(image))["jobs"]) == (16, [])
    assert told(await user.tiers(image, "TIER_2K", "TIER_4K"), wire.ParallelAnswer)["newBalance"] == 1


@pytest.mark.contract("002", TIERS, "Constraints")
@pytest.mark.parametrize(
    "tiers", [[], ["TIER_1K"] * 2, [*EDGES, "TIER_1K"], ["TIER_8K"], ["TIER_1K", "TIER_2K", "TIER_2K"]]
)
async def test_one_to_three_unique_tiers(user: SpikeUser, tiers: list[str]) -> None:
    answer = wrong(await user.tiers(SOME_IMAGE, *tiers), 400, "INVALID_INPUT")
    assert "tier" in answer["suggestion"]
    assert told(await user.tiers(await user.image(STRIP), "TIER_1K"), wire.ParallelAnswer)["totalCost"] == 2


@pytest.mark.contract("002", TIERS, "Error Codes")
async def test_tiers_of_an_unknown_image_are_not_found(user: SpikeUser) -> None:
    for image in (SOME_IMAGE, "img_123abc"):
        wrong(await user.tiers(image, "TIER_1K"), 404, "NOT_FOUND")
    body = {"imageId": SOME_IMAGE}
    answer = wrong(await user.http.post("/api/images/parallel-enhance", json=body), 400, "INVALID_INPUT")
    assert answer["suggestion"] == "Please provide both imageId and tiers"


@pytest.mark.contract("002", GET, "Job Status Values")
async def test_a_job_is_pending_until_a_slot_is_free_and_can_be_cancelled(user: SpikeUser) -> None:
    image = await user.image(STRIP)
    await user.under(in_flight_jobs_max=1)
    slow = (await user.native("POST", "/v1/jobs", json={"model": "sandbox/slow", "params": {"seconds": 8}}))["id"]
    job = await user.started(image)
    pending = await user.job(image, job)
    assert (pending["status"], pending["processingStartedAt"], pending["enhancedUrl"]) == ("PENDING", None, None)
    await user.native("POST", f"/v1/jobs/{job}:cancel")
    cancelled = await user.job(image, job)
    assert (cancelled["status"], cancelled["errorMessage"]) == ("CANCELLED", None)
    assert cancelled["processingCompletedAt"] is not None
    await user.native("POST", f"/v1/jobs/{slow}:cancel")
    assert await user.balance() == 100


@pytest.mark.contract("002", GET, "Job Status Values")
async def test_a_job_is_processing_while_it_runs(user: SpikeUser) -> None:
    image = await user.image(encoded(scene(640, 480)))
    job = await user.started(image, "TIER_2K")
    assert await user.until(job, "running", "succeeded") == "running", "it has ended before anybody could look"
    shown = await user.job(image, job)
    if shown["status"] != "COMPLETED":
        assert (shown["status"], shown["processingCompletedAt"]) == ("PROCESSING", None)
        assert shown["processingStartedAt"] is not None


@pytest.mark.contract("002", GET, "Job Status Values")
async def test_a_damaged_picture_fails_and_costs_nothing(user: SpikeUser) -> None:
    whole = encoded(scene(300, 200))
    image = await user.image(whole[: len(whole) // 3])
    job = await user.started(image)
    assert await user.until(job) == "failed"
    shown = await user.job(image, job)
    assert (shown["status"], shown["enhancedUrl"]) == ("FAILED", None)
    assert shown["errorMessage"]
    assert await user.balance() == 100


@pytest.mark.contract("002", GET, "Job Status Values")
async def test_tokens_that_an_operator_gives_back_make_a_job_refunded(user: SpikeUser) -> None:
    image = await user.image(STRIP)
    job = await user.started(image, "TIER_2K")
    assert await user.until(job) == "succeeded"
    assert await user.balance() == 95
    await user.operate(f"/v1/jobs/{job}:refund", account=f"spike-land:{user.subject}", reason="not sharp")
    shown = await user.job(image, job)
    assert (shown["status"], shown["tokensCost"]) == ("REFUNDED", 5)
    assert await user.balance() == 100


@pytest.mark.contract("002", GET, "Troubleshooting")
async def test_without_an_engine_a_job_waits_and_then_gives_its_tokens_back(user: SpikeUser, stack: Stack) -> None:
    image = await user.image(STRIP)
    await user.under(queue_ttl_ms=3_000)
    async with without_engines(stack.status()["triton"]["endpoint"], "classical_upscale", "classical_lanczos"):
        answer = told(await user.enhance(image, "TIER_4K"), wire.EnhanceAnswer)
        assert answer["newBalance"] == 90
        assert await user.until(answer["jobId"]) == "expired"
    job = await user.job(image, answer["jobId"])
    assert (job["status"], job["enhancedUrl"]) == ("FAILED", None)
    assert job["errorMessage"] == "The enhancement did not start in time; your tokens were given back"
    assert await user.balance() == 100

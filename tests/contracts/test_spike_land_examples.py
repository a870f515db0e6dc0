"""The client code of document 002, ported line by line, against the running stack.

`fetch` of a browser carries the session's cookie; `base_url` is the stack's. Nothing here knows Darkroom.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.contracts.spike_land_client import COOKIE, Clients, SpikeUser
from tests.pictures import encoded, scene
from tests.stack import Stack

STRIP = encoded(scene(256, 16))
POLL_S = 2.0


class SpikeImageAPI:
    """The class SpikeImageAPI of "Using with Fetch"."""

    def __init__(self, fetch: httpx.AsyncClient) -> None:
        self.fetch = fetch

    async def upload_image(self, file: bytes, album_id: str | None = None) -> Any:
        form_data: dict[str, str] = {}
        if album_id:
            form_data["albumId"] = album_id
        res = await self.fetch.post("/api/images/upload", files={"file": ("photo.jpg", file)}, data=form_data)
        return res.json()

    async def enhance_image(self, image_id: str, tier: str) -> Any:
        res = await self.fetch.post("/api/images/enhance", json={"imageId": image_id, "tier": tier})
        if not res.is_success:
            raise RuntimeError(res.text)
        return res.json()

    async def get_image(self, image_id: str) -> Any:
        res = await self.fetch.get(f"/api/images/{image_id}")
        if not res.is_success:
            raise RuntimeError(res.text)
        return res.json()

    async def move_to_album(self, image_ids: list[str], target_album_id: str) -> Any:
        body = {"imageIds": image_ids, "targetAlbumId": target_album_id}
        res = await self.fetch.post("/api/images/move-to-album", json=body)
        if not res.is_success:
            raise RuntimeError(res.text)
        return res.json()


async def enhance_image(fetch: httpx.AsyncClient, image_file: bytes, tier: str = "TIER_2K") -> list[str]:
    """The function enhanceImage of "Complete Enhancement Workflow"; what it has logged."""
    console: list[str] = []
    upload_res = await fetch.post("/api/images/upload", files={"file": ("photo.jpg", image_file)})
    image = upload_res.json()["image"]
    console.append(f"Uploaded: {image['id']}")

    enhance_res = await fetch.post("/api/images/enhance", json={"imageId": image["id"], "tier": tier})
    if enhance_res.status_code == 402:
        console.append("Insufficient tokens")
        return console
    started = enhance_res.json()
    console.append(f"Enhancement started: {started['jobId']}")
    console.append(f"Tokens remaining: {started['newBalance']}")

    completed = False
    while not completed:
        status_res = await fetch.get(f"/api/images/{image['id']}")
        image_data = status_res.json()["image"]
        job = image_data["jobs"][0]
        console.append(f"Job status: {job['status']}")
        if job["status"] == "COMPLETED":
            console.append(f"Enhanced URL: {job['enhancedUrl']}")
            completed = True
        elif job["status"] == "FAILED":
            console.append(f"Job failed: {job['errorMessage']}")
            completed = True
        else:
            await asyncio.sleep(POLL_S)
    return console


async def enhance_with_retry(
    fetch: httpx.AsyncClient, image_id: str, tier: str, waited: list[float], max_retries: int = 3
) -> Any:
    """The function enhanceWithRetry of "Handling Rate Limits"; it notes its delays (ms) in place of waiting."""
    for attempt in range(max_retries):
        response = await fetch.post("/api/images/enhance", json={"imageId": image_id, "tier": tier})
        if response.status_code != 429:
            return response.json()
        retry_after = int(response.headers["Retry-After"])
        delay = retry_after * 1000 * 2**attempt
        waited.append(delay)
    raise RuntimeError("Max retries exceeded")


@pytest.fixture
def user(stack: Stack, http: Clients) -> SpikeUser:
    return SpikeUser(stack, http)


@pytest.mark.contract("002", "POST /api/images/enhance", "Complete Enhancement Workflow")
async def test_the_complete_workflow_ends_with_a_picture(user: SpikeUser) -> None:
    console = await enhance_image(user.cookie, STRIP)
    assert console[0].startswith("Uploaded: img_")
    assert console[1].startswith("Enhancement started: job_")
    assert console[2] == "Tokens remaining: 95"
    assert console[-2] == "Job status: COMPLETED"
    enhanced = await user.http.get(console[-1].removeprefix("Enhanced URL: "))
    assert (enhanced.status_code, enhanced.headers["content-type"]) == (200, "image/jpeg")


@pytest.mark.contract("002", "POST /api/images/enhance", "Complete Enhancement Workflow")
async def test_the_complete_workflow_ends_where_nothing_can_be_made(user: SpikeUser) -> None:
    whole = encoded(scene(300, 200))
    console = await enhance_image(user.cookie, whole[: len(whole) // 3])
    assert console[-1].startswith("Job failed: ")
    await user.spend_down_to(1)
    assert (await enhance_image(user.cookie, STRIP))[-1] == "Insufficient tokens"


@pytest.mark.contract("002", "POST /api/images/move-to-album", "Using with Fetch")
async def test_the_client_library_works(user: SpikeUser) -> None:
    api, album = SpikeImageAPI(user.cookie), await user.album()
    other = await user.album("other")
    image = (await api.upload_image(STRIP, album))["image"]
    assert await user.in_album(album) == {image["id"]}
    started = await api.enhance_image(image["id"], "TIER_1K")
    assert started["success"] is True
    found = (await api.get_image(image["id"]))["image"]
    assert [job["id"] for job in found["jobs"]] == [started["jobId"]]
    assert (await api.move_to_album([image["id"]], other))["moved"] == 1
    with pytest.raises(RuntimeError, match="NOT_FOUND"):
        await api.get_image("img_123abc")
    with pytest.raises(RuntimeError, match="Album not found"):
        await api.move_to_album([image["id"]], "album_xyz789")
    with pytest.raises(RuntimeError, match="Invalid input"):
        await api.enhance_image(image["id"], "TIER_3K")


@pytest.mark.contract("002", "POST /api/images/enhance", "Handling Rate Limits")
async def test_the_retry_loop_reads_its_delays(user: SpikeUser) -> None:
    image, waited = await user.image(STRIP), list[float]()
    result = await enhance_with_retry(user.cookie, image, "TIER_1K", waited)
    assert (result["tokenCost"], waited) == (2, [])
    for _ in range(49):
        await user.cookie.post("/api/images/enhance", json={})
    with pytest.raises(RuntimeError, match="Max retries exceeded"):
        await enhance_with_retry(user.cookie, image, "TIER_1K", waited)
    assert len(waited) == 3
    assert waited[0] > 800_000
    assert waited[1] > 1.9 * waited[0]


@pytest.mark.contract("002", "POST /api/images/batch-upload", "JavaScript Example")
async def test_the_batch_example_reads_each_result(user: SpikeUser) -> None:
    files = [("files", ("photo1.jpg", STRIP)), ("files", ("photo2.png", b"nothing"))]
    result = (await user.cookie.post("/api/images/batch-upload", files=files)).json()
    console = [
        f"File {index + 1}: {one['imageId']}" if one["success"] else f"File {index + 1}: {one['error']}"
        for index, one in enumerate(result["results"])
    ]
    assert console[0].startswith("File 1: img_")
    assert console[1] == "File 2: File type is not supported"


@pytest.mark.contract("002", "POST /api/images/parallel-enhance", "JavaScript Example")
async def test_the_parallel_example_adds_up(user: SpikeUser) -> None:
    body = {"imageId": await user.image(STRIP), "tiers": ["TIER_2K", "TIER_4K"]}
    result = (await user.cookie.post("/api/images/parallel-enhance", json=body)).json()
    assert f"{len(result['jobs'])} jobs started" == "2 jobs started"
    assert f"Total cost: {result['totalCost']} tokens" == "Total cost: 15 tokens"


@pytest.mark.contract("002", "POST /api/images/upload", "cURL Example")
async def test_the_curl_line_uploads(user: SpikeUser, stack: Stack) -> None:
    line = ["curl", "-s", "-X", "POST", f"{stack.url}/api/images/upload"]
    line += ["-H", f"Cookie: {COOKIE}={user.token}", "-F", "file=@-;filename=photo.jpg"]
    ran = await asyncio.create_subprocess_exec(*line, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    told, _ = await ran.communicate(STRIP)
    assert ran.returncode == 0
    assert b'"success":true' in told
    assert b'"name":"photo.jpg"' in told

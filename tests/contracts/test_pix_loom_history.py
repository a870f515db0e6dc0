"""Document 001 on the running stack: the state of a generation, its deletion, the history, the statistics, limits."""

from __future__ import annotations

import httpx
import pytest

from schemas.wire.pix_loom import DeletedAnswer
from tests.contracts.pix_loom_client import (
    BROKEN,
    NOT_FOUND,
    Clients,
    Patient,
    Weaver,
    data,
    error,
    fetched,
    seen,
    told,
)
from tests.end_to_end.pictures_elsewhere import PictureServer
from tests.stack import Stack

GET, DELETE = "GET /api/ai/generation/:id", "DELETE /api/ai/generation/:id"
HISTORY, STATS = "GET /api/ai/history", "GET /api/ai/stats"
LIMITS = {"POST /api/ai/generate": 10, GET: 100, DELETE: 100, HISTORY: 50, STATS: 20}


@pytest.fixture
def weaver(stack: Stack, http: Clients, elsewhere: PictureServer) -> Weaver:
    return Weaver(stack, http, elsewhere)


@pytest.mark.contract("001", GET, "响应")
async def test_the_state_of_a_generation_has_every_documented_member(weaver: Weaver) -> None:
    metadata = {"filename": "vintage_photo.jpg", "description": "1950年代的家庭照片", "nested": {"a": [1, 2.5, None]}}
    url = weaver.picture()
    submitted = data(await weaver.generate(url, metadata=metadata))
    found = await weaver.generation(submitted["generationId"])
    assert found["id"] == submitted["generationId"]
    same = ("originalImageUrl", "operationType", "status", "creditsConsumed", "processingTimeMs")
    assert {name: found[name] for name in same} == {name: submitted[name] for name in same}
    assert (found["errorMessage"], found["metadata"]) == (None, metadata)
    assert found["createdAt"][10:11] + found["createdAt"][19:20] + found["createdAt"][-1] == "T.Z"
    assert found["createdAt"] < found["updatedAt"]
    assert (await seen(found["generatedImageUrl"])).size == (96, 64)


@pytest.mark.contract("001", GET, "状态值")
async def test_every_state_is_reached(weaver: Weaver) -> None:
    generation = await weaver.started()
    assert (await weaver.generation(generation))["status"] in ("pending", "processing", "completed")
    assert (await weaver.ended(generation))["status"] == "completed"
    error(await weaver.generate(weaver.picture(BROKEN)), 500)
    failed, completed = (await weaver.history())["generations"]
    assert (failed["status"], completed["status"]) == ("failed", "completed")


@pytest.mark.contract("001", GET, "常见 HTTP 状态码")
@pytest.mark.parametrize("generation", ["gen_abc123", "gen_" + "a" * 26, "job_" + "a" * 26, "%00", "x" * 300])
async def test_a_generation_that_is_not_there_is_404(weaver: Weaver, generation: str) -> None:
    for method in ("GET", "DELETE"):
        answer = await weaver.client.request(method, f"/api/ai/generation/{generation}")
        assert error(answer, 404) == NOT_FOUND


@pytest.mark.contract("001", GET, "常见 HTTP 状态码")
async def test_a_strangers_generation_is_404_and_stays(weaver: Weaver) -> None:
    generation = await weaver.made()
    stranger = weaver.stranger()
    assert error(await stranger.client.get(f"/api/ai/generation/{generation}"), 404) == NOT_FOUND
    assert error(await stranger.delete(generation), 404) == NOT_FOUND
    assert (await stranger.history())["generations"] == []
    assert (await weaver.generation(generation))["status"] == "completed"


@pytest.mark.contract("001", DELETE, "响应")
async def test_a_deletion_removes_the_record_and_its_pictures_and_keeps_the_statistics(weaver: Weaver) -> None:
    generation = await weaver.made()
    shown = await weaver.generation(generation)
    before = await weaver.stats()
    answer = await weaver.delete(generation)
    assert told(answer, DeletedAnswer) == {"message": "生成记录删除成功", "deletedId": generation}
    assert error(await weaver.client.get(f"/api/ai/generation/{generation}"), 404) == NOT_FOUND
    assert error(await weaver.delete(generation), 404) == NOT_FOUND
    history = await weaver.history()
    assert (history["generations"], history["pagination"]["total"]) == ([], 0)
    assert await weaver.stats() == before
    assert before["totalGenerations"] == 1
    assert (await fetched(shown["generatedImageUrl"])).status_code in (404, 410)
    assert await weaver.assets() == []
    assert await weaver.balance() == 4


@pytest.mark.contract("001", DELETE, "响应")
async def test_a_repeated_deletion_under_one_key_is_one_answer(weaver: Weaver) -> None:
    generation = await weaver.made()
    answers = [await weaver.delete(generation, Idempotency_Key=key) for key in ("k", "k", "other")]
    assert [answer.status_code for answer in answers] == [200, 200, 404]
    assert answers[0].json() == answers[1].json()


@pytest.mark.contract("001", DELETE, "响应")
async def test_the_deletion_of_an_unfinished_generation_gives_its_credit_back(weaver: Weaver) -> None:
    generations = [await weaver.started() for _ in range(3)]
    for generation in generations:
        assert (await weaver.delete(generation)).status_code == 200
    stats = await weaver.stats()
    assert (stats["totalGenerations"], (await weaver.history())["generations"]) == (3, [])
    assert stats["totalCreditsSpent"] == 5 - await weaver.balance() == stats["completedGenerations"]
    assert await weaver.assets() == []


@pytest.mark.contract("001", DELETE, "响应")
async def test_pictures_that_others_show_go_with_the_last_and_the_sample_stays(weaver: Weaver) -> None:
    first = data(await weaver.generate(None))
    second = data(await weaver.generate(first["generatedImageUrl"], "style_transfer"))
    assert (await weaver.delete(first["generationId"])).status_code == 200
    assert (await seen(second["originalImageUrl"])).size[0] > 0
    assert (await weaver.delete(second["generationId"])).status_code == 200
    assert (await fetched(second["originalImageUrl"])).status_code in (404, 410)
    assert (await seen(first["originalImageUrl"])).size[0] > 0
    assert len(await weaver.assets()) == 1


@pytest.mark.contract("001", HISTORY, "响应")
async def test_the_history_comes_by_page_the_newest_first(weaver: Weaver) -> None:
    kinds = ("colorization", "restoration", "colorization")
    made = [await weaver.made(operation=kind) for kind in kinds]
    whole = await weaver.history()
    assert [one["id"] for one in whole["generations"]] == made[::-1]
    assert whole["pagination"] == {"total": 3, "limit": 20, "offset": 0, "hasMore": False}
    assert whole["statistics"] == {
        "totalGenerations": 3,
        "completedGenerations": 3,
        "totalCreditsSpent": 3,
        "successRate": 100.0,
    }
    detail = await weaver.generation(made[2])
    assert all(detail[name] == value for name, value in whole["generations"][0].items())
    page = await weaver.history(limit=1, offset=1)
    assert [one["id"] for one in page["generations"]] == [made[1]]
    assert page["pagination"] == {"total": 3, "limit": 1, "offset": 1, "hasMore": True}
    coloured = await weaver.history(operationType="colorization")
    assert [one["id"] for one in coloured["generations"]] == [made[2], made[0]]
    assert (coloured["pagination"]["total"], coloured["statistics"]["totalGenerations"]) == (2, 3)
    assert (await weaver.history(limit=100, offset=3))["generations"] == []


@pytest.mark.contract("001", HISTORY, "查询参数")
@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("offset=-1", "offset"),
        ("operationType=upscale", "operationType"),
        ("operationType=", "operationType"),
        ("limit=0&offset=x&operationType=y", "limit, offset, operationType"),
    ],
)
async def test_parameters_outside_their_range_are_400_naming_them(weaver: Weaver, query: str, named: str) -> None:
    found = error(await weaver.client.get(f"/api/ai/history?{query}"), 400)
    assert (found["error"], found["details"]) == ("无效参数", named)


@pytest.mark.contract("001", STATS, "统计字段")
async def test_statistics_count_failures_and_credits(weaver: Weaver) -> None:
    nothing = await weaver.stats()
    assert (nothing["totalGenerations"], nothing["successRate"], nothing["recentActivity"]) == (0, 0.0, 0)
    await weaver.made()
    await weaver.made(operation="enhancement")
    error(await weaver.generate(weaver.picture(BROKEN)), 500)
    assert await weaver.stats() == {
        "totalGenerations": 3,
        "completedGenerations": 2,
        "totalCreditsSpent": 2,
        "successRate": 66.67,
        "recentActivity": 3,
        "period": "30 天",
    }


@pytest.mark.parametrize(
    "endpoint",
    [pytest.param(endpoint, marks=pytest.mark.contract("001", endpoint, "速率限制")) for endpoint in LIMITS],
)
async def test_each_operation_has_its_limit_a_minute(endpoint: str, weaver: Weaver) -> None:
    method, path = endpoint.replace(":id", "gen_x").split()

    async def asked(client: Patient) -> httpx.Response:
        return await client.request(method, path, json={} if method == "POST" else None)

    for left in range(LIMITS[endpoint] - 1, -1, -1):
        answer = await asked(weaver.client)
        assert answer.status_code in (200, 400, 404)
        assert answer.headers["ratelimit-limit"] == str(LIMITS[endpoint])
        assert answer.headers["ratelimit-remaining"] == str(left)
    answer = await asked(weaver.client)
    found = error(answer, 429)
    assert (found["error"], 1 <= int(answer.headers["retry-after"]) <= 60) == ("请求过于频繁", True)
    assert (await asked(weaver.stranger().client)).status_code != 429, "each user has a window of his own"


@pytest.mark.contract("001", DELETE, "速率限制")
async def test_deletions_and_status_checks_share_a_window(weaver: Weaver) -> None:
    one = await weaver.client.get("/api/ai/generation/gen_x")
    two = await weaver.delete("gen_x")
    assert [answer.headers["ratelimit-remaining"] for answer in (one, two)] == ["99", "98"]

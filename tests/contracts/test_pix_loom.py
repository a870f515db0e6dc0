"""Document 001 on the running stack: POST generate, and who may come in."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from infra.samples import sample
from tests.contracts.pix_loom_client import BROKEN, Clients, Identity, Weaver, data, error, fetched, seen
from tests.end_to_end.pictures_elsewhere import PictureServer
from tests.pictures import decoded, difference, encoded, scene
from tests.stack import Stack

GENERATE = "POST /api/ai/generate"
LARGE = encoded(scene(200, 150, 7), "PNG")


@pytest.fixture
def weaver(stack: Stack, http: Clients, elsewhere: PictureServer) -> Weaver:
    return Weaver(stack, http, elsewhere)


@pytest.mark.contract("001", GENERATE, "响应")
async def test_a_completed_generation_has_every_documented_member(weaver: Weaver) -> None:
    url = weaver.picture()
    began = time.monotonic()
    told = data(await weaver.generate(url, metadata={"filename": "vintage_photo.jpg"}))
    took_ms = (time.monotonic() - began) * 1000
    assert told["generationId"].startswith("gen_")
    assert (told["originalImageUrl"], told["operationType"]) == (url, "colorization")
    assert 0 < told["processingTimeMs"] <= took_ms
    assert (told["creditsConsumed"], told["newBalance"]) == (1, 4)
    assert (told["status"], told["message"]) == ("completed", "上色处理完成")
    assert await weaver.balance() == 4


@pytest.mark.contract("001", GENERATE, "操作类型")
@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ("colorization", "上色处理完成"),
        ("restoration", "照片修复完成"),
        ("enhancement", "图像增强完成"),
        ("style_transfer", "风格转换完成"),
    ],
)
async def test_each_operation_costs_one_credit_and_makes_another_picture(
    weaver: Weaver, operation: str, message: str
) -> None:
    grey = scene(200, 150, 7).convert("L").convert("RGB")
    told = data(await weaver.generate(weaver.picture(encoded(grey)), operation))
    assert (told["message"], told["creditsConsumed"], told["newBalance"]) == (message, 1, 4)
    result = await seen(told["generatedImageUrl"])
    assert result.size == grey.size
    assert difference(result, grey) > 0.3


@pytest.mark.contract("001", GENERATE, "请求参数")
async def test_without_a_url_the_sample_is_worked_on_and_stored_once(weaver: Weaver) -> None:
    told = [data(await weaver.generate(None, operation)) for operation in ("enhancement", "restoration")]
    original = await fetched(told[0]["originalImageUrl"])
    assert original.content == sample("photograph.jpg").content
    assert told[0]["originalImageUrl"].split("?")[0] == told[1]["originalImageUrl"].split("?")[0]
    assert (await seen(told[1]["generatedImageUrl"])).size == decoded(original.content).size
    assert len(await weaver.assets()) == 3


@pytest.mark.contract("001", GENERATE, "请求参数")
async def test_ones_own_media_url_is_worked_on_again(weaver: Weaver) -> None:
    first = data(await weaver.generate(weaver.picture()))
    again = data(await weaver.generate(first["generatedImageUrl"], "style_transfer"))
    assert again["originalImageUrl"] == first["generatedImageUrl"]
    assert len(await weaver.assets()) == 3
    stranger = weaver.stranger()
    told = error(await stranger.generate(f"{weaver.stack.url}/v1/assets/{(await weaver.assets())[0]['id']}"), 400)
    assert told["details"] == "originalImageUrl"


@pytest.mark.contract("001", GENERATE, "请求参数")
@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "operationType"),
        ({"operationType": "upscale"}, "operationType"),
        ({"operationType": 7}, "operationType"),
        ({"operationType": "colorization", "originalImageUrl": ""}, "originalImageUrl"),
        ({"operationType": "colorization", "originalImageUrl": ["http://a/"]}, "originalImageUrl"),
        ({"operationType": "colorization", "originalImageUrl": "no url"}, "originalImageUrl"),
        ({"operationType": "colorization", "originalImageUrl": "ftp://example.com/a.jpg"}, "originalImageUrl"),
        ({"operationType": "colorization", "originalImageUrl": "http://127.0.0.1:9/a.jpg"}, "originalImageUrl"),
        ({"operationType": "colorization", "metadata": "text"}, "metadata"),
        ({"operationType": "colorization", "metadata": {"a": "x" * 2_050}}, "metadata"),
    ],
)
async def test_a_bad_field_is_400_naming_it_and_costs_nothing(weaver: Weaver, body: Any, named: str) -> None:
    answer = await weaver.client.post("/api/ai/generate", json=body)
    told = error(answer, 400)
    assert (told["error"], told["details"]) == ("无效参数", named)
    assert told["message"].startswith(f"{named}：")
    assert await weaver.balance() == 5


@pytest.mark.contract("001", GENERATE, "请求参数")
@pytest.mark.parametrize("content", [b"no picture", None])
async def test_what_is_no_picture_or_not_there_is_400(weaver: Weaver, content: bytes | None) -> None:
    url = weaver.picture(content) if content is not None else f"{weaver.elsewhere.url}/missing.jpg"
    told = error(await weaver.generate(url), 400)
    assert (told["error"], told["details"]) == ("无效参数", "originalImageUrl")
    assert await weaver.assets() == []


@pytest.mark.contract("001", GENERATE, "错误响应")
async def test_missing_credits_are_told_as_documented_and_leave_nothing_behind(weaver: Weaver) -> None:
    for _ in range(5):
        await weaver.started()
    url = weaver.picture()
    told = error(await weaver.generate(url, Idempotency_Key="short"), 400)
    assert told == {"error": "积分不足", "message": "需要：1，可用：0", "currentBalance": 0}
    assert await weaver.originals(5) == 5, "the picture of the refused generation is taken back"
    await weaver.grant(1)
    assert data(await weaver.generate(url, Idempotency_Key="short"))["newBalance"] == 0
    assert await weaver.originals(6) == 6


@pytest.mark.contract("001", GENERATE, "错误响应")
async def test_a_failed_generation_is_the_documented_500_and_costs_nothing(weaver: Weaver) -> None:
    told = error(await weaver.generate(weaver.picture(BROKEN)), 500)
    assert (told["error"], told["message"]) == ("AI 生成失败", "处理超时或 AI 服务不可用")
    generation, _, reason = told["details"].partition("：")
    assert reason == "图像已损坏或无法解码，未扣除积分"
    kept = await weaver.generation(generation)
    assert (kept["status"], kept["errorMessage"]) == ("failed", "图像已损坏或无法解码")
    assert (kept["creditsConsumed"], kept["generatedImageUrl"]) == (0, None)
    assert await weaver.balance() == 5
    assert data(await weaver.generate(weaver.picture()))["newBalance"] == 4


@pytest.mark.contract("001", GENERATE, "状态值")
async def test_what_is_not_finished_in_time_is_202_and_can_be_polled(weaver: Weaver) -> None:
    answer = await weaver.generate(weaver.picture(LARGE), Prefer="respond-async")
    told = data(answer, 202)
    assert told["status"] in ("pending", "processing")
    assert (told["generatedImageUrl"], told["creditsConsumed"], told["newBalance"]) == (None, 1, 4)
    assert answer.headers["location"] == f"/api/ai/generation/{told['generationId']}"
    done = await weaver.ended(told["generationId"])
    assert (done["status"], done["creditsConsumed"]) == ("completed", 1)
    assert (await seen(done["generatedImageUrl"])).size == (200, 150)


@pytest.mark.contract("001", GENERATE, "请求体")
async def test_a_repeat_under_the_same_key_is_one_generation(weaver: Weaver) -> None:
    url = weaver.picture()
    first = await weaver.generate(url, metadata={"a": 1}, Idempotency_Key="once")
    weaver.elsewhere.pictures.clear()
    again = await weaver.generate(url, metadata={"a": 1}, Idempotency_Key="once")
    one, two = data(first), data(again)
    for told in (one, two):
        told["generatedImageUrl"] = told["generatedImageUrl"].split("?")[0]
    assert one == two
    assert await weaver.balance() == 4
    other = await weaver.generate(weaver.picture(), Idempotency_Key="once")
    assert error(other, 409)["message"] == "该 Idempotency-Key 已用于不同内容的请求"


@pytest.mark.contract("001", GENERATE, "身份验证")
async def test_a_did_has_one_account_whoever_has_signed_its_token(weaver: Weaver) -> None:
    assert data(await weaver.generate(weaver.picture()))["newBalance"] == 4
    did = weaver.identity.did
    weaver.client.headers["Authorization"] = f"Bearer {weaver.stack.token(did, product='pix-loom')}"
    assert data(await weaver.generate(weaver.picture()))["newBalance"] == 3


@pytest.mark.contract("001", GENERATE, "身份验证")
async def test_tokens_that_do_not_count_are_401(stack: Stack, http: Clients) -> None:
    one, other = Identity(), Identity()
    tokens = {
        "missing": None,
        "nonsense": "nonsense",
        "of another product": stack.token("ada", product="studio"),
        "of another's DID": one.token(sub=other.did),
        "signed by another": one.token(iss=other.did, sub=other.did),
        "expired": one.token(ttl_s=-60),
        "too long": one.token(ttl_s=25 * 3_600),
        "for another deployment": one.token(aud="elsewhere"),
    }
    for name, token in tokens.items():
        client = http() if token is None else http(Authorization=f"Bearer {token}")
        for method, path in (
            ("POST", "generate"),
            ("GET", "generation/gen_x"),
            ("DELETE", "generation/gen_x"),
            ("GET", "history"),
            ("GET", "stats"),
        ):
            answer = await client.request(method, f"/api/ai/{path}")
            assert error(answer, 401)["error"] == "未授权", name
            assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.contract("001", GENERATE, "错误响应格式")
async def test_paths_methods_and_bodies_that_are_not_there_are_told_in_the_documents_shape(weaver: Weaver) -> None:
    assert error(await weaver.client.get("/api/ai/nothing"), 404)["message"] == "接口不存在"
    assert error(await weaver.client.request("PUT", "/api/ai/history"), 405)["error"] == "方法不允许"
    for content, kind, status in ((b"{", "application/json", 400), (b"{}", "text/plain", 415)):
        answer = await weaver.client.post("/api/ai/generate", content=content, headers={"Content-Type": kind})
        error(answer, status)


@pytest.mark.contract("001", GENERATE, "响应")
async def test_ten_at_once_spend_each_credit_once(weaver: Weaver) -> None:
    answers = await asyncio.gather(*(weaver.generate(None, Prefer="respond-async") for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [202] * 5 + [400] * 5
    assert sorted(answer.json()["data"]["newBalance"] for answer in answers if answer.status_code == 202) == [*range(5)]
    assert await weaver.balance() == 0

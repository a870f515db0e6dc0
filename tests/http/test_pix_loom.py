"""POST generate of document 001 over ports in memory: pictures by URL, every end, and what is left behind."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from infra.ids import SeededIds
from infra.kafka.ports import NotAppended, OutcomeUnknown
from infra.postgres.outcomes import KnownAsset
from infra.sealing.content import JOB, decode_job_secrets
from schemas import commands as cmd
from schemas.commands import StoredObject
from schemas.replies import Broken
from tests.http.fakes import stored_keys
from tests.http.loom_side import ACCOUNT, OTHER, PICTURE, RAN_MS, REMOTE, SAMPLE, Loom, data, error, loom_side

OWN = "asset_" + "o" * 26


@pytest.fixture
async def loom(tmp_path: Path) -> AsyncIterator[Loom]:
    async with loom_side(tmp_path) as made:
        yield made


async def secrets_of(loom: Loom, command: cmd.SubmitJob) -> Any:
    """What stands sealed beside the job."""
    opened = await loom.side.ring.open(ACCOUNT, command.sealed or "", JOB)
    assert opened is not None
    return decode_job_secrets(opened)


async def test_the_answer_has_every_documented_member_in_its_order(loom: Loom) -> None:
    told = data(await loom.generate(metadata={"filename": "vintage_photo.jpg"}))
    job = loom.commands(cmd.SubmitJob)[0].job
    assert list(told) == [
        *("generationId", "originalImageUrl", "generatedImageUrl", "operationType", "processingTimeMs"),
        *("creditsConsumed", "newBalance", "status", "message"),
    ]
    assert told["generationId"] == job.replace("job_", "gen_")
    assert told["originalImageUrl"] == REMOTE
    assert told["generatedImageUrl"].startswith(f"http://darkroom.test/v1/media/{ACCOUNT}/asset_")
    assert (told["operationType"], told["status"], told["message"]) == ("colorization", "completed", "上色处理完成")
    assert (told["processingTimeMs"], told["creditsConsumed"], told["newBalance"]) == (RAN_MS, 1, 4)


@pytest.mark.parametrize(
    ("operation", "message"),
    [("restoration", "照片修复完成"), ("enhancement", "图像增强完成"), ("style_transfer", "风格转换完成")],
)
async def test_each_operation_is_a_model_of_the_core(loom: Loom, operation: str, message: str) -> None:
    assert data(await loom.generate(operation=operation))["message"] == message
    (command,) = loom.commands(cmd.SubmitJob)
    assert command.model == operation


async def test_a_remote_picture_is_fetched_stored_and_worked_on(loom: Loom) -> None:
    data(await loom.generate())
    registered, submitted = loom.commands()
    assert submitted.input == registered.asset
    assert await loom.side.objects.get(f"{ACCOUNT}/{registered.asset}") == PICTURE


async def test_url_and_metadata_stand_sealed_beside_the_job(loom: Loom) -> None:
    data(await loom.generate(metadata={"description": "1950年代的家庭照片"}))
    (command,) = loom.commands(cmd.SubmitJob)
    kept = (await secrets_of(loom, command)).metadata
    assert kept == {"originalImageUrl": REMOTE, "metadata": {"description": "1950年代的家庭照片"}}
    sent = b"".join(json.dumps(str(envelope)).encode() for envelope in loom.side.decider.envelopes)
    assert b"pictures.example" not in sent


async def test_ones_own_media_url_names_its_asset(loom: Loom) -> None:
    stored = StoredObject(f"{ACCOUNT}/{OWN}", 9, "aa", "png", 3, 4)
    loom.side.read_side.assets[ACCOUNT, OWN] = KnownAsset(object=stored, position="0.0.0.0")
    loom.decider.live.add(OWN)
    url = f"http://darkroom.test/v1/media/{ACCOUNT}/{OWN}?expires=1&signature=x"
    assert data(await loom.generate(url))["originalImageUrl"] == url
    (command,) = loom.commands()
    assert command.input == OWN
    assert loom.remote.asked == []


async def test_ones_own_asset_that_is_not_there_is_400(loom: Loom) -> None:
    told = error(await loom.generate(f"http://darkroom.test/v1/assets/{OWN}"), 400)
    message = "originalImageUrl：图像不存在或已被删除"
    assert told == {"error": "无效参数", "message": message, "details": "originalImageUrl"}


async def test_without_a_url_the_sample_is_registered_once(loom: Loom) -> None:
    first, again = [data(await loom.generate(None, operation)) for operation in ("colorization", "restoration")]
    (registered,) = loom.commands(cmd.RegisterAsset)
    assert {command.input for command in loom.commands(cmd.SubmitJob)} == {registered.asset}
    assert registered.object.sha256 == SAMPLE.sha256
    assert len(stored_keys(loom.side.objects)) == 1
    assert first["originalImageUrl"] == again["originalImageUrl"]
    assert registered.asset in first["originalImageUrl"]
    assert (await secrets_of(loom, loom.commands(cmd.SubmitJob)[0])).metadata["originalImageUrl"] is None


async def test_another_gateway_finds_the_same_sample(loom: Loom, tmp_path: Path) -> None:
    data(await loom.generate(None))
    (tmp_path / "other").mkdir()
    async with loom_side(tmp_path / "other", ids=SeededIds(8)) as other:
        other.side.decider.script = loom.decider
        data(await other.generate(None))
        assert stored_keys(other.side.objects) == []
        (submitted,) = other.commands(cmd.SubmitJob)
    assert submitted.input == loom.commands(cmd.RegisterAsset)[0].asset


async def test_a_sample_that_was_deleted_is_made_anew(loom: Loom) -> None:
    data(await loom.generate(None))
    (first,) = loom.commands(cmd.RegisterAsset)
    loom.decider._decided(cmd.DeleteAsset(first.asset, ()))
    data(await loom.generate(None))
    data(await loom.generate(None))
    jobs = [command.input for command in loom.commands(cmd.SubmitJob)]
    assert jobs[0] == first.asset
    assert jobs[1] == jobs[2] != first.asset


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://nowhere.example/", "无法从该地址获取图像"),
        ("https://text.example/", "图像格式不受支持"),
    ],
)
async def test_a_picture_that_cannot_be_had_is_400_and_leaves_nothing(loom: Loom, url: str, words: str) -> None:
    told = error(await loom.generate(url), 400)
    assert (told["error"], told["details"]) == ("无效参数", "originalImageUrl")
    assert words in told["message"]
    assert loom.commands() == []
    assert stored_keys(loom.side.objects) == []


async def test_missing_credits_are_told_as_documented_and_the_picture_is_taken_back(loom: Loom) -> None:
    loom.decider.credits = 0
    told = error(await loom.generate(), 400)
    assert told == {"error": "积分不足", "message": "需要：1，可用：0", "currentBalance": 0}
    (registered,) = loom.commands(cmd.RegisterAsset)
    assert loom.gone() == {registered.asset}


async def test_missing_credits_leave_the_sample_and_free_the_key(loom: Loom) -> None:
    loom.decider.credits = 0
    error(await loom.generate(None, key="k"), 400)
    error(await loom.generate(REMOTE, "restoration", key="m"), 400)
    loom.decider.credits = 5
    assert data(await loom.generate(None, key="k"))["newBalance"] == 4
    assert data(await loom.generate(REMOTE, "restoration", key="m"))["newBalance"] == 3


async def test_a_failure_within_the_wait_is_the_documented_500(loom: Loom) -> None:
    loom.decider.ends = "failed"
    answer = await loom.generate()
    told = error(answer, 500)
    assert (told["error"], told["message"]) == ("AI 生成失败", "处理超时或 AI 服务不可用")
    (command,) = loom.commands(cmd.SubmitJob)
    assert told["details"] == f"{command.job.replace('job_', 'gen_')}：AI 服务不可用，未扣除积分"
    assert loom.decider.credits == 5


async def test_what_is_not_finished_in_time_is_202_in_the_same_shape(loom: Loom) -> None:
    loom.decider.ends = None
    answer = await loom.generate(prefer="wait=1")
    told = data(answer, 202)
    assert (told["generatedImageUrl"], told["processingTimeMs"]) == (None, None)
    assert (told["creditsConsumed"], told["newBalance"]) == (1, 4)
    assert (told["status"], told["message"]) == ("pending", "上色处理排队中")
    assert answer.headers["location"] == f"/api/ai/generation/{told['generationId']}"


async def test_what_is_not_decided_in_time_is_202_without_numbers(loom: Loom) -> None:
    told = data(await loom.generate(prefer="wait=0"), 202)
    assert (told["creditsConsumed"], told["newBalance"], told["status"]) == (None, None, "pending")


async def test_the_answer_does_not_wait_for_the_read_model(loom: Loom) -> None:
    loom.decider.read_model_knows = False
    assert data(await loom.generate())["processingTimeMs"] == RAN_MS


async def test_a_repeat_gives_the_first_answer_and_keeps_no_second_picture(loom: Loom) -> None:
    first = data(await loom.generate(key="k", metadata={"a": 1}))
    again = data(await loom.generate(key="k", metadata={"a": 1}))
    assert again == first
    assert loom.decider.credits == 4
    registered = loom.commands(cmd.RegisterAsset)
    assert loom.gone() == {registered[1].asset}


async def test_a_repeat_is_answered_when_the_remote_picture_is_gone_or_another(loom: Loom) -> None:
    first = data(await loom.generate(key="k"))
    loom.remote.pictures[REMOTE] = loom.remote.pictures[OTHER]
    assert data(await loom.generate(key="k")) == first
    del loom.remote.pictures[REMOTE]
    assert data(await loom.generate(key="k")) == first
    told = error(await loom.generate(key="never used"), 400)
    assert "无法从该地址获取图像" in told["message"]
    assert "无法从该地址获取图像" in error(await loom.generate(), 400)["message"]


@pytest.mark.parametrize("other", [{"operation": "restoration"}, {"metadata": {"a": 2}}, {"url": OTHER}, {"url": None}])
async def test_a_key_with_other_content_is_409_and_leaves_the_first_alone(loom: Loom, other: dict[str, Any]) -> None:
    data(await loom.generate(key="k", metadata={"a": 1}))
    (first,) = loom.commands(cmd.RegisterAsset)
    answer = await loom.generate(**{"key": "k", "metadata": {"a": 1}, **other})
    assert error(answer, 409)["error"] == "请求冲突"
    assert first.asset not in loom.gone()
    assert loom.decider.credits == 4


async def test_a_log_that_takes_nothing_is_503_and_one_that_is_unclear_names_the_key(loom: Loom) -> None:
    data(await loom.generate(None))
    loom.side.decider.fault = NotAppended("away")
    answer = await loom.generate(None)
    assert error(answer, 503)["error"] == "服务暂不可用"
    assert answer.headers["retry-after"] == "1"
    loom.side.decider.fault = OutcomeUnknown("lost")
    assert error(await loom.generate(None, key="k"), 503)["details"] == "Idempotency-Key: k"


async def test_a_command_that_broke_is_the_contracts_500(loom: Loom) -> None:
    data(await loom.generate(None))
    loom.side.decider.script = lambda _: [Broken("cmd")]
    assert error(await loom.generate(None), 500)["error"] == "内部服务器错误"


@pytest.mark.parametrize(
    ("content", "kind", "status", "word"),
    [
        (b"{", "application/json", 400, "无效参数"),
        (b"[]", "application/json", 400, "无效参数"),
        (b'"\xff"', "application/json", 400, "无效参数"),
        (b"{}", "text/plain", 415, "媒体类型不支持"),
        (b'{"a": "' + b"b" * (256 << 10) + b'"}', "application/json", 413, "请求过大"),
    ],
)
async def test_bodies_that_are_no_request(loom: Loom, content: bytes, kind: str, status: int, word: str) -> None:
    answer = await loom.side.http.post("/api/ai/generate", content=content, headers={"Content-Type": kind})
    assert error(answer, status)["error"] == word
    assert loom.commands() == []


async def test_who_may_come_in(loom: Loom) -> None:
    for token, words in (
        (loom.side.token("ada"), "无效的身份验证"),
        ("nonsense", "无效的身份验证"),
        (None, "缺少身份验证"),
    ):
        loom.side.http.headers.pop("Authorization", None)
        if token is not None:
            loom.side.http.headers["Authorization"] = f"Bearer {token}"
        answer = await loom.generate()
        told = error(answer, 401)
        assert told["error"] == "未授权"
        assert words in told["message"]
        assert "www-authenticate" in answer.headers


async def test_paths_and_methods_that_are_not_there_are_told_in_chinese(loom: Loom) -> None:
    assert error(await loom.side.http.get("/api/ai/nothing"), 404)["message"] == "接口不存在"
    assert error(await loom.side.http.put("/api/ai/generate"), 405)["error"] == "方法不允许"


async def test_the_eleventh_generation_of_a_minute_is_429(loom: Loom) -> None:
    loom.decider.credits = 50
    for _ in range(10):
        assert (await loom.generate(None, "bad")).status_code == 400
    answer = await loom.generate(None)
    assert error(answer, 429)["error"] == "请求过于频繁"
    assert answer.headers["retry-after"] == "60"
    loom.side.clock.advance(60_001)
    data(await loom.generate(None))

"""Document 001: every refusal and every fault of the core in its shape and its words."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from schemas import refusals as no
from schemas.documents import KINDS, example
from schemas.refusals import AnyRefusal, Refusal
from schemas.wire import pix_loom as wire
from schemas.wire import pix_loom_errors as wrong
from schemas.wire.surface import Fault, FieldFault, WireAnswer


def told(answer: WireAnswer) -> dict[str, Any]:
    """The error, once it has been held against its model."""
    assert answer.document is not None
    wrong.ErrorAnswer.model_validate(answer.document)
    return dict(answer.document)


def fault(status: int, code: str, *fields: str, **more: Any) -> tuple[int, dict[str, Any]]:
    """The answer to a fault of the core."""
    named = tuple(FieldFault(field, "An English sentence.") for field in fields)
    given = Fault(status=status, code=code, detail="An English sentence.", now_ms=0, fields=named, **more)
    answer = wire.SURFACE.fault(given)
    return answer.status, told(answer)


def _refusals() -> list[Refusal]:
    kind = next(kind for kind in KINDS if kind.name == "refusals")
    found = []
    for message in kind.types:
        event: Any = example(kind, message)
        found.append(event.data.refusal)
    return found


def test_every_refusal_has_its_words() -> None:
    assert set(wrong.REFUSALS) == set(get_args(AnyRefusal))


@pytest.mark.parametrize("refusal", _refusals(), ids=lambda refusal: type(refusal).__name__)
def test_every_refusal_is_told_in_the_documents_shape(refusal: AnyRefusal) -> None:
    status, error = fault(409, "x", refusal=refusal)
    assert status in (400, 403, 404, 409, 429, 503)
    assert "{" not in error["message"]
    assert "English" not in str(error)


def test_missing_credits_are_told_as_the_document_shows() -> None:
    answer = fault(402, "insufficient-credits", refusal=no.InsufficientCredits(1, 0))
    assert answer == (400, {"error": "积分不足", "message": "需要：1，可用：0", "currentBalance": 0})


def test_a_failure_is_told_as_the_document_shows() -> None:
    answer = wrong.failed("gen_x", "AI 服务不可用")
    error = told(answer)
    assert answer.status == 500
    assert (error["error"], error["message"]) == ("AI 生成失败", "处理超时或 AI 服务不可用")
    assert error["details"] == "gen_x：AI 服务不可用，未扣除积分"


@pytest.mark.parametrize(
    ("status", "code", "expected", "word"),
    [
        (400, "invalid-json", 400, "无效参数"),
        (401, "unauthenticated", 401, "未授权"),
        (401, "token-invalid", 401, "未授权"),
        (403, "forbidden", 403, "访问被拒绝"),
        (404, "not-found", 404, "未找到"),
        (405, "method-not-allowed", 405, "方法不允许"),
        (408, "request-timeout", 408, "请求超时"),
        (409, "conflict", 409, "请求冲突"),
        (413, "content-too-large", 413, "请求过大"),
        (415, "unsupported-media-type", 415, "媒体类型不支持"),
        (418, "teapot", 400, "无效参数"),
        (422, "unprocessable", 400, "无效参数"),
        (429, "rate-limited", 429, "请求过于频繁"),
        (500, "internal-error", 500, "内部服务器错误"),
        (502, "bad-gateway", 503, "服务暂不可用"),
        (503, "overloaded", 503, "服务暂不可用"),
        (503, "outcome-unknown", 503, "服务暂不可用"),
        (504, "timeout", 503, "服务暂不可用"),
        (507, "full", 500, "内部服务器错误"),
    ],
)
def test_faults_are_told_by_status(status: int, code: str, expected: int, word: str) -> None:
    told_status, error = fault(status, code)
    assert (told_status, error["error"]) == (expected, word)
    assert "English" not in str(error)


def test_a_missing_and_a_wrong_token_are_told_apart() -> None:
    assert "缺少身份验证" in fault(401, "unauthenticated")[1]["message"]
    assert "无效的身份验证" in fault(401, "token-invalid")[1]["message"]


def test_a_generation_that_is_not_there_is_told_otherwise_than_a_path() -> None:
    assert fault(404, "not-found")[1]["message"] == "接口不存在"
    assert fault(404, "not-found", operation="pix-loom-generation") == (404, told(wrong.not_found()))
    assert told(wrong.not_found()) == {"error": "未找到", "message": "生成未找到或访问被拒绝"}


def test_limits_say_when_and_lost_acknowledgements_which_key() -> None:
    assert "7 秒" in fault(429, "rate-limited", retry_after_s=7)[1]["message"]
    assert fault(503, "outcome-unknown", extra={"idempotency_key": "k"})[1]["details"] == "Idempotency-Key: k"


@pytest.mark.parametrize(
    ("status", "code", "field", "name", "words"),
    [
        (400, "remote-picture", "originalImageUrl", "originalImageUrl", "无法从该地址获取图像"),
        (400, "content-too-large", "originalImageUrl", "originalImageUrl", "最多 10 MB"),
        (400, "picture-too-large", "originalImageUrl", "originalImageUrl", "6400 万像素"),
        (400, "asset-unknown", "input.asset", "originalImageUrl", "不存在或已被删除"),
        (400, "invalid-field", "input", "originalImageUrl", "必须是图像的 URL"),
        (400, "invalid-field", "body", "body", "JSON 对象"),
        (400, "invalid-field", "Idempotency-Key", "Idempotency-Key", "可打印的 ASCII"),
        (400, "invalid-field", "Prefer", "Prefer", "0 到 120"),
        (422, "invalid-field", "params.strange", "params.strange", "值无效"),
    ],
)
def test_a_bad_field_is_named(status: int, code: str, field: str, name: str, words: str) -> None:
    told_status, error = fault(status, code, field)
    assert (told_status, error["error"], error["details"]) == (400, "无效参数", name)
    assert error["message"].startswith(f"{name}：")
    assert words in error["message"]

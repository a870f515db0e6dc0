"""Document 001, pix-loom: everything that can go wrong, in the document's shape and in Chinese. Pure.

The document gives the shape, two errors in full (credits, processing) and the words of four statuses; the others are
worded in their manner. Every refusal of the decider has a row in `REFUSALS`, which a test keeps complete. No sentence
of the core is passed on: what has no row here gets the sentence of its status.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from schemas import refusals as no
from schemas.wire.surface import Fault, FieldFault, WireAnswer

OPERATIONS = ("colorization", "restoration", "enhancement", "style_transfer")
URL_CHARS_MAX = 2_000
METADATA_BYTES_MAX = 2_048
OFFSET_MAX = 2**53 - 1

INVALID, FAILED, NOT_FOUND, UNAVAILABLE = "无效参数", "AI 生成失败", "未找到", "服务暂不可用"
IMAGE, OPERATION = "originalImageUrl", "operationType"
FIELDS: Mapping[str, str] = {
    IMAGE: f"必须是图像的 URL（1 到 {URL_CHARS_MAX} 个字符，不含 U+0000）",
    OPERATION: f"必须是以下值之一：{'、'.join(OPERATIONS)}",
    "metadata": f"必须是 JSON 对象，序列化后不超过 {METADATA_BYTES_MAX} 字节，且不含 U+0000",
    "limit": "必须是 1 到 100 之间的整数，且只能出现一次",
    "offset": f"必须是 0 到 {OFFSET_MAX} 之间的整数，且只能出现一次",
    "body": "请求体必须是 UTF-8 编码的 JSON 对象",
    "idempotency-key": "必须是 1 到 255 个可打印的 ASCII 字符，且只能出现一次",
    "prefer": "wait 必须是 0 到 120 之间的整数（秒）",
    "darkroom-position": "不是有效的位置",
}
"""What is wanted of each field; said when it is something else."""
_NAMES = {"input": IMAGE, "input.asset": IMAGE, "input.url": IMAGE, "model": OPERATION}
_IMAGE_GONE = "图像不存在或已被删除"
_IMAGE_CODES: Mapping[str, str] = {
    "remote-picture": "无法从该地址获取图像",
    "unsupported-picture": "图像格式不受支持：仅支持 JPEG、PNG、WebP 和 HEIC",
    "unreadable-picture": "图像已损坏或无法读取",
    "picture-too-large": "图像像素过多：最多 6400 万像素",
    "content-too-large": "图像文件过大：最多 10 MB",
    "asset-unknown": _IMAGE_GONE,
}
"""What is wrong with the picture, by the core's code."""


class ErrorAnswer(BaseModel):
    """Every answer from 400 on; `currentBalance` where credits are short, `details` where there is more to say."""

    model_config = ConfigDict(extra="forbid")

    error: str = Field(min_length=1)
    message: str = Field(min_length=1)
    details: str = Field(default_factory=str, min_length=1)
    currentBalance: int = Field(default=0, ge=0)


def told(status: int, error: str, message: str, details: str = "") -> WireAnswer:
    """An error in the document's shape."""
    document = {"error": error, "message": message}
    return WireAnswer(status=status, document={**document, "details": details} if details else document)


def invalid(*fields: str) -> WireAnswer:
    """400 that names the fields and says what is wanted of each."""
    return _bad_fields([FieldFault(name, FIELDS[name]) for name in fields])


def not_found() -> WireAnswer:
    """404 for a generation that is not there, deleted, or somebody else's: the same answer."""
    return told(404, NOT_FOUND, "生成未找到或访问被拒绝")


def failed(generation: str, reason: str) -> WireAnswer:
    """The documented 500 of a generation that ended without a picture; `reason` is a sentence for its owner."""
    details = f"{generation}：{reason}，未扣除积分"
    return told(500, FAILED, "处理超时或 AI 服务不可用", details)


class _Row(NamedTuple):
    """An error before it has its shape."""

    status: int
    error: str
    message: str

    def answer(self, _: Any) -> WireAnswer:
        """The error as it goes out."""
        return told(*self)


def _insufficient(refusal: no.InsufficientCredits) -> WireAnswer:
    message = f"需要：{refusal.required}，可用：{refusal.available}"
    document = {"error": "积分不足", "message": message, "currentBalance": refusal.available}
    return WireAnswer(status=400, document=document)


def _quota_exceeded(refusal: no.QuotaExceeded) -> WireAnswer:
    return told(429, "超出配额", f"已使用 {refusal.used} 次，上限为 {refusal.limit} 次")


def _field(name: str, message: str) -> Callable[[Any], WireAnswer]:
    return lambda _: _bad_fields([FieldFault(name, message)])


_CONFLICT = "请求冲突"
REFUSALS: Mapping[type[Any], Callable[[Any], WireAnswer]] = {
    no.InsufficientCredits: _insufficient,
    no.QuotaExceeded: _quota_exceeded,
    no.QueueFull: _Row(429, "排队已满", "等待处理的生成任务过多，请稍后重试").answer,
    no.IdempotencyMismatch: _Row(409, _CONFLICT, "该 Idempotency-Key 已用于不同内容的请求").answer,
    no.ModelUnknown: _field(OPERATION, "当前不提供该操作"),
    no.AssetUnknown: _field(IMAGE, _IMAGE_GONE),
    no.InputRequired: _field(IMAGE, "该操作需要图像"),
    no.MaskRequired: _field(IMAGE, "该操作需要蒙版"),
    no.NotEntitled: _Row(403, "访问被拒绝", "当前套餐不包含该操作").answer,
    no.AlbumUnknown: _Row(404, NOT_FOUND, "相册未找到").answer,
    no.AlbumsFull: _Row(409, _CONFLICT, "相册数量已达上限").answer,
    no.PlanUnknown: _Row(400, INVALID, "套餐不存在").answer,
    no.JobUnknown: lambda _: not_found(),
    no.JobEnded: _Row(409, _CONFLICT, "生成已结束").answer,
    no.ChargeUnknown: _Row(404, NOT_FOUND, "未找到扣费记录").answer,
    no.NothingCharged: _Row(409, _CONFLICT, "该生成未扣除积分").answer,
    no.AlreadyRefunded: _Row(409, _CONFLICT, "该生成的积分已退还").answer,
    no.GrantBelowZero: _Row(400, INVALID, "扣减数量超过可用积分").answer,
    no.GrantExpired: _Row(400, INVALID, "积分的有效期必须在将来").answer,
    no.GrantsFull: _Row(409, _CONFLICT, "积分批次已达上限").answer,
    no.GrantTooLarge: _Row(400, INVALID, "积分数量过大").answer,
    no.PlanVersionReused: _Row(409, _CONFLICT, "该套餐版本已被使用").answer,
    no.PlanMissing: _Row(503, UNAVAILABLE, "服务正在启动，请稍后重试").answer,
}

_INTERNAL = _Row(500, "内部服务器错误", "服务器内部错误，可使用相同的 Idempotency-Key 重试")
_BY_STATUS: Mapping[int, _Row] = {
    400: _Row(400, INVALID, "请求无效"),
    401: _Row(401, "未授权", "无效的身份验证：令牌无效或已过期"),
    403: _Row(403, "访问被拒绝", "没有权限执行该操作"),
    404: _Row(404, NOT_FOUND, "接口不存在"),
    405: _Row(405, "方法不允许", "该接口不支持此 HTTP 方法"),
    408: _Row(408, "请求超时", "接收请求超时，请重试"),
    409: _Row(409, _CONFLICT, "请求与当前状态冲突"),
    410: _Row(410, NOT_FOUND, _IMAGE_GONE),
    413: _Row(413, "请求过大", "请求体超过允许的大小"),
    415: _Row(415, "媒体类型不支持", "请求体必须使用 Content-Type: application/json"),
    429: _Row(429, "请求过于频繁", "超出速率限制，请稍后重试"),
    500: _INTERNAL,
    503: _Row(503, UNAVAILABLE, "服务暂时不可用，请稍后重试"),
}
_BY_CODE: Mapping[str, _Row] = {
    "unauthenticated": _Row(401, "未授权", "缺少身份验证：请使用 Authorization: Bearer <user-session-token>"),
    "overloaded": _Row(503, UNAVAILABLE, "服务繁忙，请稍后重试"),
    "behind": _Row(503, UNAVAILABLE, "数据尚未同步，请稍后重试"),
    "not-reached": _Row(503, UNAVAILABLE, "数据尚未同步，请稍后重试"),
}
_OF_FIELDS = (400, 413, 415, 422)


def refused(refusal: no.AnyRefusal) -> WireAnswer:
    """A refusal of the decider."""
    return REFUSALS[type(refusal)](refusal)


def fault(fault: Fault) -> WireAnswer:
    """Any fault as this document tells it."""
    if fault.refusal is not None:
        return refused(fault.refusal)
    if fault.status == 404 and fault.operation:
        return not_found()
    if fault.code == "outcome-unknown":
        key = fault.extra.get("idempotency_key")
        message = "无法确认请求是否已被接受，请使用相同的 Idempotency-Key 重试"
        return told(503, UNAVAILABLE, message, "" if key is None else f"Idempotency-Key: {key}")
    if fault.status == 429 and fault.retry_after_s is not None:
        return told(429, _BY_STATUS[429].error, f"超出速率限制，请在 {fault.retry_after_s} 秒后重试")
    if fault.fields and fault.status in _OF_FIELDS:
        return _bad_fields([_of_field(field.field, fault.code) for field in fault.fields])
    status = 503 if fault.status in (502, 504) else 400 if fault.status == 422 else fault.status
    nearest = _BY_STATUS[400] if status < 500 else _INTERNAL
    return told(*_BY_CODE.get(fault.code, _BY_STATUS.get(status, nearest)))


def _of_field(core: str, code: str) -> FieldFault:
    """What is wrong with a field of the core, by the document's name of it."""
    name = _NAMES.get(core, core)
    if name == IMAGE and code in _IMAGE_CODES:
        return FieldFault(name, _IMAGE_CODES[code])
    return FieldFault(name, FIELDS.get(name) or FIELDS.get(name.lower()) or "值无效")


def _bad_fields(fields: Sequence[FieldFault]) -> WireAnswer:
    message = "；".join(f"{field.field}：{field.message}" for field in fields)
    return told(400, INVALID, message, ", ".join(field.field for field in fields))


_NO_SERVICE, _TOO_LATE = "AI 服务不可用", "处理超时"
REASONS: Mapping[str, str] = {
    "engine-unavailable": _NO_SERVICE,
    "engine-crashed": _NO_SERVICE,
    "crashes-engine": "AI 服务无法处理该图像",
    "model-failed": "AI 服务无法处理该图像",
    "run-deadline": _TOO_LATE,
    "lease-lost": _TOO_LATE,
    "queue-deadline": "排队超时",
    "input-undecodable": "图像已损坏或无法解码",
    "input-gone": "原始图像已被删除",
    "input-corrupt": "原始图像已损坏",
    "store-unavailable": "存储服务不可用",
    "erased": "账户数据已被删除",
}
"""Why generations fail, by the core's words."""


def error_message(status: str, reason: str | None) -> str | None:
    """Why a generation ended without a picture, None for one that has not; by the core's words."""
    match status:
        case "canceled":
            return "生成已取消"
        case "expired":
            return REASONS["queue-deadline"]
        case "failed":
            return REASONS.get(reason or "", "AI 处理失败")
        case _:
            return None

"""Document 001, pix-loom: its ids, its words and its documents, out of the core's jobs. Pure.

Times are UTC milliseconds, amounts whole credits; a row is one of the core's jobs by the names of its columns.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from schemas.cloudevents import rfc3339
from schemas.wire.pix_loom_errors import IMAGE, OPERATION, error_message
from schemas.wire.pix_loom_request import GenerateRequest, HistoryFilter

RECENT_MS = 30 * 86_400_000
PERIOD = "30 天"
DELETED = "生成记录删除成功"
OperationType = Literal["colorization", "restoration", "enhancement", "style_transfer"]
Status = Literal["pending", "processing", "completed", "failed"]
_LABELS = {
    "colorization": "上色处理",
    "restoration": "照片修复",
    "enhancement": "图像增强",
    "style_transfer": "风格转换",
}
_ENDINGS: Mapping[Status, str] = {"pending": "排队中", "processing": "进行中", "completed": "完成", "failed": "失败"}
_WORDS: Mapping[str, Status] = {
    "running": "processing",
    "succeeded": "completed",
    "failed": "failed",
    "canceled": "failed",
    "expired": "failed",
}
_GENERATION_ID = re.compile("gen_([a-z2-7]{26})")


def status_word(core: str) -> Status:
    """The document's word for a status of the core; what waits, or is not decided yet, is pending."""
    return _WORDS.get(core, "pending")


def message_of(operation: str, status: Status) -> str:
    """How a generation stands, in a few words; the document's own for one that is completed."""
    return _LABELS[operation] + _ENDINGS[status]


def generation_of(job: str) -> str:
    """The document's id of a job."""
    return "gen_" + job.removeprefix("job_")


def job_of(generation: str) -> str | None:
    """The job behind the document's id; None for a text that can be no such id."""
    match = _GENERATION_ID.fullmatch(generation)
    return None if match is None else f"job_{match[1]}"


def record_of(request: GenerateRequest) -> dict[str, Any]:
    """What is kept, sealed, beside the job."""
    return {IMAGE: request.url, "metadata": request.metadata}


def kept_in(record: Mapping[str, Any] | None) -> tuple[str | None, dict[str, Any] | None]:
    """(URL, metadata) of a job's record; of a job that came another way there is no URL, and all is metadata."""
    if record is None:
        return None, None
    url, metadata = record.get(IMAGE), record.get("metadata")
    if record.keys() == {IMAGE, "metadata"} and isinstance(url, str | None) and isinstance(metadata, dict | None):
        return url, metadata
    return None, dict(record)


def processing_ms(accepted_ms: int | None, ended_ms: int | None) -> int | None:
    """From acceptance to the end; None as long as one of them is not known."""
    return None if accepted_ms is None or ended_ms is None else max(0, ended_ms - accepted_ms)


def consumed(status: Status, cost: int, charged: int, refunded: int) -> int:
    """Credits that are out of the balance for a generation: its price while it lives, its charge after success."""
    return {"completed": charged - refunded, "failed": 0}.get(status, cost)


def summary_of(row: Mapping[str, Any], original: str | None, generated: str | None) -> dict[str, Any]:
    """The document of `Summary` for a job's row."""
    status = status_word(row["status"])
    return {
        "id": generation_of(row["job"]),
        IMAGE: original,
        "generatedImageUrl": generated,
        OPERATION: row["model"],
        "status": status,
        "creditsConsumed": consumed(status, row["cost"], row["charged"], row["refunded"]),
        "processingTimeMs": processing_ms(row["accepted_ms"], row["ended_ms"]),
        "createdAt": rfc3339(row["accepted_ms"]),
    }


def detail_of(
    row: Mapping[str, Any], original: str | None, generated: str | None, metadata: dict[str, Any] | None
) -> dict[str, Any]:
    """The document of `Detail` for a job's row."""
    times = (row[name] for name in ("accepted_ms", "queued_ms", "running_ms", "ended_ms", "refunded_ms"))
    summary = summary_of(row, original, generated)
    created = summary.pop("createdAt")
    return {
        **summary,
        "errorMessage": error_message(row["status"], row["reason"]),
        "metadata": metadata,
        "createdAt": created,
        "updatedAt": rfc3339(max(time for time in times if time is not None)),
    }


def success_rate(completed: int, total: int) -> float:
    """Completed of all, in percent with two decimals, as the document's examples have it; 0 before the first."""
    return round(100 * completed / total, 2) if total else 0.0


def statistics_of(total: int, completed: int, credits: int) -> dict[str, Any]:
    """The document of `Statistics`."""
    return {
        "totalGenerations": total,
        "completedGenerations": completed,
        "totalCreditsSpent": credits,
        "successRate": success_rate(completed, total),
    }


def pagination_of(query: HistoryFilter, total: int, shown: int) -> dict[str, Any]:
    """The document of `Pagination` for a page that shows so many."""
    more = shown > 0 and query.offset + shown < total
    return {"total": total, "limit": query.limit, "offset": query.offset, "hasMore": more}

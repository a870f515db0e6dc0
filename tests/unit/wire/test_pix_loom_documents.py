"""Document 001 as plain functions: what its requests ask for, and what its answers are made of."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.wire import pix_loom as wire
from schemas.wire import pix_loom_documents as shown
from schemas.wire import pix_loom_errors as wrong
from schemas.wire.pix_loom_request import GenerateRequest, HistoryFilter, read_generate, read_history

JOB = "job_" + "a2" * 13
START_MS = 1_739_124_000_000
ROW: dict[str, Any] = {
    "job": JOB,
    "status": "succeeded",
    "model": "colorization",
    "cost": 1,
    "charged": 1,
    "refunded": 0,
    "reason": None,
    "accepted_ms": START_MS,
    "queued_ms": START_MS + 10,
    "running_ms": START_MS + 20,
    "ended_ms": START_MS + 2_340,
    "refunded_ms": None,
}


@pytest.mark.parametrize(
    ("body", "bad"),
    [
        ({}, ["operationType"]),
        ({"operationType": None}, ["operationType"]),
        ({"operationType": "upscale"}, ["operationType"]),
        ({"operationType": ["colorization"]}, ["operationType"]),
        ({"operationType": "colorization", "originalImageUrl": ""}, ["originalImageUrl"]),
        ({"operationType": "colorization", "originalImageUrl": 7}, ["originalImageUrl"]),
        ({"operationType": "colorization", "originalImageUrl": "h" * 2_001}, ["originalImageUrl"]),
        ({"operationType": "colorization", "originalImageUrl": "http://a/\0"}, ["originalImageUrl"]),
        ({"operationType": "colorization", "metadata": "text"}, ["metadata"]),
        ({"operationType": "colorization", "metadata": {"a": "b" * 2_041}}, ["metadata"]),
        ({"operationType": "colorization", "metadata": {"a": ["\0"]}}, ["metadata"]),
        ({"operationType": "colorization", "metadata": {"a": {"\0": 1}}}, ["metadata"]),
        ({"originalImageUrl": 1, "operationType": 2, "metadata": 3}, ["originalImageUrl", "operationType", "metadata"]),
    ],
)
def test_fields_that_are_wrong_are_all_named(body: dict[str, Any], bad: list[str]) -> None:
    assert read_generate(body) == bad
    document = wrong.invalid(*bad).document or {}
    assert document["details"] == ", ".join(bad)
    assert document["message"].count("：必须是") == len(bad)


def test_the_largest_fields_are_taken_and_unknown_ones_ignored() -> None:
    metadata = {"a": "b" * 2_040}
    url = "https://a/" + "b" * 1_990
    body = {"operationType": "restoration", "originalImageUrl": url, "metadata": metadata, "quality": "hd"}
    assert read_generate(body) == GenerateRequest(url, "restoration", metadata)
    assert read_generate({"operationType": "restoration", "originalImageUrl": None, "metadata": None}) == (
        GenerateRequest(None, "restoration", None)
    )
    backslashes = {"a": "\\u0000"}
    assert read_generate({"operationType": "restoration", "metadata": backslashes}) == (
        GenerateRequest(None, "restoration", backslashes)
    )


@pytest.mark.parametrize(
    ("parameters", "read"),
    [
        ([], HistoryFilter(20, 0, None)),
        ([("limit", "1"), ("offset", "0")], HistoryFilter(1, 0, None)),
        ([("limit", "100"), ("offset", str(2**53 - 1))], HistoryFilter(100, 2**53 - 1, None)),
        ([("operationType", "style_transfer"), ("page", "x")], HistoryFilter(20, 0, "style_transfer")),
        ([("limit", "0")], ["limit"]),
        ([("limit", "101")], ["limit"]),
        ([("limit", "+5")], ["limit"]),
        ([("limit", "٥")], ["limit"]),
        ([("limit", "")], ["limit"]),
        ([("limit", "5"), ("limit", "5")], ["limit"]),
        ([("offset", "-1")], ["offset"]),
        ([("offset", str(2**53))], ["offset"]),
        ([("offset", "1.0")], ["offset"]),
        ([("operationType", "")], ["operationType"]),
        ([("operationType", "upscale"), ("limit", "x")], ["limit", "operationType"]),
    ],
)
def test_parameters_of_the_history(parameters: list[tuple[str, str]], read: HistoryFilter | list[str]) -> None:
    assert read_history(parameters) == read


def test_ids_are_those_of_jobs_under_another_prefix() -> None:
    generation = shown.generation_of(JOB)
    assert generation.startswith("gen_")
    assert shown.job_of(generation) == JOB
    other = (f"{generation}a", generation[:-1], generation.upper(), f"{generation}\n", "gen_" + "1" * 26)
    for text in ("", JOB, *other):
        assert shown.job_of(text) is None


@pytest.mark.parametrize(
    ("core", "word", "message"),
    [
        ("accepted", "pending", None),
        ("queued", "pending", None),
        ("running", "processing", None),
        ("succeeded", "completed", None),
        ("failed", "failed", "AI 服务不可用"),
        ("canceled", "failed", "生成已取消"),
        ("expired", "failed", "排队超时"),
    ],
)
def test_a_generation_in_the_documents_words(core: str, word: str, message: str | None) -> None:
    ended = ROW["ended_ms"] if word in ("completed", "failed") else None
    row = {**ROW, "status": core, "reason": "engine-unavailable", "ended_ms": ended}
    detail = shown.detail_of(row, "http://a/", "http://b/" if word == "completed" else None, {"a": 1})
    wire.DetailAnswer.model_validate({"success": True, "data": detail})
    assert list(detail) == [
        *("id", "originalImageUrl", "generatedImageUrl", "operationType", "status", "creditsConsumed"),
        *("processingTimeMs", "errorMessage", "metadata", "createdAt", "updatedAt"),
    ]
    assert (detail["status"], detail["errorMessage"]) == (word, message)
    assert detail["creditsConsumed"] == (0 if word == "failed" else 1)
    assert detail["processingTimeMs"] == (None if ended is None else 2_340)
    assert detail["createdAt"] == "2025-02-09T18:00:00.000Z"
    assert detail["updatedAt"] == ("2025-02-09T18:00:00.020Z" if ended is None else "2025-02-09T18:00:02.340Z")


def test_a_refunded_generation_has_consumed_nothing() -> None:
    row = {**ROW, "refunded": 1, "refunded_ms": START_MS + 9_000}
    assert shown.detail_of(row, None, None, None)["creditsConsumed"] == 0
    assert shown.detail_of(row, None, None, None)["updatedAt"] == "2025-02-09T18:00:09.000Z"


def test_the_messages_of_the_four_operations() -> None:
    told_of = [shown.message_of(operation, "completed") for operation in wrong.OPERATIONS]
    assert told_of == ["上色处理完成", "照片修复完成", "图像增强完成", "风格转换完成"]


@pytest.mark.parametrize(("completed", "total", "rate"), [(14, 15, 93.33), (23, 25, 92.0), (0, 0, 0.0), (3, 3, 100.0)])
def test_success_rates_are_those_of_the_documents_examples(completed: int, total: int, rate: float) -> None:
    assert shown.statistics_of(total, completed, total) == {
        "totalGenerations": total,
        "completedGenerations": completed,
        "totalCreditsSpent": total,
        "successRate": rate,
    }


@pytest.mark.parametrize(
    ("offset", "limit", "total", "more"),
    [
        (0, 20, 15, False),
        (0, 10, 15, True),
        (10, 10, 15, False),
        (10, 5, 15, False),
        (15, 5, 15, False),
        (9, 5, 15, True),
    ],
)
def test_there_is_more_as_long_as_the_page_does_not_reach_the_total(
    offset: int, limit: int, total: int, more: bool
) -> None:
    on_page = max(0, min(limit, total - offset))
    assert shown.pagination_of(HistoryFilter(limit, offset), total, on_page) == {
        "total": total,
        "limit": limit,
        "offset": offset,
        "hasMore": more,
    }


@pytest.mark.parametrize(
    ("record", "kept"),
    [
        (None, (None, None)),
        ({"originalImageUrl": "http://a/", "metadata": {"b": 1}}, ("http://a/", {"b": 1})),
        ({"originalImageUrl": None, "metadata": None}, (None, None)),
        ({"order": 7}, (None, {"order": 7})),
        ({"originalImageUrl": 5, "metadata": None}, (None, {"originalImageUrl": 5, "metadata": None})),
        ({"originalImageUrl": "x", "metadata": [1]}, (None, {"originalImageUrl": "x", "metadata": [1]})),
    ],
)
def test_what_stands_beside_a_job(record: dict[str, Any] | None, kept: tuple[Any, Any]) -> None:
    assert shown.kept_in(record) == kept


def test_what_is_kept_is_what_was_given() -> None:
    asked = GenerateRequest("http://a/", "colorization", {"b": 1})
    assert shown.kept_in(shown.record_of(asked)) == ("http://a/", {"b": 1})


def test_the_surface_takes_bearer_tokens_alone_and_counts_as_documented() -> None:
    surface = wire.SURFACE
    assert (surface.bearer, surface.did, surface.cookie, surface.guest_cookie) == (True, True, None, None)
    counted = {
        described.name: [(limit.amount, limit.window_s, limit.per) for limit in described.limits]
        for described in (wire.GENERATE, wire.STATUS, wire.HISTORY, wire.STATS)
    }
    assert list(counted.values()) == [
        [(10, 60, "account")],
        [(100, 60, "account")],
        [(50, 60, "account")],
        [(20, 60, "account")],
    ]
    assert wire.DELETE.limits == wire.STATUS.limits

"""Rows of jobs as documents: one function for each kind, no reads and no decisions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from infra.http.documents import job_document
from infra.http.links import media_path
from schemas.cloudevents import rfc3339, structured
from schemas.commands import EngineRun, StoredObject
from schemas.events import decode_event

Row = Mapping[str, Any]
_stored_decoder = msgspec.json.Decoder(StoredObject)
_run_decoder = msgspec.json.Decoder(EngineRun)
_TIMES = (("queued", "queued_ms"), ("running", "running_ms"))
_FOR_DELIVERY = ("reply", "idempotency")
ENDED = frozenset({"succeeded", "failed", "canceled", "expired"})


def job_detail(base_url: str, row: Row, metadata: Mapping[str, Any] | None, texts: Mapping[str, str]) -> dict[str, Any]:
    """The document of `JobDetailModel` for a row of `queries`; `texts` are the free texts among the parameters."""
    status, result, source, params = row["status"], row["result"], row["input"], row["params"]
    document = job_document(
        base_url,
        row["job"],
        status=status,
        model=row["model"],
        cost=row["cost"],
        balance=row["balance"],
        position=row["position"],
        asset=row["asset"],
        result=None if result is None else _stored_decoder.decode(result),
        reason=row["reason"],
        detail=row["detail"],
    )
    times = {"accepted": moment(row["accepted_ms"])}
    for name, column in _TIMES:
        if row[column] is not None:
            times[name] = moment(row[column])
    if row["ended_ms"] is not None:
        times[status] = moment(row["ended_ms"])
    if row["refunded_ms"] is not None:
        times["refunded"] = moment(row["refunded_ms"])
    run = row["run"]
    document["product"] = row["product"]
    document["lane"] = row["lane"]
    document["group"] = row["group_id"]
    document["engine"] = row["engine"]
    document["engine_version"] = row["engine_version"]
    document["run"] = None if run is None else run_document(_run_decoder.decode(run))
    document["params"] = {**msgspec.json.decode(params), **texts} if texts else msgspec.Raw(params.encode())
    document["input"] = None if source is None else {"asset": source, "mask": row["mask"]}
    document["metadata"] = metadata
    document["charged"] = row["charged"]
    document["refunded"] = row["refunded"]
    document["reused_of"] = row["reused_of"]
    document["result_gone"] = row["result_gone"]
    document["attempts"] = row["attempts"]
    document["model_ms"] = row["model_ms"]
    document["plan"] = row["plan"]
    document["plan_version"] = row["plan_version"]
    document["created_at"] = times["accepted"]
    document["times"] = times
    return document


def run_document(run: EngineRun) -> dict[str, Any]:
    """The document of `RunModel`."""
    return {
        "engine": run.engine,
        "engine_version": run.engine_version,
        "request": run.request or None,
        "passed_over": [
            {"engine": other.engine, "engine_version": other.engine_version, "reason": other.reason}
            for other in run.passed_over
        ],
    }


def group_document(row: Row, jobs: list[dict[str, Any]]) -> dict[str, Any]:
    """The document of `GroupModel`."""
    counts: dict[str, int] = {}
    for job in jobs:
        counts[job["status"]] = counts.get(job["status"], 0) + 1
    return {
        "id": row["group_id"],
        "created_at": moment(row["accepted_ms"]),
        "position": row["position"],
        "cost": row["cost"],
        "charged": sum(job["charged"] for job in jobs),
        "refunded": sum(job["refunded"] for job in jobs),
        "counts": counts,
        "ended": counts.keys() <= ENDED,
        "jobs": jobs,
    }


@lru_cache(maxsize=4_096)
def _second(time_s: int) -> str:
    return rfc3339(time_s * 1000)[:-4]


def moment(time_ms: int) -> str:
    """`rfc3339`, quicker for times of seconds that were shown lately."""
    return f"{_second(time_ms // 1000)}{time_ms % 1000:03d}Z"


def moment_or_none(time_ms: int | None) -> str | None:
    """The same for a time that may be missing."""
    return None if time_ms is None else moment(time_ms)


def day_of(day_ms: int) -> str:
    """The UTC day that began then, as YYYY-MM-DD."""
    return rfc3339(day_ms)[:10]


def event_document(value: bytes, deployment: str) -> dict[str, Any]:
    """An event of the topic in structured mode, without what only concerns its delivery."""
    document = structured(decode_event(value), deployment)
    data = document["data"]["data"]
    for name in _FOR_DELIVERY:
        data.pop(name, None)
    return document


def thumbnail_url(base_url: str, asset: str) -> str:
    """Where the still picture of a video is."""
    return f"{base_url}{media_path(asset)}/thumbnail"

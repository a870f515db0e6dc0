"""The documents of native answers that both the writing and the reading side show, and their models."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from infra.http.links import asset_path, job_links
from infra.http.problems import title_of, type_of
from schemas.commands import StoredObject


class ResultModel(BaseModel):
    """The picture that a job made."""

    asset: str
    url: str
    width: int
    height: int
    format: str
    bytes: int


class JobErrorModel(BaseModel):
    """Why a job ended without a result: a problem (RFC 9457) without a status of its own."""

    type: str
    title: str
    detail: str
    code: str


class JobModel(BaseModel):
    """A job. `cost`, `balance` and `position` are null while its decision is still under way."""

    id: str
    status: str = Field(description="accepted, queued, running, succeeded, failed, canceled, expired; or pending")
    cost: int | None
    balance: int | None = Field(description="What the account can spend after the job's last booking.")
    position: str | None
    model: str
    result: ResultModel | None
    error: JobErrorModel | None
    links: dict[str, str]


class AssetModel(BaseModel):
    """A picture of the account."""

    id: str
    url: str
    width: int
    height: int
    format: str
    bytes: int
    position: str | None


def job_document(
    base_url: str,
    job: str,
    *,
    status: str,
    model: str,
    cost: int | None,
    balance: int | None,
    position: str | None,
    asset: str | None = None,
    result: StoredObject | None = None,
    reason: str | None = None,
    detail: str | None = None,
) -> dict[str, Any]:
    """The document of `JobModel`, in its order."""
    return {
        "id": job,
        "status": status,
        "cost": cost,
        "balance": balance,
        "position": position,
        "model": model,
        "result": None if result is None or asset is None else result_document(base_url, asset, result),
        "error": None if reason is None else error_document(reason, detail),
        "links": job_links(base_url, job),
    }


def result_document(base_url: str, asset: str, stored: StoredObject) -> dict[str, Any]:
    """The document of `ResultModel`."""
    return {
        "asset": asset,
        "url": base_url + asset_path(asset),
        "width": stored.width,
        "height": stored.height,
        "format": stored.format,
        "bytes": stored.bytes,
    }


def asset_document(base_url: str, asset: str, stored: StoredObject, position: str | None) -> dict[str, Any]:
    """The document of `AssetModel`."""
    return {
        "id": asset,
        "url": base_url + asset_path(asset),
        "width": stored.width,
        "height": stored.height,
        "format": stored.format,
        "bytes": stored.bytes,
        "position": position,
    }


def error_document(reason: str, detail: str | None) -> dict[str, Any]:
    """The document of `JobErrorModel` for the decider's word and sentence."""
    text = detail or title_of(reason)
    sentence = text if text.endswith(".") else f"{text}."
    return {"type": type_of(reason), "title": title_of(reason), "detail": sentence, "code": reason}

"""Paths of what clients come back to: one place, so that the writing and the reading side show the same links."""

from __future__ import annotations


def job_path(job: str) -> str:
    """The state of a job."""
    return f"/v1/jobs/{job}"


def job_events_path(job: str) -> str:
    """What happened to a job."""
    return f"/v1/jobs/{job}/events"


def job_cancel_path(job: str) -> str:
    """POST here ends the job."""
    return f"/v1/jobs/{job}:cancel"


def asset_path(asset: str) -> str:
    """The bytes of an asset: an upload or a result."""
    return f"/v1/assets/{asset}"


def asset_complete_path(asset: str) -> str:
    """POST here makes what was put by a signed URL an asset."""
    return f"/v1/assets/{asset}:complete"


def media_path(asset: str) -> str:
    """The bytes of an asset, for everybody while it is public."""
    return f"/v1/media/{asset}"


def album_path(album: str) -> str:
    """An album."""
    return f"/v1/albums/{album}"


def job_links(base_url: str, job: str) -> dict[str, str]:
    """The `links` member of a job's document."""
    return {
        "self": base_url + job_path(job),
        "events": base_url + job_events_path(job),
        "cancel": base_url + job_cancel_path(job),
    }
